"""The network of the package on patterns of well-known crystals that pymatgen makes: other tubes, noise, backgrounds.

Each of these once pushed the right group of rock salt out of the first five. A network of random crystals does not know
every one of twelve structures (rutile and quartz it does not); nothing that an instrument does may cost more.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from pymatgen.analysis.diffraction.xrd import XRDCalculator
from pymatgen.core import Lattice, Structure
from xrdtrain.inference.answer import Answerer
from xrdtrain.inference.networks import open_network
from xrdtrain.inference.options import predict_options
from xrdtrain.inference.predict import predict

WAVELENGTHS = {"CuKa1": 1.54056, "MoKa1": 0.7093}
CUBIC, HEXAGONAL = Lattice.cubic, Lattice.hexagonal
OLIVINE = [
    [0, 0, 0], [0.2774, 0.25, 0.9915], [0.094, 0.25, 0.4262], [0.0913, 0.25, 0.7657], [0.4474, 0.25, 0.2215],
    [0.1628, 0.0331, 0.2777],
]  # fmt: skip
CRYSTALS = {
    "rock salt": (225, CUBIC(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]),
    "fluorite": (225, CUBIC(5.463), ["Ca", "F"], [[0, 0, 0], [0.25, 0.25, 0.25]]),
    "ceria": (225, CUBIC(5.411), ["Ce", "O"], [[0, 0, 0], [0.25, 0.25, 0.25]]),
    "silicon": (227, CUBIC(5.431), ["Si"], [[0, 0, 0]]),
    "perovskite": (221, CUBIC(3.905), ["Sr", "Ti", "O"], [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0]]),
    "pyrite": (205, CUBIC(5.418), ["Fe", "S"], [[0, 0, 0], [0.385, 0.385, 0.385]]),
    "corundum": (167, HEXAGONAL(4.759, 12.993), ["Al", "O"], [[0, 0, 0.3522], [0.3064, 0, 0.25]]),
    "calcite": (167, HEXAGONAL(4.99, 17.06), ["Ca", "C", "O"], [[0, 0, 0], [0, 0, 0.25], [0.257, 0, 0.25]]),
    "zincite": (186, HEXAGONAL(3.25, 5.207), ["Zn", "O"], [[1 / 3, 2 / 3, 0], [1 / 3, 2 / 3, 0.382]]),
    "olivine": (62, Lattice.orthorhombic(10.2, 5.98, 4.756), ["Mg", "Mg", "Si", "O", "O", "O"], OLIVINE),
    "rutile": (136, Lattice.tetragonal(4.594, 2.959), ["Ti", "O"], [[0, 0, 0], [0.3049, 0.3049, 0]]),
    "quartz": (152, HEXAGONAL(4.913, 5.405), ["Si", "O"], [[0.4697, 0, 1 / 3], [0.4135, 0.2669, 0.4524]]),
}
ENOUGH = 9


@pytest.fixture(scope="module")
def lines() -> Mapping[str, Mapping[str, tuple[np.ndarray, np.ndarray]]]:
    """Return angles (degrees 2theta) and intensities of every crystal's lines, by wavelength and crystal."""
    crystals = {
        name: Structure.from_spacegroup(group, lattice, elements, positions)
        for name, (group, lattice, elements, positions) in CRYSTALS.items()
    }
    found = {}
    for tube, wavelength in WAVELENGTHS.items():
        calculator = XRDCalculator(wavelength=wavelength)
        found[tube] = {}
        for name, crystal in crystals.items():
            pattern = calculator.get_pattern(crystal, two_theta_range=(3, 92))
            found[tube][name] = np.asarray(pattern.x), np.asarray(pattern.y)
    return found


@pytest.mark.parametrize(
    ("tube", "first", "last", "step", "fwhm", "lorentzian", "background", "noise"),
    [
        ("CuKa1", 5.0, 90.0, 0.02, 0.15, 0.0, 0.0, 0.0),
        ("CuKa1", 5.0, 90.0, 0.02, 0.15, 0.2, 0.0, 0.0),
        ("CuKa1", 5.0, 90.0, 0.02, 0.15, 0.0, 0.01, 0.0),
        ("CuKa1", 5.0, 90.0, 0.02, 0.15, 0.0, 0.0, 0.003),
        ("CuKa1", 10.0, 80.0, 0.013, 0.15, 0.5, 0.02, 0.005),
        ("MoKa1", 10.0, 70.0, 0.02, 0.09, 0.3, 0.01, 0.003),
        ("MoKa1", 5.0, 40.0, 0.02, 0.09, 0.3, 0.01, 0.003),
    ],
)
def test_what_an_instrument_does_costs_little(
    tube: str, first: float, last: float, step: float, fwhm: float, lorentzian: float, background: float, noise: float,
    lines: Mapping[str, Mapping[str, tuple[np.ndarray, np.ndarray]]], tmp_path: Path,
) -> None:  # fmt: skip
    random = np.random.default_rng(4)
    angles = np.arange(first, last + 1e-6, step)
    files = []
    for name, (places, heights) in lines[tube].items():
        x = 2.0 * (angles[:, None] - places) / fwhm
        gauss = np.exp(-np.log(2.0) * x**2) * 2.0 * np.sqrt(np.log(2.0) / np.pi)
        y = ((1.0 - lorentzian) * gauss + lorentzian * 2.0 / np.pi / (1.0 + x**2)) @ heights
        y = y / y.max() + background + random.normal(0.0, noise, len(y))
        files.append(tmp_path / f"{name}.xy")
        np.savetxt(files[-1], np.column_stack([angles, y]))
    answered = list(predict(Answerer([open_network("embedded:measured")]), files, predict_options(wavelength=tube)))
    right = {}
    for name, item in zip(lines[tube], answered, strict=True):
        right[name] = CRYSTALS[name][0] in [candidate.space_group for candidate in item.candidates[:5]]
    assert right["rock salt"]
    assert sum(right.values()) >= ENOUGH, right

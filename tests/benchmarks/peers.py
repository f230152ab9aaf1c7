"""Other programs on the same crystals: what each does, how its result is compared with ours.

Each has to do the structure factors of all reflections that reach the grid at least. Building its input objects is not
timed. A peer that is not installed is left out with a line.
"""

from __future__ import annotations

import atexit
import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from clock import cpu_seconds
from numpy.typing import NDArray
from xrdcommon import console
from xrdcommon.errors import InputError
from xrdgen.crystal import Crystal
from xrdgen.diffraction.simulator import Simulator
from xrdgen.elements import symbol
from xrdgen.symmetry import lattice, wyckoff
from xrdgen.symmetry.operations import operations, standard_hall_number


class Run:
    """A calculation in this process."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self._function = function

    def once(self) -> Any:
        """Calculate and return the result."""
        return self._function()

    def seconds(self, repeats: int) -> float:
        """CPU time of one calculation, the mean of some."""
        return cpu_seconds(self._function, repeats)


class Prepare(Protocol):
    """Builds a peer's input, untimed, and returns what is timed."""

    def __call__(self, crystal: Crystal, size: float, simulator: Simulator) -> Run: ...


class Compare(Protocol):
    """Difference of a peer's result from ours."""

    def __call__(self, result: Any, crystal: Crystal, size: float, simulator: Simulator) -> float: ...


@dataclass(frozen=True, slots=True)
class Peer:
    """Another program.

    Attributes:
        name: as people know it.
        does: what it does, and what it does not.
        prepare: see `Prepare`.
        compare: see `Compare`.
        measure: what `compare` returns, for people.
        limit: largest difference that counts as agreement.
        repeats: calls that are timed together.

    """

    name: str
    does: str
    prepare: Prepare
    compare: Compare
    measure: str
    limit: float
    repeats: int


def peers(prototype: Path) -> list[Peer]:
    """All peers that are here."""
    found = [_pymatgen()]
    for module, make in (("cctbx", _cctbx), ("gemmi", _gemmi)):
        if importlib.util.find_spec(module) is None:
            console.say(f"{module} is not installed (pip install -e '.[dev,bench]'): left out")
        else:
            found.append(make())
    if prototype.exists():
        found.append(_prototype(prototype))
    return found


def sigma_of(two_theta: Any, size: float, simulator: Simulator) -> Any:
    """Standard deviation of a reflection by Scherrer's formula, degrees 2theta; size in nm."""
    settings = simulator.settings
    fwhm = settings.scherrer_constant * settings.wavelength / (10.0 * size * np.cos(np.radians(two_theta / 2.0)))
    return np.degrees(fwhm) / np.sqrt(8.0 * np.log(2.0))


def reach(size: float, simulator: Simulator) -> tuple[float, float]:
    """Degrees 2theta of the reflections of which something reaches the grid: 6 standard deviations."""
    grid = simulator.settings.grid
    low, high = (6.0 * float(sigma_of(angle, size, simulator)) for angle in (grid.two_theta_min, grid.two_theta_max))
    return grid.two_theta_min - low, grid.two_theta_max + 1.1 * high


def d_min(size: float, simulator: Simulator) -> float:
    """Smallest spacing of those reflections, Å."""
    return float(simulator.settings.wavelength / (2.0 * np.sin(np.radians(reach(size, simulator)[1] / 2.0))))


def gaussian_sum(
    two_theta: NDArray[np.float64], intensity: NDArray[np.float64], size: float, simulator: Simulator
) -> NDArray[np.float64]:
    """Pattern (P,) of lines in float64, maximum 1: every Gaussian over 8 sigma, sigma in degrees 2theta."""
    grid = simulator.settings.grid
    x = grid.two_theta_min + grid.step * np.arange(grid.n_points)
    y = np.zeros(grid.n_points)
    sigma = sigma_of(two_theta, size, simulator)
    for position, area, width in zip(two_theta, intensity, sigma, strict=True):
        low, high = np.searchsorted(x, (position - 8.0 * width, position + 8.0 * width))
        y[low:high] += area / width * np.exp(-0.5 * ((x[low:high] - position) / width) ** 2)
    return y / y.max()


def _pymatgen() -> Peer:
    from pymatgen.analysis.diffraction.core import AbstractDiffractionPatternCalculator
    from pymatgen.analysis.diffraction.xrd import XRDCalculator

    # keep the lines that pymatgen drops (under 1e-5 of the maximum): merged with a neighbour they would be missed
    AbstractDiffractionPatternCalculator.SCALED_INTENSITY_TOL = 0.0

    def prepare(crystal: Crystal, size: float, simulator: Simulator) -> Run:
        structure = crystal.to_pymatgen()
        calculator = XRDCalculator(simulator.settings.wavelength)
        two_theta_range = reach(size, simulator)
        return Run(lambda: calculator.get_pattern(structure, two_theta_range=two_theta_range))

    def compare(result: Any, crystal: Crystal, size: float, simulator: Simulator) -> float:
        expected = gaussian_sum(np.asarray(result.x), np.asarray(result.y), size, simulator)
        return float(np.abs(simulator.pattern(crystal, size) - expected).max())

    return Peer(
        name="pymatgen `XRDCalculator`",
        does="lines with intensities; no profiles",
        prepare=prepare,
        compare=compare,
        measure="pattern from its lines in float64, of the maximum",
        limit=5e-5,
        repeats=1,
    )


def _residual(ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> float:
    """R = sum | |F| - |F'| | / sum |F|."""
    return float(np.abs(ours - theirs).sum() / ours.sum())


def _hall_symbol(group: int) -> str:
    import spglib

    return str(spglib.get_spacegroup_type(standard_hall_number(group)).hall_symbol)


class CctbxProcess:
    """The process of `cctbx_peer`."""

    def __init__(self) -> None:
        command = [sys.executable, str(Path(__file__).with_name("cctbx_peer.py"))]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        atexit.register(self._process.kill)

    def ask(self, **request: Any) -> dict[str, Any]:
        """Return the answer to a request.

        Raises:
            InputError: the process died.

        """
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        try:
            stdin.write(json.dumps(request) + "\n")
            stdin.flush()
            line = stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise InputError(f"cctbx ended with code {self._process.wait()}; uninstall cctbx-base to leave it out")
        answer: dict[str, Any] = json.loads(line)
        return answer


class CctbxRun(Run):
    """A calculation in the process of cctbx."""

    def __init__(self, process: CctbxProcess) -> None:
        self._process = process

    def once(self) -> Any:
        """Calculate; the values stay there."""
        self.seconds(1)
        return self._process

    def seconds(self, repeats: int) -> float:
        """CPU time of one calculation."""
        return float(self._process.ask(repeats=repeats)["seconds"])


def _cctbx() -> Peer:
    process = CctbxProcess()

    def prepare(crystal: Crystal, size: float, simulator: Simulator) -> Run:
        process.ask(
            hall=_hall_symbol(crystal.space_group),
            cell=crystal.cell.tolist(),
            d_min=d_min(size, simulator),
            atoms=[
                (symbol(int(z)), x) for z, x in zip(crystal.atomic_numbers, crystal.positions.tolist(), strict=True)
            ],
        )
        return CctbxRun(process)

    def compare(result: Any, crystal: Crystal, size: float, simulator: Simulator) -> float:
        peaks = simulator.peaks(crystal)
        theirs = process.ask(hkl=peaks.hkl.tolist())["f"]
        return _residual(np.sqrt(peaks.f_squared), np.array(theirs))

    return Peer(
        name="cctbx, direct summation",
        does="structure factors of the unique reflections; no intensities, lines or profiles",
        prepare=prepare,
        compare=compare,
        measure="R of the structure factors (its form factors are IT 1992)",
        limit=0.08,
        repeats=3,
    )


def _gemmi() -> Peer:
    import gemmi

    def structure_of(crystal: Crystal) -> Any:
        structure = gemmi.SmallStructure()
        structure.cell = gemmi.UnitCell(*crystal.cell)
        group = gemmi.symops_from_hall(_hall_symbol(crystal.space_group))
        structure.spacegroup = gemmi.find_spacegroup_by_ops(group)
        order = operations(crystal.space_group).order
        for z, x, multiplicity in zip(crystal.atomic_numbers, crystal.positions, crystal.multiplicities, strict=True):
            site = gemmi.SmallStructure.Site()
            site.occ = multiplicity / order  # it sums over all operations
            site.fract, site.element = gemmi.Fractional(*x), gemmi.Element(int(z))
            structure.add_site(site)
        structure.setup_cell_images()
        return structure

    def prepare(crystal: Crystal, size: float, simulator: Simulator) -> Run:
        structure = structure_of(crystal)
        smallest = d_min(size, simulator)
        calculator = gemmi.StructureFactorCalculatorX(structure.cell)

        def run() -> list[complex]:
            indices = gemmi.make_miller_array(structure.cell, structure.spacegroup, smallest, 0.0, True)
            return [calculator.calculate_sf_from_small_structure(structure, hkl) for hkl in indices.tolist()]

        return Run(run)

    def compare(result: Any, crystal: Crystal, size: float, simulator: Simulator) -> float:
        peaks = simulator.peaks(crystal)
        structure = structure_of(crystal)
        calculator = gemmi.StructureFactorCalculatorX(structure.cell)
        theirs = [calculator.calculate_sf_from_small_structure(structure, hkl) for hkl in peaks.hkl.tolist()]
        return _residual(np.sqrt(peaks.f_squared), np.abs(np.array(theirs)))

    return Peer(
        name="gemmi `StructureFactorCalculatorX`",
        does="structure factors of the unique reflections, one call each; no intensities, lines or profiles",
        prepare=prepare,
        compare=compare,
        measure="R of the structure factors (its form factors are IT 1992)",
        limit=0.08,
        repeats=1,
    )


def _prototype(path: Path) -> Peer:
    """The exploratory kernels beside the checkout; compiled here, in a few seconds."""
    spec = importlib.util.spec_from_file_location("fast_pattern", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["fast_pattern"] = module
    spec.loader.exec_module(module)
    lines = [np.empty(200_000) for _ in range(3)]
    work = np.empty(8501 + 2 * module.PAD + 64, np.float32)
    out = np.empty(8501, np.float32)

    def prepare(crystal: Crystal, size: float, simulator: Simulator) -> Run:
        group = operations(crystal.space_group)
        matrices = np.tile(np.eye(4), (group.order, 1, 1))
        matrices[:, :3, :3], matrices[:, :3, 3] = group.rotations, group.translations
        elements = [symbol(int(z)) for z in crystal.atomic_numbers]
        labels = [f"{m}{wyckoff.letter(int(i))}" for m, i in zip(crystal.multiplicities, crystal.letters, strict=True)]
        packed = module.pack(
            {
                "sg": crystal.space_group,
                "ops": matrices,
                "species": elements,
                "asu": list(zip(elements, crystal.positions.tolist(), labels, strict=True)),
                "lattice": lattice.vectors(crystal.cell),
            }
        )

        def run() -> NDArray[np.float32]:
            n = module.peaks64(*packed, lines[0], lines[1], module.ROOT, 0)
            module.ttheta(lines[0], n, module.APOLY, lines[2])
            module.prof_sqp(lines[0], lines[1], lines[2], n, size, work, out, 5.5, 1e-5)
            return out

        return Run(run)

    def compare(result: Any, crystal: Crystal, size: float, simulator: Simulator) -> float:
        grid = simulator.settings.grid
        n = int(np.ceil(1.5 / grid.step))  # it leaves out the tails of reflections beyond the grid
        return float(np.abs(simulator.pattern(crystal, size) - result)[n:-n].max())

    return Peer(
        name="an early prototype",
        does="full pattern, reflections of the grid only",
        prepare=prepare,
        compare=compare,
        measure="pattern, of the maximum",
        limit=1e-3,
        repeats=10,
    )

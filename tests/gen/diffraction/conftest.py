"""Random crystals of any space group, pymatgen's lines for them, and kernels without compilation."""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from cells import random_cell
from xrdgen.crystal import Crystal
from xrdgen.diffraction.settings import SimulationSettings
from xrdgen.diffraction.simulator import Simulator
from xrdgen.symmetry import wyckoff

LIGHT_TO_HEAVY = (1, 3, 8, 14, 26, 47, 57, 82, 92)


def random_crystal(space_group: int, seed: int, *, disorder: bool = False, **cell_options: float) -> Crystal:
    """The general position, the most special one and one between; with disorder, a mixed and a partial site."""
    rng = np.random.default_rng((space_group, seed))
    table = wyckoff.tables()
    rows = table.rows(space_group)
    n_letters = rows.stop - rows.start
    letters = [0, int(rng.integers(n_letters)), n_letters - 1] if n_letters > 1 else [0]
    if not disorder:  # a general position of the large cubic groups has 192 atoms: leave it to the disordered crystal
        letters = letters[:2]
    occupancies = [(0.7, 0.25), (1.0,), (0.4,)] if disorder else [(1.0,)] * 3
    positions, numbers, shares, letter_rows, sites = [], [], [], [], []
    for site, letter in enumerate(letters):
        row = rows.start + letter
        image = int(rng.integers(table.op_start[row], table.op_start[row + 1]))
        point = table.op_rotation[image] @ rng.random(3) + table.op_translation[image]
        for share in occupancies[site]:
            positions.append(point)
            numbers.append(int(rng.choice(LIGHT_TO_HEAVY)))
            shares.append(share)
            letter_rows.append(letter)
            sites.append(site)
    return Crystal(
        space_group=space_group,
        cell=random_cell(space_group, rng, **cell_options),
        positions=np.array(positions),
        atomic_numbers=np.array(numbers),
        occupancies=np.array(shares),
        letters=np.array(letter_rows),
        sites=np.array(sites),
    )


def merge(two_theta: np.ndarray, intensity: np.ndarray, apart: float = 3e-5) -> tuple[np.ndarray, np.ndarray]:
    """Join lines closer than `apart` degrees; angles weighted by intensity."""
    order = np.argsort(two_theta)
    two_theta, intensity = np.asarray(two_theta)[order], np.asarray(intensity)[order]
    group = np.concatenate([[0], np.cumsum(np.diff(two_theta) > apart)])
    total = np.bincount(group, weights=intensity)
    return np.bincount(group, weights=two_theta * intensity) / total, total


def without_compilation(kernel: Any) -> Callable[..., Any]:
    """The plain Python form of a kernel, the kernels that it calls included."""
    function = kernel.py_func
    scope = {
        name: without_compilation(value) if hasattr(value, "py_func") else value
        for name, value in function.__globals__.items()
        if name in function.__code__.co_names
    }
    return types.FunctionType(function.__code__, {"__builtins__": __builtins__, **scope}, function.__name__)


@pytest.fixture(scope="session")
def simulator() -> Simulator:
    return Simulator(SimulationSettings())


@pytest.fixture
def pymatgen_lines(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[np.ndarray, np.ndarray]]:
    """Lines of XRDCalculator, however weak, the strongest 100."""
    from pymatgen.analysis.diffraction.xrd import XRDCalculator

    monkeypatch.setattr(
        "pymatgen.analysis.diffraction.core.AbstractDiffractionPatternCalculator.SCALED_INTENSITY_TOL", 1e-9
    )

    def lines(crystal: Crystal, settings: SimulationSettings) -> tuple[np.ndarray, np.ndarray]:
        limits = (settings.grid.two_theta_min, settings.grid.two_theta_max)
        pattern = XRDCalculator(settings.wavelength).get_pattern(crystal.to_pymatgen(), two_theta_range=limits)
        return pattern.x, pattern.y

    return lines


@pytest.fixture
def make_crystal() -> Callable[..., Crystal]:
    return random_crystal


@pytest.fixture
def merge_lines() -> Callable[..., tuple[np.ndarray, np.ndarray]]:
    return merge


@pytest.fixture(params=["compiled", "plain"])
def form(request: pytest.FixtureRequest) -> Callable[[Any], Callable[..., Any]]:
    """Give a kernel in its compiled or its plain Python form."""
    return (lambda kernel: kernel) if request.param == "compiled" else without_compilation

"""Peaks of crystals on every Wyckoff position of every group against sums over the whole cell in double precision."""

from __future__ import annotations

import numpy as np
import pytest
import truth
from xrdcommon.grid import Grid
from xrdcommon.space_groups import N_GROUPS
from xrdgen.diffraction.settings import SimulationSettings
from xrdgen.diffraction.simulator import Simulator
from xrdgen.symmetry import wyckoff

SETTINGS = SimulationSettings(grid=Grid(3.0, 93.0, 0.01))


@pytest.fixture(scope="module")
def simulator() -> Simulator:
    return Simulator(SETTINGS)


def test_every_position_on_its_own(simulator: Simulator) -> None:
    """One atom, one position: extinctions of its site symmetry beside those of the group, all 1731."""
    n_positions, n_extinct = 0, 0
    for number in range(1, N_GROUPS + 1):
        rng = np.random.default_rng((number, 3))
        cell = truth.random_cell(number, rng, 4.0, 6.0)
        for letter in range(truth.n_letters(number)):
            crystal = truth.random_crystal(number, [letter], rng, cell=cell)
            atoms = truth.expand(crystal)
            assert len(atoms.positions) == crystal.n_atoms
            lines = truth.assert_peaks_are_exact(simulator.peaks(crystal), crystal, SETTINGS)
            forbidden = truth.group_operations(number).systematic_absences(lines.hkl.astype(np.int32))
            n_extinct += bool((lines.f_squared[~forbidden] < 1e-9 * lines.f_squared.max()).any())
            n_positions += 1
    assert n_positions == len(wyckoff.tables().multiplicity) == 1731
    assert n_extinct > 400  # the test would be void without extinctions beyond those of the group


@pytest.mark.parametrize("seed", range(2))
def test_all_positions_together(simulator: Simulator, seed: int) -> None:
    """Every position of a group occupied at once; mixed, partial and full sites take turns."""
    for number in range(1, N_GROUPS + 1):
        rng = np.random.default_rng((number, 1000 + seed))
        letters = rng.permutation(truth.n_letters(number)).tolist()
        crystal = truth.random_crystal(number, letters, rng, disorder=True, smallest=3.5, largest=5.0)
        assert (crystal.occupancies < 1.0).any()
        truth.assert_peaks_are_exact(simulator.peaks(crystal), crystal, SETTINGS)


@pytest.mark.parametrize(
    "settings",
    [
        SimulationSettings(grid=Grid(1.0, 40.0, 0.02), wavelength=0.5594),
        SimulationSettings(grid=Grid(8.0, 170.0, 0.02), wavelength=2.2897),
    ],
    ids=["silver", "chromium"],
)
def test_at_other_wavelengths(settings: SimulationSettings) -> None:
    simulator = Simulator(settings)
    for number in range(1, N_GROUPS + 1):
        rng = np.random.default_rng((number, 2000))
        letters = rng.permutation(truth.n_letters(number)).tolist()
        crystal = truth.random_crystal(number, letters, rng, disorder=number % 2 == 0)
        truth.assert_peaks_are_exact(simulator.peaks(crystal), crystal, settings)

"""Patterns against sums over every lattice point in double precision: all groups, wavelengths, real disorder."""

from __future__ import annotations

import numpy as np
import pytest
import truth
from xrdcommon.grid import Grid
from xrdcommon.space_groups import N_GROUPS
from xrdgen.crystal import Crystal
from xrdgen.diffraction.settings import SimulationSettings
from xrdgen.diffraction.simulator import NoReflectionError, Simulator
from xrdgen.structures.table import crystal_of, read_table

TOLERANCE = 2e-5

SETTINGS = {
    "copper": SimulationSettings(),
    "copper, 2126 points": SimulationSettings(grid=Grid(5.0, 90.0, 0.04)),
    "molybdenum": SimulationSettings(grid=Grid(3.0, 45.0, 0.01), wavelength=0.7093),
    "cobalt, a part of the range": SimulationSettings(grid=Grid(41.0, 62.0, 0.01), wavelength=1.78897),
    "chromium to 160 degrees, small crystallites": SimulationSettings(
        grid=Grid(12.0, 160.0, 0.02), wavelength=2.2897, size_min=6.0, size_max=40.0, scherrer_constant=0.94
    ),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_all_groups(name: str) -> None:
    settings = SETTINGS[name]
    simulator = Simulator(settings)
    for number in range(1, N_GROUPS + 1):
        rng = np.random.default_rng((number, len(name)))
        letters = rng.permutation(truth.n_letters(number))[:5].tolist()
        crystal = truth.random_crystal(number, letters, rng, disorder=number % 2 == 1, smallest=5.0, largest=7.0)
        size = rng.uniform(settings.size_min, settings.size_max)
        pattern = simulator.pattern(crystal, size)
        assert pattern.shape == (settings.grid.n_points,)
        expected = truth.exact_pattern(truth.expand(crystal), settings, size)
        np.testing.assert_allclose(pattern, expected, atol=TOLERANCE, rtol=0.0, err_msg=f"space group {number}")


@pytest.mark.parametrize("name", ["copper", "molybdenum"])
def test_real_structures_with_and_without_disorder(name: str) -> None:
    """Of every group in the embedded minerals the smallest ordered, mixed and partly occupied structure."""
    settings = SETTINGS[name]
    simulator = Simulator(settings)
    table = read_table("embedded:amcsd")
    table = table[~table.over_occupancy & (table.volume < 1000.0)].sort_values("volume", kind="stable")
    chosen = table.groupby(["space_group", "mixed_occupancy", "partial_occupancy"], sort=True).nth(0)
    assert len(chosen) > 250
    assert chosen.space_group.nunique() > 120
    assert chosen.mixed_occupancy.sum() > 80
    assert chosen.partial_occupancy.sum() > 80
    for _, row in chosen.iterrows():
        crystal = crystal_of(row)
        size = 20.0 + 80.0 * (row.volume % 1.0)
        expected = truth.exact_pattern(truth.expand(crystal), settings, size)
        pattern = simulator.pattern(crystal, size)
        np.testing.assert_allclose(pattern, expected, atol=TOLERANCE, rtol=0.0, err_msg=str(row["id"]))


def cubic(space_group: int, a: float, numbers: list[int], positions: list[list[float]]) -> Crystal:
    """Return a cubic crystal with atoms on its positions a, b ..."""
    n = np.arange(len(numbers))
    cell = np.array([a, a, a, 90.0, 90.0, 90.0])
    return Crystal(space_group, cell, np.array(positions), np.array(numbers), np.ones(len(n)), n, n)


def test_the_tail_of_a_strong_line_beyond_a_grid_of_weak_ones() -> None:
    """CsI: (100) is 3500 times weaker than (110), whose tail comes in from beyond the last angle."""
    settings = SimulationSettings(grid=Grid(15.0, 27.2, 0.01), size_min=50.0, size_max=50.0)
    iodide = cubic(221, 4.567, [53, 55], [[0.0, 0.0, 0.0], [0.5, 0.5, 0.5]])
    expected = truth.exact_pattern(truth.expand(iodide), settings, 50.0)
    np.testing.assert_allclose(Simulator(settings).pattern(iodide, 50.0), expected, atol=TOLERANCE, rtol=0.0)


def test_extinct_reflections_alone_are_no_diffractogram() -> None:
    """Silicon between (111) and (220): only (200), extinct by the d glide; nothing is seen."""
    simulator = Simulator(SimulationSettings(grid=Grid(30.0, 46.0, 0.01)))
    silicon = cubic(227, 5.431, [14], [[0.125, 0.125, 0.125]])
    for simulate in (simulator.peaks, lambda crystal: simulator.pattern(crystal, 50.0)):
        with pytest.raises(NoReflectionError):
            simulate(silicon)

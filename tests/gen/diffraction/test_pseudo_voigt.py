"""Pseudo-Voigt patterns against sums over all lines and all grid points in double precision; no tail is cut off."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from xrdcommon.grid import Grid
from xrdcommon.space_groups import N_GROUPS
from xrdgen.diffraction import lorentzian_kernels, reach_kernels
from xrdgen.diffraction.profile_kernels import LANES
from xrdgen.diffraction.settings import SimulationSettings
from xrdgen.diffraction.simulation_kernels import simulate_pattern
from xrdgen.diffraction.simulator import Simulator, simulate
from xrdgen.structures.table import crystal_of, read_table

TOLERANCE = 2e-5
LAST = 170.0
"""Lines are summed to here, far beyond the tails that the simulator follows."""


def pseudo_voigt_sum(positions, areas, settings, size, fraction):
    """Sum lines (degrees, any unit) on the grid, both parts with the Scherrer FWHM and area-normalised; maximum 1."""
    x = settings.grid.two_theta
    fwhm = np.degrees(settings.scherrer_fwhm(size)) / np.cos(np.radians(positions / 2.0))
    sigma, gamma = fwhm / math.sqrt(8.0 * math.log(2.0)), fwhm / 2.0
    y = np.zeros(len(x))
    for t, s, g, area in zip(positions, sigma, gamma, areas, strict=True):
        gaussian = np.exp(-0.5 * ((x - t) / s) ** 2) / (s * math.sqrt(2.0 * math.pi))
        lorentzian = g / math.pi / ((x - t) ** 2 + g**2)
        y += area * ((1.0 - fraction) * gaussian + fraction * lorentzian)
    return y / y.max()


def exact_pattern(crystal, settings, size, fraction):
    """Sum over all lines between 0 and `LAST` degrees; `test_peaks` compares such lines with pymatgen's."""
    lines = Simulator(replace(settings, grid=Grid(0.05, LAST, 0.05), size_max=settings.size_min)).peaks(crystal)
    return pseudo_voigt_sum(lines.two_theta, lines.intensity, settings, size, fraction)


def assert_exact(crystal, simulator, size, fraction):
    """Compare a pattern with the exact sum."""
    pattern = simulator.pattern(crystal, size, lorentzian_fraction=fraction)
    expected = exact_pattern(crystal, simulator.settings, size, fraction)
    message = f"space group {crystal.space_group}, {size} nm, fraction {fraction}"
    np.testing.assert_allclose(pattern, expected, atol=TOLERANCE, rtol=0.0, err_msg=message)


@pytest.mark.parametrize("block", range(5))
def test_all_groups(block, simulator, make_crystal):
    for space_group in range(1 + block, N_GROUPS + 1, 5):
        crystal = make_crystal(space_group, seed=51, disorder=space_group % 2 == 0, smallest=3.0, largest=6.5)
        fraction = (1.0, 0.5, 0.03)[space_group % 3]
        assert_exact(crystal, simulator, 20.0 + space_group * 7 % 80, fraction)


def test_real_structures_of_all_systems(simulator):
    table = read_table("embedded:amcsd")
    table = table[~table.over_occupancy & (table.volume < 300.0)].sort_values("volume", kind="stable")
    chosen = table.groupby("space_group", sort=True).nth(-1).iloc[::6]
    assert chosen.space_group.is_unique
    assert len(chosen) > 15
    for _, row in chosen.iterrows():
        assert_exact(crystal_of(row), simulator, 20.0 + 80.0 * (row.volume % 1.0), 1.0)


SETTINGS = {
    "molybdenum": SimulationSettings(grid=Grid(2.0, 60.0, 0.01), wavelength=0.7093),
    "silver": SimulationSettings(grid=Grid(2.0, 50.0, 0.005), wavelength=0.5594),
    "cobalt to 150 degrees": SimulationSettings(grid=Grid(10.0, 150.0, 0.02), wavelength=1.78897),
    "synchrotron": SimulationSettings(grid=Grid(2.0, 40.0, 0.005), wavelength=0.5),
    "coarse, to 150 degrees": SimulationSettings(grid=Grid(2.0, 150.0, 0.05)),
    "a high part of the range": SimulationSettings(grid=Grid(60.0, 75.0, 0.01)),
    "a thousand points": SimulationSettings(grid=Grid(25.0, 45.0, 0.02)),
    "very small crystallites": SimulationSettings(size_min=2.0, size_max=4.0),
    "one step a width": SimulationSettings(grid=Grid(5.0, 80.0, 0.075), size_min=90.0),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_other_wavelengths_and_grids(name, make_crystal):
    settings = SETTINGS[name]
    simulator = Simulator(settings)
    for number, space_group in enumerate((2, 14, 63, 139, 166, 194, 221)):
        crystal = make_crystal(space_group, seed=52, smallest=3.5, largest=6.0)
        size = settings.size_min + (settings.size_max - settings.size_min) * number / 6.0
        assert_exact(crystal, simulator, size, (1.0, 0.3)[number % 2])


def test_a_few_points_around_a_line(make_crystal):
    for space_group in (2, 63, 166, 221):
        crystal = make_crystal(space_group, seed=52, smallest=3.5, largest=6.0)
        lines = Simulator().peaks(crystal)
        middle = round(float(lines.two_theta[lines.intensity.argmax()]), 2)
        for n_points in (3, 23, 47, 48, 49, 260):
            grid = Grid(middle - 0.02, middle - 0.02 + (n_points - 1) * 0.02, 0.02)
            assert_exact(crystal, Simulator(SimulationSettings(grid=grid)), 50.0, 1.0)


def test_against_every_line_of_pymatgen(simulator, make_crystal, monkeypatch):
    """Lines up to 170 degrees by pymatgen, the tails of those far beyond the grid included."""
    from pymatgen.analysis.diffraction.core import AbstractDiffractionPatternCalculator
    from pymatgen.analysis.diffraction.xrd import XRDCalculator

    monkeypatch.setattr(AbstractDiffractionPatternCalculator, "SCALED_INTENSITY_TOL", 1e-12)
    monkeypatch.setattr(AbstractDiffractionPatternCalculator, "TWO_THETA_TOL", 1e-9)
    for space_group in (2, 62, 148, 225):
        crystal = make_crystal(space_group, seed=53, smallest=4.0, largest=5.0)
        lines = XRDCalculator(1.5406).get_pattern(crystal.to_pymatgen(), two_theta_range=(0.0, LAST))
        expected = pseudo_voigt_sum(lines.x, lines.y, simulator.settings, 100.0, 1.0)
        pattern = simulator.pattern(crystal, 100.0, lorentzian_fraction=1.0)
        np.testing.assert_allclose(pattern, expected, atol=TOLERANCE, rtol=0.0)


@pytest.mark.parametrize("n_points", [40, 700, 3001])
@pytest.mark.parametrize("gamma", [0.4, 3.0, 9.0, 31.0, 500.0])
def test_one_lorentzian_is_exact_wherever_it_is(form, gamma, n_points):
    sharpness = lorentzian_kernels.GAMMA_PER_SIGMA / gamma
    for centre in (-30.3, 0.2, 0.37 * n_points, n_points - 1.0, n_points + 5.5, n_points + 2000.0):
        y = np.zeros(n_points + 2 * LANES, dtype=np.float32)
        lines = np.array([[centre], [sharpness], [2.0]])
        form(lorentzian_kernels.add_lorentzians)(y, *lines, 2.0, 1.0)
        height = 1.0 / math.sqrt(math.pi * math.log(2.0))  # of a Lorentzian over a Gaussian of equal area and FWHM
        expected = height / (1.0 + ((np.arange(n_points) - centre) / gamma) ** 2)
        np.testing.assert_allclose(y[LANES:-LANES], expected, atol=7e-6 * height, rtol=0.0)


def test_weak_lines_are_as_exact_as_they_need_be():
    rng = np.random.default_rng(0)
    n_lines, n_points = 400, 8501
    centre, gamma = rng.uniform(-300.0, 8800.0, n_lines), rng.uniform(2.0, 20.0, n_lines)
    height = 10.0 ** rng.uniform(-5.0, 0.0, n_lines)
    height[0] = 1.0
    y = np.zeros(n_points + 2 * LANES, dtype=np.float32)
    lorentzian_kernels.add_lorentzians(y, centre, lorentzian_kernels.GAMMA_PER_SIGMA / gamma, height, 1.0, 1.0)
    x = np.arange(n_points)[:, None]
    expected = (height / (1.0 + ((x - centre) / gamma) ** 2)).sum(axis=1) / math.sqrt(math.pi * math.log(2.0))
    np.testing.assert_allclose(y[LANES:-LANES] / expected.max(), expected / expected.max(), atol=1e-5, rtol=0.0)


def test_a_strong_line_just_beside_the_grid_is_exact(make_crystal):
    """Its tail is most of what is seen, and far lower than the line."""
    crystal = make_crystal(225, seed=1)
    lines = Simulator().peaks(crystal)
    edge = round(float(lines.two_theta[lines.intensity.argmax()]) + 0.5, 2)
    for fraction in (0.0, 0.5, 1.0):
        settings = SimulationSettings(grid=Grid(edge, edge + 20.0, 0.01), size_min=20.0, size_max=20.0)
        assert_exact(crystal, Simulator(settings), 20.0, fraction)


def test_the_fraction_of_the_settings_is_the_default(make_crystal):
    crystal = make_crystal(62, seed=3)
    simulator = Simulator(SimulationSettings(lorentzian_fraction=0.7))
    pattern = simulator.pattern(crystal, 50.0)
    np.testing.assert_array_equal(pattern, Simulator().pattern(crystal, 50.0, lorentzian_fraction=0.7))
    np.testing.assert_array_equal(pattern, simulate(crystal, lorentzian_fraction=0.7).intensity)
    assert np.abs(pattern - simulator.pattern(crystal, 50.0, lorentzian_fraction=0.3)).max() > 0.01


def test_parts_have_equal_areas(make_crystal):
    """What a Lorentzian takes from the peaks it gives to the tails: the sum over a wide grid is the same."""
    crystal = replace(make_crystal(221, seed=0), cell=np.array([3.0, 3.0, 3.0, 90.0, 90.0, 90.0]))
    simulator = Simulator(SimulationSettings(grid=Grid(1.0, 55.0, 0.005)))
    position = simulator.peaks(crystal).two_theta[0]
    near = np.abs(simulator.settings.grid.two_theta - position) < 6.0  # alone: the second line is 12 degrees away
    gaussian, lorentzian = (
        exact_area(simulator.pattern(crystal, 80.0, lorentzian_fraction=eta)[near]) for eta in (0.0, 1.0)
    )
    gaussian_height, lorentzian_height = 2.0 * math.sqrt(math.log(2.0) / math.pi), 2.0 / math.pi  # area and FWHM 1
    peak = simulator.pattern(crystal, 80.0)[near].max(), simulator.pattern(crystal, 80.0, None, 1.0)[near].max()
    ratio = (gaussian / peak[0] * gaussian_height) / (lorentzian / peak[1] * lorentzian_height)
    assert ratio == pytest.approx(1.0, abs=0.02)  # 0.6 % of the Lorentzian lies beyond 6 degrees


def exact_area(y):
    """Sum in double precision."""
    return float(y.astype(np.float64).sum())


def test_reach_grows_with_width_and_fraction(form):
    reach = form(reach_kernels.reach)
    instrument = reach_kernels.Instrument(1.5406, 0.9, 5.0, 90.0, 0.01)
    first, last = reach(instrument, 1000.0, 0.0)
    sigma_0 = math.degrees(0.9 * 1.5406 / 1000.0) / math.sqrt(8.0 * math.log(2.0))
    assert first == pytest.approx(5.0 - 9.0 * sigma_0 / math.cos(math.radians(2.5)))
    assert last - 9.0 * sigma_0 / math.cos(math.radians(last / 2.0)) == pytest.approx(90.0, abs=1e-5)
    assert reach(instrument, 200.0, 0.0)[1] > last
    _, tail = reach(instrument, 4000.0, 1.0)
    gamma = math.degrees(0.9 * 1.5406 / 4000.0) / 2.0 / math.cos(math.radians(tail / 2.0))
    assert (gamma / (tail - 90.0)) ** 2 == pytest.approx(reach_kernels.TAIL, rel=1e-4)
    assert reach(instrument, 4000.0, 0.1)[1] < tail < reach(instrument, 2000.0, 1.0)[1]
    assert reach(instrument, 200.0, 1.0) == (0.0, reach_kernels.LAST_TAIL)
    high = reach_kernels.Instrument(1.5406, 0.9, 100.0, 179.0, 0.01)
    assert reach(high, 200.0, 1.0)[1] == reach_kernels.LAST_TWO_THETA


@pytest.mark.parametrize("space_group", [14, 166, 221])
def test_compiled_and_plain_simulation_agree(space_group, make_crystal, form):
    simulator = Simulator(SimulationSettings(grid=Grid(20.0, 60.0, 0.05), size_min=20.0, size_max=20.0))
    crystal = make_crystal(space_group, seed=5, smallest=3.0, largest=4.0)
    arrays = simulator.arrays(crystal)
    out = np.empty(simulator.settings.grid.n_points, dtype=np.float32)
    tables = (simulator.instrument, simulator.groups, simulator.form_factors)
    assert form(simulate_pattern)(*crystal_arguments(arrays), 200.0, 0.4, *tables, out)
    np.testing.assert_allclose(out, simulator.pattern(crystal, 20.0, lorentzian_fraction=0.4), atol=5e-6)


def crystal_arguments(arrays):
    """The first arguments of `simulate_pattern`."""
    return arrays.cell, arrays.positions, arrays.atomic_numbers, arrays.b_iso, arrays.weights, arrays.space_group

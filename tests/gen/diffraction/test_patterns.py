"""Diffractograms against an exact sum in double precision, and what must leave them unchanged."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from xrdcommon.grid import Grid
from xrdcommon.identity import SampleIdentity
from xrdcommon.space_groups import ENANTIOMORPHIC_PAIRS, N_GROUPS
from xrdgen.diffraction.settings import SimulationSettings
from xrdgen.diffraction.simulator import NoReflectionError, Simulator, simulate
from xrdgen.symmetry.operations import operations

PATTERN_TOLERANCE = 2e-5


def exact_pattern(crystal, settings, size):
    """Sum of area-normalised Gaussians over all lines that reach the grid, in double precision."""
    grid = settings.grid
    sigma_0 = np.degrees(settings.scherrer_fwhm(size)) / np.sqrt(8.0 * np.log(2.0))
    first = max(grid.two_theta_min - 10.0 * sigma_0 / np.cos(np.radians(grid.two_theta_min / 2.0)), grid.step)
    angles = np.arange(grid.two_theta_max, 179.9, grid.step)
    far = angles - 10.0 * sigma_0 / np.cos(np.radians(angles / 2.0)) > grid.two_theta_max
    n_steps = np.ceil(((angles[far.argmax()] if far.any() else 179.9) - first) / grid.step)
    wide = Grid(first, first + n_steps * grid.step, grid.step)
    lines = Simulator(replace(settings, grid=wide)).peaks(crystal)
    theta = np.radians(lines.two_theta / 2.0)
    sigma = sigma_0 / np.cos(theta)
    y = np.zeros(grid.n_points)
    for position, width, area in zip(lines.two_theta, sigma, lines.intensity, strict=True):
        z = (grid.two_theta - position) / width
        y += area / (width * np.sqrt(2.0 * np.pi)) * np.exp(-0.5 * z**2)
    return y / y.max()


@pytest.mark.parametrize("block", range(5))
def test_patterns_agree_with_an_exact_sum_in_all_groups(block, simulator, make_crystal):
    for space_group in range(1 + block, N_GROUPS + 1, 5):
        crystal = make_crystal(space_group, seed=11, disorder=space_group % 2 == 0)
        size = 20.0 + space_group * 7 % 80
        pattern = simulator.pattern(crystal, size)
        assert pattern.dtype == np.float32
        assert pattern.shape == (8501,)
        assert pattern.max() == pytest.approx(1.0, abs=1e-6)
        np.testing.assert_allclose(
            pattern, exact_pattern(crystal, simulator.settings, size), atol=PATTERN_TOLERANCE, rtol=0.0
        )


@pytest.mark.parametrize(
    ("settings", "size"),
    [
        (SimulationSettings(grid=Grid(5.0, 90.0, 0.04)), 100.0),
        (SimulationSettings(grid=Grid(5.0, 80.0, 0.075)), 100.0),
        (SimulationSettings(grid=Grid(20.0, 25.0, 0.01)), 20.0),
        (SimulationSettings(grid=Grid(3.0, 45.0, 0.01), wavelength=0.7093), 43.0),
        (SimulationSettings(grid=Grid(10.0, 160.0, 0.02), wavelength=1.9374, scherrer_constant=0.94), 61.0),
        (SimulationSettings(size_min=2.0, size_max=5.0), 2.0),
        (SimulationSettings(grid=Grid(2.0, 40.0, 0.005), wavelength=0.5), 77.0),
        (SimulationSettings(grid=Grid(2.0, 150.0, 0.05)), 90.0),
        (SimulationSettings(grid=Grid(29.9, 30.0, 0.01)), 20.0),
    ],
    ids=[
        "2126 points",
        "one step a width",
        "five degrees",
        "molybdenum",
        "iron to 160 degrees",
        "2 nm",
        "synchrotron",
        "to 150 degrees",
        "eleven points",
    ],
)
def test_patterns_agree_with_an_exact_sum_on_other_grids(settings, size, make_crystal):
    simulator = Simulator(settings)
    for space_group in (2, 14, 63, 139, 166, 194, 221):
        crystal = make_crystal(space_group, seed=12, smallest=9.0, largest=11.0)
        try:
            pattern = simulator.pattern(crystal, size)
        except NoReflectionError:
            assert settings.grid.n_points == 11  # a tenth of a degree may hold no line
            continue
        np.testing.assert_allclose(pattern, exact_pattern(crystal, settings, size), atol=PATTERN_TOLERANCE, rtol=0.0)


def test_lines_just_outside_the_grid_contribute_their_tails(make_crystal):
    crystal = make_crystal(225, seed=1)
    line = Simulator().peaks(crystal).two_theta[2]
    edge = round(float(line) - 0.05, 2)
    grid = Grid(edge - 2.0, edge, 0.01)
    settings = SimulationSettings(grid=grid, size_min=20.0, size_max=20.0)
    pattern = Simulator(settings).pattern(crystal, 20.0)
    assert pattern[-1] == 1.0  # the flank of the line is the highest point of what is seen
    assert pattern[-1] > pattern[-10] > pattern[-20] > 0.0


def test_a_pattern_does_not_depend_on_how_the_crystal_is_written(simulator, make_crystal):
    rng = np.random.default_rng(5)
    for space_group in range(1, N_GROUPS + 1):
        crystal = make_crystal(space_group, seed=21, disorder=True)
        expected = simulator.pattern(crystal, 37.0)
        order = rng.permutation(len(crystal.positions))
        group = operations(space_group)
        images = rng.integers(group.order, size=crystal.n_sites)[crystal.sites]  # one operation a site
        moved = np.einsum("aij,aj->ai", group.rotations[images], crystal.positions) + group.translations[images]
        moved += rng.integers(-2, 3, size=3)
        rewritten = replace(
            crystal,
            positions=moved[order],
            atomic_numbers=crystal.atomic_numbers[order],
            occupancies=crystal.occupancies[order],
            letters=crystal.letters[order],
            sites=crystal.sites[order],
        )
        np.testing.assert_allclose(simulator.pattern(rewritten, 37.0), expected, atol=2e-6, rtol=0.0)


@pytest.mark.parametrize("space_group", [14, 139, 166, 194, 221])
def test_a_rounded_cell_gives_the_pattern_of_the_exact_one(space_group, simulator, make_crystal):
    crystal = make_crystal(space_group, seed=4, smallest=25.0, largest=30.0)
    rounded = crystal.cell.copy()
    rounded[1] *= 1.0 if space_group < 75 else 1.00005
    rounded[2] *= 1.0 if space_group < 195 else 0.99995
    rounded[3] += 0.004
    rounded[5] -= 0.004
    np.testing.assert_array_equal(
        simulator.pattern(replace(crystal, cell=rounded), 50.0), simulator.pattern(crystal, 50.0)
    )


@pytest.mark.parametrize("pair", ENANTIOMORPHIC_PAIRS, ids=str)
def test_a_crystal_and_its_mirror_image_give_one_pattern(pair, simulator, make_crystal):
    left, right = pair
    for seed in range(3):
        crystal = make_crystal(left, seed=seed, disorder=True)
        general = crystal.multiplicities == operations(left).order
        crystal = replace(crystal, **{name: getattr(crystal, name)[general] for name in ROWS})
        # x -> -x takes the operations (R, t) of one group into those (R, -t) of the other
        mirrored = _into_standard_origin(replace(crystal, space_group=right, positions=-crystal.positions), left)
        np.testing.assert_allclose(
            simulator.pattern(mirrored, 50.0), simulator.pattern(crystal, 50.0), atol=2e-6, rtol=0.0
        )


ROWS = ("positions", "atomic_numbers", "occupancies", "letters", "sites")


def _into_standard_origin(mirrored, partner):
    """Shift the origin so that the inverted operations of the partner become those of the group."""
    group, source = operations(mirrored.space_group), operations(partner)
    wanted = {(r.tobytes(), t.tobytes()) for r, t in zip(group.rotations, group.translations24, strict=True)}
    for shift in np.ndindex(24, 24, 24):
        if any(s % 3 for s in shift):
            continue
        moved = (-source.translations24 + shift - source.rotations @ np.array(shift)) % 24
        if {(r.tobytes(), t.tobytes()) for r, t in zip(source.rotations, moved, strict=True)} == wanted:
            return replace(mirrored, positions=mirrored.positions + np.array(shift) / 24.0)
    raise AssertionError(f"no origin takes the mirror image of {partner} into {mirrored.space_group}")


def test_a_pattern_is_written_into_a_given_row(simulator, make_crystal):
    crystal = make_crystal(62, seed=0)
    rows = np.full((3, 8501), -1.0, dtype=np.float32)
    result = simulator.pattern(crystal, 30.0, out=rows[1])
    assert np.shares_memory(result, rows)
    np.testing.assert_array_equal(rows[1], simulator.pattern(crystal, 30.0))
    assert (rows[[0, 2]] == -1.0).all()


def test_larger_crystallites_give_narrower_peaks_of_the_scherrer_width(simulator, make_crystal):
    crystal = replace(make_crystal(221, seed=0), cell=np.array([4.0, 4.0, 4.0, 90.0, 90.0, 90.0]))
    for size in (25.0, 50.0, 100.0):
        pattern = simulator.pattern(crystal, size).astype(np.float64)
        two_theta = simulator.settings.grid.two_theta
        first = simulator.peaks(crystal).two_theta[0]
        near = np.abs(two_theta - first) < 2.0
        y, x = pattern[near], two_theta[near]
        above = x[y >= y.max() / 2.0]
        expected = np.degrees(0.9 * 1.5406 / (10.0 * size) / np.cos(np.radians(first / 2.0)))
        assert above[-1] - above[0] == pytest.approx(expected, abs=0.02)


def test_crystallite_sizes_are_uniform_and_belong_to_the_sample(simulator):
    sizes = np.array([simulator.crystallite_size(SampleIdentity(1, 2, 3, i)) for i in range(2000)])
    assert sizes.min() >= 20.0
    assert sizes.max() < 100.0
    # mean and variance of a uniform distribution within five standard errors
    assert abs(sizes.mean() - 60.0) < 5.0 * 80.0 / np.sqrt(12.0 * 2000)
    assert sizes.std() == pytest.approx(80.0 / np.sqrt(12.0), rel=0.05)
    assert simulator.crystallite_size(SampleIdentity(1, 2, 3, 7)) == sizes[7]


def test_simulate_gives_pattern_and_lines(make_crystal):
    result = simulate(make_crystal(15, seed=2), crystallite_size=60.0, grid=Grid(10.0, 60.0, 0.02))
    assert result.two_theta.shape == result.intensity.shape == (2501,)
    strongest = result.peaks.two_theta[result.peaks.intensity.argmax()]
    assert result.peaks.intensity.max() == 100.0
    assert result.intensity[round((strongest - 10.0) / 0.02)] > 0.5

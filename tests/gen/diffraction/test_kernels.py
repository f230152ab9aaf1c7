"""Kernels one by one: compiled and plain Python forms agree with each other and with simple formulas."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from xrdgen.diffraction import (
    atom_sum_kernels,
    line_kernels,
    phase_kernels,
    points_kernels,
    profile_kernels,
    reach_kernels,
    reflection_kernels,
    structure_factor_kernels,
    validation_kernels,
)
from xrdgen.diffraction.form_factors import form_factor_table, form_factors, has_form_factor
from xrdgen.diffraction.group_tables import group_tables
from xrdgen.diffraction.simulation_kernels import simulate_pattern
from xrdgen.diffraction.simulator import Simulator
from xrdgen.symmetry import lattice_kernels
from xrdgen.symmetry.lattice import vectors, volume
from xrdgen.symmetry.operations import operations

OBLIQUE = np.array([4.1, 5.3, 6.7, 81.0, 97.0, 112.0])


def test_reciprocal_metric_is_the_inverse_of_the_metric(form):
    rows = vectors(OBLIQUE)
    metric = form(reflection_kernels.reciprocal_metric)(OBLIQUE)
    np.testing.assert_allclose(metric, np.linalg.inv(rows @ rows.T), rtol=1e-12)


def test_cell_volume(form):
    cell_volume = form(lattice_kernels.cell_volume)
    assert cell_volume(OBLIQUE) == pytest.approx(volume(OBLIQUE), rel=1e-12)
    assert cell_volume(np.array([4.0, 4.0, 4.0, 60.0, 60.0, 150.0])) == 0.0


@pytest.mark.parametrize(
    ("space_group", "exact"),
    [
        (2, (5.0, 6.0, 7.0, 80.0, 95.0, 100.0)),
        (14, (5.0, 6.0, 7.0, 90.0, 95.0, 90.0)),
        (62, (5.0, 6.0, 7.0, 90.0, 90.0, 90.0)),
        (142, (5.0, 5.0, 7.0, 90.0, 90.0, 90.0)),
        (166, (5.0, 5.0, 7.0, 90.0, 90.0, 120.0)),
        (194, (5.0, 5.0, 7.0, 90.0, 90.0, 120.0)),
        (225, (5.0, 5.0, 5.0, 90.0, 90.0, 90.0)),
    ],
)
def test_a_rounded_cell_is_made_exact(form, space_group, exact):
    exact = np.array(exact)
    given = exact.copy()
    given[1] *= 1.00002
    given[5] += 0.005
    found = form(reflection_kernels.exact_cell)(given, space_group)
    free = found != exact
    np.testing.assert_array_equal(found[free], given[free])
    assert free[1] == (space_group <= 74)
    assert free[5] == (space_group <= 2)
    assert form(validation_kernels.cell_obeys_symmetry)(given, space_group)
    given[5] += 1.0
    assert form(validation_kernels.cell_obeys_symmetry)(given, space_group) == (space_group <= 2)


def test_limits_of_l_are_those_of_the_sphere(form):
    limits = form(reflection_kernels.l_limits)
    metric = np.linalg.inv(vectors(OBLIQUE) @ vectors(OBLIQUE).T)
    reach = 0.9**2
    for h, k in ((0, 0), (2, -1), (3, 4), (9, 9)):
        inside = [n for n in range(-30, 31) if np.array([h, k, n]) @ metric @ np.array([h, k, n]) <= reach]
        first, last = limits(metric, h, k, reach)
        assert list(range(first, last + 1)) == inside


def test_phases_are_those_of_the_indices(form):
    x = np.array([0.0, 0.137, 0.911, -1.3])
    amplitude = np.array([1.0, 0.25, 3.0, 2.0])
    cos_table, sin_table = form(phase_kernels.phase_table)(x, 40, amplitude)
    expected = amplitude[:, None] * np.exp(2j * np.pi * np.outer(x, np.arange(-40, 41)))
    np.testing.assert_allclose(cos_table + 1j * sin_table, expected, atol=1e-12)


@pytest.mark.parametrize("period", [1, 4, 6])
def test_phases_of_the_steps_of_a_run(form, period):
    z = np.array([0.0, 0.137, 0.911])
    cos_table, sin_table = form(phase_kernels.step_table)(z, period, 9)
    expected = np.exp(-2j * np.pi * period * np.outer(z, np.arange(9)))
    np.testing.assert_allclose(cos_table + 1j * sin_table, expected, atol=1e-12)


@pytest.mark.parametrize("space_group", [1, 9, 19, 43, 62, 76, 88, 145, 148, 167, 178, 194, 198, 216, 227, 230])
def test_runs_are_the_reflections_of_the_sphere_one_of_each_set_of_equivalents(space_group, form, make_crystal):
    crystal = make_crystal(space_group, seed=1, smallest=4.0, largest=6.0)
    groups, g = group_tables(), space_group - 1
    metric = reflection_kernels.reciprocal_metric(crystal.cell)
    laue = slice(groups.laue_start[g], groups.laue_start[g + 1])
    centring24 = groups.centring24[groups.centring_start[g] : groups.centring_start[g + 1]]
    runs = form(reflection_kernels.list_runs)(
        crystal.cell,
        metric,
        0.8**2,
        groups.laue_in_plane[laue],
        groups.laue_sigma[laue],
        groups.cubic[g],
        groups.wedge[g],
        groups.mirror[g],
        groups.period[g],
        centring24,
    )
    by_length = form(reflection_kernels.longest_first)(runs)
    assert sorted(map(tuple, by_length.T)) == sorted(map(tuple, runs.T))
    assert (np.diff(by_length[reflection_kernels.RUN_LENGTH]) <= 0).all()
    active = form(structure_factor_kernels.count_active)(by_length)
    lengths = by_length[reflection_kernels.RUN_LENGTH]
    assert active.tolist() == [int((lengths > n).sum()) for n in range(lengths.max())]

    found, counted = set(), 0
    rotations = operations(space_group).rotations
    for h, k, first, length, plus, minus in by_length.T.tolist():
        for n in range(length):
            l = first + n * int(groups.period[g])  # noqa: E741
            family = {tuple(image) for image in np.array([h, k, l]) @ np.concatenate([rotations, -rotations])}
            assert not family & found, "listed twice"
            found |= family
            multiplicity = form(reflection_kernels.multiplicity)(
                h, k, l, plus, minus, groups.laue_order[g], groups.cubic[g]
            )
            assert multiplicity == len(family)
            counted += 1
    hkl = np.array(list(product(range(-5, 6), repeat=3)))
    inside = (np.einsum("ni,ij,nj->n", hkl, metric, hkl) <= 0.8**2) & hkl.any(axis=1)
    inside &= ((hkl @ centring24.T) % 24 == 0).all(axis=1)
    assert found == {tuple(index) for index in hkl[inside]}


def random_factors(rng, n_atoms, n_steps=9, n_runs=20):
    factors = rng.normal(size=(4, n_atoms, n_runs))
    lengths = np.sort(rng.integers(1, n_steps + 1, n_runs))[::-1]
    lengths[0] = n_steps
    active = np.array([(lengths > n).sum() for n in range(n_steps)])
    return factors, rng.normal(size=(n_atoms, n_steps)), rng.normal(size=(n_atoms, n_steps)), active


@pytest.mark.parametrize("part", [0, 2])
@pytest.mark.parametrize("n_atoms", [1, 7, 200])
def test_sum_over_atoms_is_the_same_by_loops_and_by_matrices(form, part, n_atoms):
    factors, cos_n, sin_n, active = random_factors(np.random.default_rng(0), n_atoms)
    expected = cos_n.T @ factors[part] + sin_n.T @ factors[part + 1]
    reached = np.arange(20) < active[:, None]
    amplitude = np.full((9, 20), 7.0)
    form(atom_sum_kernels.sum_in_loops)(factors[part], factors[part + 1], cos_n, sin_n, active, amplitude)
    np.testing.assert_allclose(amplitude[reached], expected[reached], rtol=1e-11, atol=1e-11)
    assert (amplitude[~reached] == 7.0).all()
    form(atom_sum_kernels.sum_by_matrices)(factors[part], factors[part + 1], cos_n, sin_n, amplitude)
    np.testing.assert_allclose(amplitude, expected, rtol=1e-11, atol=1e-11)
    form(atom_sum_kernels.sum_atoms)(factors[part], factors[part + 1], cos_n, sin_n, active, amplitude)
    np.testing.assert_allclose(amplitude[reached], expected[reached], rtol=1e-11, atol=1e-11)


def test_species_are_sorted_and_counted(form):
    numbers = np.array([8, 26, 8, 1, 26, 8])
    order, start = form(structure_factor_kernels.sort_by_species)(numbers, np.zeros(6))
    assert start.tolist() == [0, 1, 4, 6]
    assert order.tolist() == [3, 0, 2, 5, 1, 4]
    order, start = form(structure_factor_kernels.sort_by_species)(numbers, np.array([0.5, 0.7, 0.9, 0.5, 0.7, 0.5]))
    assert start.tolist() == [0, 1, 3, 4, 6]
    assert order.tolist() == [3, 0, 5, 2, 1, 4]


def test_interpolated_form_factors_are_exact_to_1e_8_electrons(form):
    # reflections 0 0 l of a very long axis
    shape = (300, 1)
    points = structure_factor_kernels.Interpolation(
        np.empty(shape), np.empty(shape, np.uint64), *(np.empty(shape) for _ in range(4))
    )
    active = np.ones(300, dtype=np.int64)
    runs = np.array([[0], [0], [1], [300], [1], [1]])
    form(structure_factor_kernels.interpolate)(runs, np.diag([1.0, 1.0, 2.0 / 300**2]), 1, active, points)
    s_squared = points.s_squared[:, 0]
    np.testing.assert_allclose(s_squared, 0.5 * (np.arange(1, 301) / 300) ** 2, rtol=1e-12)
    table, exact = form_factor_table(0.51), form_factors(s_squared)
    scattering = np.empty(shape)
    for z in np.flatnonzero(has_form_factor())[::7]:
        for b_iso in (0.0, 1.7):
            form(structure_factor_kernels.scatter)(points, active, table, z, b_iso, scattering)
            np.testing.assert_allclose(scattering[:, 0], exact[z] * np.exp(-b_iso * s_squared), rtol=0.0, atol=1e-8)


def test_form_factors_begin_at_the_number_of_electrons():
    at_zero = form_factors(np.zeros(1))[:, 0]
    known = has_form_factor()
    assert known[1:99].all()
    assert not known[99:].any()
    np.testing.assert_allclose(at_zero[known], np.flatnonzero(known), rtol=1e-12)


def test_arcsine(form):
    u = np.linspace(0.0, 0.5, 1001)
    values = [form(line_kernels.arcsine)(np.sqrt(value), value) for value in u]
    np.testing.assert_allclose(values, np.arcsin(np.sqrt(u)), atol=1e-10)


def test_angles_areas_and_widths_of_lines(form):
    two_theta = np.array([0.5, 5.0, 45.0, 89.999, 90.001, 120.0, 175.0])
    theta = np.radians(two_theta / 2.0)
    wavelength = 1.5406
    s_squared = (np.sin(theta) / wavelength) ** 2
    instrument = reach_kernels.Instrument(wavelength, 0.9, 5.0, 90.0, 0.02)
    lines = form(line_kernels.empty_lines)(7)
    multiplicity, f_squared = np.arange(1, 8), np.linspace(3.0, 4.0, 7)
    angle = np.empty(7)
    form(line_kernels.bragg_angles)(s_squared, wavelength, angle)
    np.testing.assert_allclose(angle, theta, atol=1e-10)
    form(line_kernels.grid_positions)(angle, instrument, lines.centre)
    np.testing.assert_allclose(5.0 + 0.02 * lines.centre, two_theta, atol=1e-8)
    lorentz_polarisation = (1.0 + np.cos(2.0 * theta) ** 2) / (np.sin(theta) ** 2 * np.cos(theta))
    form(line_kernels.line_areas)(s_squared, multiplicity, f_squared, wavelength, 0.0, lines.area)
    np.testing.assert_allclose(lines.area, multiplicity * f_squared * lorentz_polarisation, rtol=1e-10)
    sigma = np.degrees(0.9 * wavelength / (500.0 * np.cos(theta))) / np.sqrt(8.0 * np.log(2.0))
    form(line_kernels.scherrer_sharpness)(s_squared, wavelength, instrument, 500.0, lines.sharpness)
    np.testing.assert_allclose(0.02 / lines.sharpness, sigma, rtol=1e-10)
    height = np.empty(7)
    form(profile_kernels.line_heights)(lines.area, lines.sharpness, height)
    np.testing.assert_allclose(height / height[0], (lines.area / sigma) / (lines.area / sigma)[0], rtol=1e-10)


def test_absent_lines_have_no_area(form):
    """What rounding leaves of a systematically absent line does not depend on the angle or the multiplicity."""
    s_squared = np.array([0.01, 0.1, 0.2])
    area = np.empty(3)
    forward = form(line_kernels.forward_intensity)(np.array([26, 8]), np.array([0.5, 0.25]), 8)
    assert forward == pytest.approx((26 * 0.5 * 8 + 8 * 0.25 * 8) ** 2)
    f_squared = np.array([1e-27, 1.0, 1e-26]) * forward
    form(line_kernels.line_areas)(s_squared, np.full(3, 48), f_squared, 1.5406, line_kernels.ABSENT * forward, area)
    assert area[1] > 0.0
    assert area[0] == area[2] == 0.0


@pytest.mark.parametrize("sigma", [0.4, 3.3, 25.0, 400.0])
@pytest.mark.parametrize("centre", [-6.0, 0.0, 50.3, 117.9, 140.0])
def test_a_gaussian_is_exact_to_1e_6_of_its_height(form, sigma, centre):
    lanes = profile_kernels.LANES
    y = np.zeros(119 + 2 * lanes, dtype=np.float32)
    form(profile_kernels.add_gaussian)(y, centre, 1.0 / sigma, 2.0, 5.5 * sigma)
    expected = 2.0 * np.exp(-0.5 * ((np.arange(119) - centre) / sigma) ** 2)
    np.testing.assert_allclose(y[lanes:-lanes], expected, atol=3e-6)


def test_gaussians_are_drawn_as_far_as_they_are_seen(form):
    height = np.array([1.0, 0.3, 1e-3, 2e-6, 2e-7, 0.0])
    sharpness = np.array([0.2, 0.5, 0.2, 1.0, 0.2, 0.2])
    half_width = np.empty(6, dtype=np.float32)
    form(profile_kernels.half_widths)(height, sharpness, 1.0, half_width)
    with np.errstate(divide="ignore"):
        exact = np.sqrt(np.maximum(2.0 * np.log(height / profile_kernels.FAINTEST), 0.0)) / sharpness
    assert (half_width >= exact * (1.0 - 1e-6)).all()
    assert (half_width[:4] <= exact[:4] * 1.05).all()
    assert (half_width[4:] == 0.0).all() or half_width[4] < 0.6 / sharpness[4]
    assert half_width[5] == 0.0


@pytest.mark.parametrize("n_points", [5, 16, 100, 8501])
def test_scaling_finds_the_maximum_wherever_it_is(form, n_points):
    rng = np.random.default_rng(2)
    lanes = profile_kernels.LANES
    for place in (0, n_points // 2, n_points - 1):
        y = rng.uniform(0.0, 3.0, n_points + 2 * lanes).astype(np.float32)
        y[:lanes] = y[-lanes:] = 99.0  # beyond the grid: not looked at
        y[lanes + place] = 5.0
        out = np.empty(n_points, dtype=np.float32)
        assert form(points_kernels.scale_to_unit_maximum)(y, out)
        np.testing.assert_allclose(out, y[lanes:-lanes] / 5.0, rtol=1e-6)
    out = np.full(n_points, 3.0, dtype=np.float32)
    assert not form(points_kernels.scale_to_unit_maximum)(np.zeros(n_points + 2 * lanes, dtype=np.float32), out)
    assert (out == 0.0).all()


@pytest.mark.parametrize("space_group", [1, 2, 9, 14, 43, 88, 96, 148, 160, 178, 194, 198, 205, 212, 227, 230])
def test_compiled_and_plain_simulation_agree(space_group, make_crystal, form):
    simulator = Simulator()
    crystal = make_crystal(space_group, seed=5, smallest=3.5, largest=4.5)
    arrays = simulator.arrays(crystal)
    out = np.empty(8501, dtype=np.float32)
    assert form(simulate_pattern)(
        arrays.cell,
        arrays.positions,
        arrays.atomic_numbers,
        arrays.b_iso,
        arrays.weights,
        space_group,
        200.0,
        0.0,
        simulator.instrument,
        group_tables(),
        simulator.form_factors,
        out,
    )
    np.testing.assert_allclose(out, simulator.pattern(crystal, 20.0), atol=5e-6)

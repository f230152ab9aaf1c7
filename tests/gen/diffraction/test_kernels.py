"""Kernels one by one: compiled and plain Python forms agree with each other and with simple formulas."""

from __future__ import annotations

import numpy as np
import pytest
from xrdgen.diffraction import profile_kernels, reflection_kernels, structure_factor_kernels, validation_kernels
from xrdgen.diffraction.form_factors import form_factor_table, form_factors, has_form_factor
from xrdgen.diffraction.group_tables import group_tables
from xrdgen.diffraction.simulation_kernels import simulate_pattern
from xrdgen.diffraction.simulator import Simulator
from xrdgen.symmetry import lattice_kernels
from xrdgen.symmetry.lattice import vectors, volume

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
    cos_table, sin_table = form(structure_factor_kernels.phase_table)(x, 40)
    expected = np.exp(2j * np.pi * np.outer(np.arange(-40, 41), x))
    np.testing.assert_allclose(cos_table + 1j * sin_table, expected, atol=1e-12)


@pytest.mark.parametrize(("first_q", "last_q", "period"), [(0, 7, 1), (-3, 5, 1), (0, 4, 4), (-2, 3, 6)])
def test_phases_of_l_are_sorted_by_class(form, first_q, last_q, period):
    z = np.array([0.0, 0.137, 0.911])
    table = form(structure_factor_kernels.l_phase_table)(z, first_q, last_q, period)
    assert table.shape == (period, 6, last_q - first_q + 1)
    for l_class in range(period):
        angle = 2.0 * np.pi * np.outer(z, period * np.arange(first_q, last_q + 1) + l_class)
        np.testing.assert_allclose(table[l_class, 0::2], np.cos(angle), atol=1e-12)
        np.testing.assert_allclose(table[l_class, 1::2], -np.sin(angle), atol=1e-12)


@pytest.mark.parametrize(("first", "stop"), [(0, 2), (2, 8), (0, 10), (4, 6), (0, 12)])
def test_sweep_is_a_product_of_vector_and_matrix(form, first, stop):
    rng = np.random.default_rng(0)
    factors, phases = rng.normal(size=12), rng.normal(size=(12, 9))
    amplitude = np.full(9, 7.0)
    form(structure_factor_kernels.sweep_l)(factors, phases, first, stop, 2, 8, amplitude)
    np.testing.assert_allclose(amplitude[2:8], factors[first:stop] @ phases[first:stop, 2:8], rtol=1e-12)
    assert (amplitude[[0, 1, 8]] == 7.0).all()


def test_elements_are_sorted_and_counted(form):
    order, elements, start = form(structure_factor_kernels.sort_by_element)(np.array([8, 26, 8, 1, 26, 8]))
    assert elements.tolist() == [1, 8, 26]
    assert start.tolist() == [0, 1, 4, 6]
    assert order.tolist() == [3, 0, 2, 5, 1, 4]


def test_interpolated_form_factors_are_exact_to_1e_8_electrons(form):
    table = form_factor_table(0.5)
    s_squared = np.random.default_rng(1).uniform(0.0, 0.5, 300)
    exact = form_factors(s_squared)
    interpolate = form(structure_factor_kernels.form_factor)
    worst = 0.0
    for z in np.flatnonzero(has_form_factor()):
        worst = max(worst, *(abs(interpolate(table[z], s) - f) for s, f in zip(s_squared, exact[z], strict=True)))
    assert worst < 1e-8


def test_form_factors_begin_at_the_number_of_electrons():
    at_zero = form_factors(np.zeros(1))[:, 0]
    known = has_form_factor()
    assert known[1:99].all()
    assert not known[99:].any()
    np.testing.assert_allclose(at_zero[known], np.flatnonzero(known), rtol=1e-12)


def test_arcsine(form):
    u = np.linspace(0.0, 0.5, 1001)
    values = [form(profile_kernels.arcsine_of_root)(value) for value in u]
    np.testing.assert_allclose(values, np.arcsin(np.sqrt(u)), atol=1e-10)


def test_angles_areas_and_widths_of_lines(form):
    two_theta = np.array([0.5, 5.0, 45.0, 89.999, 90.001, 120.0, 175.0])
    theta = np.radians(two_theta / 2.0)
    wavelength = 1.5406
    angle, area, fwhm = np.empty(7), np.empty(7), np.empty(7)
    form(profile_kernels.bragg_lines)(
        (np.sin(theta) / wavelength) ** 2, np.full(7, 2.0), wavelength, 0.9, 500.0, angle, area, fwhm
    )
    np.testing.assert_allclose(angle, two_theta, atol=1e-8)
    lorentz_polarisation = (1.0 + np.cos(2.0 * theta) ** 2) / (np.sin(theta) ** 2 * np.cos(theta))
    np.testing.assert_allclose(area, 2.0 * lorentz_polarisation, rtol=1e-10)
    np.testing.assert_allclose(fwhm, np.degrees(0.9 * wavelength / (500.0 * np.cos(theta))), rtol=1e-10)


@pytest.mark.parametrize("sigma", [0.4, 3.3, 25.0, 400.0])
@pytest.mark.parametrize("centre", [-6.0, 0.0, 50.3, 117.9, 140.0])
def test_a_gaussian_is_exact_to_1e_5_of_its_height(form, sigma, centre):
    lanes = profile_kernels.LANES
    y = np.zeros(119 + 2 * lanes, dtype=np.float32)
    form(profile_kernels.add_gaussian)(y, centre, sigma, 2.0)
    expected = 2.0 * np.exp(-0.5 * ((np.arange(119) - centre) / sigma) ** 2)
    np.testing.assert_allclose(y[lanes:-lanes], expected, atol=2e-5)


@pytest.mark.parametrize("n_points", [5, 16, 100, 8501])
def test_scaling_finds_the_maximum_wherever_it_is(form, n_points):
    rng = np.random.default_rng(2)
    lanes = profile_kernels.LANES
    for place in (0, n_points // 2, n_points - 1):
        y = rng.uniform(0.0, 3.0, n_points + 2 * lanes).astype(np.float32)
        y[:lanes] = y[-lanes:] = 99.0  # beyond the grid: not looked at
        y[lanes + place] = 5.0
        out = np.empty(n_points, dtype=np.float32)
        assert form(profile_kernels.scale_to_unit_maximum)(y, out)
        np.testing.assert_allclose(out, y[lanes:-lanes] / 5.0, rtol=1e-6)
    out = np.full(n_points, 3.0, dtype=np.float32)
    assert not form(profile_kernels.scale_to_unit_maximum)(np.zeros(n_points + 2 * lanes, dtype=np.float32), out)
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
        arrays.weights,
        space_group,
        200.0,
        simulator.instrument,
        group_tables(),
        simulator.form_factors,
        out,
    )
    np.testing.assert_allclose(out, simulator.pattern(crystal, 20.0), atol=5e-6)

"""Backgrounds: the process has its covariance, the level its mean whatever the step; kernels and twins agree."""

from __future__ import annotations

import numpy as np
import pytest
from xrdcommon.grid import Grid
from xrdcommon.identity import Purpose, SampleIdentity
from xrdgen.diffraction.effects import background, point_kernels, points
from xrdgen.diffraction.effects.drawing import draw_parameters
from xrdgen.diffraction.effects.parameters import PatternParameters, stream_start
from xrdgen.diffraction.imperfections import PRESETS, Imperfections

GRID = Grid()


def identity(i: int) -> SampleIdentity:
    return SampleIdentity(run=5, producer=0, shard=1, index=i)


@pytest.mark.parametrize("length", [7.0, 20.0, 40.0])
def test_covariance_is_that_of_the_kernel(length: float) -> None:
    tables = background.background_tables(GRID, 7.0)
    n = 3000
    curves = np.array(
        [background.gaussian_process(identity(i), Purpose.BACKGROUND_CURVE, length, tables) for i in range(n)]
    )
    covariance = curves.T @ curves / n
    distance = tables.nodes[:, None] - tables.nodes
    expected = np.exp(-(distance**2) / (2.0 * length**2))
    # standard error of a covariance: sqrt((1 + rho^2) / n) at most; 269^2 of them, correlated
    assert np.abs(covariance - expected).max() < 5.0 * np.sqrt(2.0 / n)
    assert np.abs(curves.mean(axis=0)).max() < 4.5 / np.sqrt(n)


def test_curve_is_smooth_to_what_the_interpolation_promises() -> None:
    """A knot more or less, another place of the knots: the same factor draws the same curve to 4e-4."""
    tables = background.background_tables(GRID, 7.0)
    x = np.linspace(0.0, 20.0, 2001)
    knots = np.arange(110) * background.SPACING
    smooth = np.sin(knots)  # |fourth derivative| 1; that of the process has the root mean square sqrt(105)
    cell = (x / background.SPACING).astype(int) + 1
    t = x / background.SPACING + 1 - cell
    weights = background.lagrange_weights(t)
    curve = sum(weights[j] * smooth[cell - 1 + j] for j in range(4))
    error = np.abs(curve - np.sin(x + background.SPACING)).max()
    assert error * np.sqrt(105.0) < 4e-4
    assert len(tables.factor) == 66


@pytest.mark.parametrize("step", [0.01, 0.02, 0.05])
def test_level_is_the_mean_whatever_the_step(step: float) -> None:
    grid = Grid(5.0, 90.0, step)
    tables = background.background_tables(grid, 7.0)
    for i in range(20):
        parameters = PatternParameters(background_level=0.01, background_length=7.0 + i)
        nodes = background.baseline_nodes(identity(i), parameters, tables)
        curve = background.at_points(nodes, tables, grid.n_points)
        assert curve.mean() == pytest.approx(0.01, rel=0.03)
        assert -1e-3 < curve.min() / 0.01 < 0.03  # the least may lie in the rest of the last cell


def test_level_of_s4_is_the_paper_s() -> None:
    """Sum over 8501 points from a normal deviate of standard deviation 75, cut to [0, 150]."""
    ranges = Imperfections.preset("s4").ranges(20.0, 100.0)
    levels = np.array([draw_parameters(identity(i), ranges, 5.0, 90.0).background_level for i in range(4000)])
    sums = levels * 8501
    assert sums.min() >= 0.0
    assert sums.max() <= 150.0
    from scipy.stats import kstest, truncnorm

    assert kstest(sums, truncnorm(0.0, 2.0, scale=75.0).cdf).pvalue > 0.01


def test_hump() -> None:
    tables = background.background_tables(GRID, 7.0)
    parameters = PatternParameters(hump_height=0.2, hump_position=25.0, hump_width=6.0)
    curve = background.at_points(background.baseline_nodes(identity(0), parameters, tables), tables, GRID.n_points)
    np.testing.assert_allclose(curve, background.hump(GRID.two_theta, 0.2, 25.0, 6.0), atol=2e-5)
    above = GRID.two_theta[curve > 0.1]
    assert above[-1] - above[0] == pytest.approx(6.0, abs=0.03)


def test_residue_has_its_size() -> None:
    tables = background.background_tables(GRID, 7.0)
    parameters = PatternParameters(background_removed=1.0, residue=0.003, residue_length=10.0, residue_offset=0.02)
    curves = np.array([background.residue_nodes(identity(i), parameters, tables) for i in range(1500)])
    assert curves.mean() == pytest.approx(0.02, abs=5e-4)
    assert curves.std() == pytest.approx(0.003, rel=0.05)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("grid", [GRID, Grid(10.0, 70.0, 0.02), Grid(5.0, 12.0, 0.05), Grid(2.0, 150.0, 0.0125)])
def test_points_of_the_kernel_agree(preset: str, grid: Grid) -> None:
    imperfections = Imperfections.preset(preset)
    ranges = imperfections.ranges(20.0, 100.0)
    effects = points.point_effects(grid, imperfections.shortest_length)
    lines = np.abs(np.sin(np.arange(grid.n_points) / 20.0)) ** 8
    for i in range(25):
        parameters = draw_parameters(identity(i), ranges, grid.two_theta_min, grid.two_theta_max)
        y = lines.astype(np.float32)
        point_kernels.measure(y, parameters, effects, *stream_start(identity(i)))
        expected = points.measure(lines, parameters, identity(i), grid, imperfections.shortest_length)
        np.testing.assert_allclose(y, expected, atol=3e-5)
        if preset == "pure":
            assert not point_kernels.changes_points(parameters)
            assert (y == lines.astype(np.float32)).all()


def test_plain_form_of_the_kernels() -> None:
    """Curves and noise without compilation, with prescribed deviates."""
    from xrdgen.diffraction.effects import background_kernels

    tables = background.background_tables(Grid(5.0, 25.0, 0.05), 7.0)
    parameters = PatternParameters(
        background_level=0.1, background_length=9.0, noise_additive=0.01, noise_counting=0.02, noise_multiplicative=0.1
    )
    nodes = background.baseline_nodes(identity(3), parameters, tables)
    lines = np.linspace(0.0, 1.0, 401)
    deviates = np.cos(np.arange(401.0))
    y = lines.astype(np.float32)
    background_kernels.add_curves_and_noise.py_func(
        y, nodes, nodes, tables.node_weights, deviates.astype(np.float32), parameters
    )
    from xrdgen.diffraction.effects.noise import measured_points

    curve = background.at_points(nodes, tables, 401)
    np.testing.assert_allclose(y, measured_points(lines, curve, 0.0 * curve, deviates, parameters), atol=2e-6)

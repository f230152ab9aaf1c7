"""Many pseudo-Voigts, each of its own width and shape, against plain sums in double precision."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from xrdgen.diffraction.phase_simulation_kernels import damp
from xrdgen.diffraction.points_kernels import extremes_of, finish_range
from xrdgen.diffraction.profile_kernels import LANES, largest_visible_height
from xrdgen.diffraction.pseudo_voigt_kernels import add_shaped_lines
from xrdgen.diffraction.shaped_line_kernels import SAMPLES, ShapedLines

TOLERANCE = 2e-5
HALF = np.sqrt(2.0 * np.log(2.0))
"""gamma over sigma."""

CASES = {
    "narrow": (8501, 900, 3.0, 0.3, 0.5),
    "many": (8501, 1500, 5.0, 1.5, 0.7),
    "wide": (8501, 800, 8.0, 2.0, 0.9),
    "very wide": (8501, 150, 80.0, 1.0, 0.9),
    "Gaussians": (8501, 700, 4.0, 0.0, 0.0),
    "Lorentzians": (8501, 700, 1.2, 0.0, 1.0),
    "long steps": (1701, 300, 1.2, 1.0, 0.6),
    "short steps": (200001, 60, 40.0, 1.0, 0.7),
    "short": (500, 100, 2.0, 1.0, 0.5),
    "twenty points": (21, 30, 2.0, 0.2, 0.5),
    "ten points": (10, 30, 2.0, 0.2, 0.5),
}
"""Points, lines, gamma at the first point and how it grows to the last, share of the Lorentzian."""


def random_lines(n_points: int, n_lines: int, gamma: float, growth: float, lorentzian: float) -> ShapedLines:
    """Make lines of which a third are beyond the grid; heights over several orders of magnitude, some are 0."""
    rng = np.random.default_rng(1)

    def gamma_at(place: NDArray[np.float64]) -> NDArray[np.float64]:
        return gamma * (1.0 + growth * np.maximum(place, 0.0) / n_points) ** 1.5

    centre = np.sort(n_points * (1.5 * rng.random(n_lines) - 0.03))
    sharpness = HALF / gamma_at(centre)
    height = 10.0 ** (-2.5 * np.abs(rng.standard_normal(n_lines))) * np.exp(-np.maximum(centre, 0.0) / n_points)
    height[rng.random(n_lines) < 0.03] = 0.0
    places = n_points * np.linspace(-0.06, 2.1, SAMPLES)
    shares = np.full(n_lines, lorentzian)
    return ShapedLines(
        centre,
        height / sharpness,
        sharpness,
        shares,
        gamma_at(places) ** 2,
        float(places[0]),
        1.0 / (places[1] - places[0]),
    )


def plain_sum(lines: ShapedLines, n_points: int) -> NDArray[np.float64]:
    x = np.arange(n_points)
    y = np.zeros(n_points)
    for c, a, s, eta in zip(lines.centre, lines.area, lines.sharpness, lines.lorentzian, strict=True):
        lorentzian = (HALF / s) ** 2 / ((x - c) ** 2 + (HALF / s) ** 2) / np.sqrt(np.pi * np.log(2.0))
        y += a * s * ((1.0 - eta) * np.exp(-0.5 * ((x - c) * s) ** 2) + eta * lorentzian)
    return y


def largest_error(lines: ShapedLines, n_points: int, share: float) -> float:
    """Return the largest error of what is drawn, over its maximum."""
    y = np.zeros(n_points + 2 * LANES, np.float32)
    assert add_shaped_lines(y, lines, share)
    unit = largest_visible_height(lines.centre, lines.sharpness, lines.area * lines.sharpness, n_points)
    expected = plain_sum(lines, n_points)
    return float(np.abs(unit * y[LANES : LANES + n_points] - expected).max() / expected.max())


@pytest.mark.parametrize("case", CASES)
def test_lines_of_all_widths_are_right(case: str) -> None:
    assert largest_error(random_lines(*CASES[case]), CASES[case][0], 1.0) < TOLERANCE


@pytest.mark.parametrize("case", ["narrow", "many", "wide"])
def test_a_small_share_is_as_right_as_it_needs(case: str) -> None:
    lines = random_lines(*CASES[case])
    for share in (0.3, 0.05, 0.001):
        assert largest_error(lines, CASES[case][0], share) * share < TOLERANCE


def test_lines_of_another_width_than_their_neighbours_are_right() -> None:
    """Those of another emission line, e.g.: their tails are not what is usual at their place."""
    lines = random_lines(8501, 900, 8.0, 0.5, 0.7)
    area, sharpness = lines.area.copy(), lines.sharpness.copy()
    area[::3] /= 1.3
    sharpness[::3] *= 1.3
    assert largest_error(lines._replace(area=area, sharpness=sharpness), 8501, 1.0) < TOLERANCE


def test_widths_that_grow_without_bound_are_right() -> None:
    """As towards 180 degrees, from 60 to 140 in steps of 0.02 with lines to 170 degrees."""
    rng = np.random.default_rng(2)

    def gamma_at(two_theta: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.hypot(2.0, 12.0 * np.tan(np.radians(0.5 * two_theta)))

    two_theta = np.sort(rng.uniform(5.0, 170.0, 700))
    sharpness = HALF / gamma_at(two_theta)
    area = np.abs(rng.standard_normal(700)) ** 3 / np.sin(np.radians(0.5 * two_theta)) ** 2
    samples = np.linspace(0.0, 176.0, SAMPLES)
    lines = ShapedLines(
        (two_theta - 60.0) / 0.02,
        area,
        sharpness,
        np.full(700, 0.8),
        gamma_at(samples) ** 2,
        -60.0 / 0.02,
        0.02 * (SAMPLES - 1) / 176.0,
    )
    assert largest_error(lines, 4001, 1.0) < TOLERANCE


def test_nothing_on_the_grid_draws_nothing() -> None:
    lines = random_lines(500, 100, 2.0, 1.0, 0.5)
    y = np.zeros(500 + 2 * LANES, np.float32)
    assert not add_shaped_lines(y, lines._replace(centre=lines.centre + 5000.0), 1.0)
    assert not y.any()


@pytest.mark.parametrize("shift", [-2.0, -0.5, 0.0, 2.0])
def test_extremes_are_those_of_numpy(shift: float) -> None:
    y = (np.random.default_rng(3).random(1001) + shift).astype(np.float32)
    assert extremes_of(y) == (y.min(), y.max())


def test_a_range_is_scaled_from_its_minimum_or_from_zero() -> None:
    y = np.array([9.0, -1.0, 0.0, 1.0, 3.0, 9.0], np.float32)
    for floor_is_zero, expected in ((False, [0.0, 0.0, 0.25, 0.5, 1.0, 0.0]), (True, [0.0, 0.0, 0.0, 1 / 3, 1.0, 0.0])):
        points = y.copy()
        assert finish_range(points, 1, 4, floor_is_zero)
        np.testing.assert_allclose(points, expected, atol=1e-6)


def test_thermal_motion_is_the_exponential() -> None:
    s_squared = np.linspace(0.0, 0.42, 500)
    for b in (0.1, 5.0, 100.0):
        intensity = np.ones(500)
        damp(s_squared, b, intensity)
        np.testing.assert_allclose(intensity, np.exp(-2.0 * b * s_squared), rtol=1e-6, atol=1e-12)

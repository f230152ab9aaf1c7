"""Kernels that decide how each line is drawn; `pseudo_voigt_kernels` draws them.

    symbol      variable        meaning                                                     reference
    h           height          of a line, over that of the highest one on the grid         `pseudo_voigt_kernels`
    gamma, A    -               half-width and strength of its Lorentzian                   `pseudo_voigt_kernels`
    b_k         window          half-width of w_k in steps of level k                       `pseudo_voigt_kernels`
    e           error           what one line may contribute to the error                   `pseudo_voigt_kernels`

All is decided for all lines at once, in loops without branches, and lines are then drawn in the order of their routes:
those of one route take the same number of steps, which the processor foresees.

# N lines
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from xrdgen.diffraction.lorentzian_kernels import (
    GAMMA_PER_SIGMA,
    HEIGHT_OF_EQUAL_AREA,
    MARGIN,
    MAX_LEVELS,
    RATIO,
)
from xrdgen.diffraction.profile_kernels import LANES
from xrdgen.diffraction.shaped_line_kernels import ShapedLines
from xrdgen.diffraction.tail_kernels import LEAVE, NODES, gamma_squared_at
from xrdgen.jit import fast_kernel, inline_kernel, kernel

MOST_NODES = 16.0
"""b_1 at most."""

WIDEST_LEVEL = 2
"""Lines are drawn on this level at the most."""

_TOGETHER = 0.25
"""Neighbours err to the same side where gamma is taken from the place."""

_POWER = 1.0 / 7.6
FALL = float(RATIO * RATIO) ** -_POWER
_NEAR_FACTOR = 7.7 / (RATIO * RATIO)
_LORENTZIAN_8, _GAUSSIAN_8 = 43.0, 0.41
_BITS = np.float32(2.0**23)

_SEEN_WEAK, _SEEN_STRONG, _WEAK = 0.85, 0.95, 4.5
"""w_k^6 is drawn up to this part of its half-width, if b_k is at most _WEAK or above; what is left out is below e."""

_FALLS = tuple(np.float32(FALL**k) for k in range(4))
_SQUARES_OF_ENDS = np.array([(NODES * RATIO**k) ** 2 for k in range(MAX_LEVELS + 1)], np.float32)
_LEAVES = np.array([LEAVE * RATIO**k for k in range(MAX_LEVELS + 1)], np.float32)
_ONE = np.uint64(1)

ROUTES = 64
"""Routes of a level: eight numbers of windows, and as many of blocks of LANES points."""

FAR = ROUTES * (WIDEST_LEVEL + 1)
BESIDE = FAR + MAX_LEVELS + 1
NOT_DRAWN = BESIDE + 1
"""Routes, see `plan_routes`."""

Reals = NDArray[np.float64]
Singles = NDArray[np.float32]


class Plan(NamedTuple):
    """How lines are drawn, (N,) each."""

    height: Singles
    """h."""
    gamma: Singles
    strength: Singles
    """A."""
    window: Singles
    """b of the level on which a line is drawn; may be below NODES."""
    half_width: Singles
    """How far its Gaussian is drawn, grid steps."""
    n_windows: NDArray[np.int32]
    """Levels above it on which its tail is drawn for itself."""
    route: NDArray[np.int32]
    """Lines of one route are drawn in the same way: see `plan_routes`."""


@kernel
def empty_plan(n_lines: int) -> Plan:
    """Return arrays for so many lines."""
    singles, integers = np.empty((5, n_lines), np.float32), np.empty((2, n_lines), np.int32)
    return Plan(singles[0], singles[1], singles[2], singles[3], singles[4], integers[0], integers[1])


# fast: products and sums of positive numbers; a logarithm and a power by the bits of single-precision numbers
@fast_kernel
def plan_windows(height: Reals, lines: ShapedLines, unit: float, error: float, plan: Plan) -> None:
    """Fill h, gamma, A and b_1; b_1 may be below NODES.

    Args:
        height: (N,).
        lines: their sharpness and share of the Lorentzian.
        unit: height of the highest line on the grid.
        error: e.
        plan: filled.

    """
    scale, half = 1.0 / unit, np.float32(GAMMA_PER_SIGMA)
    for i in range(height.size):
        plan.height[i] = scale * height[i]
    for i in range(height.size):
        plan.gamma[i] = half / np.float32(lines.sharpness[i])
    for i in range(height.size):
        plan.strength[i] = plan.height[i] * np.float32(lines.lorentzian[i]) * plan.gamma[i] * plan.gamma[i]
    factor = np.float32(_NEAR_FACTOR / error)
    window = plan.window
    for i in range(height.size):
        window[i] = factor * plan.strength[i]
    bits = window.view(np.int32)
    for i in range(height.size):
        # log2, up to 0.087 too little
        log2 = np.float32(bits[i]) / _BITS - np.float32(127.0 - 0.087)
        bits[i] = np.int32((max(log2 * np.float32(_POWER), np.float32(-4.0)) + np.float32(127.0)) * _BITS)
    for i in range(height.size):
        window[i] = min(window[i], np.float32(MOST_NODES))
        plan.strength[i] *= np.float32(HEIGHT_OF_EQUAL_AREA)


@inline_kernel
def seen_part(end: float) -> float:
    """Return how much of a window is drawn: the sixth power has nothing to see beyond; half-width in steps."""
    return _SEEN_WEAK if end <= RATIO * _WEAK else _SEEN_STRONG


@inline_kernel
def level_of(spacing: np.float32) -> np.int32:
    """Return the level of a spacing in grid steps, 1, RATIO or RATIO^2."""
    return np.int32(1 if spacing > 1.0 else 0) + np.int32(1 if spacing > RATIO else 0)


# fast: choices between finite numbers
@fast_kernel
def plan_routes(lines: ShapedLines, error: float, last: float, top: int, plan: Plan) -> None:
    """Fill b, number of windows and route of lines whose h, gamma, A, b_1 and half-width are known.

    Where gamma is not what is usual at the place, the number of windows is negative: `own_windows` settles it.

    Routes are, in this order, level 0 ... WIDEST_LEVEL with some number of windows and of blocks; FAR + k: lines of
    which levels below k see nothing, and level k only the tail; BESIDE: higher lines beside the grid; NOT_DRAWN.

    Args:
        lines: see `ShapedLines`.
        error: e.
        last: last grid point.
        top: the coarsest level.
        plan: changed.

    """
    n_lines = plan.height.size
    height, gamma, window, half_width, route = plan.height, plan.gamma, plan.window, plan.half_width, plan.route
    single_error, end = np.float32(error), np.float32(last)
    zero, one, four, narrow = np.float32(0.0), np.float32(1.0), np.float32(RATIO), np.float32(NODES)
    first_fall = np.float32(error) if min(WIDEST_LEVEL, top - 1) > 0 else zero
    second_fall = np.float32(error * float(RATIO**8) ** -1) if min(WIDEST_LEVEL, top - 1) > 1 else zero
    # the coarsest level that resolves it
    spacing = np.empty(n_lines, np.float32)
    for i in range(n_lines):
        x = min(gamma[i] * gamma[i] * np.float32(1.0 / RATIO**2), np.float32(1e6))
        x *= x
        x *= x
        eta = np.float32(lines.lorentzian[i])
        needed = height[i] * (np.float32(_LORENTZIAN_8) * eta + np.float32(_GAUSSIAN_8) * (one - eta))
        spacing[i] = (four if x * first_fall > needed else one) * (four if x * second_fall > needed else one)
    for i in range(n_lines):
        window[i] *= (_FALLS[1] if spacing[i] > one else one) * (_FALLS[1] if spacing[i] > four else one)
    most = np.float32(top)
    windows = np.empty(n_lines, np.float32)
    for i in range(n_lines):
        b = window[i]
        n = (one if b > narrow else zero) + (one if b * _FALLS[1] > narrow else zero)
        n += (one if b * _FALLS[2] > narrow else zero) + (one if b * _FALLS[3] > narrow else zero)
        level = np.float32(level_of(spacing[i]))
        windows[i] = min(n, most - level - one)
    outside, reach = np.empty(n_lines, np.float32), np.empty(n_lines, np.float32)
    for i in range(n_lines):
        centre = np.float32(lines.centre[i])
        outside[i] = max(-centre, centre - end)
    for i in range(n_lines):
        b = four * max(window[i], narrow)
        reach[i] = max(np.float32(seen_part(b)) * b * spacing[i], half_width[i])
    # the first level that has need of its tail
    far_levels = np.ones(n_lines, np.float32)
    for k in range(1, top):
        leave = _LEAVES[k]
        for i in range(n_lines):
            far_levels[i] += one if outside[i] > leave else zero
    levels = np.empty(n_lines, np.float32)
    for i in range(n_lines):
        level = np.float32(level_of(spacing[i]))
        # the first level that knows only its tail
        seen = level + one + windows[i]
        far = far_levels[i]
        blocks = min(reach[i] / (np.float32(LANES / 2) * spacing[i]), np.float32(7.0))
        near = np.int32(np.int32(level) * np.int32(ROUTES)) + np.int32(windows[i]) * np.int32(8) + np.int32(blocks)
        is_far = outside[i] > reach[i] + np.float32(MARGIN) * spacing[i] and far >= seen
        levels[i] = far if is_far else seen
        found = np.int32(FAR) + np.int32(far) if is_far else near
        found = np.int32(BESIDE) if height[i] > one and outside[i] > zero else found
        route[i] = found if height[i] >= single_error else np.int32(NOT_DRAWN)
    # whether its gamma is usual at its place
    samples = lines.gamma_squared
    first_sample, samples_per_step, last_cell = lines.first_sample, lines.samples_per_step, float(samples.size - 2)
    usual = reach
    for i in range(n_lines):
        place = (lines.centre[i] - first_sample) * samples_per_step
        cell = min(max(math.floor(place), 0.0), last_cell)
        t = min(max(place - cell, 0.0), 1.0)
        at = np.uint64(cell)
        usual[i] = samples[at] + t * (samples[at + _ONE] - samples[at])
    together = np.float32(_TOGETHER / 6.0 * error)
    for i in range(n_lines):
        squared = gamma[i] * gamma[i]
        end_squared = _SQUARES_OF_ENDS[np.uint32(levels[i])] + squared
        own = plan.strength[i] * abs(squared - usual[i]) > together * end_squared * end_squared
        own_n = np.int32(windows[i])
        plan.n_windows[i] = -np.int32(8) * level_of(spacing[i]) - own_n - np.int32(1) if own else own_n


@kernel
def own_windows(lines: ShapedLines, error: float, top: int, plan: Plan) -> None:
    """Give lines whose gamma is not what is usual at their place the windows that they need.

    Of these lines `plan_routes` left -8 level - windows - 1 as the number of windows.

    Args:
        lines: see `ShapedLines`.
        error: e.
        top: the coarsest level.
        plan: changed.

    """
    for i in range(plan.route.size):
        if plan.n_windows[i] >= 0:
            continue
        level, n = (-plan.n_windows[i] - 1) // 8, (-plan.n_windows[i] - 1) % 8
        plan.n_windows[i] = n
        if plan.route[i] >= BESIDE:
            continue
        if plan.route[i] >= FAR:
            plan.route[i] = level * ROUTES
        level += 1 + n
        usual = gamma_squared_at(lines, lines.centre[i])
        while level < top and wants_own_window(plan.strength[i], plan.gamma[i], usual, float(RATIO**level), error):
            level += 1
            n += 1
        plan.n_windows[i] = n
        plan.route[i] = plan.route[i] // ROUTES * ROUTES + min(n, 7) * 8 + plan.route[i] % 8


@kernel
def by_route(route: NDArray[np.int32]) -> tuple[NDArray[np.int32], int]:
    """Return the lines (N,) in the order of their routes, and how many are drawn."""
    place = np.zeros(NOT_DRAWN + 2, np.int64)
    for i in range(route.size):
        place[route[i] + 1] += 1
    for r in range(NOT_DRAWN + 1):
        place[r + 1] += place[r]
    n_drawn = place[NOT_DRAWN]
    order = np.empty(route.size, np.int32)
    for i in range(route.size):
        order[place[route[i]]] = i
        place[route[i]] += 1
    return order, n_drawn


@kernel
def wants_own_window(strength: float, gamma: float, usual: float, spacing: float, error: float) -> bool:
    """Whether gamma differs so much from what is usual at its place that the line's tail must be drawn for itself.

    Near its place K_k is about 6 / (a^2 + gamma^2), a = NODES h_k.

    Args:
        strength: A.
        gamma: of the line.
        usual: gamma^2 at its place.
        spacing: h_k.
        error: e.

    """
    squared = gamma * gamma
    sum_of_squares = NODES * NODES * spacing * spacing + squared
    return 6.0 * strength * abs(squared - usual) > _TOGETHER * error * sum_of_squares * sum_of_squares

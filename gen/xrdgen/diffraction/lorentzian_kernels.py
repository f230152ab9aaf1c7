"""Kernels that draw Lorentzians without cutting a tail: each line near itself on the grid, its tail on coarser ones.

    symbol      variable        meaning                                                             reference
    FWHM        -               the same as that of the line's Gaussian                             `profile_kernels`
    gamma       gamma           FWHM / 2                                                            -
    x           x               2 theta - position                                                  -
    L(x)        -               height gamma^2 / (x^2 + gamma^2), of area pi gamma height           [W]
    h_k         spacing         RATIO^k grid steps, spacing of level k                              [B]
    b           inner           half-width of a line's inner window in steps of a level, 4 to 8     `half_window`
    a_k         outer           b RATIO h_k = b h_(k+1), half-width of what level k draws           -
    w_k(x)      -               max(0, (a_k^2 - x^2) / (a_k^2 + gamma^2)), a window                 below
    D_k(x)      window          what level k draws, over L                                          below

[W] Wertheim et al., Rev. Sci. Instrum. 45 (1974) 1369. [B] Multilevel summation: Brandt and Lubrecht, J. Comput. Phys.
90 (1990) 348; the windows are our own.

A line is a sum over levels with spacings of 1, 4, 16 ... grid steps:

    L  =  D_0 + D_1 + ... + D_K,    D_0 = L w_0^6,    D_k = L (w_k^6 - w_(k-1)^6),    D_K = L (1 - w_(K-1)^6)

Nothing is left out: the windows add up to 1 everywhere. D_k ends at a_k, with its first five derivatives. Within
a_(k-1) = b h_k it has no peak: with r = (x^2 + gamma^2) / (a^2 + gamma^2) the window of half-width a is 1 - r, and

    L (1 - w^6)  =  height gamma^2 / (a^2 + gamma^2) [1 + (1 - r) + ... + (1 - r)^5]

is a polynomial in x^2. So D_k is smooth on the scale of b of its own steps, however narrow or wide the line is. The
levels are added from the coarsest to the finest, each interpolated to the next by the polynomial through TAPS nodes
(Lagrange); the error is below 7e-6 of the height of the highest line. A level draws 2 b RATIO nodes of each line, so
that the cost grows with the logarithm of the length of the grid only. Lines outside the grid that are higher than all
on it, whose tail may be all that is seen, are summed point by point instead.

# R lines    P grid points    W length of a level's work array
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from xrdgen.diffraction.profile_kernels import LANES, WEAKEST
from xrdgen.jit import fast_kernel, kernel

RATIO = 4
"""Spacing of a level over that of the next finer one."""

WIDEST = 8.0
"""Half-width in steps of level k of the window that level k - 1 has drawn, for the highest lines."""

EVERYWHERE = 1e12
"""Half-width of a window that is 1 on the whole grid."""

TAPS = 8
"""Nodes of the interpolation from level to level."""

BEFORE = TAPS // 2 - 1
"""Nodes of the interpolation left of the cell."""

MARGIN = TAPS // 2
"""Nodes of a coarse level beyond the last cell that is interpolated."""

TOP_NODES = 48
"""The coarsest level has no more nodes than this (but for its margin)."""

MAX_LEVELS = 12
"""Enough for 4^11 x 48 grid points."""

HEIGHT_OF_EQUAL_AREA = math.sqrt(math.pi * math.log(2.0)) ** -1
"""Height of a Lorentzian over that of a Gaussian of the same area and FWHM, 0.678."""

GAMMA_PER_SIGMA = math.sqrt(2.0 * math.log(2.0))
"""FWHM / 2 = 1.177 sigma."""


def _interpolation_weights() -> NDArray[np.float32]:
    """Return (TAPS, RATIO): the weight of node t - BEFORE of a cell at its fraction j / RATIO (Lagrange)."""
    nodes = np.arange(TAPS) - BEFORE
    places = np.arange(RATIO) / RATIO
    weights = np.empty((TAPS, RATIO))
    for t in range(TAPS):
        others = np.delete(nodes, t)
        weights[t] = np.prod((places[:, None] - others) / (nodes[t] - others), axis=1)
    return weights.astype(np.float32)


_WEIGHTS = _interpolation_weights()

Reals = NDArray[np.float64]
Singles = NDArray[np.float32]


@kernel
def level_limits(n_points: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the last node of each level (K+1,) and where its work array begins among all (K+2,).

    A work array has LANES nodes to spare on both sides; its element LANES is node 0, at grid point 0.
    """
    last = np.empty(MAX_LEVELS, np.int64)
    start = np.zeros(MAX_LEVELS + 1, np.int64)
    last[0] = n_points - 1
    start[1] = n_points + 2 * LANES
    level = 0
    while last[level] >= TOP_NODES and level + 1 < MAX_LEVELS:
        last[level + 1] = last[level] // RATIO + MARGIN
        level += 1
        start[level + 1] = start[level] + last[level] + 1 + 2 * LANES
    return last[: level + 1], start[: level + 2]


# fast: the order of sums is free; gamma is positive, so nothing is divided by zero
@fast_kernel
def add_window(
    y: Singles, last: int, centre: float, gamma: float, height: float, inner_end: float, outer_end: float
) -> None:
    """Add D_k of one line to the work array (W,) of a level.

    Args:
        y: the level's work array.
        last: its last node.
        centre: position of the line, in steps of the level from node 0.
        gamma: in steps of the level.
        height: of the whole line.
        inner_end: half-width of the window that finer levels have drawn, in steps; 0 where there are none.
        outer_end: half-width of what the level draws, in steps; EVERYWHERE if no coarser level draws the rest.

    """
    low = max(1 - LANES, math.ceil(max(centre - outer_end, -LANES)))
    high = min(last, math.floor(min(centre + outer_end, last)))
    gamma_squared = gamma * gamma
    # w = end^2 factor - factor x^2; EVERYWHERE makes 1 of it, 0 makes 0
    outer_factor = 1.0 / (outer_end * outer_end + gamma_squared)
    outer_top = outer_end * outer_end * outer_factor
    inner_factor = 1.0 / (inner_end * inner_end + gamma_squared)
    inner_top = inner_end * inner_end * inner_factor
    outer_0, outer_2 = np.float32(outer_top), np.float32(outer_factor)
    inner_0, inner_2 = np.float32(inner_top), np.float32(inner_factor)
    numerator, offset = np.float32(height * gamma_squared), np.float32(gamma_squared)
    start = np.float32(low - centre)
    zero = np.float32(0.0)
    for begin in range(low + LANES, high + LANES + 1, LANES):
        lanes = y[begin : begin + LANES]
        for i in range(LANES):
            x = start + np.float32(i)
            x_squared = x * x
            outer = max(outer_0 - outer_2 * x_squared, zero)
            inner = max(inner_0 - inner_2 * x_squared, zero)
            outer *= outer
            inner *= inner
            window = outer * outer * outer - inner * inner * inner
            lanes[i] += numerator * window / (x_squared + offset)
        start += np.float32(LANES)


# fast: the order of eight terms is free
@fast_kernel
def add_interpolated(coarse: Singles, fine: Singles, last: int) -> None:
    """Add a level to the next finer one, up to its last node, by the polynomial through TAPS nodes.

    Cells begin at node -1: the nodes -MARGIN ... -1 of the finer level are wanted for its own interpolation.
    """
    for cell in range(-1, last // RATIO + 1):
        nodes = coarse[LANES + cell - BEFORE : LANES + cell - BEFORE + TAPS]
        into = fine[LANES + RATIO * cell : LANES + RATIO * cell + RATIO]
        first, second, third = np.float32(0.0), np.float32(0.0), np.float32(0.0)
        for t in range(TAPS):
            first += _WEIGHTS[t, 1] * nodes[t]
            second += _WEIGHTS[t, 2] * nodes[t]
            third += _WEIGHTS[t, 3] * nodes[t]
        into[0] += nodes[BEFORE]
        into[1] += first
        into[2] += second
        into[3] += third


@kernel
def half_window(height: float) -> float:
    """Return INNER for a line of a height relative to the highest: the error is below 4e-6 of the latter."""
    return 8.0 if height > 0.1 else 6.0 if height > 0.005 else 4.0


@kernel
def add_lorentzians(y: Singles, centre: Reals, sharpness: Reals, height: Reals, unit: float, share: float) -> None:
    """Add all lines as Lorentzians to the work array (LANES + P + LANES,) of the grid.

    Args:
        y: work array.
        centre: (R,) grid steps from the first point.
        sharpness: (R,) 1 / sigma of the Gaussian of the same FWHM, 1 / step.
        height: (R,) of that Gaussian, were it the whole line.
        unit: as in `add_gaussians`.
        share: eta.

    """
    n_points = y.size - 2 * LANES
    last, start = level_limits(n_points)
    top = last.size - 1
    levels = np.zeros(start[top + 1], np.float32)
    scale = share * HEIGHT_OF_EQUAL_AREA / unit
    for i in range(height.size):
        if height[i] <= WEAKEST * unit:
            continue
        gamma = GAMMA_PER_SIGMA / sharpness[i]
        if height[i] > unit:  # outside the grid
            add_window(levels[: start[1]], last[0], centre[i], gamma, height[i] * scale, 0.0, EVERYWHERE)
            continue
        inner = half_window(height[i] / unit)
        outside = max(-centre[i], centre[i] - (n_points - 1))
        spacing = 1.0
        for level in range(top + 1):
            outer = inner * RATIO if level < top else EVERYWHERE
            if outside < (outer + MARGIN) * spacing:
                nodes = levels[start[level] : start[level + 1]]
                at, width = centre[i] / spacing, gamma / spacing
                add_window(nodes, last[level], at, width, height[i] * scale, inner if level > 0 else 0.0, outer)
            spacing *= RATIO
    for level in range(top, 0, -1):
        add_interpolated(
            levels[start[level] : start[level + 1]], levels[start[level - 1] : start[level]], last[level - 1]
        )
    for i in range(y.size):
        y[i] += levels[i]

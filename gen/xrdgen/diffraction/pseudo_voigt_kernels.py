"""Kernels that draw many pseudo-Voigts, each of its own width and shape, without cutting a tail.

    symbol      variable        meaning                                                     reference
    h           height          I / sigma over that of the highest line on the grid         `profile_kernels`
    eta         lorentzian      y = sum of I [(1 - eta) G + eta L]                          Wertheim et al. (1974)
    gamma       gamma           FWHM / 2, grid steps                                        -
    L(x)        -               A / (x^2 + gamma^2), A = 0.678 h eta gamma^2                `lorentzian_kernels`
    a_0         near            half-width of what is drawn on the grid itself              below
    a_1, a_2    -               4 x 32 = 128 and 4 x 256 = 1024 grid steps                  -
    w_k(x)      -               max(0, (a_k^2 - x^2) / (a_k^2 + gamma^2)), a window         `lorentzian_kernels`

The Lorentzian is a sum over levels with spacings of 1, 8, 32 and 256 grid steps, as in `lorentzian_kernels`:

    L  =  L w_0^6  +  L (w_1^6 - w_0^6)  +  L (w_2^6 - w_1^6)  +  L (1 - w_2^6)

What is new, since lines are many:

    the first term is drawn in one pass with the Gaussian, as far as the wider of the two reaches
    a_0 is as small as the height allows: the error of the next level's interpolation, relative to the height, is
        7.7 eta (gamma / 8)^2 (a_0 / 8)^(-7.6)              (measured for TAPS = 8), to be ERROR / h
    the last two terms of all lines are found together: A is given to the 8 nodes around the line with the weights of
        their interpolation (Brandt and Lubrecht, 1990, "anterpolation"), and each node acts on the others with the
        gamma of its place, since gamma changes slowly along the axis
    lines so high and wide that 4 nodes are too few for that (STRONG) are drawn on every level, with 8
    lines wider than WIDE steps are drawn on the second level at once

# N lines    P grid points    S samples of gamma^2
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from xrdgen.diffraction.lorentzian_kernels import (
    BEFORE,
    EVERYWHERE,
    GAMMA_PER_SIGMA,
    HEIGHT_OF_EQUAL_AREA,
    MARGIN,
    TAPS,
    add_window,
)
from xrdgen.diffraction.profile_kernels import (
    E1,
    E2,
    E3,
    E4,
    EXPONENT_SCALE,
    FLANK,
    LANES,
    LAST_V,
    add_flank,
    half_widths,
    largest_visible_height,
    line_heights,
)
from xrdgen.diffraction.shaped_line_kernels import ShapedLines
from xrdgen.jit import fast_kernel, kernel

FINE, MIDDLE, COARSE = 8, 4, 8
"""Spacing of the second, third and fourth level over that of the level before."""

SECOND, THIRD, FOURTH = 8.0, 32.0, 256.0
"""Spacing of the levels in grid steps."""

NODES = 4.0
"""a_1 and a_2 in steps of the level that follows."""

NODES_OF_STRONG = 8.0
"""The same for strong lines."""

ERROR = 8e-7
"""What one line may contribute to the error, in heights of the highest line."""

STRONG = 0.005
"""Lines with h eta (gamma / 32)^2 above this are drawn on every level."""

WEAKEST = 1e-6
"""Lines lower than this share of the highest are left out."""

WIDE = 72.0
"""Half-widths at half maximum, in grid steps, from which the second level resolves a line of any height."""

LEAST_NEAR, MOST_NEAR = 12.0, 64.0
"""Limits of a_0, grid steps."""

_POWER = 1.0 / 7.6
_NEAR_FACTOR = 7.7 / (SECOND * SECOND) / ERROR
_BITS = np.float32(2.0**23)

Reals = NDArray[np.float64]
Singles = NDArray[np.float32]


def _weights(ratio: int) -> Singles:
    """Return (TAPS, ratio): the weight of node t - BEFORE of a cell at its fraction j / ratio (Lagrange)."""
    nodes = np.arange(TAPS) - BEFORE
    places = np.arange(ratio) / ratio
    weights = np.empty((TAPS, ratio))
    for t in range(TAPS):
        others = np.delete(nodes, t)
        weights[t] = np.prod((places[:, None] - others) / (nodes[t] - others), axis=1)
    return weights.astype(np.float32)


_BY_8, _BY_4 = _weights(8), _weights(4)
_SCALES = np.array([1.0 / np.prod(np.delete(t - np.arange(TAPS), t)) for t in range(TAPS)])
"""1 / product of the distances of node t from the others."""


# fast: products and sums of positive numbers; a logarithm and a power by the bits of single-precision numbers
@fast_kernel
def plan_lines(
    height: Reals, sharpness: Reals, lorentzian: Reals, unit: float, gamma: Reals, strength: Reals, near: Singles
) -> None:
    """Fill gamma (N,), A (N,) and a_0 (N,) of lines.

    Args:
        height: (N,).
        sharpness: (N,) 1 / sigma, 1 / step.
        lorentzian: (N,) eta.
        unit: height of the highest line on the grid.
        gamma: (N,) filled.
        strength: (N,) filled.
        near: (N,) filled.

    """
    scale = 1.0 / unit
    for i in range(height.size):
        gamma[i] = GAMMA_PER_SIGMA / sharpness[i]
    for i in range(height.size):
        strength[i] = scale * height[i] * lorentzian[i] * gamma[i] * gamma[i]
    for i in range(height.size):
        near[i] = np.float32(_NEAR_FACTOR) * np.float32(strength[i])
    bits = near.view(np.int32)
    for i in range(height.size):
        # log2, up to 0.087 too little
        log2 = np.float32(bits[i]) / _BITS - np.float32(127.0 - 0.087)
        bits[i] = np.int32((max(log2 * np.float32(_POWER), np.float32(-4.0)) + np.float32(127.0)) * _BITS)
    for i in range(height.size):
        near[i] = min(max(near[i] * np.float32(SECOND), np.float32(LEAST_NEAR)), np.float32(MOST_NEAR))
        strength[i] *= HEIGHT_OF_EQUAL_AREA


# fast: the order of sums is free; gamma is positive, so nothing is divided by zero
@fast_kernel
def add_near(
    y: Singles,
    last: int,
    centre: float,
    sharpness: float,
    gaussian: float,
    half_width: float,
    gamma: float,
    strength: float,
    end: float,
) -> None:
    """Add a Gaussian and the innermost part of a Lorentzian, L w^6, to the work array (LANES + P + LANES,) of a level.

    Args:
        y: work array; its element LANES is node 0.
        last: last node.
        centre: of the line, in steps of the level from node 0, as all that follow.
        sharpness: 1 / sigma.
        gaussian: height of the Gaussian.
        half_width: how far it is drawn at least.
        gamma: of the Lorentzian.
        strength: A.
        end: half-width of the window w.

    """
    reach = max(half_width, end)
    low = max(1 - LANES, math.ceil(max(centre - reach, -LANES)))
    high = min(last, math.floor(min(centre + reach, last)))
    gamma_squared = gamma * gamma
    factor = 1.0 / (end * end + gamma_squared)
    window_0, window_2 = np.float32(end * end * factor), np.float32(factor)
    numerator, offset = np.float32(strength), np.float32(gamma_squared)
    top, scale = np.float32(gaussian), np.float32(EXPONENT_SCALE * sharpness * sharpness)
    start = np.float32(low - centre)
    zero, one = np.float32(0.0), np.float32(1.0)
    for begin in range(low + LANES, high + LANES + 1, LANES):
        lanes = y[begin : begin + LANES]
        for i in range(LANES):
            x = start + np.float32(i)
            x_squared = x * x
            v = min(x_squared * scale, np.float32(LAST_V))
            p = (((E4 * v + E3) * v + E2) * v + E1) * v + one
            p = p * p
            p = p * p
            p = p * p
            p = p * p
            w = max(window_0 - window_2 * x_squared, zero)
            w = w * w
            lanes[i] += top * p + numerator * (w * w * w) / (x_squared + offset)
        start += np.float32(LANES)


# fast: products; the order of sums is free
@fast_kernel
def anterpolate(nodes: Reals, place: float, amount: float) -> None:
    """Give an amount to the TAPS nodes around a place with the weights of their interpolation.

    Args:
        nodes: (K,).
        place: in steps from node 0, BEFORE or more, at most K - MARGIN - 1.
        amount: of a line.

    """
    cell = math.floor(place)
    t = place - cell + BEFORE
    d0, d1, d2, d3 = t, t - 1.0, t - 2.0, t - 3.0
    d4, d5, d6, d7 = t - 4.0, t - 5.0, t - 6.0, t - 7.0
    d01, d23, d45, d67 = d0 * d1, d2 * d3, d4 * d5, d6 * d7
    lower, upper = amount * d45 * d67, amount * d01 * d23
    some = nodes[cell - BEFORE : cell - BEFORE + TAPS]
    some[0] += lower * d1 * d23 * _SCALES[0]
    some[1] += lower * d0 * d23 * _SCALES[1]
    some[2] += lower * d01 * d3 * _SCALES[2]
    some[3] += lower * d01 * d2 * _SCALES[3]
    some[4] += upper * d5 * d67 * _SCALES[4]
    some[5] += upper * d4 * d67 * _SCALES[5]
    some[6] += upper * d45 * d7 * _SCALES[6]
    some[7] += upper * d45 * d6 * _SCALES[7]


# fast: the order of eight terms is free
@fast_kernel
def add_finer(coarse: Singles, fine: Singles, last: int, weights: Singles) -> None:
    """Add a level to the next finer one, up to its last node; cells begin at node -1 (see `lorentzian_kernels`).

    Args:
        coarse: work array of the level.
        fine: of the finer one.
        last: last node of the finer one.
        weights: (TAPS, ratio).

    """
    ratio = weights.shape[1]
    for cell in range(-1, last // ratio + 1):
        nodes = coarse[LANES + cell - BEFORE : LANES + cell - BEFORE + TAPS]
        into = fine[LANES + ratio * cell : LANES + ratio * cell + ratio]
        for j in range(ratio):
            total = np.float32(0.0)
            for t in range(TAPS):
                total += weights[t, j] * nodes[t]
            into[j] += total


@kernel
def sample_at(samples: Reals, place: float) -> float:
    """Return gamma^2 at a place (in samples), linear between the samples (S,)."""
    cell = min(max(int(place), 0), samples.size - 2)
    t = min(max(place - cell, 0.0), 1.0)
    return float(samples[cell] + t * (samples[cell + 1] - samples[cell]))


@kernel
def add_sources(
    sources: Reals,
    first: int,
    spacing: float,
    level: Singles,
    last: int,
    inner: float,
    outer: float,
    lines: ShapedLines,
) -> None:
    """Let every source act on the nodes of its level.

    Args:
        sources: (K,) A, grid steps squared.
        first: node of the first source.
        spacing: of the level, grid steps.
        level: work array.
        last: its last node.
        inner: half-width of what finer levels have drawn, nodes.
        outer: half-width of what this one draws.
        lines: their gamma^2 along the axis.

    """
    for k in range(sources.size):
        if sources[k] == 0.0:
            continue
        place = first + k
        squared = sample_at(lines.gamma_squared, (place * spacing - lines.first_sample) / lines.sample_spacing)
        gamma = math.sqrt(squared)
        add_window(level, last, float(place), gamma / spacing, sources[k] / squared, inner, outer)


@kernel
def add_shaped_lines(y: Singles, lines: ShapedLines) -> bool:
    """Add lines to a buffer (LANES + P + LANES,); return False if none is on the grid.

    The unit of what is added is the highest line on the grid, as a Gaussian.
    """
    n_lines = lines.area.size
    last = y.size - 2 * LANES - 1
    height = np.empty(n_lines)
    line_heights(lines.area, lines.sharpness, height)
    unit = largest_visible_height(lines.centre, lines.sharpness, height, last + 1)
    if unit == 0.0:
        return False
    half_width, near = np.empty(n_lines, np.float32), np.empty(n_lines, np.float32)
    half_widths(height, lines.sharpness, unit, half_width)
    gamma, strength = np.empty(n_lines), np.empty(n_lines)
    plan_lines(height, lines.sharpness, lines.lorentzian, unit, gamma, strength, near)

    last_1, last_2 = last // FINE + MARGIN, (last // FINE + MARGIN) // MIDDLE + MARGIN
    last_3 = last_2 // COARSE + MARGIN
    level_1 = np.zeros(last_1 + 1 + 2 * LANES, np.float32)
    level_2 = np.zeros(last_2 + 1 + 2 * LANES, np.float32)
    level_3 = np.zeros(last_3 + 1 + 2 * LANES, np.float32)
    lowest, highest = 0.0, float(last)
    for i in range(n_lines):
        if lines.area[i] > 0.0:
            lowest, highest = min(lowest, lines.centre[i]), max(highest, lines.centre[i])
    # nodes of the fourth level are every eighth of the third
    first_3 = math.floor(lowest / FOURTH) - 2 * TAPS
    first_2 = COARSE * first_3
    sources_2 = np.zeros(COARSE * (math.ceil(highest / FOURTH) + 2 * TAPS - first_3))
    sources_3 = np.zeros(sources_2.size // COARSE + 2 * TAPS)

    scale = 1.0 / unit
    any_tail = False
    for i in range(n_lines):
        h = scale * height[i]
        if h < WEAKEST:
            continue
        centre, sharpness, share = lines.centre[i], lines.sharpness[i], lines.lorentzian[i]
        gaussian, a, g = h * (1.0 - share), strength[i], gamma[i]
        outside = max(-centre, centre - last)
        if h > 1.0 and outside > 0.0:
            # its tail may be all that is seen
            if gaussian > FLANK:
                add_flank(y, centre, sharpness, gaussian)
            elif gaussian > 0.0:
                add_near(y, last, centre, sharpness, gaussian, half_width[i], g, 0.0, 1.0)
            add_window(y, last, centre, g, a / (g * g), 0.0, EVERYWHERE)
            continue
        strong = a * (1.0 / (THIRD * THIRD)) > STRONG
        nodes = NODES_OF_STRONG if strong else NODES
        if outside < max(nodes * THIRD, half_width[i]) + MARGIN * SECOND:
            if g > WIDE:
                add_near(
                    level_1,
                    last_1,
                    centre / SECOND,
                    sharpness * SECOND,
                    gaussian,
                    half_width[i] / SECOND,
                    g / SECOND,
                    a / (SECOND * SECOND),
                    nodes * (THIRD / SECOND),
                )
            else:
                if outside < max(half_width[i], near[i]):
                    add_near(y, last, centre, sharpness, gaussian, half_width[i], g, a, near[i])
                if share > 0.0:
                    end = nodes * (THIRD / SECOND)
                    add_window(level_1, last_1, centre / SECOND, g / SECOND, a / (g * g), near[i] / SECOND, end)
        if share == 0.0:
            continue
        any_tail = True
        if strong:
            end = nodes * (FOURTH / THIRD)
            add_window(level_2, last_2, centre / THIRD, g / THIRD, a / (g * g), nodes, end)
            add_window(level_3, last_3, centre / FOURTH, g / FOURTH, a / (g * g), nodes, EVERYWHERE)
        else:
            anterpolate(sources_2, centre / THIRD - first_2, a)
    if any_tail:
        for k in range(sources_2.size):
            if sources_2[k] != 0.0:
                anterpolate(sources_3, k / COARSE + TAPS, sources_2[k])
        add_sources(sources_3, first_3 - TAPS, FOURTH, level_3, last_3, NODES, EVERYWHERE, lines)
        add_sources(sources_2, first_2, THIRD, level_2, last_2, NODES, NODES * (FOURTH / THIRD), lines)
        add_finer(level_3, level_2, last_2, _BY_8)
        add_finer(level_2, level_1, last_1, _BY_4)
    add_finer(level_1, y, last, _BY_8)
    return True

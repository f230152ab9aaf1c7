"""Kernels that draw many pseudo-Voigts, each of its own width and shape, without cutting a tail.

    symbol      variable        meaning                                                     reference
    h           height          I / sigma over that of the highest line on the grid         `profile_kernels`
    eta         lorentzian      y = sum of I [(1 - eta) G + eta L]                          Wertheim et al. (1974)
    gamma       gamma           FWHM / 2, grid steps                                        -
    L(x)        -               A / (x^2 + gamma^2), A = 0.678 h eta gamma^2                `lorentzian_kernels`
    h_k         spacing         4^k grid steps, spacing of level k                          `lorentzian_kernels`
    b_k         window          half-width of w_k in steps of level k                       below
    w_k(x)      -               max(0, (a^2 - x^2) / (a^2 + gamma^2)), a = b_k h_k          `lorentzian_kernels`
    e           error           what one line may contribute to the error                   below

The Lorentzian is a sum over levels, as in `lorentzian_kernels`:

    L  =  L w_1^6  +  L (w_2^6 - w_1^6)  +  L (w_3^6 - w_2^6)  + ... +  L (1 - w_K^6)

What is new, since lines are many:

    the first term is drawn in one pass with the Gaussian, as far as the wider of the two reaches
    b_k is as small as the height allows: the error of a level's interpolation, relative to the height, is
        7.7 eta (gamma / h_k)^2 b_k^(-7.6)                  (measured for TAPS = 8), to be e / h
        so that b_(k+1) = 16^(-1 / 7.6) b_k; NODES at least
    from the level on where NODES are enough, the tails of all lines are found together (`tail_kernels`)
    wide lines are drawn on a level with RATIO or RATIO^2 times the spacing at once: the error of interpolating a
        Lorentzian from it is 43 (gamma / h_k)^(-8) of its height, of a Gaussian 0.4 (gamma / h_k)^(-8)

# N lines    P grid points
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from xrdgen.diffraction.lorentzian_kernels import (
    EVERYWHERE,
    GAMMA_PER_SIGMA,
    HEIGHT_OF_EQUAL_AREA,
    MARGIN,
    RATIO,
    add_window,
)
from xrdgen.diffraction.profile_kernels import (
    E1,
    E2,
    E3,
    E4,
    EXPONENT_SCALE,
    FAINTEST,
    FLANK,
    LANES,
    LAST_V,
    add_flank,
    half_widths,
    largest_visible_height,
    line_heights,
)
from xrdgen.diffraction.shaped_line_kernels import ShapedLines
from xrdgen.diffraction.tail_kernels import (
    LEAVE,
    NODES,
    PAD,
    add_finer,
    add_sources,
    add_top_sources,
    anterpolate,
    gamma_squared_at,
    gather_sources,
    source_limits,
    tail_levels,
)
from xrdgen.jit import fast_kernel, kernel

ERROR = 1.2e-6
"""What one line may contribute to the error, in heights of the highest line of the pattern."""

MOST_NODES = 16.0
"""b_1 at most."""

WIDEST_LEVEL = 2
"""Lines are drawn on this level at the most."""

_TOGETHER = 0.25
"""Neighbours err to the same side where gamma is taken from the place."""

_POWER = 1.0 / 7.6
_FALL = float(RATIO * RATIO) ** -_POWER
_NEAR_FACTOR = 7.7 / (RATIO * RATIO)
_LORENTZIAN_8, _GAUSSIAN_8 = 43.0, 0.41
_BITS = np.float32(2.0**23)

Reals = NDArray[np.float64]
Singles = NDArray[np.float32]


# fast: products and sums of positive numbers; a logarithm and a power by the bits of single-precision numbers
@fast_kernel
def plan_lines(
    height: Reals,
    sharpness: Reals,
    lorentzian: Reals,
    unit: float,
    error: float,
    gamma: Reals,
    strength: Reals,
    window: Singles,
) -> None:
    """Fill gamma (N,), A (N,) and b_1 (N,) of lines; b_1 may be below NODES.

    Args:
        height: (N,).
        sharpness: (N,) 1 / sigma, 1 / step.
        lorentzian: (N,) eta.
        unit: height of the highest line on the grid.
        error: e.
        gamma: (N,) filled.
        strength: (N,) filled.
        window: (N,) filled.

    """
    scale = 1.0 / unit
    for i in range(height.size):
        gamma[i] = GAMMA_PER_SIGMA / sharpness[i]
    for i in range(height.size):
        strength[i] = scale * height[i] * lorentzian[i] * gamma[i] * gamma[i]
    factor = np.float32(_NEAR_FACTOR / error)
    for i in range(height.size):
        window[i] = factor * np.float32(strength[i])
    bits = window.view(np.int32)
    for i in range(height.size):
        # log2, up to 0.087 too little
        log2 = np.float32(bits[i]) / _BITS - np.float32(127.0 - 0.087)
        bits[i] = np.int32((max(log2 * np.float32(_POWER), np.float32(-4.0)) + np.float32(127.0)) * _BITS)
    for i in range(height.size):
        window[i] = min(window[i], np.float32(MOST_NODES))
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


@kernel
def level_of(height: float, lorentzian: float, gamma: float, error: float, coarsest: int) -> int:
    """Return the level on which a line is drawn: the coarsest that resolves it."""
    squared = gamma * gamma * (1.0 / (RATIO * RATIO))
    fourth = squared * squared
    allowed = fourth * fourth * error
    needed = height * (_LORENTZIAN_8 * lorentzian + _GAUSSIAN_8 * (1.0 - lorentzian))
    level = 0
    while level < coarsest and allowed > needed:
        needed *= float(RATIO**8)
        level += 1
    return level


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


@kernel
def add_shaped_lines(y: Singles, lines: ShapedLines, share: float) -> bool:
    """Add lines to a buffer (LANES + P + LANES,); return False if none is on the grid.

    The unit of what is added is the highest line on the grid, as a Gaussian.

    Args:
        y: buffer.
        lines: see `ShapedLines`.
        share: what the highest line will be in the pattern, over the pattern's highest one: errors grow with 1 / share.

    """
    error = ERROR / share
    n_lines = lines.area.size
    height = np.empty(n_lines)
    line_heights(lines.area, lines.sharpness, height)
    unit = largest_visible_height(lines.centre, lines.sharpness, height, y.size - 2 * LANES)
    if unit == 0.0:
        return False
    half_width, window = np.empty(n_lines, np.float32), np.empty(n_lines, np.float32)
    half_widths(height, lines.sharpness, unit * (0.5 * error / FAINTEST), half_width)
    gamma, strength = np.empty(n_lines), np.empty(n_lines)
    plan_lines(height, lines.sharpness, lines.lorentzian, unit, error, gamma, strength, window)

    last, start = tail_levels(y.size - 2 * LANES)
    top = last.size - 1
    # the grid itself, level 0, is y
    levels = np.zeros(start[top + 1], np.float32)
    lowest, highest = 0.0, float(last[0])
    for i in range(n_lines):
        if lines.area[i] > 0.0:
            lowest, highest = min(lowest, lines.centre[i]), max(highest, lines.centre[i])
    source_start, top_first = source_limits(last, lowest, highest)
    sources = np.zeros(source_start[top + 1], np.float32)

    scale = 1.0 / unit
    any_tail, coarser = False, False
    for i in range(n_lines):
        h = scale * height[i]
        if h < error:
            continue
        centre, sharpness, eta = lines.centre[i], lines.sharpness[i], lines.lorentzian[i]
        gaussian, a, g, b = h * (1.0 - eta), strength[i], gamma[i], float(window[i])
        outside = max(-centre, centre - last[0])
        if h > 1.0 and outside > 0.0:
            # its tail may be all that is seen
            if gaussian > FLANK:
                add_flank(y, centre, sharpness, gaussian)
            elif gaussian > 0.0:
                add_near(y, last[0], centre, sharpness, gaussian, half_width[i], g, 0.0, 1.0)
            add_window(y, last[0], centre, g, a / (g * g), 0.0, EVERYWHERE)
            continue
        level, spacing = 0, 1.0
        for _ in range(level_of(h, eta, g, error, min(WIDEST_LEVEL, top - 1))):
            level, spacing, b = level + 1, RATIO * spacing, _FALL * b
            coarser = True
        b = max(b, NODES)
        if outside < max(RATIO * spacing * b, half_width[i]) + MARGIN * spacing:
            add_near(
                y if level == 0 else levels[start[level] : start[level + 1]],
                last[level],
                centre / spacing,
                sharpness * spacing,
                gaussian,
                half_width[i] / spacing,
                g / spacing,
                a / (spacing * spacing),
                RATIO * b,
            )
        if eta == 0.0:
            continue
        any_tail = True
        level, spacing = level + 1, RATIO * spacing
        usual = gamma_squared_at(lines, centre)
        while level < top and (b > NODES or wants_own_window(a, g, usual, spacing, error)):
            inner, b = b, max(_FALL * b, NODES)
            if outside < (RATIO * b + MARGIN) * spacing:
                nodes = levels[start[level] : start[level + 1]]
                add_window(nodes, last[level], centre / spacing, g / spacing, a / (g * g), inner, RATIO * b)
            level, spacing = level + 1, RATIO * spacing
        if b > NODES:
            nodes = levels[start[top] : start[top + 1]]
            add_window(nodes, last[top], centre / spacing, g / spacing, a / (g * g), b, EVERYWHERE)
            continue
        while level < top and outside > LEAVE * spacing:
            level, spacing = level + 1, RATIO * spacing
        first = top_first if level == top else -PAD
        anterpolate(sources[source_start[level] : source_start[level + 1]], centre / spacing - first, a)
    if any_tail:
        for level in range(1, top):
            own = sources[source_start[level] : source_start[level + 1]]
            first = top_first if level == top - 1 else -PAD
            gather_sources(own, sources[source_start[level + 1] : source_start[level + 2]], -PAD // RATIO - first)
            nodes = levels[start[level] : start[level + 1]]
            add_sources(own, nodes, last[level], float(RATIO**level), error, lines)
        own = sources[source_start[top] : source_start[top + 1]]
        add_top_sources(own, top_first, levels[start[top] : start[top + 1]], last[top], float(RATIO**top), lines)
    if any_tail or coarser:
        for level in range(top, 1, -1):
            finer = levels[start[level - 1] : start[level]]
            add_finer(levels[start[level] : start[level + 1]], finer, last[level - 1])
        add_finer(levels[start[1] : start[2]], y, last[0])
    return True

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

from xrdgen.diffraction.line_plan_kernels import (
    BESIDE,
    FALL,
    FAR,
    ROUTES,
    by_route,
    empty_plan,
    own_windows,
    plan_routes,
    plan_windows,
    seen_part,
)
from xrdgen.diffraction.lorentzian_kernels import (
    EVERYWHERE,
    MARGIN,
    MAX_LEVELS,
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
    anterpolate,
    gather_sources,
    source_limits,
    tail_levels,
)
from xrdgen.diffraction.tail_source_kernels import add_sources, add_top_sources
from xrdgen.jit import fast_kernel, kernel

ERROR = 1.2e-6
"""What one line may contribute to the error, in heights of the highest line of the pattern."""

_PER_SPACING = np.array([float(RATIO) ** -k for k in range(MAX_LEVELS + 1)])


Reals = NDArray[np.float64]
Singles = NDArray[np.float32]


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
    reach = max(half_width, seen_part(end) * end)
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


# fast: the order of sums is free; gamma is positive, so nothing is divided by zero
@fast_kernel
def add_between(
    y: Singles, last: int, centre: float, gamma: float, strength: float, inner_end: float, outer_end: float
) -> None:
    """Add L (w_(k+1)^6 - w_k^6) of one line to the work array of a level.

    Args:
        y: work array; its element LANES is node 0.
        last: last node.
        centre: of the line, in steps of the level from node 0, as all that follow.
        gamma: of the Lorentzian.
        strength: A.
        inner_end: half-width of the window w_k.
        outer_end: of w_(k+1).

    """
    reach = seen_part(outer_end) * outer_end
    low = max(1 - LANES, math.ceil(max(centre - reach, -LANES)))
    high = min(last, math.floor(min(centre + reach, last)))
    offset, numerator = np.float32(gamma * gamma), np.float32(strength)
    outer_end_squared, inner_end_squared = np.float32(outer_end * outer_end), np.float32(inner_end * inner_end)
    one, zero = np.float32(1.0), np.float32(0.0)
    outer_2, inner_2 = one / (outer_end_squared + offset), one / (inner_end_squared + offset)
    outer_0, inner_0 = outer_end_squared * outer_2, inner_end_squared * inner_2
    start = np.float32(low - centre)
    for begin in range(low + LANES, high + LANES + 1, LANES):
        lanes = y[begin : begin + LANES]
        for i in range(LANES):
            x = start + np.float32(i)
            x_squared = x * x
            outer = max(outer_0 - outer_2 * x_squared, zero)
            inner = max(inner_0 - inner_2 * x_squared, zero)
            outer *= outer
            inner *= inner
            lanes[i] += numerator * (outer * outer * outer - inner * inner * inner) / (x_squared + offset)
        start += np.float32(LANES)


@kernel
def add_far(
    lines: ShapedLines, scale: float, end: float, sources: Singles, start: NDArray[np.int64], top_first: int
) -> None:
    """Add the far lines to the sources of the levels that have need of them.

    Args:
        lines: with far ones.
        scale: factor of their A.
        end: last grid point.
        sources: of all levels.
        start: where those of each level begin, see `source_limits`.
        top_first: node of the coarsest level's first one.

    """
    top = start.size - 2
    leaves = np.empty(top)
    for level in range(1, top):
        leaves[level] = LEAVE * float(RATIO**level)
    for i in range(lines.far_centre.size):
        centre, strength = lines.far_centre[i], lines.far_strength[i]
        outside = centre - end
        level = 1
        for k in range(1, top):
            level += 1 if outside > leaves[k] else 0
        first = top_first if level == top else -PAD
        anterpolate(sources[start[level] : start[level + 1]], centre * _PER_SPACING[level] - first, scale * strength)


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
    last, start = tail_levels(y.size - 2 * LANES)
    top = last.size - 1
    plan = empty_plan(n_lines)
    half_widths(height, lines.sharpness, unit * (0.5 * error / FAINTEST), plan.half_width)
    plan_windows(height, lines, unit, error, plan)
    plan_routes(lines, error, last[0], top, plan)
    own_windows(lines, error, top, plan)
    order, n_drawn = by_route(plan.route)

    # the grid itself, level 0, is y
    levels = np.zeros(start[top + 1], np.float32)
    lowest, highest = 0.0, float(last[0])
    for i in range(n_lines):
        if lines.area[i] > 0.0:
            lowest, highest = min(lowest, lines.centre[i]), max(highest, lines.centre[i])
    for i in range(lines.far_centre.size):
        highest = max(highest, lines.far_centre[i])
    source_start, top_first = source_limits(last, lowest, highest)
    sources = np.zeros(source_start[top + 1], np.float32)

    any_tail, coarser = False, False
    for j in range(n_drawn):
        i = order[j]
        route = plan.route[i]
        centre, eta = lines.centre[i], lines.lorentzian[i]
        a, g = float(plan.strength[i]), float(plan.gamma[i])
        if route >= FAR and route < BESIDE:
            level = route - FAR
            any_tail = any_tail or a > 0.0
            first = top_first if level == top else -PAD
            place = centre * _PER_SPACING[level] - first
            anterpolate(sources[source_start[level] : source_start[level + 1]], place, a)
            continue
        sharpness = lines.sharpness[i]
        gaussian = plan.height[i] * (1.0 - eta)
        if route == BESIDE:
            # its tail may be all that is seen
            if gaussian > FLANK:
                add_flank(y, centre, sharpness, gaussian)
            elif gaussian > 0.0:
                add_near(y, last[0], centre, sharpness, gaussian, plan.half_width[i], g, 0.0, 1.0)
            add_window(y, last[0], centre, g, a / (g * g), 0.0, EVERYWHERE)
            continue
        level = route // ROUTES
        outside = max(-centre, centre - last[0])
        spacing = float(RATIO**level)
        coarser = coarser or level > 0
        b = max(plan.window[i], NODES)
        if outside < max(RATIO * spacing * b, plan.half_width[i]) + MARGIN * spacing:
            add_near(
                y if level == 0 else levels[start[level] : start[level + 1]],
                last[level],
                centre / spacing,
                sharpness * spacing,
                gaussian,
                plan.half_width[i] / spacing,
                g / spacing,
                a / (spacing * spacing),
                RATIO * b,
            )
        if eta == 0.0:
            continue
        any_tail = True
        level, spacing = level + 1, RATIO * spacing
        for _ in range(plan.n_windows[i]):
            inner, b = b, max(FALL * b, NODES)
            if outside < (RATIO * b + MARGIN) * spacing:
                nodes = levels[start[level] : start[level + 1]]
                add_between(
                    nodes, last[level], centre / spacing, g / spacing, a / (spacing * spacing), inner, RATIO * b
                )
            level, spacing = level + 1, RATIO * spacing
        if b > NODES and level == top:
            nodes = levels[start[top] : start[top + 1]]
            add_window(nodes, last[top], centre / spacing, g / spacing, a / (g * g), b, EVERYWHERE)
            continue
        while level < top and outside > LEAVE * spacing:
            level, spacing = level + 1, RATIO * spacing
        first = top_first if level == top else -PAD
        anterpolate(sources[source_start[level] : source_start[level + 1]], centre / spacing - first, a)
    if lines.far_centre.size > 0:
        any_tail = True
        add_far(lines, 1.0 / unit, float(last[0]), sources, source_start, top_first)
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

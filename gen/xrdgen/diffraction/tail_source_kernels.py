"""Kernels that let the sources of a level act on its nodes; the symbols are those of `tail_kernels`.

K_k depends on gamma, which changes slowly along the axis: it is tabulated at both ends and in the middle of each
segment of SEGMENT sources, with a parabola in between where that is right, else of shorter segments. On the coarsest
level every source acts everywhere.

# M sources    W length of a level's work array    N numbers
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from xrdgen.diffraction.lorentzian_kernels import EVERYWHERE, add_window
from xrdgen.diffraction.profile_kernels import LANES
from xrdgen.diffraction.shaped_line_kernels import ShapedLines
from xrdgen.diffraction.tail_kernels import NODES, PAD, REACH, SEGMENT, gamma_squared_at
from xrdgen.jit import fast_kernel, kernel

SHORT_SEGMENT = 8
"""The same where gamma changes fast."""

PARABOLA_ERROR = 0.5
"""Error of the parabola times the norm of a segment's sources, over what one line may contribute to the error."""

TOGETHER = 11
"""Nodes whose sources are added together, a third of 2 REACH + 1. Beyond half as many from its place, what a source
does hardly depends on gamma."""

_SQUARES = (np.arange(2 * REACH + 1) - REACH).astype(np.float32) ** 2

Singles = NDArray[np.float32]


# fast: the order of products is free; gamma is positive, so nothing is divided by zero
@fast_kernel
def fill_table(gamma_squared: float, scale: float, table: Singles) -> None:
    """Fill K_k (2 REACH + 1,) of a source at nodes -REACH ... REACH of its level.

    Args:
        gamma_squared: in steps of the level.
        scale: factor of all.
        table: filled.

    """
    outer, inner, offset = np.float32(REACH * REACH), np.float32(NODES * NODES), np.float32(gamma_squared)
    one, zero, factor = np.float32(1.0), np.float32(0.0), np.float32(scale)
    of_outer, of_inner = one / (outer + offset), one / (inner + offset)
    for i in range(2 * REACH + 1):
        x_squared = _SQUARES[i]
        wide = max((outer - x_squared) * of_outer, zero)
        narrow = max((inner - x_squared) * of_inner, zero)
        wide *= wide
        narrow *= narrow
        window = wide * wide * wide - narrow * narrow * narrow
        table[i] = factor * window / (x_squared + offset)


@kernel
def at_source(gamma_squared: float, scale: float) -> float:
    """Return K_k at its source; arguments as `fill_table`."""
    wide = REACH * REACH / (REACH * REACH + gamma_squared)
    narrow = NODES * NODES / (NODES * NODES + gamma_squared)
    return float(scale * (wide**6 - narrow**6) / gamma_squared)


# fast: the order of eleven terms is free
@fast_kernel
def add_taps(sources: Singles, weights: Singles, into: Singles) -> None:
    """Add sources i, i + 1 ..., TOGETHER of them, times their weights to number i of `into`."""
    w0, w1, w2, w3, w4, w5 = weights[0], weights[1], weights[2], weights[3], weights[4], weights[5]
    w6, w7, w8, w9, w10 = weights[6], weights[7], weights[8], weights[9], weights[10]
    for i in range(into.size):
        into[i] += (
            (w0 * sources[i] + w1 * sources[i + 1] + w2 * sources[i + 2] + w3 * sources[i + 3])
            + (w4 * sources[i + 4] + w5 * sources[i + 5] + w6 * sources[i + 6] + w7 * sources[i + 7])
            + (w8 * sources[i + 8] + w9 * sources[i + 9] + w10 * sources[i + 10])
        )


class SegmentWork(NamedTuple):
    """Work space for segments of one length, N sources."""

    left: Singles
    """(2 REACH + 1,) K_k at the first end, as those below."""
    middle: Singles
    right: Singles
    some: Singles
    """(3, N + 4 REACH), 0 but for 2 REACH ... 2 REACH + N - 1."""
    taps: Singles
    """(TOGETHER,)."""


@kernel
def segment_work(length: int) -> SegmentWork:
    """Return work space for segments of so many sources."""
    tables = np.empty((3, 2 * REACH + 1), np.float32)
    some = np.zeros((3, length + 4 * REACH), np.float32)
    return SegmentWork(tables[0], tables[1], tables[2], some, np.empty(TOGETHER, np.float32))


@kernel
def add_segment(own: Singles, work: SegmentWork, into: Singles) -> None:
    """Let the sources of a segment (N,) act on the nodes around them (N + 2 REACH,).

    Args:
        own: sources.
        work: with K_k at both ends and in the middle.
        into: added to.

    """
    left, middle, right, some, taps = work.left, work.middle, work.right, work.some, work.taps
    # K_k is symmetric; zeros on both sides, so that all nodes are treated alike
    inside = some[:, 2 * REACH : 2 * REACH + own.size]
    begin = REACH - TOGETHER // 2
    per_source = np.float32(1.0 / own.size)
    for i in range(own.size):
        t = np.float32(i) * per_source - np.float32(0.5)
        inside[0, i] = own[i]
        inside[1, i] = own[i] * t
        inside[2, i] = own[i] * t * t
    for first in range(0, 2 * REACH + 1, TOGETHER):
        add_taps(some[0, first:], middle[first:], into)
    for i in range(TOGETHER):
        taps[i] = right[begin + i] - left[begin + i]
    add_taps(some[1, begin:], taps, into)
    for i in range(TOGETHER):
        taps[i] = np.float32(2.0) * (right[begin + i] + left[begin + i]) - np.float32(4.0) * middle[begin + i]
    add_taps(some[2, begin:], taps, into)


# fast: the order of sums of squares is free
@fast_kernel
def norm(x: Singles) -> float:
    """Return the root of the sum of squares (N,)."""
    total = np.float32(0.0)
    for i in range(x.size):
        total += x[i] * x[i]
    return math.sqrt(total)


@kernel
def add_if_right(
    sources: Singles,
    begin: int,
    length: int,
    spacing: float,
    allowed: float,
    lines: ShapedLines,
    work: SegmentWork,
    around: Singles,
) -> bool:
    """Let a segment act on the nodes around it; return False, and do nothing, where the parabola is wrong.

    Args:
        sources: (M,) of a level, see `add_sources`.
        begin: the first one of the segment.
        length: of the segment.
        spacing: of the level, grid steps.
        allowed: error of the parabola.
        lines: their gamma^2 along the axis.
        work: see `SegmentWork`.
        around: (M + 2 REACH,) added to.

    """
    own = sources[begin : begin + length]
    strength = norm(own)
    if strength == 0.0:
        return True
    scale = 1.0 / (spacing * spacing)
    place, quarter = spacing * (begin - PAD), 0.25 * spacing * length
    low = gamma_squared_at(lines, place) * scale
    half = gamma_squared_at(lines, place + 2.0 * quarter) * scale
    high = gamma_squared_at(lines, place + 4.0 * quarter) * scale
    at_low, at_half, at_high = at_source(low, scale), at_source(half, scale), at_source(high, scale)
    # between both ends and the middle the parabola is worst
    before = at_source(gamma_squared_at(lines, place + quarter) * scale, scale)
    after = at_source(gamma_squared_at(lines, place + 3.0 * quarter) * scale, scale)
    wrong = max(
        abs(0.375 * at_low + 0.75 * at_half - 0.125 * at_high - before),
        abs(0.375 * at_high + 0.75 * at_half - 0.125 * at_low - after),
    )
    if strength * wrong > allowed:
        return False
    fill_table(low, scale, work.left)
    fill_table(half, scale, work.middle)
    fill_table(high, scale, work.right)
    add_segment(own, work, around[begin : begin + length + 2 * REACH])
    return True


@kernel
def add_source(
    amount: float, node: float, end: float, level: Singles, last: int, spacing: float, lines: ShapedLines
) -> None:
    """Let one source act on the nodes of its level, as far as `end` nodes from its own.

    Args:
        amount: A, grid steps squared.
        node: of the source.
        end: half-width, or EVERYWHERE.
        level: work array (W,).
        last: its last node.
        spacing: of the level, grid steps.
        lines: their gamma^2 along the axis.

    """
    squared = gamma_squared_at(lines, spacing * node)
    add_window(level, last, node, math.sqrt(squared) / spacing, amount / squared, NODES, end)


@kernel
def add_sources(sources: Singles, level: Singles, last: int, spacing: float, error: float, lines: ShapedLines) -> None:
    """Let the sources (M,) of a level act on its nodes; the first of them is PAD nodes before node 0.

    Where gamma changes too fast for the parabola, at high angles, segments are shorter, or each source acts by itself.

    Args:
        sources: A, grid steps squared.
        level: work array (W,).
        last: its last node.
        spacing: of the level, grid steps.
        error: what one line may contribute to the error.
        lines: their gamma^2 along the axis.

    """
    long_work, short_work = segment_work(SEGMENT), segment_work(SHORT_SEGMENT)
    allowed = error * PARABOLA_ERROR
    around = np.zeros(sources.size + 2 * REACH, np.float32)
    for begin in range(0, sources.size, SEGMENT):
        if add_if_right(sources, begin, SEGMENT, spacing, allowed, lines, long_work, around):
            continue
        for at in range(begin, begin + SEGMENT, SHORT_SEGMENT):
            if add_if_right(sources, at, SHORT_SEGMENT, spacing, allowed, lines, short_work, around):
                continue
            for k in range(at, at + SHORT_SEGMENT):
                if sources[k] != 0.0:
                    add_source(sources[k], float(k - PAD), float(REACH), level, last, spacing, lines)
    first = PAD + REACH - LANES
    wanted = around[first : first + LANES + last + 1]
    for i in range(wanted.size):
        level[i] += wanted[i]


@kernel
def add_top_sources(
    sources: Singles, first: int, level: Singles, last: int, spacing: float, lines: ShapedLines
) -> None:
    """Let the sources of the coarsest level act on all its nodes; the first of them is at node `first`."""
    for k in range(sources.size):
        if sources[k] != 0.0:
            add_source(sources[k], float(first + k), EVERYWHERE, level, last, spacing, lines)

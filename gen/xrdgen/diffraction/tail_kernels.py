"""Kernels that sum the tails of many Lorentzians at once, on levels of coarser and coarser nodes.

    symbol      variable        meaning                                                     reference
    h_k         spacing         RATIO^k grid steps, spacing of level k                      `lorentzian_kernels`
    A           amount          of a line, its tail is A / (x^2 + gamma^2)                  `pseudo_voigt_kernels`
    S_k         sources         what all lines give to the nodes of level k                 below
    w_k(x)      -               window of half-width NODES h_k                              `lorentzian_kernels`
    K_k(x)      table           (w_(k+1)^6 - w_k^6) / (x^2 + gamma^2), what level k draws   `lorentzian_kernels`

A line gives its A to the TAPS nodes around it with the weights of their interpolation (Brandt and Lubrecht, 1990,
"anterpolation"). Every source then acts on the nodes within REACH, and S_(k+1) is found of S_k in the same way, so that
the lines are looked at once. K_k depends on gamma, which changes slowly along the axis: it is tabulated at both ends
and in the middle of each segment of SEGMENT nodes, with a parabola in between where that is right. On the coarsest
level every source acts everywhere.

# K nodes of a level    M sources    S samples of gamma^2    W length of a level's work array    N numbers
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from xrdgen.diffraction.lorentzian_kernels import (
    BEFORE,
    EVERYWHERE,
    MARGIN,
    MAX_LEVELS,
    RATIO,
    TAPS,
    add_window,
)
from xrdgen.diffraction.profile_kernels import LANES
from xrdgen.diffraction.shaped_line_kernels import ShapedLines
from xrdgen.jit import fast_kernel, kernel

NODES = 4.0
"""Half-width of w_k in steps of level k, for lines that are not strong."""

REACH = int(NODES) * RATIO
"""The same of w_(k+1)."""

SEGMENT = 64
"""Sources that are treated together."""

TOGETHER = 11
"""Nodes whose sources are added together, a third of 2 REACH + 1. Beyond half as many from its place, what a source
does hardly depends on gamma."""

PAD = 32
"""Sources of a level on either side of its nodes 0 ... last; a whole number of cells of the next level."""

LEAVE = 24.0
"""Lines farther from the grid than this many steps of a level have no need of it: RATIO NODES, and what interpolation
looks at beyond the grid."""

TOP_NODES = 16
"""The coarsest level has no more nodes than this (but for its margin)."""

Reals = NDArray[np.float64]
Singles = NDArray[np.float32]


def _weights(places: Reals) -> Singles:
    """Return (places, TAPS): the weight of node t - BEFORE of a cell at places in it, 0 to 1 (Lagrange)."""
    nodes = np.arange(TAPS) - BEFORE
    weights = np.empty((len(places), TAPS))
    for t in range(TAPS):
        others = np.delete(nodes, t)
        weights[:, t] = np.prod((places[:, None] - others) / (nodes[t] - others), axis=1)
    return weights.astype(np.float32)


_W = np.ascontiguousarray(_weights(np.arange(RATIO) / RATIO).T)

_FRACTIONS = 128
_FINE = _weights(np.arange(_FRACTIONS + 1) / _FRACTIONS)
"""Weights at places in a cell; linear between them, they are right to 4e-5."""

_AROUND = SEGMENT + 2 * REACH
"""Nodes on which the sources of a segment act."""

_CELLS = 16
"""Cells that are interpolated together."""


@kernel
def tail_levels(n_points: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the last node of each level (K+1,), the grid being level 0, and where its work array begins (K+2,).

    The grid's work array is not among them; each has LANES nodes to spare on both sides, as `lorentzian_kernels` has.
    """
    last, start = np.empty(MAX_LEVELS, np.int64), np.zeros(MAX_LEVELS + 1, np.int64)
    last[0] = n_points - 1
    level = 0
    while (last[level] >= TOP_NODES or level == 0) and level + 1 < MAX_LEVELS:
        last[level + 1] = last[level] // RATIO + MARGIN
        level += 1
        start[level + 1] = start[level] + last[level] + 1 + 2 * LANES
    return last[: level + 1], start[: level + 2]


@kernel
def source_limits(last: NDArray[np.int64], lowest: float, highest: float) -> tuple[NDArray[np.int64], int]:
    """Return where the sources of each level begin among all (K+2,), and the node of the coarsest level's first one.

    Args:
        last: (K+1,) last nodes of the levels, see `tail_levels`.
        lowest: place of the first line, grid steps, at most 0.
        highest: of the last.

    """
    top = last.size - 1
    start = np.zeros(top + 2, np.int64)
    for level in range(1, top):
        start[level + 1] = start[level] + (last[level] + 2 * PAD + SEGMENT) // SEGMENT * SEGMENT
    spacing = float(RATIO**top)
    first = min(math.floor(lowest / spacing) - TAPS, -2 * TAPS)
    start[top + 1] = start[top] + max(math.ceil(highest / spacing), last[top]) + 3 * TAPS + 1 - first
    return start, first


# fast: products and sums
@fast_kernel
def anterpolate(nodes: Singles, place: float, amount: float) -> None:
    """Give an amount to the TAPS nodes around a place with the weights of their interpolation.

    Args:
        nodes: (M,).
        place: in steps from node 0, BEFORE or more, at most M - MARGIN - 1.
        amount: of a line.

    """
    cell = math.floor(place)
    x = (place - cell) * _FRACTIONS
    row = int(x)
    t, single = np.float32(x - row), np.float32(amount)
    low, high = _FINE[row], _FINE[row + 1]
    some = nodes[cell - BEFORE : cell - BEFORE + TAPS]
    for i in range(TAPS):
        some[i] += single * (low[i] + t * (high[i] - low[i]))


# fast: the order of sums is free
@fast_kernel
def gather_sources(fine: Singles, coarse: Singles, first: int) -> None:
    """Give the sources of a level to those of the next coarser one, as lines would.

    Args:
        fine: (M,) sources, M a multiple of RATIO and its first one at a node of the coarser level.
        coarse: of the coarser level, added to.
        first: number of that node among them, TAPS or more.

    """
    n = fine.size // RATIO
    cells = fine.reshape(n, RATIO)
    some = np.empty((RATIO, n), np.float32)
    for i in range(n):
        some[0, i], some[1, i], some[2, i], some[3, i] = cells[i, 0], cells[i, 1], cells[i, 2], cells[i, 3]
    whole, one, two, three = some[0], some[1], some[2], some[3]
    for t in range(TAPS):
        into = coarse[first - BEFORE + t : first - BEFORE + t + n]
        w0, w1, w2, w3 = _W[t, 0], _W[t, 1], _W[t, 2], _W[t, 3]
        for i in range(n):
            into[i] += (w0 * whole[i] + w1 * one[i]) + (w2 * two[i] + w3 * three[i])


@kernel
def sample_at(samples: Reals, place: float) -> float:
    """Return gamma^2 at a place (in samples), linear between the samples (S,)."""
    cell = min(max(int(place), 0), samples.size - 2)
    t = min(max(place - cell, 0.0), 1.0)
    return float(samples[cell] + t * (samples[cell + 1] - samples[cell]))


@kernel
def gamma_squared_at(lines: ShapedLines, place: float) -> float:
    """Return gamma^2 at a place, grid steps from the first grid point."""
    return sample_at(lines.gamma_squared, (place - lines.first_sample) * lines.samples_per_step)


# fast: the order of products is free; gamma is positive, so nothing is divided by zero
@fast_kernel
def fill_table(gamma_squared: float, scale: float, table: Singles) -> None:
    """Fill K_k (2 REACH + 1,) of a source at nodes -REACH ... REACH of its level.

    Args:
        gamma_squared: in steps of the level.
        scale: factor of all.
        table: filled.

    """
    outer, inner = float(REACH * REACH), NODES * NODES
    of_outer, of_inner = 1.0 / (outer + gamma_squared), 1.0 / (inner + gamma_squared)
    for i in range(2 * REACH + 1):
        x = float(i - REACH)
        x_squared = x * x
        wide = max((outer - x_squared) * of_outer, 0.0)
        narrow = max((inner - x_squared) * of_inner, 0.0)
        wide *= wide
        narrow *= narrow
        window = wide * wide * wide - narrow * narrow * narrow
        table[i] = np.float32(scale * window / (x_squared + gamma_squared))


# fast: the order of eleven terms is free
@fast_kernel
def add_taps(sources: Singles, weights: Singles, into: Singles) -> None:
    """Add sources i, i + 1 ..., TOGETHER of them, times their weights to number i of the _AROUND in `into`."""
    w0, w1, w2, w3, w4, w5 = weights[0], weights[1], weights[2], weights[3], weights[4], weights[5]
    w6, w7, w8, w9, w10 = weights[6], weights[7], weights[8], weights[9], weights[10]
    for i in range(_AROUND):
        into[i] += (
            (w0 * sources[i] + w1 * sources[i + 1] + w2 * sources[i + 2] + w3 * sources[i + 3])
            + (w4 * sources[i + 4] + w5 * sources[i + 5] + w6 * sources[i + 6] + w7 * sources[i + 7])
            + (w8 * sources[i + 8] + w9 * sources[i + 9] + w10 * sources[i + 10])
        )


@kernel
def add_segment(own: Singles, tables: Singles, some: Singles, taps: Singles, into: Singles) -> None:
    """Let the sources of a segment (SEGMENT,) act on the nodes around them (_AROUND,).

    Args:
        own: sources.
        tables: (3, 2 REACH + 1) K_k at its first end, middle and second end.
        some: (3, _AROUND + 2 REACH) work space, 0 but for 2 REACH ... 2 REACH + SEGMENT - 1.
        taps: (TOGETHER,) work space.
        into: added to.

    """
    # K_k is symmetric; zeros on both sides, so that all nodes are treated alike
    inside = some[:, 2 * REACH : 2 * REACH + SEGMENT]
    begin = REACH - TOGETHER // 2
    for i in range(SEGMENT):
        t = np.float32(i) * np.float32(1.0 / SEGMENT) - np.float32(0.5)
        inside[0, i] = own[i]
        inside[1, i] = own[i] * t
        inside[2, i] = own[i] * t * t
    left, middle, right = tables[0], tables[1], tables[2]
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
def add_sources(sources: Singles, level: Singles, last: int, spacing: float, error: float, lines: ShapedLines) -> None:
    """Let the sources (M,) of a level act on its nodes; the first of them is PAD nodes before node 0.

    Where gamma changes too fast for the parabola, at high angles, each source acts by itself.

    Args:
        sources: A, grid steps squared.
        level: work array (W,).
        last: its last node.
        spacing: of the level, grid steps.
        error: what the parabola may be wrong by.
        lines: their gamma^2 along the axis.

    """
    tables = np.empty((5, 2 * REACH + 1), np.float32)
    some, taps = np.zeros((3, _AROUND + 2 * REACH), np.float32), np.empty(TOGETHER, np.float32)
    scale = 1.0 / (spacing * spacing)
    around = np.zeros(sources.size + 2 * REACH, np.float32)
    for begin in range(0, sources.size, SEGMENT):
        own = sources[begin : begin + SEGMENT]
        strength = norm(own)
        if strength == 0.0:
            continue
        # both ends and the middle, and in between, where the parabola is worst
        for j in range(5):
            place = spacing * (begin - PAD + (0.0, 0.5, 1.0, 0.25, 0.75)[j] * SEGMENT)
            fill_table(gamma_squared_at(lines, place) * scale, scale, tables[j])
        left, middle, right = tables[0, REACH], tables[1, REACH], tables[2, REACH]
        wrong = max(
            abs(0.375 * left + 0.75 * middle - 0.125 * right - tables[3, REACH]),
            abs(0.375 * right + 0.75 * middle - 0.125 * left - tables[4, REACH]),
        )
        if TAPS * strength * wrong <= error:
            add_segment(own, tables[:3], some, taps, around[begin : begin + _AROUND])
            continue
        for i in range(SEGMENT):
            if own[i] != 0.0:
                node = float(begin - PAD + i)
                squared = gamma_squared_at(lines, spacing * node)
                gamma, height = math.sqrt(squared) / spacing, own[i] / squared
                add_window(level, last, node, gamma, height, NODES, float(REACH))
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
            squared = gamma_squared_at(lines, spacing * (first + k))
            height = sources[k] / squared
            add_window(level, last, float(first + k), math.sqrt(squared) / spacing, height, NODES, EVERYWHERE)


# fast: the order of eight terms is free
@fast_kernel
def add_finer(coarse: Singles, fine: Singles, last: int) -> None:
    """Add a level to the next finer one, up to its last node, by the polynomial through TAPS nodes.

    Cells begin at node -1: the nodes -MARGIN ... -1 of the finer level are wanted for its own interpolation. They are
    interpolated _CELLS at a time.
    """
    n_cells = last // RATIO + 2
    nodes, found = np.zeros(_CELLS + TAPS, np.float32), np.empty((RATIO - 1, _CELLS), np.float32)
    one, two, three = found[0], found[1], found[2]
    for begin in range(0, n_cells, _CELLS):
        n = min(_CELLS, n_cells - begin)
        some = coarse[LANES - MARGIN + begin : LANES - MARGIN + begin + n + TAPS - 1]
        for i in range(some.size):
            nodes[i] = some[i]
        for i in range(_CELLS):
            c0, c1, c2, c3 = nodes[i], nodes[i + 1], nodes[i + 2], nodes[i + 3]
            c4, c5, c6, c7 = nodes[i + 4], nodes[i + 5], nodes[i + 6], nodes[i + 7]
            one[i] = (_W[0, 1] * c0 + _W[1, 1] * c1 + _W[2, 1] * c2 + _W[3, 1] * c3) + (
                _W[4, 1] * c4 + _W[5, 1] * c5 + _W[6, 1] * c6 + _W[7, 1] * c7
            )
            two[i] = (_W[0, 2] * c0 + _W[1, 2] * c1 + _W[2, 2] * c2 + _W[3, 2] * c3) + (
                _W[4, 2] * c4 + _W[5, 2] * c5 + _W[6, 2] * c6 + _W[7, 2] * c7
            )
            three[i] = (_W[0, 3] * c0 + _W[1, 3] * c1 + _W[2, 3] * c2 + _W[3, 3] * c3) + (
                _W[4, 3] * c4 + _W[5, 3] * c5 + _W[6, 3] * c6 + _W[7, 3] * c7
            )
        into = fine[LANES + RATIO * (begin - 1) : LANES + RATIO * (begin - 1) + RATIO * n]
        for i in range(n):
            into[RATIO * i] += nodes[i + BEFORE]
            into[RATIO * i + 1] += one[i]
            into[RATIO * i + 2] += two[i]
            into[RATIO * i + 3] += three[i]

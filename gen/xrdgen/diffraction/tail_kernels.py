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
    MARGIN,
    MAX_LEVELS,
    RATIO,
    TAPS,
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
_FINE = _weights(np.arange(_FRACTIONS + 1) / _FRACTIONS).ravel()
"""Weights at places in a cell; linear between them, they are right to 4e-5."""
_T1, _T2, _T3, _T4, _T5, _T6, _T7 = (np.uint64(t) for t in range(1, TAPS))

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
    cell = int(place)
    x = (place - cell) * _FRACTIONS
    row = int(x)
    t, single = np.float32(x - row), np.float32(amount)
    first = np.uint64(cell - BEFORE)
    weights = np.uint64(TAPS * row)
    # all is read before anything is written: the compiler makes one vector of it
    l0, l1, l2, l3 = _FINE[weights], _FINE[weights + _T1], _FINE[weights + _T2], _FINE[weights + _T3]
    l4, l5, l6, l7 = _FINE[weights + _T4], _FINE[weights + _T5], _FINE[weights + _T6], _FINE[weights + _T7]
    weights += np.uint64(TAPS)
    h0, h1, h2, h3 = _FINE[weights], _FINE[weights + _T1], _FINE[weights + _T2], _FINE[weights + _T3]
    h4, h5, h6, h7 = _FINE[weights + _T4], _FINE[weights + _T5], _FINE[weights + _T6], _FINE[weights + _T7]
    n0, n1, n2, n3 = nodes[first], nodes[first + _T1], nodes[first + _T2], nodes[first + _T3]
    n4, n5, n6, n7 = nodes[first + _T4], nodes[first + _T5], nodes[first + _T6], nodes[first + _T7]
    nodes[first] = n0 + single * (l0 + t * (h0 - l0))
    nodes[first + _T1] = n1 + single * (l1 + t * (h1 - l1))
    nodes[first + _T2] = n2 + single * (l2 + t * (h2 - l2))
    nodes[first + _T3] = n3 + single * (l3 + t * (h3 - l3))
    nodes[first + _T4] = n4 + single * (l4 + t * (h4 - l4))
    nodes[first + _T5] = n5 + single * (l5 + t * (h5 - l5))
    nodes[first + _T6] = n6 + single * (l6 + t * (h6 - l6))
    nodes[first + _T7] = n7 + single * (l7 + t * (h7 - l7))


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

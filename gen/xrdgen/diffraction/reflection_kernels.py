"""Kernels that list the reflections inside the limiting sphere, one of each set of Laue-equivalent ones.

    symbol      variable            meaning                                                 reference
    G*          metric              reciprocal metric tensor, 1/Å^2: 1/d^2 = h G* h^T       Int. Tables B, 1.1.3
    1/d^2       d_star_squared      (2 sin(theta) / lambda)^2                               Bragg's law
    m(hkl)      multiplicity        |Laue class| / |stabiliser of hkl|                      orbit-stabiliser theorem

Reflections are listed in rows: h and k fixed, l running. A row is kept if no Laue operation that keeps l apart
(`group_tables`) turns its (h, k) into one that is larger in lexical order; such rows fill a wedge of the plane. Of the
operations that fix (h, k), `plus` leave l alone and `minus` reverse it (inside the wedge only the identity and a mirror
plane z do): with minus > 0 only l >= 0 is needed, and the multiplicity of the row is

    |Laue class| / plus             for l != 0
    |Laue class| / (plus + minus)   for l = 0

In cubic groups k and l are confined further: h >= k >= l >= 0 in m-3m; h the largest of three indices that are not
negative in m-3 (where only cyclic permutations are equivalent).

A row is divided into runs: l = l_0, l_0 + m, l_0 + 2 m ... with m the period of `group_tables`, so that centring and
the phases of the operations' translations are the same all along a run.

# N runs of reflections
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from xrdgen.diffraction.group_tables import LAUE_M3, LAUE_M3M, NOT_CUBIC
from xrdgen.jit import kernel
from xrdgen.symmetry.lattice_kernels import cosine_of_degrees

RUN_H, RUN_K, RUN_FIRST_L, RUN_LENGTH, RUN_PLUS, RUN_MINUS = range(6)
"""Rows of the array of runs."""

EDGE = 1e-9
"""Indices within this of the limiting sphere count as inside (rounding of the metric)."""


@kernel
def exact_cell(cell: NDArray[np.float64], space_group: int) -> NDArray[np.float64]:
    """Return the cell (6,) with what the crystal system fixes made exact (International Tables A, table 2.1.1.1).

    Equivalent reflections then have equal 1/d^2, and none of them lies outside the range of indices.
    """
    exact = cell.copy()
    if space_group > 2:  # monoclinic (unique axis b) and higher
        exact[3] = 90.0
        exact[5] = 120.0 if 143 <= space_group <= 194 else 90.0
    if space_group > 15:  # orthorhombic and higher
        exact[4] = 90.0
    if space_group > 74:  # tetragonal and higher
        exact[1] = exact[0]
    if space_group > 194:  # cubic
        exact[2] = exact[0]
    return exact


@kernel
def index_limit(max_d_star_squared: float, length: float) -> int:
    """Return the largest |h| inside the limiting sphere for an axis of some length: h = a . d* <= a |d*|."""
    return int(math.sqrt(max_d_star_squared) * length + EDGE)


@kernel
def reciprocal_metric(cell: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return G* (3, 3), the inverse of the metric tensor of a cell (6,) in Å and degrees."""
    a, b, c = cell[0], cell[1], cell[2]
    g00, g11, g22 = a * a, b * b, c * c
    g12 = b * c * cosine_of_degrees(cell[3])
    g02 = a * c * cosine_of_degrees(cell[4])
    g01 = a * b * cosine_of_degrees(cell[5])
    metric = np.empty((3, 3))
    metric[0, 0] = g11 * g22 - g12 * g12
    metric[1, 1] = g00 * g22 - g02 * g02
    metric[2, 2] = g00 * g11 - g01 * g01
    metric[0, 1] = metric[1, 0] = g02 * g12 - g01 * g22
    metric[0, 2] = metric[2, 0] = g01 * g12 - g02 * g11
    metric[1, 2] = metric[2, 1] = g01 * g02 - g12 * g00
    volume_squared = g00 * metric[0, 0] + g01 * metric[0, 1] + g02 * metric[0, 2]
    metric /= volume_squared
    return metric


@kernel
def l_limits(metric: NDArray[np.float64], h: int, k: int, max_d_star_squared: float) -> tuple[int, int]:
    """Return the first and last l of row (h, k) inside the limiting sphere; first > last where there is none.

    1/d^2 = constant + 2 linear l + G*_22 l^2, a parabola in l.
    """
    constant = metric[0, 0] * h * h + metric[1, 1] * k * k + 2.0 * metric[0, 1] * h * k
    linear = metric[0, 2] * h + metric[1, 2] * k
    discriminant = linear * linear - metric[2, 2] * (constant - max_d_star_squared)
    if discriminant < 0.0:
        return 1, 0
    root = math.sqrt(discriminant)
    first = math.ceil((-linear - root) / metric[2, 2] - EDGE)
    last = math.floor((-linear + root) / metric[2, 2] + EDGE)
    return int(first), int(last)


@kernel
def stabiliser_of_row(
    h: int, k: int, laue_in_plane: NDArray[np.int64], laue_sigma: NDArray[np.int64]
) -> tuple[int, int]:
    """Return (plus, minus) of row (h, k), or (0, 0) if an equivalent row is larger in lexical order."""
    plus = 0
    minus = 0
    for o in range(laue_sigma.size):
        image_h = h * laue_in_plane[o, 0, 0] + k * laue_in_plane[o, 1, 0]
        image_k = h * laue_in_plane[o, 0, 1] + k * laue_in_plane[o, 1, 1]
        if image_h > h or (image_h == h and image_k > k):
            return 0, 0
        if image_h == h and image_k == k:
            if laue_sigma[o] > 0:
                plus += 1
            else:
                minus += 1
    return plus, minus


@kernel
def cubic_last_l(h: int, k: int, last: int, cubic: int) -> int:
    """Return the last l of a cubic row (h >= 0) that is not equivalent to an earlier one; -1 where there is none."""
    if k < 0 or k > h:
        return -1
    if cubic == LAUE_M3M:
        return min(last, k)
    return min(last, h - 1) if h > k else min(last, h)


@kernel
def class_exists(h: int, k: int, l: int, centring24: NDArray[np.int64]) -> bool:  # noqa: E741
    """Whether centring leaves the reflection: h . t is whole for all t."""
    for c in range(centring24.shape[0]):
        if (h * centring24[c, 0] + k * centring24[c, 1] + l * centring24[c, 2]) % 24 != 0:
            return False
    return True


@kernel
def k_limits(metric: NDArray[np.float64], h: int, max_d_star_squared: float) -> tuple[int, int]:
    """Return the first and last k of rows (h, k) that cut the limiting sphere; first > last where there is none.

    With the l of the least 1/d^2, -(G*_02 h + G*_12 k) / G*_22, 1/d^2 is a parabola in k.
    """
    quadratic = metric[1, 1] - metric[1, 2] * metric[1, 2] / metric[2, 2]
    linear = h * (metric[0, 1] - metric[0, 2] * metric[1, 2] / metric[2, 2])
    constant = h * h * (metric[0, 0] - metric[0, 2] * metric[0, 2] / metric[2, 2])
    discriminant = linear * linear - quadratic * (constant - max_d_star_squared)
    if discriminant < 0.0:
        return 1, 0
    root = math.sqrt(discriminant)
    return math.ceil((-linear - root) / quadratic - EDGE), math.floor((-linear + root) / quadratic + EDGE)


@kernel
def list_runs(
    cell: NDArray[np.float64],
    metric: NDArray[np.float64],
    max_d_star_squared: float,
    laue_in_plane: NDArray[np.int64],
    laue_sigma: NDArray[np.int64],
    cubic: int,
    wedge: NDArray[np.float64],
    mirror: int,
    period: int,
    centring24: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Return the runs (6, N) of the reflections with 1/d^2 up to a limit; rows are RUN_H ... RUN_MINUS."""
    max_h = index_limit(max_d_star_squared, cell[0])
    max_k = index_limit(max_d_star_squared, cell[1])
    runs = np.empty((6, (max_h + 1) * (2 * max_k + 1) * period), np.int64)
    n = 0
    for h in range(max_h + 1):
        first_k, last_k = k_limits(metric, h, max_d_star_squared)
        first_k, last_k = max(first_k, -max_k), min(last_k, max_k)
        if wedge[0] > -1.5:
            first_k = max(first_k, math.ceil(wedge[0] * h))
        if wedge[1] < 1.5:
            last_k = min(last_k, math.floor(wedge[1] * h))
        for k in range(first_k, last_k + 1):
            if h > 0 and wedge[0] * h < k < wedge[1] * h:
                plus, minus = 1, mirror
            else:
                plus, minus = stabiliser_of_row(h, k, laue_in_plane, laue_sigma)
                if plus == 0:
                    continue
            first, last = l_limits(metric, h, k, max_d_star_squared)
            if minus > 0:
                first = max(first, 0)
            if cubic != NOT_CUBIC:
                last = cubic_last_l(h, k, last, cubic)
            if h == 0 and k == 0:
                first = max(first, 1)
            # an l of every class modulo the period
            for first_of_class in range(first, min(first + period, last + 1)):
                if class_exists(h, k, first_of_class, centring24):
                    runs[RUN_H, n] = h
                    runs[RUN_K, n] = k
                    runs[RUN_FIRST_L, n] = first_of_class
                    runs[RUN_LENGTH, n] = (last - first_of_class) // period + 1
                    runs[RUN_PLUS, n] = plus
                    runs[RUN_MINUS, n] = minus
                    n += 1
    return runs[:, :n]


@kernel
def longest_first(runs: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the runs (6, N) by decreasing length, else in the order given."""
    n_runs = runs.shape[1]
    longest = 0
    for i in range(n_runs):
        longest = max(longest, runs[RUN_LENGTH, i])
    place = np.zeros(longest + 2, np.int64)
    for i in range(n_runs):
        place[runs[RUN_LENGTH, i]] += 1
    # from the number of runs of a length to the place of the first
    before = 0
    for length in range(longest, 0, -1):
        before, place[length] = before + place[length], before
    sorted_runs = np.empty((6, n_runs), np.int64)
    for i in range(n_runs):
        at = place[runs[RUN_LENGTH, i]]
        place[runs[RUN_LENGTH, i]] += 1
        for column in range(6):
            sorted_runs[column, at] = runs[column, i]
    return sorted_runs


@kernel
def multiplicity(h: int, k: int, l: int, plus: int, minus: int, laue_order: int, cubic: int) -> int:  # noqa: E741
    """Return the number of reflections that are Laue-equivalent to hkl of a listed run."""
    if cubic == NOT_CUBIC:
        return laue_order // plus if l != 0 else laue_order // (plus + minus)
    signs = (2 if h != 0 else 1) * (2 if k != 0 else 1) * (2 if l != 0 else 1)
    if h == k and k == l:
        return signs
    if cubic == LAUE_M3 or h == k or k == l:
        return 3 * signs
    return 6 * signs

"""Kernel for preferred orientation; see `texture`.

Instead of the reflections, the axis is turned: its equivalents are few and are listed once a pattern. Those that
differ by sign give the same weight, and an axis on a symmetry element has fewer than the Laue class has operations.

# R reflections    Q distinct equivalents of the axis, at most 24
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from xrdgen.diffraction.effects.parameters import PatternParameters
from xrdgen.diffraction.group_tables import NOT_CUBIC, GroupTables
from xrdgen.jit import fast_kernel, kernel

Reals = NDArray[np.float64]
Integers = NDArray[np.int64]

MAX_EQUIVALENTS = 24
"""Half the order of m-3m."""

_SAME = 1e-6


@kernel
def equivalent_axes(axis: Reals, space_group: int, groups: GroupTables, equivalents: Reals) -> int:
    """Fill the distinct equivalents (Q, 3) of an axis (3,) under the Laue class, up to sign; return Q.

    Args:
        axis: (3,) h k l.
        space_group: International Tables number.
        groups: `group_tables()`.
        equivalents: (`MAX_EQUIVALENTS`, 3) filled.

    """
    g = space_group - 1
    turns = 1 if groups.cubic[g] == NOT_CUBIC else 3
    turned = np.empty(3)
    n = 0
    for o in range(groups.laue_start[g], groups.laue_start[g + 1]):
        b = groups.laue_in_plane[o]
        h = axis[0] * b[0, 0] + axis[1] * b[1, 0]
        k = axis[0] * b[0, 1] + axis[1] * b[1, 1]
        l = axis[2] * groups.laue_sigma[o]  # noqa: E741
        for turn in range(turns):
            turned[turn % 3], turned[(turn + 1) % 3], turned[(turn + 2) % 3] = h, k, l
            known = False
            for i in range(n):
                same = opposite = True
                for j in range(3):
                    same = same and abs(turned[j] - equivalents[i, j]) < _SAME
                    opposite = opposite and abs(turned[j] + equivalents[i, j]) < _SAME
                known = known or same or opposite
            if not known:
                equivalents[n] = turned
                n += 1
    return n


# fast: sums of positive terms; neither reflection nor axis is 0 0 0
@fast_kernel
def texture_weights(
    hkl: Integers,
    reciprocal_metric: Reals,
    space_group: int,
    groups: GroupTables,
    parameters: PatternParameters,
    weight: Reals,
) -> None:
    """Fill W (R,) of reflections.

    Args:
        hkl: (R, 3).
        reciprocal_metric: (3, 3) G*, 1/Å^2.
        space_group: International Tables number.
        groups: `group_tables()`.
        parameters: with r and axis.
        weight: (R,) filled.

    """
    axis = np.array([parameters.texture_h, parameters.texture_k, parameters.texture_l])
    equivalents = np.empty((MAX_EQUIVALENTS, 3))
    n_axes = equivalent_axes(axis, space_group, groups, equivalents)
    # rows G* p / |p|, so that one product with hkl gives cos(alpha) |h|
    duals = np.empty((n_axes, 3))
    for q in range(n_axes):
        length = 0.0
        for i in range(3):
            duals[q, i] = 0.0
            for j in range(3):
                duals[q, i] += reciprocal_metric[i, j] * equivalents[q, j]
            length += duals[q, i] * equivalents[q, i]
        for i in range(3):
            duals[q, i] /= math.sqrt(length)
    g = reciprocal_metric
    r = parameters.march_r
    flat, steep = 1.0 / r, r * r - 1.0 / r
    for i in range(weight.size):
        h, k, l = float(hkl[i, 0]), float(hkl[i, 1]), float(hkl[i, 2])  # noqa: E741
        length = g[0, 0] * h * h + g[1, 1] * k * k + g[2, 2] * l * l
        length += 2.0 * (g[0, 1] * h * k + g[0, 2] * h * l + g[1, 2] * k * l)
        total = 0.0
        for q in range(n_axes):
            product = duals[q, 0] * h + duals[q, 1] * k + duals[q, 2] * l
            x = flat + steep * min(product * product / length, 1.0)
            total += 1.0 / (x * math.sqrt(x))
        weight[i] = total / n_axes

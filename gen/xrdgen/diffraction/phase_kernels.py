"""Kernels for phases: the atoms under symmetry, and what each contributes to a run of reflections.

    symbol      variable            meaning                                                     reference
    h           h, k, l             indices of a reflection                                     -
    l           first_l + m n       n = 0, 1, 2 ... along a run                                 `reflection_kernels`
    m           period              period of h . t in l                                        `group_tables`
    x, y, z     images              fractional coordinates of an atom                           -
    w           weights             occupancy multiplicity / |G| x scale                        `group_tables`
    B, t        plane_*, row_*      operation with z apart: (x, y) -> epsilon B (x, y) + t,     `group_tables`
    epsilon     epsilon             z -> sigma z + t_z
    sigma       sigma

The sum over the operations of a group at an atom x, y, z is, along a run,

    sum_o  r_o (X + i epsilon_o Y) exp(i sigma_o 2 pi l z)
    X + i Y = w exp 2 pi i (h, k) B . (x, y)        r_o = c_o + i s_o = exp 2 pi i h . t_o, equal for all l of the run

for the operations o of one B up to sign (a "plane"), and the sum of this over the planes. In it there stand before

                    cos 2 pi l z                            -sin 2 pi l z
    real part       X sum c - Y sum epsilon s               X sum sigma s + Y sum sigma epsilon c
    imaginary part  X sum s + Y sum epsilon c               Y sum sigma epsilon s - X sum sigma c

These are the factors; turned by the angle 2 pi first_l z they stand before cos and -sin of 2 pi m n z. A further
reflection of the run then costs two multiplications an atom and part, whatever the order of the group; with an
inversion at the origin only the real part is there. All loops run over the runs, which are many.

# A atom rows    B atoms after coset tripling, sorted by species    N runs    P planes    Q longest run
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from xrdgen.diffraction.group_tables import GroupTables
from xrdgen.diffraction.reflection_kernels import RUN_FIRST_L, RUN_H, RUN_K
from xrdgen.jit import fast_kernel, kernel

ROOTS_OF_UNITY = np.exp(2j * np.pi * np.arange(25) / 24)
"""exp(2 pi i p / 24): the phase of h . t, whose translations are multiples of 1/24."""
ROOT_COS = np.ascontiguousarray(ROOTS_OF_UNITY.real)
ROOT_SIN = np.ascontiguousarray(ROOTS_OF_UNITY.imag)

REAL_COS, REAL_SIN, IMAGINARY_COS, IMAGINARY_SIN = range(4)
"""Of the factors (4, B, N) of cos 2 pi l z and -sin 2 pi l z in the real and imaginary part of F."""

Reals = NDArray[np.float64]
Integers = NDArray[np.int64]


class Phases(NamedTuple):
    """Cos and sin of 2 pi h x, 2 pi k y and 2 pi l z of atoms, (B, indices) each, index 0 in the middle."""

    cos_h: Reals
    """Times the weight, as sin_h."""
    sin_h: Reals
    cos_k: Reals
    sin_k: Reals
    cos_l: Reals
    sin_l: Reals


@kernel
def expand_cosets(positions: Reals, order: Integers, rotation: Reals, translation: Reals) -> Reals:
    """Return the sorted atoms under each coset operation, (3, B), B = A x cosets, images of an atom side by side."""
    n_cosets = translation.shape[0]
    images = np.empty((3, order.size * n_cosets))
    for i in range(order.size):
        for c in range(n_cosets):
            for axis in range(3):
                images[axis, i * n_cosets + c] = (
                    rotation[c, axis, 0] * positions[order[i], 0]
                    + rotation[c, axis, 1] * positions[order[i], 1]
                    + rotation[c, axis, 2] * positions[order[i], 2]
                    + translation[c, axis]
                )
    return images


@kernel
def phase_table(coordinate: Reals, max_index: int, amplitude: Reals) -> tuple[Reals, Reals]:
    """Return amplitude x cos and sin of 2 pi n x, (B, 2 max_index + 1) each, for n = -max_index ... max_index.

    Made by rotation.
    """
    cos_table = np.empty((coordinate.size, 2 * max_index + 1))
    sin_table = np.empty((coordinate.size, 2 * max_index + 1))
    for j in range(coordinate.size):
        angle = 2.0 * math.pi * coordinate[j]
        cos_step, sin_step = math.cos(angle), math.sin(angle)
        c, s = amplitude[j], 0.0
        for n in range(max_index + 1):
            cos_table[j, max_index + n] = cos_table[j, max_index - n] = c
            sin_table[j, max_index + n] = s
            sin_table[j, max_index - n] = -s
            c, s = c * cos_step - s * sin_step, c * sin_step + s * cos_step
    return cos_table, sin_table


@kernel
def step_table(z: Reals, period: int, n_steps: int) -> tuple[Reals, Reals]:
    """Return cos and -sin of 2 pi m n z, (B, Q) each, for the steps n = 0 ... Q - 1 of a run; made by rotation."""
    cos_table = np.empty((z.size, n_steps))
    sin_table = np.empty((z.size, n_steps))
    for j in range(z.size):
        angle = 2.0 * math.pi * z[j] * period
        cos_step, sin_step = math.cos(angle), math.sin(angle)
        c, s = 1.0, 0.0
        for n in range(n_steps):
            cos_table[j, n] = c
            sin_table[j, n] = -s
            c, s = c * cos_step - s * sin_step, c * sin_step + s * cos_step
    return cos_table, sin_table


# fast: the phases of a handful of operations may be summed in any order
@fast_kernel
def sum_phases(runs: Integers, first: int, stop: int, groups: GroupTables, sums: Reals) -> None:
    """Set the sums (4 or 8, N) over the operations first ... stop - 1: what X, Y are multiplied with in each factor.

    These are c, -epsilon s; sigma s, sigma epsilon c; s, epsilon c; -sigma c, sigma epsilon s.
    """
    sums[:] = 0.0
    for o in range(first, stop):
        t_x, t_y, t_z = groups.row_translation24[o, 0], groups.row_translation24[o, 1], groups.row_translation24[o, 2]
        epsilon, sigma = float(groups.row_epsilon[o]), float(groups.row_sigma[o])
        for r in range(runs.shape[1]):
            turns = (runs[RUN_H, r] * t_x + runs[RUN_K, r] * t_y + runs[RUN_FIRST_L, r] * t_z) / 24.0
            phase24 = np.uint64((turns - math.floor(turns)) * 24.0 + 0.5)
            c, s = ROOT_COS[phase24], ROOT_SIN[phase24]
            sums[0, r] += c
            sums[1, r] -= epsilon * s
            sums[2, r] += sigma * s
            sums[3, r] += sigma * epsilon * c
            if sums.shape[0] > 4:
                sums[4, r] += s
                sums[5, r] += epsilon * c
                sums[6, r] -= sigma * c
                sums[7, r] += sigma * epsilon * s


@kernel
def phases_of(runs: Integers, images: Reals, weights: Reals, max_h: int, max_k: int) -> Phases:
    """Return the phase tables of the atoms, with one index to spare: rounding must not lead outside them."""
    max_l = 0
    for r in range(runs.shape[1]):
        max_l = max(max_l, abs(runs[RUN_FIRST_L, r]))
    ones = np.ones(weights.size)
    cos_h, sin_h = phase_table(images[0], max_h + 1, weights)
    cos_k, sin_k = phase_table(images[1], max_k + 1, ones)
    cos_l, sin_l = phase_table(images[2], max_l, ones)
    return Phases(cos_h, sin_h, cos_k, sin_k, cos_l, sin_l)


# fast: see `sum_phases`
@fast_kernel
def add_plane(in_plane: Integers, runs: Integers, phases: Phases, sums: Reals, factors: Reals) -> None:
    """Add the operations of one plane to the factors.

    Args:
        in_plane: (2, 2) B of the plane.
        runs: (6, N).
        phases: of the atoms.
        sums: (2 parts, N) of `sum_phases`.
        factors: (parts, B, N) added to.

    """
    max_h, max_k = phases.cos_h.shape[1] // 2, phases.cos_k.shape[1] // 2
    n_runs = runs.shape[1]
    # unsigned: an index that cannot be negative is taken as it is
    at_h, at_k = np.empty(n_runs, np.uint64), np.empty(n_runs, np.uint64)
    x, y = np.empty(n_runs), np.empty(n_runs)
    for r in range(n_runs):
        at_h[r] = max_h + runs[RUN_H, r] * in_plane[0, 0] + runs[RUN_K, r] * in_plane[1, 0]
        at_k[r] = max_k + runs[RUN_H, r] * in_plane[0, 1] + runs[RUN_K, r] * in_plane[1, 1]
    for j in range(factors.shape[1]):
        for r in range(n_runs):
            cos_h, sin_h = phases.cos_h[j, at_h[r]], phases.sin_h[j, at_h[r]]
            cos_k, sin_k = phases.cos_k[j, at_k[r]], phases.sin_k[j, at_k[r]]
            x[r] = cos_h * cos_k - sin_h * sin_k
            y[r] = cos_h * sin_k + sin_h * cos_k
        for part in range(factors.shape[0]):
            for r in range(n_runs):
                factors[part, j, r] += sums[2 * part, r] * x[r] + sums[2 * part + 1, r] * y[r]


# fast: products and one difference
@fast_kernel
def turn(runs: Integers, phases: Phases, part: int, factors: Reals) -> None:
    """Turn the factors (4, B, N) of one part by 2 pi first_l z, so that they belong to the first l of their run.

    a cos(u + v) - b sin(u + v)  =  (a cos u - b sin u) cos v  -  (a sin u + b cos u) sin v
    """
    max_l = phases.cos_l.shape[1] // 2
    for j in range(factors.shape[1]):
        for r in range(runs.shape[1]):
            cos_l = phases.cos_l[j, max_l + runs[RUN_FIRST_L, r]]
            sin_l = phases.sin_l[j, max_l + runs[RUN_FIRST_L, r]]
            a, b = factors[part, j, r], factors[part + 1, j, r]
            factors[part, j, r] = a * cos_l - b * sin_l
            factors[part + 1, j, r] = a * sin_l + b * cos_l


@kernel
def run_factors(runs: Integers, phases: Phases, space_group: int, groups: GroupTables, factors: Reals) -> None:
    """Set the factors (4, B, N) of all atoms in N runs; with an inversion at the origin (2, B, N), the real part only.

    Args:
        runs: (6, N).
        phases: of the atoms.
        space_group: International Tables number.
        groups: `group_tables()`.
        factors: filled.

    """
    g = space_group - 1
    n_runs = runs.shape[1]
    sums = np.empty((2 * factors.shape[0], n_runs))
    factors[:] = 0.0
    for p in range(groups.plane_start[g], groups.plane_start[g + 1]):
        sum_phases(runs, groups.plane_row_start[p], groups.plane_row_start[p + 1], groups, sums)
        add_plane(groups.plane_in_plane[p], runs, phases, sums, factors)
    for part in range(0, factors.shape[0], 2):
        turn(runs, phases, part, factors)

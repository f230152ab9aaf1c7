"""Kernels for structure factors: rows of reflections, one sum over atoms a species, then the form factors.

    symbol      variable            meaning                                                     reference
    F(hkl)      f_real, f_imaginary sum_j w_j f_j(s^2) sum_(R, t) exp 2 pi i h . (R x_j + t)    Int. Tables B, 1.2.4
    w_j         weights             occupancy_j multiplicity_j / |G|                            -
    f_j(s^2)    scattering          f(s^2) exp(-B_j s^2)                                        Int. Tables B, 1.2.10
    f(s^2)      -                   form factor of the atom's element                           `form_factors`
    B_j         b_iso               8 pi^2 <u^2>, isotropic displacement, Å^2 (Debye-Waller)    Trueblood et al., Acta
                                                                                                Cryst. A52 (1996) 770
    s^2         s_squared           (sin(theta) / lambda)^2 = 1 / (4 d^2)                       Int. Tables C, 6.1.1
    m           period              period of h . t in l                                        `group_tables`

Atoms of one species (element and B_j) share f_j, so their phases are summed before it is applied. With z apart from x
and y (`group_tables`, `phase_kernels`), the sum of a species over a row (h, k), l running, is

    sum_j  factors_cos_j cos(2 pi l z_j)  -  factors_sin_j sin(2 pi l z_j)

for the real and, without an inversion at the origin, the imaginary part. Kernels called for every row are inlined.

# A atom rows    B atoms after coset tripling, sorted by species    S species    R reflections
# Q values of l / m, in blocks of LANES    T table points
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from xrdgen.diffraction.form_factors import FORM_FACTOR_STEP
from xrdgen.diffraction.group_tables import GroupTables
from xrdgen.diffraction.phase_kernels import expand_cosets, phases_of, run_factors, step_table
from xrdgen.diffraction.reflection_kernels import (
    RUN_FIRST_L,
    RUN_H,
    RUN_K,
    RUN_LENGTH,
    RUN_MINUS,
    RUN_PLUS,
    exact_cell,
    index_limit,
    list_runs,
    longest_first,
    multiplicity,
    reciprocal_metric,
)
from xrdgen.jit import fast_kernel, kernel

ONE, TWO, THREE = np.uint64(1), np.uint64(2), np.uint64(3)

MAX_RUNS = 256
"""Runs that are summed together: the arrays of a typical crystal stay in the second cache."""

Reals = NDArray[np.float64]
Integers = NDArray[np.int64]


@kernel
def sort_by_species(atomic_numbers: Integers, b_iso: Reals) -> tuple[Integers, Integers]:
    """Return the order (A,) of atoms by element and B, and where each species begins in that order (S+1,)."""
    n_atoms = atomic_numbers.size
    order = np.argsort(b_iso, kind="mergesort") if b_iso.any() else np.arange(n_atoms)
    order = order[np.argsort(atomic_numbers[order], kind="mergesort")]
    start = np.empty(n_atoms + 1, np.int64)
    n_species = 0
    for i in range(n_atoms):
        if i == 0 or atomic_numbers[order[i]] != atomic_numbers[order[i - 1]] or b_iso[order[i]] != b_iso[order[i - 1]]:
            start[n_species] = i
            n_species += 1
    start[n_species] = n_atoms
    return order, start[: n_species + 1]


# fast: the sum over atoms may be fused and reordered
@fast_kernel
def sum_atoms(factors: Reals, part: int, cos_n: Reals, sin_n: Reals, active: Integers, amplitude: Reals) -> None:
    """Set one part of the sum over atoms, (Q, N), at the first active[n] runs of step n.

    Args:
        factors: (parts, B, N) of the atoms.
        part: REAL_COS or IMAGINARY_COS.
        cos_n: (B, Q) `step_table` of the atoms.
        sin_n: (B, Q).
        active: (Q,) runs longer than n; they come first.
        amplitude: (Q, N) filled.

    """
    for n in range(active.size):
        for r in range(active[n]):
            amplitude[n, r] = 0.0
        for j in range(cos_n.shape[0]):
            c, s = cos_n[j, n], sin_n[j, n]
            for r in range(active[n]):
                amplitude[n, r] += c * factors[part, j, r] + s * factors[part + 1, j, r]


# fast: interpolation and squares, nothing cancels; no NaN or infinity enters (Simulator checks its input)
@fast_kernel
def scatter(
    runs: Integers,
    metric: Reals,
    period: int,
    active: Integers,
    species_z: Integers,
    species_b: Reals,
    form_factors: Reals,
    real: Reals,
    imaginary: Reals,
    s_squared: Reals,
    f_squared: Reals,
) -> None:
    """Set s^2 and |F|^2, (Q, N) each, at the first active[n] runs of step n.

    Form factors by cubic (Lagrange) interpolation between four points of their table.

    Args:
        runs: (6, N).
        metric: (3, 3) G*.
        period: m.
        active: (Q,).
        species_z: (S,).
        species_b: (S,) Å^2.
        form_factors: (119, T).
        real: (S, Q, N) sums over the atoms of each species.
        imaginary: the same; (0, Q, N) with an inversion at the origin.
        s_squared: filled.
        f_squared: filled.

    """
    n_runs = runs.shape[1]
    place = np.empty(n_runs, np.uint64)  # unsigned: taken as it is, since it cannot be negative
    before, here, after, last = np.empty(n_runs), np.empty(n_runs), np.empty(n_runs), np.empty(n_runs)
    scattering = np.empty(n_runs)
    f_real, f_imaginary = np.empty(n_runs), np.empty(n_runs)
    for n in range(active.size):
        for r in range(active[n]):
            h, k, l = float(runs[RUN_H, r]), float(runs[RUN_K, r]), float(runs[RUN_FIRST_L, r] + period * n)  # noqa: E741
            s_squared[n, r] = 0.25 * (
                metric[0, 0] * h * h
                + metric[1, 1] * k * k
                + metric[2, 2] * l * l
                + 2.0 * (metric[0, 1] * h * k + metric[0, 2] * h * l + metric[1, 2] * k * l)
            )
            x = s_squared[n, r] * (1.0 / FORM_FACTOR_STEP) + 1.0
            point = math.floor(x)
            t = x - point
            place[r] = point - 1
            before[r] = -t * (t - 1.0) * (t - 2.0) / 6.0
            here[r] = (t + 1.0) * (t - 1.0) * (t - 2.0) / 2.0
            after[r] = -(t + 1.0) * t * (t - 2.0) / 2.0
            last[r] = (t + 1.0) * t * (t - 1.0) / 6.0
            f_real[r] = 0.0
            f_imaginary[r] = 0.0
        for species in range(species_z.size):
            z, b = species_z[species], species_b[species]
            for r in range(active[n]):
                at = place[r]
                scattering[r] = (
                    before[r] * form_factors[z, at]
                    + here[r] * form_factors[z, at + ONE]
                    + after[r] * form_factors[z, at + TWO]
                    + last[r] * form_factors[z, at + THREE]
                )
            if b != 0.0:
                for r in range(active[n]):
                    scattering[r] *= math.exp(-b * s_squared[n, r])
            for r in range(active[n]):
                f_real[r] += scattering[r] * real[species, n, r]
            if imaginary.shape[0] > 0:
                for r in range(active[n]):
                    f_imaginary[r] += scattering[r] * imaginary[species, n, r]
        for r in range(active[n]):
            f_squared[n, r] = f_real[r] * f_real[r] + f_imaginary[r] * f_imaginary[r]


@kernel
def count_active(runs: Integers) -> Integers:
    """Return how many runs (6, N), the longest first, are longer than n, (Q,) for n = 0 ... Q - 1."""
    active = np.zeros(runs[RUN_LENGTH, 0], np.int64)
    n = active.size
    for r in range(runs.shape[1]):
        while n > runs[RUN_LENGTH, r]:
            n -= 1
            active[n] = r
    active[:n] = runs.shape[1]
    return active


class Lines(NamedTuple):
    """Reflection lines, one of each set of equivalents."""

    hkl: Integers
    """(R, 3), or (0, 3) where indices are not wanted."""
    multiplicity: Integers
    """(R,)"""
    s_squared: Reals
    """(R,) 1/Å^2."""
    f_squared: Reals
    """(R,) |F|^2 of the conventional cell, electrons squared."""


@kernel
def collect(
    runs: Integers,
    period: int,
    active: Integers,
    laue_order: int,
    cubic: int,
    min_s_squared: float,
    max_s_squared: float,
    s_squared: Reals,
    f_squared: Reals,
    lines: Lines,
    n_lines: int,
) -> int:
    """Append those with s^2 inside the limits, of s^2 and |F|^2 (Q, N), to the lines; return how many there are."""
    for n in range(active.size):
        for r in range(active[n]):
            if not min_s_squared <= s_squared[n, r] <= max_s_squared:
                continue
            h, k, l = runs[RUN_H, r], runs[RUN_K, r], runs[RUN_FIRST_L, r] + period * n  # noqa: E741
            lines.multiplicity[n_lines] = multiplicity(
                h, k, l, runs[RUN_PLUS, r], runs[RUN_MINUS, r], laue_order, cubic
            )
            if lines.hkl.shape[0] > 0:
                lines.hkl[n_lines, 0], lines.hkl[n_lines, 1], lines.hkl[n_lines, 2] = h, k, l
            lines.s_squared[n_lines] = s_squared[n, r]
            lines.f_squared[n_lines] = f_squared[n, r]
            n_lines += 1
    return n_lines


@kernel
def structure_factors(
    cell: Reals,
    positions: Reals,
    atomic_numbers: Integers,
    b_iso: Reals,
    weights: Reals,
    space_group: int,
    groups: GroupTables,
    form_factors: Reals,
    min_d_star_squared: float,
    max_d_star_squared: float,
    with_hkl: bool,
) -> Lines:
    """Return the reflection lines with 1/d^2 inside the limits.

    Args:
        cell: (6,) Å and degrees, obeying the metric of the group.
        positions: (A, 3) fractional, one of each set of equivalent atoms.
        atomic_numbers: (A,).
        b_iso: (A,) Å^2.
        weights: (A,) occupancy x multiplicity / order of the group.
        space_group: International Tables number.
        groups: `group_tables()`.
        form_factors: `form_factor_table` up to max_d_star_squared / 4.
        min_d_star_squared: smallest 1/d^2, 1/Å^2.
        max_d_star_squared: largest 1/d^2, 1/Å^2.
        with_hkl: whether indices are wanted.

    """
    g = space_group - 1
    laue = slice(groups.laue_start[g], groups.laue_start[g + 1])
    cosets = slice(groups.coset_start[g], groups.coset_start[g + 1])
    centring24 = groups.centring24[groups.centring_start[g] : groups.centring_start[g + 1]]
    period, cubic, laue_order = groups.period[g], groups.cubic[g], groups.laue_order[g]
    exact = exact_cell(cell, space_group)
    metric = reciprocal_metric(exact)
    runs = longest_first(
        list_runs(
            exact,
            metric,
            max_d_star_squared,
            groups.laue_in_plane[laue],
            groups.laue_sigma[laue],
            cubic,
            groups.wedge[g],
            groups.mirror[g],
            period,
            centring24,
        )
    )
    n_runs = runs.shape[1]
    max_lines = runs[RUN_LENGTH].sum()
    lines = Lines(
        np.empty((max_lines if with_hkl else 0, 3), np.int64),
        np.empty(max_lines, np.int64),
        np.empty(max_lines),
        np.empty(max_lines),
    )
    if n_runs == 0:
        return lines

    order, species_start = sort_by_species(atomic_numbers, b_iso)
    images = expand_cosets(positions, order, groups.coset_rotation[cosets], groups.coset_translation[cosets])
    n_cosets = images.shape[1] // order.size
    image_weights = np.repeat(weights[order], n_cosets) * groups.scale[g]
    first_of_species = order[species_start[:-1]]
    species_z, species_b = atomic_numbers[first_of_species], b_iso[first_of_species]
    n_species = species_z.size
    n_steps = runs[RUN_LENGTH, 0]
    phases = phases_of(
        runs,
        images,
        image_weights,
        index_limit(max_d_star_squared, exact[0]),
        index_limit(max_d_star_squared, exact[1]),
    )
    cos_n, sin_n = step_table(images[2], period, n_steps)

    n_parts = 2 if groups.centric[g] else 4
    block = min(n_runs, MAX_RUNS)
    n_lines = 0
    for first in range(0, n_runs, block):
        some = np.ascontiguousarray(runs[:, first : first + block])
        active = count_active(some)
        factors = np.empty((n_parts, images.shape[1], some.shape[1]))
        run_factors(some, phases, space_group, groups, factors)
        amplitudes = np.empty((n_parts // 2, n_species, active.size, some.shape[1]))
        for part in range(n_parts // 2):
            for species in range(n_species):
                atoms = slice(species_start[species] * n_cosets, species_start[species + 1] * n_cosets)
                sum_atoms(factors[:, atoms], 2 * part, cos_n[atoms], sin_n[atoms], active, amplitudes[part, species])
        s_squared, f_squared = np.empty(amplitudes.shape[2:]), np.empty(amplitudes.shape[2:])
        imaginary = amplitudes[n_parts // 2 - 1][: 0 if n_parts == 2 else n_species]
        scatter(
            some,
            metric,
            period,
            active,
            species_z,
            species_b,
            form_factors,
            amplitudes[0],
            imaginary,
            s_squared,
            f_squared,
        )
        n_lines = collect(
            some,
            period,
            active,
            laue_order,
            cubic,
            0.25 * min_d_star_squared,
            0.25 * max_d_star_squared,
            s_squared,
            f_squared,
            lines,
            n_lines,
        )
    return Lines(
        lines.hkl[:n_lines], lines.multiplicity[:n_lines], lines.s_squared[:n_lines], lines.f_squared[:n_lines]
    )

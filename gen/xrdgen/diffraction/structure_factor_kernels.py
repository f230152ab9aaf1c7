"""Kernels for structure factors: rows of reflections, one sum over atoms a species, then the form factors.

    symbol      variable            meaning                                                     reference
    F(hkl)      structure_factor    sum_j w_j f_j(s^2) sum_(R, t) exp 2 pi i h . (R x_j + t)    Int. Tables B, 1.2.4
    w_j         weights             occupancy_j multiplicity_j / |G|                            -
    f_j(s^2)    scattering          f(s^2) exp(-B_j s^2)                                        Int. Tables B, 1.2.10
    f(s^2)      -                   form factor of the atom's element                           `form_factors`
    B_j         b_iso               8 pi^2 <u^2>, isotropic displacement, Å^2 (Debye-Waller)    Trueblood et al., Acta
                                                                                                Cryst. A52 (1996) 770
    s^2         s_squared           (sin(theta) / lambda)^2 = 1 / (4 d^2)                       Int. Tables C, 6.1.1
    m           period              step of l along a run                                       `group_tables`

Reflections come in runs (`reflection_kernels`). Each atom has factors of cos and -sin of 2 pi m n z in F at step n of a
run (`phase_kernels`); atoms of one species (element and B_j) share f_j, so their sum (`atom_sum_kernels`) is taken
before it is applied. Loops run over the runs, the longest first: those which reach step n are the first active[n].

# A atom rows    B atoms after coset tripling, sorted by species    S species    N runs    Q steps of the longest run
# R reflections    T table points
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from xrdgen.diffraction.atom_sum_kernels import sum_atoms
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

MAX_ATOMS = 512
"""Atoms that are summed together: with MAX_RUNS, the arrays of the largest crystals take 20 MB besides their lines."""

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


class Interpolation(NamedTuple):
    """Cubic (Lagrange) interpolation of form factors between four points, at step n of run r, (Q, N) each."""

    s_squared: Reals
    """1/Å^2."""
    place: NDArray[np.uint64]
    """First of the four points in the table; unsigned: an index that cannot be negative is taken as it is."""
    before: Reals
    """Weight of the first point, as the following of the second to the fourth."""
    here: Reals
    after: Reals
    last: Reals


# fast: polynomials without cancellation; no NaN or infinity enters (Simulator checks its input)
@fast_kernel
def interpolate(runs: Integers, metric: Reals, period: int, active: Integers, points: Interpolation) -> None:
    """Set s^2 and what interpolation at s^2 needs, at the first active[n] runs of step n."""
    for n in range(active.size):
        for r in range(active[n]):
            h, k, l = float(runs[RUN_H, r]), float(runs[RUN_K, r]), float(runs[RUN_FIRST_L, r] + period * n)  # noqa: E741
            s_squared = 0.25 * (
                metric[0, 0] * h * h
                + metric[1, 1] * k * k
                + metric[2, 2] * l * l
                + 2.0 * (metric[0, 1] * h * k + metric[0, 2] * h * l + metric[1, 2] * k * l)
            )
            x = s_squared * (1.0 / FORM_FACTOR_STEP)
            t = x - math.floor(x)
            points.s_squared[n, r] = s_squared
            points.place[n, r] = np.uint64(x)
            points.before[n, r] = -t * (t - 1.0) * (t - 2.0) / 6.0
            points.here[n, r] = (t + 1.0) * (t - 1.0) * (t - 2.0) / 2.0
            points.after[n, r] = -(t + 1.0) * t * (t - 2.0) / 2.0
            points.last[n, r] = (t + 1.0) * t * (t - 1.0) / 6.0


# fast: see `interpolate`
@fast_kernel
def scatter(
    points: Interpolation, active: Integers, form_factors: Reals, z: int, b_iso: float, scattering: Reals
) -> None:
    """Set f(s^2) exp(-B s^2) of a species, (Q, N), at the first active[n] runs of step n."""
    for n in range(active.size):
        for r in range(active[n]):
            at = points.place[n, r]
            scattering[n, r] = (
                points.before[n, r] * form_factors[z, at]
                + points.here[n, r] * form_factors[z, at + ONE]
                + points.after[n, r] * form_factors[z, at + TWO]
                + points.last[n, r] * form_factors[z, at + THREE]
            )
        if b_iso != 0.0:
            for r in range(active[n]):
                scattering[n, r] *= math.exp(-b_iso * points.s_squared[n, r])


# fast: products and sums
@fast_kernel
def add_product(amplitude: Reals, scattering: Reals, active: Integers, total: Reals) -> None:
    """Add the amplitudes of a species, times its scattering, to one part of F, (Q, N) each."""
    for n in range(active.size):
        for r in range(active[n]):
            total[n, r] += scattering[n, r] * amplitude[n, r]


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
    structure_factor: Reals,
    lines: Lines,
    n_lines: int,
) -> int:
    """Append the reflections with s^2 (Q, N) inside the limits to the lines; return how many there are then.

    Args:
        runs: (6, N).
        period: m.
        active: (Q,).
        laue_order: number of operations in the Laue class.
        cubic: NOT_CUBIC, LAUE_M3 or LAUE_M3M.
        min_s_squared: 1/Å^2.
        max_s_squared: 1/Å^2.
        s_squared: (Q, N).
        structure_factor: (1 or 2, Q, N) F, its real and imaginary part.
        lines: appended to.
        n_lines: how many there are.

    """
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
            f_squared = structure_factor[0, n, r] ** 2
            if structure_factor.shape[0] > 1:
                f_squared += structure_factor[1, n, r] ** 2
            lines.f_squared[n_lines] = f_squared
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
    species_start *= n_cosets
    max_h, max_k = index_limit(max_d_star_squared, exact[0]), index_limit(max_d_star_squared, exact[1])

    n_parts = 1 if groups.centric[g] else 2
    n_lines = 0
    for first in range(0, n_runs, MAX_RUNS):
        some = np.ascontiguousarray(runs[:, first : first + MAX_RUNS])
        active = count_active(some)
        shape = (active.size, some.shape[1])
        points = Interpolation(
            np.empty(shape),
            np.empty(shape, np.uint64),
            np.empty(shape),
            np.empty(shape),
            np.empty(shape),
            np.empty(shape),
        )
        interpolate(some, metric, period, active, points)
        amplitude, scattering = np.empty(shape), np.empty(shape)
        structure_factor = np.zeros((n_parts, active.size, some.shape[1]))
        species = 0
        for begin in range(0, images.shape[1], MAX_ATOMS):
            end = min(begin + MAX_ATOMS, images.shape[1])
            phases = phases_of(some, images[:, begin:end], image_weights[begin:end], max_h, max_k)
            cos_n, sin_n = step_table(images[2, begin:end], period, active.size)
            factors = np.empty((2 * n_parts, end - begin, some.shape[1]))
            run_factors(some, phases, space_group, groups, factors)
            at = begin
            while at < end:  # the species of these atoms
                stop = min(end, species_start[species + 1])
                one = order[at // n_cosets]
                scatter(points, active, form_factors, atomic_numbers[one], b_iso[one], scattering)
                atoms = slice(at - begin, stop - begin)
                for part in range(n_parts):
                    sum_atoms(
                        factors[2 * part, atoms],
                        factors[2 * part + 1, atoms],
                        cos_n[atoms],
                        sin_n[atoms],
                        active,
                        amplitude,
                    )
                    add_product(amplitude, scattering, active, structure_factor[part])
                if stop == species_start[species + 1]:
                    species += 1
                at = stop
        n_lines = collect(
            some,
            period,
            active,
            laue_order,
            cubic,
            0.25 * min_d_star_squared,
            0.25 * max_d_star_squared,
            points.s_squared,
            structure_factor,
            lines,
            n_lines,
        )
    return Lines(
        lines.hkl[:n_lines], lines.multiplicity[:n_lines], lines.s_squared[:n_lines], lines.f_squared[:n_lines]
    )

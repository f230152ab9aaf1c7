"""Kernels for structure factors: symmetry applied to the asymmetric unit, phases in separate tables of h, k and l.

    symbol      variable            meaning                                                     reference
    F(hkl)      real, imaginary     sum_j w_j f_j(s^2) sum_(R, t) exp 2 pi i h . (R x_j + t)    Int. Tables B, 1.2.4
    w_j         weights             occupancy_j multiplicity_j / |G|                            -
    f_j(s^2)    form_factor         form factor of the atom's element                           `form_factors`
    s^2         s_squared           (sin(theta) / lambda)^2 = 1 / (4 d^2)                       Int. Tables C, 6.1.1
    m           period              period of h . t in l                                        `group_tables`

With z apart (`group_tables`), the sum over operations splits into a part that depends on the row (h, k) and on l mod m,
and two phases of l z:

    sum_(R, t) exp 2 pi i h . (R x + t)  =  U exp(2 pi i l z)  +  V exp(-2 pi i l z)
    U, V  =  sum over sigma = +1, -1 of  exp 2 pi i [ (h, k) B . (x, y) + h . t ]

so that a further l costs four multiplications and additions an atom, whatever the order of the group. With the
inversion at the origin V is the conjugate of U, F is real and

    sum  =  2 Re U cos(2 pi l z)  -  2 Im U sin(2 pi l z)          (the 2 is in `scale`)

Atoms of one element share f, so their phases are summed before f is applied. Kernels called for every row are inlined.

# A atom rows    B atoms after coset tripling, sorted by element    E elements    O row operations
# N rows of reflections    R reflections    Q l / m    T table points
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from xrdgen.diffraction.form_factors import FORM_FACTOR_STEP
from xrdgen.diffraction.group_tables import GroupTables
from xrdgen.diffraction.reflection_kernels import (
    ROW_FIRST_L,
    ROW_H,
    ROW_K,
    ROW_LAST_L,
    ROW_MINUS,
    ROW_PLUS,
    class_exists,
    count_reflections,
    exact_cell,
    index_limit,
    l_range,
    list_rows,
    multiplicity,
    reciprocal_metric,
)
from xrdgen.jit import fast_kernel, inline_kernel, kernel

ROOTS_OF_UNITY = np.exp(2j * np.pi * np.arange(24) / 24)
"""exp(2 pi i p / 24): the phase of h . t, whose translations are multiples of 1/24."""
ROOT_COS = np.ascontiguousarray(ROOTS_OF_UNITY.real)
ROOT_SIN = np.ascontiguousarray(ROOTS_OF_UNITY.imag)

Reals = NDArray[np.float64]
Integers = NDArray[np.int64]


@kernel
def sort_by_element(atomic_numbers: Integers) -> tuple[Integers, Integers, Integers]:
    """Return the order (A,) of atoms by element, the elements (E,) and where each begins in that order (E+1,)."""
    n_atoms = atomic_numbers.size
    order = np.argsort(atomic_numbers, kind="mergesort")
    elements = np.empty(n_atoms, np.int64)
    start = np.empty(n_atoms + 1, np.int64)
    n_elements = 0
    for i in range(n_atoms):
        z = atomic_numbers[order[i]]
        if n_elements == 0 or z != elements[n_elements - 1]:
            elements[n_elements] = z
            start[n_elements] = i
            n_elements += 1
    start[n_elements] = n_atoms
    return order, elements[:n_elements], start[: n_elements + 1]


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
def phase_table(coordinate: Reals, max_index: int) -> tuple[Reals, Reals]:
    """Return cos and sin of 2 pi n x, (2 max_index + 1, B) each, for n = -max_index ... max_index, by rotation."""
    cos_table = np.empty((2 * max_index + 1, coordinate.size))
    sin_table = np.empty((2 * max_index + 1, coordinate.size))
    for j in range(coordinate.size):
        angle = 2.0 * math.pi * coordinate[j]
        cos_step, sin_step = math.cos(angle), math.sin(angle)
        c, s = 1.0, 0.0
        for n in range(max_index + 1):
            cos_table[max_index + n, j] = cos_table[max_index - n, j] = c
            sin_table[max_index + n, j] = s
            sin_table[max_index - n, j] = -s
            c, s = c * cos_step - s * sin_step, c * sin_step + s * cos_step
    return cos_table, sin_table


@kernel
def l_phase_table(z: Reals, first_q: int, last_q: int, period: int) -> Reals:
    """Return cos and -sin of 2 pi l z in turns, (m, 2 B, Q), for l = m (first_q + q) + l_class.

    Built by rotation from l = 0 upwards and downwards.
    """
    n_q = last_q - first_q + 1
    table = np.empty((period, 2 * z.size, n_q))
    for j in range(z.size):
        angle = 2.0 * math.pi * z[j]
        cos_step, sin_step = math.cos(angle), math.sin(angle)
        c, s = 1.0, 0.0
        for q in range(-first_q, n_q):
            for l_class in range(period):
                table[l_class, 2 * j, q] = c
                table[l_class, 2 * j + 1, q] = -s
                c, s = c * cos_step - s * sin_step, c * sin_step + s * cos_step
        c, s = cos_step, -sin_step
        for q in range(-first_q - 1, -1, -1):
            for l_class in range(period - 1, -1, -1):
                table[l_class, 2 * j, q] = c
                table[l_class, 2 * j + 1, q] = -s
                c, s = c * cos_step + s * sin_step, s * cos_step - c * sin_step
    return table


# fast: the phases of a handful of operations may be summed in any order
@fast_kernel
def add_operation(
    cos_h: Reals, sin_h: Reals, cos_k: Reals, sin_k: Reals, phase24: int, real: Reals, imaginary: Reals
) -> None:
    """Add exp 2 pi i [h' x + k' y + phase24 / 24] of all atoms (B,) to a row sum, (h', k') = (h, k) B."""
    c, s = ROOT_COS[phase24], ROOT_SIN[phase24]
    for j in range(real.size):
        re = cos_h[j] * cos_k[j] - sin_h[j] * sin_k[j]
        im = cos_h[j] * sin_k[j] + sin_h[j] * cos_k[j]
        real[j] += c * re - s * im
        imaginary[j] += c * im + s * re


@inline_kernel
def sum_operations(
    h: int,
    k: int,
    l_class: int,
    in_plane: Integers,
    sigma: Integers,
    translation24: Integers,
    cos_h: Reals,
    sin_h: Reals,
    cos_k: Reals,
    sin_k: Reals,
    u_real: Reals,
    u_imaginary: Reals,
    v_real: Reals,
    v_imaginary: Reals,
) -> None:
    """Set U and V of all atoms, real and imaginary parts (B,), for row (h, k) and l = l_class modulo m."""
    max_h, max_k = cos_h.shape[0] // 2, cos_k.shape[0] // 2
    u_real[:] = 0.0
    u_imaginary[:] = 0.0
    v_real[:] = 0.0
    v_imaginary[:] = 0.0
    for o in range(sigma.size):
        at_h = max_h + h * in_plane[o, 0, 0] + k * in_plane[o, 1, 0]
        at_k = max_k + h * in_plane[o, 0, 1] + k * in_plane[o, 1, 1]
        phase24 = (h * translation24[o, 0] + k * translation24[o, 1] + l_class * translation24[o, 2]) % 24
        if sigma[o] > 0:
            add_operation(cos_h[at_h], sin_h[at_h], cos_k[at_k], sin_k[at_k], phase24, u_real, u_imaginary)
        else:
            add_operation(cos_h[at_h], sin_h[at_h], cos_k[at_k], sin_k[at_k], phase24, v_real, v_imaginary)


@inline_kernel
def l_factors(
    u_real: Reals,
    u_imaginary: Reals,
    v_real: Reals,
    v_imaginary: Reals,
    weights: Reals,
    real_factors: Reals,
    imaginary_factors: Reals,
    centric: bool,
) -> None:
    """Set what multiplies cos(2 pi l z) and -sin(2 pi l z) of every atom in Re F and Im F, (2 B,) each.

    Im F is 0 where there is an inversion at the origin (centric).

    Re (U e^ix + V e^-ix) = (Re U + Re V) cos x + (Im U - Im V) (-sin x)
    Im (U e^ix + V e^-ix) = (Im U + Im V) cos x + (Re V - Re U) (-sin x)
    """
    for j in range(weights.size):
        real_factors[2 * j] = weights[j] * (u_real[j] + v_real[j])
        real_factors[2 * j + 1] = weights[j] * (u_imaginary[j] - v_imaginary[j])
    if centric:
        return
    for j in range(weights.size):
        imaginary_factors[2 * j] = weights[j] * (u_imaginary[j] + v_imaginary[j])
        imaginary_factors[2 * j + 1] = weights[j] * (v_real[j] - u_real[j])


# fast: the sum over atoms may be fused and reordered
@fast_kernel
def sweep_l(factors: Reals, l_phases: Reals, first: int, stop: int, low: int, high: int, amplitude: Reals) -> None:
    """Set amplitude[low:high] to factors[first:stop] @ l_phases[first:stop, low:high], four rows at a time."""
    for q in range(low, high):
        amplitude[q] = 0.0
    whole = first + (stop - first) // 4 * 4
    for i in range(first, whole, 4):
        f0, f1, f2, f3 = factors[i], factors[i + 1], factors[i + 2], factors[i + 3]
        for q in range(low, high):
            amplitude[q] += (
                f0 * l_phases[i, q] + f1 * l_phases[i + 1, q] + f2 * l_phases[i + 2, q] + f3 * l_phases[i + 3, q]
            )
    for i in range(whole, stop, 2):
        f0, f1 = factors[i], factors[i + 1]
        for q in range(low, high):
            amplitude[q] += f0 * l_phases[i, q] + f1 * l_phases[i + 1, q]


@kernel
def form_factor(table: Reals, s_squared: float) -> float:
    """Return f(s^2) from one element's table (T,) by cubic (Lagrange) interpolation between four points."""
    x = s_squared * (1.0 / FORM_FACTOR_STEP) + 1.0
    i = int(x)
    t = x - i
    value: float = (
        -t * (t - 1.0) * (t - 2.0) / 6.0 * table[i - 1]
        + (t + 1.0) * (t - 1.0) * (t - 2.0) / 2.0 * table[i]
        - (t + 1.0) * t * (t - 2.0) / 2.0 * table[i + 1]
        + (t + 1.0) * t * (t - 1.0) / 6.0 * table[i + 2]
    )
    return value


# fast: see `add_operation` and `sweep_l`; no NaN or infinity enters (Simulator checks its input)
@fast_kernel
def structure_factors(
    cell: Reals,
    positions: Reals,
    atomic_numbers: Integers,
    weights: Reals,
    space_group: int,
    groups: GroupTables,
    form_factors: Reals,
    min_d_star_squared: float,
    max_d_star_squared: float,
) -> tuple[Integers, Integers, Reals, Reals]:
    """Return hkl (R, 3), multiplicity (R,), s^2 (R,) in 1/Å^2 and |F|^2 (R,), one line per set of equivalents.

    Args:
        cell: (6,) Å and degrees, obeying the metric of the group.
        positions: (A, 3) fractional, one of each set of equivalent atoms.
        atomic_numbers: (A,).
        weights: (A,) occupancy x multiplicity / order of the group.
        space_group: International Tables number.
        groups: `group_tables()`.
        form_factors: `form_factor_table(s^2)` with s^2 at least max_d_star_squared / 4.
        min_d_star_squared: smallest 1/d^2 wanted (000 is always left out).
        max_d_star_squared: largest 1/d^2 wanted.

    """
    g = space_group - 1
    row_slice = slice(groups.row_start[g], groups.row_start[g + 1])
    in_plane, sigma = groups.row_in_plane[row_slice], groups.row_sigma[row_slice]
    translation24 = groups.row_translation24[row_slice]
    laue_slice = slice(groups.laue_start[g], groups.laue_start[g + 1])
    centring24 = groups.centring24[groups.centring_start[g] : groups.centring_start[g + 1]]
    coset_slice = slice(groups.coset_start[g], groups.coset_start[g + 1])
    period, centric, cubic = groups.period[g], groups.centric[g], groups.cubic[g]
    laue_order = groups.laue_order[g]

    exact = exact_cell(cell, space_group)
    metric = reciprocal_metric(exact)
    rows = list_rows(
        exact, metric, max_d_star_squared, groups.laue_in_plane[laue_slice], groups.laue_sigma[laue_slice], cubic
    )
    max_lines = count_reflections(rows)
    hkl = np.empty((max_lines, 3), np.int64)
    multiplicities = np.empty(max_lines, np.int64)
    s_squared = np.empty(max_lines)
    f_squared = np.empty(max_lines)

    order, elements, element_start = sort_by_element(atomic_numbers)
    images = expand_cosets(positions, order, groups.coset_rotation[coset_slice], groups.coset_translation[coset_slice])
    n_cosets = images.shape[1] // order.size
    image_weights = np.repeat(weights[order], n_cosets) * groups.scale[g]
    first_l, last_l = l_range(rows)
    first_q, last_q = first_l // period, last_l // period
    # one index to spare: rounding must not lead outside the tables
    cos_h, sin_h = phase_table(images[0], index_limit(max_d_star_squared, exact[0]) + 1)
    cos_k, sin_k = phase_table(images[1], index_limit(max_d_star_squared, exact[1]) + 1)
    l_phases = l_phase_table(images[2], first_q, last_q, period)

    n_atoms = images.shape[1]
    u_real, u_imaginary = np.empty(n_atoms), np.empty(n_atoms)
    v_real, v_imaginary = np.empty(n_atoms), np.empty(n_atoms)
    real_factors, imaginary_factors = np.empty(2 * n_atoms), np.empty(2 * n_atoms)
    real = np.empty((elements.size, last_q - first_q + 1))
    imaginary = np.empty((elements.size, last_q - first_q + 1))
    n = 0
    for i in range(rows.shape[0]):
        h, k = rows[i, ROW_H], rows[i, ROW_K]
        # 1/d^2 = constant + 2 linear l + G*_22 l^2
        constant = metric[0, 0] * h * h + metric[1, 1] * k * k + 2.0 * metric[0, 1] * h * k
        linear = metric[0, 2] * h + metric[1, 2] * k
        for l_class in range(period):
            # l = period (first_q + q) + l_class for q = low ... high - 1
            low = (rows[i, ROW_FIRST_L] - l_class + period - 1) // period - first_q
            high = (rows[i, ROW_LAST_L] - l_class) // period - first_q + 1
            if low >= high or not class_exists(h, k, l_class, centring24):
                continue
            sum_operations(
                h,
                k,
                l_class,
                in_plane,
                sigma,
                translation24,
                cos_h,
                sin_h,
                cos_k,
                sin_k,
                u_real,
                u_imaginary,
                v_real,
                v_imaginary,
            )
            l_factors(u_real, u_imaginary, v_real, v_imaginary, image_weights, real_factors, imaginary_factors, centric)
            for e in range(elements.size):
                first, stop = 2 * element_start[e] * n_cosets, 2 * element_start[e + 1] * n_cosets
                sweep_l(real_factors, l_phases[l_class], first, stop, low, high, real[e])
                if not centric:
                    sweep_l(imaginary_factors, l_phases[l_class], first, stop, low, high, imaginary[e])
            for q in range(low, high):
                l = period * (first_q + q) + l_class  # noqa: E741
                d_star_squared = constant + 2.0 * linear * l + metric[2, 2] * l * l
                if not min_d_star_squared <= d_star_squared <= max_d_star_squared or h == k == l == 0:
                    continue
                f_real, f_imaginary = 0.0, 0.0
                for e in range(elements.size):
                    f = form_factor(form_factors[elements[e]], 0.25 * d_star_squared)
                    f_real += f * real[e, q]
                    if not centric:
                        f_imaginary += f * imaginary[e, q]
                hkl[n, 0], hkl[n, 1], hkl[n, 2] = h, k, l
                multiplicities[n] = multiplicity(h, k, l, rows[i, ROW_PLUS], rows[i, ROW_MINUS], laue_order, cubic)
                s_squared[n] = 0.25 * d_star_squared
                f_squared[n] = f_real * f_real + f_imaginary * f_imaginary
                n += 1
    return hkl[:n], multiplicities[:n], s_squared[:n], f_squared[:n]

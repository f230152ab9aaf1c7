"""Kernels for the sum over the atoms of a species, by two routes with the same result.

    symbol      variable        meaning                                                             reference
    A(n, r)     amplitude       sum_j a_jr cos 2 pi m n z_j - b_jr sin 2 pi m n z_j                  `phase_kernels`
    a, b        *_factors       of atom j in run r, for the real or the imaginary part of F         `phase_kernels`
    n, r        n, r            step along a run, run                                               `reflection_kernels`

Few atoms: loops over the runs that are long enough. Many atoms: A = cos^T a + sin^T b as products of matrices, which
read each factor from memory once instead of once a step; steps beyond the end of a run are computed in vain.

# B atoms of the species    N runs, the longest first    Q steps of the longest run
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from xrdgen.jit import fast_kernel, kernel

MATRIX_ATOMS = 32
"""Atoms of a species from which matrices are used. They win from about 6 (1.1 times the whole crystal at 10, 1.2 at 25,
1.3 to 1.5 at 500); up to here the loops keep the BLAS library and its threads out of the usual random crystal."""

Reals = NDArray[np.float64]
Integers = NDArray[np.int64]


# fast: the sum over atoms may be fused and reordered
@fast_kernel
def sum_in_loops(
    cos_factors: Reals, sin_factors: Reals, cos_n: Reals, sin_n: Reals, active: Integers, amplitude: Reals
) -> None:
    """Set A (Q, N) at the first active[n] runs of step n.

    Args:
        cos_factors: (B, N) a.
        sin_factors: (B, N) b.
        cos_n: (B, Q) `step_table`.
        sin_n: (B, Q).
        active: (Q,) runs longer than n.
        amplitude: filled.

    """
    for n in range(active.size):
        for r in range(active[n]):
            amplitude[n, r] = 0.0
        for j in range(cos_n.shape[0]):
            c, s = cos_n[j, n], sin_n[j, n]
            for r in range(active[n]):
                amplitude[n, r] += c * cos_factors[j, r] + s * sin_factors[j, r]


@kernel
def sum_by_matrices(cos_factors: Reals, sin_factors: Reals, cos_n: Reals, sin_n: Reals, amplitude: Reals) -> None:
    """Set A (Q, N) at all runs and steps; arguments as in `sum_in_loops`."""
    np.dot(cos_n.T, cos_factors, amplitude)
    amplitude += np.dot(sin_n.T, sin_factors)


@kernel
def sum_atoms(
    cos_factors: Reals, sin_factors: Reals, cos_n: Reals, sin_n: Reals, active: Integers, amplitude: Reals
) -> None:
    """Set A by the faster route; arguments as in `sum_in_loops`."""
    if cos_n.shape[0] >= MATRIX_ATOMS:
        sum_by_matrices(cos_factors, sin_factors, cos_n, sin_n, amplitude)
    else:
        sum_in_loops(cos_factors, sin_factors, cos_n, sin_n, active, amplitude)

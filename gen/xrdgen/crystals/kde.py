"""Kernel density estimates prepared for the kernels: unit-volume lattices and density factors.

| symbol | variable | source |
|---|---|---|
| H = n^(-2/(d+4)) cov, Scott's rule | `scott_cholesky` gives L, H = L L^T | scipy.stats.gaussian_kde; Scott (1992) |
| h_j = 1.06 s_j n^(-1/(4+q)), q = 2 variables | `normal_reference` | statsmodels `KDEMultivariateConditional` |

Floors. A group or crystal system with one or two structures, or with equal ones, has no spread; a bandwidth of zero
would repeat real entries. `normal_reference` never goes under `FACTOR_FLOOR` and `ATOMIC_VOLUME_FLOOR`;
`scott_cholesky` adds `LENGTH_FLOOR` and `ANGLE_FLOOR` only where the covariance is (nearly) singular. Neither is
reached by a group or system with 50 different structures.

# N structures    d free parameters of a unit-volume cell
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FACTOR_FLOOR = 0.01
"""Smallest bandwidth of the density factor (dimensionless; real factors lie near 1)."""

ATOMIC_VOLUME_FLOOR = 1.0
"""Smallest bandwidth of V_atomic, Å^3 (less than one light atom)."""

LENGTH_FLOOR = 0.01
"""Bandwidth added to the lengths of a unit-volume cell where their covariance is singular."""

ANGLE_FLOOR = 0.5
"""Bandwidth added to angles where their covariance is singular, degrees."""

_SINGULAR = 1e-8
"""A correlation matrix with a smaller eigenvalue counts as singular."""


def normal_reference(density_factor: NDArray[np.float64], v_atomic: NDArray[np.float64]) -> tuple[float, float]:
    """Return the bandwidths (density factor, V_atomic in Å^3) of one group's conditional KDE.

    Args:
        density_factor: (N,) V / V_atomic.
        v_atomic: (N,) Å^3.

    """
    scale = 1.06 * len(v_atomic) ** (-1.0 / 6.0)
    return (
        max(FACTOR_FLOOR, scale * float(np.std(density_factor))),
        max(ATOMIC_VOLUME_FLOOR, scale * float(np.std(v_atomic))),
    )


def scott_cholesky(data: NDArray[np.float64], floors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the Cholesky factor (d, d) of the kernel's covariance by Scott's rule.

    Args:
        data: (N, d) support points.
        floors: (d,) bandwidths added where the covariance is singular.

    """
    n, d = data.shape
    factor = float(n) ** (-1.0 / (d + 4))
    covariance = np.atleast_2d(np.cov(data, rowvar=False)) if n > 1 else np.zeros((d, d))
    deviations = np.sqrt(np.diag(covariance))
    singular = bool((deviations == 0.0).any())
    if not singular:
        correlation = covariance / np.outer(deviations, deviations)
        singular = bool(np.linalg.eigvalsh(correlation)[0] < _SINGULAR)
    kernel_covariance = covariance * factor**2
    if singular:
        kernel_covariance = kernel_covariance + np.diag(floors**2)
    return np.linalg.cholesky(kernel_covariance)

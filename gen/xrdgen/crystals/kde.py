"""Kernel density estimates prepared for the kernels: unit-volume lattices and density factors.

| symbol | variable | source |
|---|---|---|
| H = n^(-2/(d+4)) cov, Scott's rule | `scott_cholesky` gives L, H = L L^T | scipy.stats.gaussian_kde; Scott (1992) |
| h_j = 1.06 s_j n^(-1/(4+q)), q = 2 variables | `normal_reference` | statsmodels `KDEMultivariateConditional` |
| s = min(std, IQR / 1.349) | `robust_spread` | Silverman (1986), section 3.4.2 |
| H = n^(-2/(d+4)) D R D, D = diag(s), R correlations | `robust_cholesky` | Scott's rule with robust spreads |

The last two are those of the preset `improved`. Real distributions have clusters and long tails; a standard deviation
takes the tails for the width of the clusters and blurs them.

Floors. A group or crystal system with one or two structures, or with equal ones, has no spread; a bandwidth of zero
would repeat real entries. `normal_reference` never goes under `FACTOR_FLOOR` and `ATOMIC_VOLUME_FLOOR`;
`scott_cholesky` adds `LENGTH_FLOOR` and `ANGLE_FLOOR` only where the covariance is (nearly) singular. Neither is
reached by a group or system with 50 different structures. `robust_cholesky` never goes under `LENGTH_FLOOR` (of the
logarithm of an axis ratio) and `ANGLE_FLOOR`: a group with one frequent structure family may have no interquartile
range.

# N structures    d free parameters of a unit-volume cell
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FACTOR_FLOOR = 0.01
"""Smallest bandwidth of the density factor (dimensionless; real factors lie near 1)."""

ATOMIC_VOLUME_FLOOR = 1.0
"""Smallest bandwidth of V_atomic, Å^3 (less than one light atom)."""

LOG_VOLUME_FLOOR = 0.02
"""Smallest bandwidth of the logarithm of V_atomic."""

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


def robust_spread(data: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the smaller of standard deviation and interquartile range / 1.349 of every column.

    Both are the standard deviation of a normal distribution; the second does not see the tails.

    Args:
        data: (N,) or (N, d).

    Returns:
        () or (d,).

    """
    quartiles = np.percentile(data, [25.0, 75.0], axis=0)
    spread: NDArray[np.float64] = np.minimum(np.std(data, axis=0), (quartiles[1] - quartiles[0]) / 1.349)
    return spread


def log_reference(density_factor: NDArray[np.float64], v_atomic: NDArray[np.float64]) -> tuple[float, float]:
    """Return the bandwidths (ln of the density factor, ln of V_atomic) of one group's conditional KDE of logarithms.

    The rule is `normal_reference` with the robust spread of ln f. The spread of ln V_atomic is its standard deviation:
    with a robust one fewer neighbours decide, and real structures of other families are predicted less well.

    Args:
        density_factor: (N,) V / V_atomic.
        v_atomic: (N,) Å^3.

    """
    scale = 1.06 * len(v_atomic) ** (-1.0 / 6.0)
    return (
        max(FACTOR_FLOOR, scale * float(robust_spread(np.log(density_factor)))),
        max(LOG_VOLUME_FLOOR, scale * float(np.std(np.log(v_atomic)))),
    )


def robust_cholesky(data: NDArray[np.float64], floors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the Cholesky factor (d, d) of the kernel's covariance by Scott's rule with robust spreads.

    Args:
        data: (N, d) support points.
        floors: (d,) smallest bandwidths.

    """
    n, d = data.shape
    bandwidths = np.maximum(floors, float(n) ** (-1.0 / (d + 4)) * robust_spread(data))
    deviations = np.std(data, axis=0)
    varies = deviations > 0.0
    correlation = np.eye(d)
    if varies.sum() > 1:
        correlation[np.ix_(varies, varies)] = np.corrcoef(data[:, varies], rowvar=False)
    if np.linalg.eigvalsh(correlation)[0] < _SINGULAR:
        correlation = np.eye(d)  # too few points to know how parameters go together
    factor: NDArray[np.float64] = bandwidths[:, None] * np.linalg.cholesky(correlation)
    return factor


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

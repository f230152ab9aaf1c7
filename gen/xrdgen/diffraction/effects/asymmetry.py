"""Low-angle asymmetry by axial divergence, after Finger, Cox and Jephcoat, in float64.

    symbol      meaning                                                                             source
    a           S/L = H/L, half-heights of sample and detector slit over the radius (taken equal)   [F]
    t           h/L, height over the equatorial plane at which a cone meets the detector            [V]
    2phi(t)     cos(2phi) = cos(2theta) sqrt(1 + t^2), where it meets it                            [V], eq. 6
    W(t)        2 a - t for 0 <= t <= 2 a, share of the sample that is seen there                   [F], eq. 9
    D dt        W(t) / (cos^2(2phi) sin(2phi)) dt, weight of the angle 2phi                         [F], eq. 10
    rho         (2theta - 2phi(2 a)) / FWHM, how far the tail reaches

[V] van Laar & Yelon, J. Appl. Cryst. 17 (1984) 47. [F] Finger, Cox & Jephcoat, J. Appl. Cryst. 27 (1994) 892.

A line is the mean of its symmetric profile at the angles 2phi(t), weighted by D. The mean is taken by Gauss's rule for
polynomials in t^2 under the triangle W: n lines in place of one. To first order 2theta - 2phi is proportional to t^2,
so that n = 1 moves the line to its centroid, and n points have the first 2 n - 1 moments of the tail right.

# T points
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

Reals = NDArray[np.float64]

MAX_NODES = 8
"""Lines that one line becomes at most."""

ONE_NODE = 0.36
"""Up to this rho a line is moved to its centroid only."""

NODE_REACH = 0.6
"""Each further node takes rho so much farther; the profile is then right to 2 % of its maximum (rho to 4.5, where
the nodes end; lines narrower than their tail by more have it as a row of bumps, to 6 % at rho = 8)."""


def n_nodes(rho: float) -> int:
    """Return how many lines stand for a line whose tail reaches rho FWHM."""
    return 1 if rho <= ONE_NODE else min(1 + int(np.ceil((rho - ONE_NODE) / NODE_REACH)), MAX_NODES)


LARGEST_T = 0.98
"""Share of |tan(2theta)| at which t ends; beyond 1 the cone leaves the detector, at 1 the weight diverges."""


@cache
def tail_rule(n: int) -> tuple[Reals, Reals]:
    """Return t / (2 a) and weights (n,) of Gauss's rule for polynomials in t^2 under the weight 1 - t / (2 a).

    By the three-term recurrence of the orthogonal polynomials (Stieltjes) on a fine rule of Gauss and Legendre, and the
    eigenvalues of its matrix (Golub & Welsch, Math. Comput. 23 (1969) 221).
    """
    x, w = np.polynomial.legendre.leggauss(200)
    t, w = (x + 1.0) / 2.0, w * (1.0 - (x + 1.0) / 2.0)
    w /= w.sum()
    v = t**2
    before, here = np.zeros_like(v), np.ones_like(v)
    diagonal, beside = np.zeros(n), np.zeros(n)
    norm = 1.0
    for k in range(n):
        diagonal[k] = (w * v * here**2).sum() / norm
        following = (v - diagonal[k]) * here - (beside[k] * before if k else 0.0)
        new_norm = (w * following**2).sum()
        if k + 1 < n:
            beside[k + 1] = new_norm / norm
        before, here, norm = here, following, new_norm
    matrix = np.diag(diagonal) + np.diag(np.sqrt(beside[1:]), 1) + np.diag(np.sqrt(beside[1:]), -1)
    squares, vectors = np.linalg.eigh(matrix)
    return np.sqrt(squares), vectors[0] ** 2


def tail(two_theta: float, t: Reals) -> tuple[Reals, Reals]:
    """Return 2phi - 2theta in degrees and D / W (T,), not normalised, at points t = h/L.

    Args:
        two_theta: degrees, not 90.
        t: (T,) below |tan(2theta)|, where the cone leaves the detector.

    """
    cosine = np.cos(np.radians(two_theta)) * np.sqrt(1.0 + t**2)
    two_phi = np.arccos(cosine)
    return np.degrees(two_phi) - two_theta, 1.0 / (cosine**2 * np.sin(two_phi))


def asymmetry_nodes(two_theta: float, fwhm: float, axial_divergence: float) -> tuple[Reals, Reals]:
    """Return shifts (degrees) and weights (sum 1) of the lines (T,) that stand for one line.

    Args:
        two_theta: degrees.
        fwhm: of the line, degrees.
        axial_divergence: a.

    """
    angle = np.radians(two_theta)
    reach = min(2.0 * axial_divergence, LARGEST_T * abs(np.tan(angle)))
    farthest, _ = tail(two_theta, np.array([reach]))
    t, weight = tail_rule(n_nodes(abs(farthest[0]) / fwhm))
    shift, factor = tail(two_theta, reach * t)
    return shift, weight * factor / (weight * factor).sum()

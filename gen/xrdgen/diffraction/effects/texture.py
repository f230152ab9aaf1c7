"""Preferred orientation after March and Dollase, averaged over symmetry, in float64.

    symbol      meaning                                                                             source
    r           1: none; < 1: plates lying flat, > 1: needles lying flat (Bragg-Brentano)           [D]
    alpha       angle between a reflection's normal and that of the preferred planes                [D]
    P(alpha)    (r^2 cos^2(alpha) + sin^2(alpha) / r)^(-3/2), mean over the sphere 1 for all r      [M], [D]
    W(hkl)      mean of P over all reflections equivalent under the Laue class                      [D]

[M] March, Z. Kristallogr. 81 (1932) 285. [D] Dollase, J. Appl. Cryst. 19 (1986) 267. All equivalents fall on one line
of a powder pattern, so that its intensity has the factor W.

# R reflections    M operations of the Laue class
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Reals = NDArray[np.float64]
Integers = NDArray[np.int64]


def march_dollase(cos_alpha: Reals, r: float) -> Reals:
    """Return P for cosines of any shape."""
    squared = cos_alpha**2
    return np.asarray((r * r * squared + (1.0 - squared) / r) ** -1.5)


def texture_weights(hkl: Integers, axis: Reals, r: float, reciprocal_metric: Reals, rotations: Integers) -> Reals:
    """Return W (R,) of reflections.

    Args:
        hkl: (R, 3).
        axis: (3,) h k l of the preferred planes.
        r: of March and Dollase.
        reciprocal_metric: (3, 3) G*, 1/Å^2.
        rotations: (M, 3, 3) of the point group, acting on coordinates; an inversion makes no difference.

    """
    equivalents = np.einsum("ri,mij->rmj", hkl, rotations)
    product = np.einsum("rmi,ij,j->rm", equivalents, reciprocal_metric, axis)
    length = np.einsum("rmi,ij,rmj->rm", equivalents, reciprocal_metric, equivalents)
    cos_alpha = product / np.sqrt(length * (axis @ reciprocal_metric @ axis))
    return np.asarray(march_dollase(np.clip(cos_alpha, -1.0, 1.0), r).mean(axis=1))

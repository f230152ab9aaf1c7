"""Kernel for low-angle asymmetry; see `asymmetry`.

# T lines in place of one, at most MAX_NODES
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from xrdgen.diffraction.effects.asymmetry import LARGEST_T, MAX_NODES, NODE_REACH, ONE_NODE, tail_rule
from xrdgen.jit import kernel

Reals = NDArray[np.float64]

_T = np.zeros((MAX_NODES + 1, MAX_NODES))
_WEIGHT = np.zeros((MAX_NODES + 1, MAX_NODES))
for _n in range(1, MAX_NODES + 1):
    _T[_n, :_n], _WEIGHT[_n, :_n] = tail_rule(_n)

_DEGREES = 180.0 / math.pi


@kernel
def asymmetry_nodes(
    two_theta: float, cos_two_theta: float, fwhm: float, axial_divergence: float, shift: Reals, weight: Reals
) -> int:
    """Fill shifts (degrees) and weights (sum 1) of the lines (T,) that stand for one line; return T.

    Args:
        two_theta: degrees, of the diffracted beam: before zero shift and displacement.
        cos_two_theta: its cosine.
        fwhm: of the line, degrees.
        axial_divergence: S/L = H/L; 0 leaves the line alone.
        shift: (`MAX_NODES`,) filled.
        weight: (`MAX_NODES`,) filled.

    """
    shift[0], weight[0] = 0.0, 1.0
    cosine_squared = cos_two_theta * cos_two_theta
    if axial_divergence == 0.0 or cosine_squared < 1e-12:
        return 1
    sine = math.sqrt(1.0 - cosine_squared)
    reach = min(2.0 * axial_divergence, LARGEST_T * sine / abs(cos_two_theta))
    first_order = 0.5 * reach * reach * cos_two_theta / sine * _DEGREES
    if abs(first_order) <= ONE_NODE * fwhm and abs(first_order) < 0.1 * abs(two_theta):
        shift[0] = -first_order / 6.0
        return 1
    farthest = two_theta - math.acos(cos_two_theta * math.sqrt(1.0 + reach * reach)) * _DEGREES
    n = min(max(1 + math.ceil((abs(farthest) / fwhm - ONE_NODE) / NODE_REACH), 1), MAX_NODES)
    total = 0.0
    for i in range(n):
        t = reach * _T[n, i]
        cosine = cos_two_theta * math.sqrt(1.0 + t * t)
        squared = cosine * cosine
        shift[i] = math.acos(cosine) * _DEGREES - two_theta
        weight[i] = _WEIGHT[n, i] / (squared * math.sqrt(1.0 - squared))
        total += weight[i]
    for i in range(n):
        weight[i] /= total
    return n

"""Shifts of lines on the 2theta axis, in float64.

    symbol      meaning                                                                             source
    2theta_0    zero shift of the goniometer, degrees, equal for all lines                          -
    s           how far the sample's surface lies below the goniometer's axis, away from tube, mm    -
    R           radius of the goniometer, mm                                                        -
    D           -2 s / R, displacement in degrees 2theta: lines move by D cos(theta)                [K]

[K] Klug & Alexander, X-Ray Diffraction Procedures, 2nd ed. (1974), section 5-1.2, Bragg-Brentano geometry.

# R lines
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from xrdgen.diffraction.effects.parameters import PatternParameters

Reals = NDArray[np.float64]


def displacement_of(depth: float, radius: float) -> float:
    """Return D in degrees 2theta for a surface `depth` mm below the axis and a goniometer of `radius` mm."""
    return float(np.degrees(-2.0 * depth / radius))


def shift(theta: Reals, parameters: PatternParameters) -> Reals:
    """Return what is added to 2theta (R,), degrees, of lines at theta (R,), radians."""
    return np.asarray(parameters.zero_shift + parameters.displacement * np.cos(theta))

"""Between 2theta and s = sin(theta) / lambda.

# M points
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def s_of(two_theta: NDArray[np.float64], wavelength: float) -> NDArray[np.float64]:
    """Return s = sin(theta) / lambda (M,) in 1/Å of 2theta (M,) in degrees at a wavelength in Å."""
    values: NDArray[np.float64] = np.sin(np.radians(two_theta / 2.0)) / wavelength
    return values


def two_theta_of(s: NDArray[np.float64], wavelength: float) -> NDArray[np.float64]:
    """Return 2theta (M,) in degrees of s (M,) in 1/Å, NaN where a wavelength does not reach."""
    sine = s * wavelength
    with np.errstate(invalid="ignore"):
        values: NDArray[np.float64] = 2.0 * np.degrees(np.arcsin(np.where(np.abs(sine) <= 1.0, sine, np.nan)))
    return values

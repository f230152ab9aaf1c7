"""What a simulation returns: reflection lines and diffractograms.

# R reflections    P grid points
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Peaks:
    """Reflection lines within the grid, by increasing 2theta; equivalent reflections are one line.

    Attributes:
        hkl: (R, 3) indices of one of the equivalents.
        d: (R,) spacing, Å.
        two_theta: (R,) degrees.
        multiplicity: (R,) number of equivalent reflections.
        f_squared: (R,) |F|^2 of the conventional cell, electrons squared.
        intensity: (R,) multiplicity x |F|^2 x Lorentz-polarisation, the strongest 100.

    """

    hkl: NDArray[np.int64]
    d: NDArray[np.float64]
    two_theta: NDArray[np.float64]
    multiplicity: NDArray[np.int64]
    f_squared: NDArray[np.float64]
    intensity: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Diffractogram:
    """A simulated pattern with its lines.

    Attributes:
        two_theta: (P,) degrees.
        intensity: (P,) float32, maximum 1.
        peaks: the lines.

    """

    two_theta: NDArray[np.float64]
    intensity: NDArray[np.float32]
    peaks: Peaks

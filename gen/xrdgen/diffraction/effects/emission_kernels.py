"""Kernels for emission lines; see `emission`.

# E = 4 emission lines
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from xrdgen.diffraction.effects.emission import Emission
from xrdgen.diffraction.effects.parameters import PatternParameters
from xrdgen.jit import kernel

N_EMISSION_LINES = 4


@kernel
def emission_lines(
    parameters: PatternParameters, emission: Emission, wavelengths: NDArray[np.float64], weights: NDArray[np.float64]
) -> int:
    """Fill wavelength (Å) and relative intensity (E,) of the lines of a pattern, K-alpha 1 first; return how many.

    Args:
        parameters: of the pattern.
        emission: of the tube.
        wavelengths: (E,) filled.
        weights: (E,) filled.

    """
    wavelengths[0], weights[0] = emission.k_alpha_1, 1.0
    n = 1
    if parameters.k_alpha_2 > 0.0:
        wavelengths[n], weights[n] = emission.k_alpha_2, parameters.k_alpha_2
        n += 1
    if parameters.k_beta > 0.0:
        wavelengths[n], weights[n] = emission.k_beta, parameters.k_beta
        n += 1
    if parameters.tungsten > 0.0:
        wavelengths[n], weights[n] = emission.tungsten, parameters.tungsten
        n += 1
    return n

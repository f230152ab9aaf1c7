"""Kernels for emission lines; see `emission`.

# E = 4 emission lines
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from xrdgen.diffraction.effects.emission import Emission
from xrdgen.diffraction.effects.parameters import PatternParameters
from xrdgen.jit import kernel

N_EMISSION_LINES = 4


class Emitted(NamedTuple):
    """The lines of a pattern's radiation (E,), K-alpha 1 first."""

    wavelength: NDArray[np.float64]
    """Å."""
    weight: NDArray[np.float64]
    """Relative intensity."""
    ends: NDArray[np.float64]
    """(E, 2) smallest and largest sin^2(theta) that reach the grid, see `shaped_reach_kernels`."""


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


@kernel
def emitted_lines(parameters: PatternParameters, emission: Emission) -> Emitted:
    """Return the lines of a pattern; their ends are not known yet."""
    wavelengths, weights = np.empty(N_EMISSION_LINES), np.empty(N_EMISSION_LINES)
    n = emission_lines(parameters, emission, wavelengths, weights)
    return Emitted(wavelengths[:n], weights[:n], np.empty((n, 2)))

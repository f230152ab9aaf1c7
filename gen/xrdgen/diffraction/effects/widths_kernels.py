"""Kernels for widths and shapes of lines: `widths` in a form that the compiler vectorises, and their bound for reach.

The fifth root of Thompson, Cox and Hastings is taken of a number s in [1, 12]: with t = smaller / larger of the two
widths, H = larger s^(1/5), and s = 1 + ... + t^5 lies there. Two steps of
Newton's method from a rational function fitted to 6e-4 give it to 1e-12.

# R lines
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from xrdgen.diffraction.effects.parameters import PatternParameters
from xrdgen.jit import fast_kernel, inline_kernel, kernel

Reals = NDArray[np.float64]

_STRAIN_DEGREES = math.degrees(4.0)


@inline_kernel
def fifth_root(s: float) -> float:
    """Return s^(1/5) for s in [1, 12], to 1e-12."""
    r = (0.68741148 + s * (1.11133788 + 0.092183 * s)) / (1.0 + s * (0.85246421 + 0.0373653 * s))
    for _ in range(2):
        r_2 = r * r
        r = 0.8 * r + 0.2 * s / (r_2 * r_2)
    return r


# fast: sums of positive terms; the floor keeps divisors positive
@fast_kernel
def line_shape(
    sin_squared: float, parameters: PatternParameters, scherrer_fwhm_at_zero: float, floor: float
) -> tuple[float, float]:
    """Return FWHM (degrees 2theta) and share of the Lorentzian of one line; see `line_shapes`."""
    secant_squared = 1.0 / (1.0 - sin_squared)
    tangent_squared = sin_squared * secant_squared
    tangent = math.sqrt(tangent_squared)
    instrument = max(
        parameters.caglioti_u * tangent_squared + parameters.caglioti_v * tangent + parameters.caglioti_w, 0.0
    )
    size = scherrer_fwhm_at_zero * math.sqrt(secant_squared)
    strain = _STRAIN_DEGREES * parameters.microstrain * tangent
    if parameters.thompson_cox_hastings == 0.0:
        return max(math.sqrt(instrument + size * size + strain * strain), floor), parameters.lorentzian_fraction
    m = parameters.sample_lorentzian
    gaussian = math.sqrt(instrument + (1.0 - m) * (1.0 - m) * (size * size + strain * strain))
    lorentzian = m * (size + strain)
    larger = max(max(gaussian, lorentzian), 1e-9 * floor)
    g, l = gaussian / larger, lorentzian / larger  # noqa: E741
    s = l * (l * (l * (l * (l + 0.07842 * g) + 4.47163 * g * g) + 2.42843 * g * g * g) + 2.69269 * g * g * g * g)
    root = fifth_root(max(s + g * g * g * g * g, 1.0))
    q = l / root
    return max(larger * root, floor), q * (1.36603 + q * (0.11116 * q - 0.47719))


# fast: see `line_shape`
@fast_kernel
def line_shapes(
    sin_squared: Reals,
    parameters: PatternParameters,
    scherrer_fwhm_at_zero: float,
    floor: float,
    fwhm: Reals,
    lorentzian: Reals,
) -> None:
    """Fill FWHM (degrees 2theta) and share of the Lorentzian (R,) of lines.

    Args:
        sin_squared: (R,) sin^2(theta), below 1.
        parameters: of the pattern.
        scherrer_fwhm_at_zero: `scherrer_at_zero`.
        floor: smallest FWHM, degrees, above 0.
        fwhm: (R,) filled.
        lorentzian: (R,) filled.

    """
    for i in range(sin_squared.size):
        fwhm[i], lorentzian[i] = line_shape(sin_squared[i], parameters, scherrer_fwhm_at_zero, floor)


@kernel
def scherrer_at_zero(crystallite_size: float, wavelength: float, scherrer_constant: float) -> float:
    """Return K lambda / L in degrees 2theta, the Scherrer width at theta = 0; 0 for a size of 0.

    Args:
        crystallite_size: nm.
        wavelength: Å.
        scherrer_constant: K.

    """
    if crystallite_size == 0.0:
        return 0.0
    return math.degrees(scherrer_constant * wavelength / (10.0 * crystallite_size))

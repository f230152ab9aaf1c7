"""Widths and shapes of lines in float64: instrument (Caglioti), crystallite size (Scherrer), microstrain, their sum.

    symbol      meaning                                                                             source
    H_inst^2    U tan^2(theta) + V tan(theta) + W, FWHM^2 on the 2theta axis, square degrees        [C]
    H_size      K lambda / (L cos(theta)), FWHM on the 2theta axis                                  [S]
    H_strain    4 e tan(theta), FWHM on the 2theta axis; e = maximal (not rms) strain               [W]
    m           Lorentzian share of the sample's broadening                                         [G]
    H_G^2       H_inst^2 + ((1 - m) H_size)^2 + ((1 - m) H_strain)^2                                [G]
    H_L         m (H_size + H_strain)                                                               [G], [T]
    H           (H_G^5 + 2.69269 H_G^4 H_L + 2.42843 H_G^3 H_L^2 + 4.47163 H_G^2 H_L^3
                + 0.07842 H_G H_L^4 + H_L^5)^(1/5), FWHM of the pseudo-Voigt                        [T]
    eta         1.36603 q - 0.47719 q^2 + 0.11116 q^3, q = H_L / H, share of the Lorentzian         [T]

[C] Caglioti, Paoletti & Ricci, Nucl. Instrum. 3 (1958) 223. [S] Scherrer (1918); Patterson, Phys. Rev. 56 (1939) 978.
[W] Stokes & Wilson, Proc. Phys. Soc. 56 (1944) 174. [T] Thompson, Cox & Hastings, J. Appl. Cryst. 20 (1987) 79. [G] as
GSAS-II mixes: Toby & Von Dreele, J. Appl. Cryst. 46 (2013) 544.

Without Thompson, Cox and Hastings, H^2 = H_inst^2 + H_size^2 + H_strain^2 and eta is given (the paper, S4, has H_inst
alone). A line is never narrower than a floor, two grid steps, below which points would miss its maximum.

# R lines
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from xrdgen.diffraction.effects.parameters import PatternParameters

Reals = NDArray[np.float64]

FLOOR_STEPS = 2.0
"""No FWHM is below this many grid steps."""


def caglioti_fwhm_squared(theta: Reals, u: float, v: float, w: float) -> Reals:
    """Return H_inst^2 (R,) in square degrees 2theta, 0 where V would make it negative; theta in radians."""
    tangent = np.tan(theta)
    return np.asarray(np.maximum(u * tangent**2 + v * tangent + w, 0.0))


def scherrer_fwhm(theta: Reals, crystallite_size: float, wavelength: float, scherrer_constant: float = 0.9) -> Reals:
    """Return H_size (R,) in degrees 2theta; 0 for a size of 0.

    Args:
        theta: (R,) radians.
        crystallite_size: nm.
        wavelength: Å.
        scherrer_constant: K.

    """
    if crystallite_size == 0.0:
        return np.zeros_like(theta)
    return np.asarray(np.degrees(scherrer_constant * wavelength / (10.0 * crystallite_size * np.cos(theta))))


def strain_fwhm(theta: Reals, microstrain: float) -> Reals:
    """Return H_strain (R,) in degrees 2theta; theta in radians."""
    return np.asarray(np.degrees(4.0 * microstrain * np.tan(theta)))


def thompson_cox_hastings(gaussian: Reals, lorentzian: Reals) -> tuple[Reals, Reals]:
    """Return FWHM and share of the Lorentzian (R,) of the pseudo-Voigt that is close to a Voigt profile.

    Args:
        gaussian: (R,) FWHM of the Gaussian, any unit.
        lorentzian: (R,) of the Lorentzian, not both 0.

    """
    g, l = gaussian, lorentzian  # noqa: E741
    fifth = g**5 + 2.69269 * g**4 * l + 2.42843 * g**3 * l**2 + 4.47163 * g**2 * l**3 + 0.07842 * g * l**4 + l**5
    fwhm = fifth**0.2
    q = l / fwhm
    return fwhm, 1.36603 * q - 0.47719 * q**2 + 0.11116 * q**3


def line_shapes(
    theta: Reals, parameters: PatternParameters, wavelength: float, floor: float, scherrer_constant: float = 0.9
) -> tuple[Reals, Reals]:
    """Return FWHM (degrees 2theta) and share of the Lorentzian (R,) of lines.

    Args:
        theta: (R,) radians, below pi / 2.
        parameters: of the pattern.
        wavelength: Å, of the Scherrer equation.
        floor: smallest FWHM, degrees, above 0.
        scherrer_constant: K.

    """
    instrument = caglioti_fwhm_squared(theta, parameters.caglioti_u, parameters.caglioti_v, parameters.caglioti_w)
    size = scherrer_fwhm(theta, parameters.crystallite_size, wavelength, scherrer_constant)
    strain = strain_fwhm(theta, parameters.microstrain)
    if parameters.thompson_cox_hastings:
        m = parameters.sample_lorentzian
        gaussian = np.sqrt(instrument + ((1.0 - m) * size) ** 2 + ((1.0 - m) * strain) ** 2)
        lorentzian = m * (size + strain)
        tiny = np.where(gaussian + lorentzian > 0.0, 0.0, floor)
        fwhm, eta = thompson_cox_hastings(gaussian + tiny, lorentzian)
    else:
        fwhm = np.sqrt(instrument + size**2 + strain**2)
        eta = np.full_like(fwhm, parameters.lorentzian_fraction)
    return np.maximum(fwhm, floor), eta

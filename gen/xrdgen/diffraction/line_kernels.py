"""Kernels of the first stage: what each reflection line is before it has a profile.

    symbol          variable            meaning                                                 reference
    theta           -                   lambda = 2 d sin(theta), sin^2(theta) = lambda^2 s^2    Bragg's law
    LP              -                   (1 + cos^2 2 theta) / (sin^2 theta cos theta)           Int. Tables C, 6.2
    I               area                area of a line: multiplicity |F|^2 LP                   pymatgen
    FWHM            -                   K lambda / (L cos theta), on the 2 theta axis           Scherrer (1918); [P]
    sigma           1 / sharpness       FWHM / sqrt(8 ln 2)                                     -

[P] Patterson, Phys. Rev. 56 (1939) 978.

Position, area and width are separate, so that whatever acts on one of them leaves the others alone. `profile_kernels`
draws the lines.

# R reflections
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from xrdgen.diffraction.reach_kernels import FWHM_TO_SIGMA, Instrument
from xrdgen.jit import fast_kernel, kernel

ABSENT = 1e-20
"""Lines with less than this share of F(000)^2 are systematically absent (rounding leaves about 1e-30)."""

Reals = NDArray[np.float64]


class LineArrays(NamedTuple):
    """Lines as the profile stage takes them, (R,) each."""

    centre: Reals
    """Position, grid steps from the first grid point."""
    area: Reals
    """Integrated intensity, in any unit that all lines share; 0 for absent lines."""
    sharpness: Reals
    """1 / sigma of the Gaussian of the same FWHM, 1 / step."""


@kernel
def empty_lines(n_lines: int) -> LineArrays:
    """Return arrays for so many lines."""
    columns = np.empty((3, n_lines))
    return LineArrays(columns[0], columns[1], columns[2])


def _arcsine_coefficients() -> tuple[float, ...]:
    """Fit arcsin(sqrt u) / sqrt u on [0, 1/2], lowest power first; its error is under 1e-11."""
    u = (np.cos(np.linspace(1e-6, np.pi - 1e-6, 400)) + 1.0) / 4.0
    fit = np.polynomial.Chebyshev.fit(u, np.arcsin(np.sqrt(u)) / np.sqrt(u), 13, domain=[0.0, 0.5])
    return tuple(float(c) for c in fit.convert(kind=np.polynomial.Polynomial).coef)


_A0, _A1, _A2, _A3, _A4, _A5, _A6, _A7, _A8, _A9, _A10, _A11, _A12, _A13 = _arcsine_coefficients()


# fast: a polynomial without cancellation; u is never NaN
@fast_kernel
def arcsine(x: float, u: float) -> float:
    """Return arcsin(x) for x in [0, sqrt(1/2)], given u = x^2 as well."""
    p = _A13
    p = p * u + _A12
    p = p * u + _A11
    p = p * u + _A10
    p = p * u + _A9
    p = p * u + _A8
    p = p * u + _A7
    p = p * u + _A6
    p = p * u + _A5
    p = p * u + _A4
    p = p * u + _A3
    p = p * u + _A2
    p = p * u + _A1
    p = p * u + _A0
    return p * x


# fast: no sums; sin^2(theta) lies inside (0, 1)
@fast_kernel
def bragg_angles(s_squared: Reals, wavelength: float, theta: Reals) -> None:
    """Fill theta (R,) in radians for s^2 = (sin(theta) / lambda)^2 (R,) in 1/Å^2."""
    wavelength_squared = wavelength * wavelength
    for i in range(s_squared.size):
        sin_squared = wavelength_squared * s_squared[i]
        cos_squared = 1.0 - sin_squared
        sine, cosine = math.sqrt(sin_squared), math.sqrt(cos_squared)
        # above 45 degrees theta = pi / 2 - arcsin(cos theta)
        half = arcsine(min(sine, cosine), min(sin_squared, cos_squared))
        theta[i] = half if sin_squared <= 0.5 else 0.5 * math.pi - half


# fast: no sums; sin^2(theta) lies inside (0, 1), so nothing is divided by zero
@fast_kernel
def line_areas(
    s_squared: Reals,
    multiplicity: NDArray[np.int64],
    f_squared: Reals,
    wavelength: float,
    absent: float,
    area: Reals,
) -> None:
    """Fill multiplicity |F|^2 LP (R,); 0 for lines of which cos(theta) times this is not above `absent`."""
    wavelength_squared = wavelength * wavelength
    for i in range(s_squared.size):
        sin_squared = wavelength_squared * s_squared[i]
        cos_squared = 1.0 - sin_squared
        cos_two_theta = cos_squared - sin_squared
        without_cosine = multiplicity[i] * f_squared[i] * (1.0 + cos_two_theta * cos_two_theta) / sin_squared
        area[i] = without_cosine / math.sqrt(cos_squared) if without_cosine > absent else 0.0


# fast: products
@fast_kernel
def grid_positions(theta: Reals, instrument: Instrument, centre: Reals) -> None:
    """Fill the positions 2 theta (R,) in grid steps from the first grid point."""
    first = instrument.two_theta_min / instrument.step
    steps_per_radian = 180.0 / math.pi / instrument.step
    for i in range(theta.size):
        centre[i] = 2.0 * theta[i] * steps_per_radian - first


# fast: no sums; cos^2(theta) is positive
@fast_kernel
def scherrer_sharpness(
    s_squared: Reals, wavelength: float, instrument: Instrument, crystallite_size: float, sharpness: Reals
) -> None:
    """Fill 1 / sigma (R,), 1 / step, of lines as wide as Scherrer's equation has them; the size in Å."""
    steps_per_radian = 180.0 / math.pi / instrument.step
    at_zero = crystallite_size / (instrument.scherrer_constant * wavelength * FWHM_TO_SIGMA * steps_per_radian)
    wavelength_squared = wavelength * wavelength
    for i in range(s_squared.size):
        sharpness[i] = at_zero * math.sqrt(1.0 - wavelength_squared * s_squared[i])


@kernel
def forward_intensity(atomic_numbers: NDArray[np.int64], weights: Reals, order: int) -> float:
    """Return F(000)^2 of atoms (A,) with weights (A,) in a group of some order."""
    electrons = 0.0
    for i in range(weights.size):
        electrons += atomic_numbers[i] * weights[i] * order
    return electrons * electrons

"""Kernels that turn reflection lines into a diffractogram: angles, intensities, widths, Gaussian peaks.

    symbol          variable        meaning                                                 reference
    theta           -               lambda = 2 d sin(theta), sin^2(theta) = lambda^2 s^2    Bragg's law
    LP              -               (1 + cos^2 2 theta) / (sin^2 theta cos theta)           Int. Tables C, 6.2; pymatgen
    I               area            multiplicity |F|^2 LP                                   -
    FWHM            fwhm            K lambda / (L cos theta), on the 2 theta axis           Scherrer (1918); Patterson,
                                                                                            Phys. Rev. 56 (1939) 978
    sigma           sigma           FWHM / sqrt(8 ln 2)                                     -
    y(2 theta)      y               sum of area / (sigma sqrt(2 pi)) exp(-z^2 / 2)          paper, section 2.2
    z               -               (2 theta - position) / sigma                            -

Each peak is drawn within CUTOFF sigma of its position, in blocks of LANES grid points that the compiler turns into
vector instructions, with exp(x) = p(x / 64)^64 for a polynomial p of fifth degree. Single precision: rounding is under
1e-5 of the peak.

# R reflections    P grid points
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from xrdgen.jit import fast_kernel, kernel

CUTOFF = 5.5
"""A Gaussian is 2.7e-7 of its height at this many sigma; what lies beyond is left out."""

WEAKEST = 1e-7
"""Lines with less than this share of the strongest area are left out (systematically absent ones are 1e-30)."""

FWHM_TO_SIGMA = 1.0 / math.sqrt(8.0 * math.log(2.0))

LANES = 16
"""Grid points drawn together; the work array has this many to spare on both sides."""

_EXP_DOMAIN = -0.3
"""p is fitted to exp on [_EXP_DOMAIN, 0]: exp(64 x -0.3) = 5e-9 ends every tail."""


def _exp_coefficients() -> tuple[float, ...]:
    """Fit p(x) = exp(x) on its domain, lowest power first; p(0) = 1 exactly, so that no peak is scaled."""
    x = (np.cos(np.linspace(0.0, np.pi, 300)) - 1.0) / 2.0 * -_EXP_DOMAIN
    powers = x[:, None] ** np.arange(1, 6)
    fit, *_ = np.linalg.lstsq(powers, np.expm1(x), rcond=None)
    return (1.0, *(float(c) for c in fit))


def _arcsine_coefficients() -> tuple[float, ...]:
    """Fit arcsin(sqrt u) / sqrt u on [0, 1/2], lowest power first; its error is under 1e-11."""
    u = (np.cos(np.linspace(1e-6, np.pi - 1e-6, 400)) + 1.0) / 4.0
    fit = np.polynomial.Chebyshev.fit(u, np.arcsin(np.sqrt(u)) / np.sqrt(u), 13, domain=[0.0, 0.5])
    return tuple(float(c) for c in fit.convert(kind=np.polynomial.Polynomial).coef)


_E0, _E1, _E2, _E3, _E4, _E5 = (np.float32(c) for c in _exp_coefficients())
_A0, _A1, _A2, _A3, _A4, _A5, _A6, _A7, _A8, _A9, _A10, _A11, _A12, _A13 = _arcsine_coefficients()

Reals = NDArray[np.float64]


# fast: a polynomial without cancellation; u is never NaN
@fast_kernel
def arcsine_of_root(u: float) -> float:
    """Return arcsin(sqrt u) for u in [0, 1/2]."""
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
    return p * math.sqrt(u)


# fast: no sums; sin^2(theta) lies inside (0, 1), so nothing is divided by zero
@fast_kernel
def bragg_lines(
    s_squared: Reals,
    strength: Reals,
    wavelength: float,
    scherrer_constant: float,
    crystallite_size: float,
    two_theta: Reals,
    area: Reals,
    fwhm: Reals,
) -> None:
    """Fill 2 theta (degrees), area (strength x LP) and Scherrer FWHM (degrees 2 theta) of lines, (R,) each.

    Args:
        s_squared: (R,) (sin(theta) / lambda)^2 in 1/Å^2.
        strength: (R,) multiplicity x |F|^2.
        wavelength: Å.
        scherrer_constant: K.
        crystallite_size: L in Å.
        two_theta: (R,) filled.
        area: (R,) filled.
        fwhm: (R,) filled.

    """
    to_degrees = 180.0 / math.pi
    fwhm_at_zero = scherrer_constant * wavelength / crystallite_size * to_degrees
    for i in range(s_squared.size):
        sin_squared = wavelength * wavelength * s_squared[i]
        cos_squared = 1.0 - sin_squared
        # above 45 degrees arcsin(sqrt q) = pi / 2 - arcsin(sqrt(1 - q))
        half = arcsine_of_root(min(sin_squared, cos_squared))
        theta = half if sin_squared <= 0.5 else 0.5 * math.pi - half
        secant = 1.0 / math.sqrt(cos_squared)
        cos_two_theta = cos_squared - sin_squared
        two_theta[i] = 2.0 * theta * to_degrees
        area[i] = strength[i] * (1.0 + cos_two_theta * cos_two_theta) / sin_squared * secant
        fwhm[i] = fwhm_at_zero * secant


# fast: the order of sums within a peak is free; exponents are finite
@fast_kernel
def add_gaussian(y: NDArray[np.float32], centre: float, sigma: float, height: float) -> None:
    """Add a Gaussian to the work array (LANES + P + LANES,), whose element LANES is grid point 0.

    Args:
        y: work array.
        centre: position in grid steps from the first grid point.
        sigma: in grid steps.
        height: at the centre.

    """
    first = max(math.floor(centre - CUTOFF * sigma) + 1, 1 - LANES)
    last = min(math.ceil(centre + CUTOFF * sigma) - 1, y.size - 2 * LANES - 1)
    if last < first:
        return
    # x / 64 = -u^2 for the exponent x = -z^2 / 2
    scale = math.sqrt(0.5 / 64.0) / sigma
    step = np.float32(scale)
    start = np.float32((first - centre) * scale)
    top = np.float32(height)
    lowest = np.float32(_EXP_DOMAIN)
    for block in range((last - first) // LANES + 1):
        begin = first + LANES + block * LANES
        lanes = y[begin : begin + LANES]
        offset = start + np.float32(block * LANES) * step
        for i in range(LANES):
            u = offset + np.float32(i) * step
            x = max(-u * u, lowest)
            p = ((((_E5 * x + _E4) * x + _E3) * x + _E2) * x + _E1) * x + _E0
            p = p * p
            p = p * p
            p = p * p
            p = p * p
            p = p * p
            p = p * p
            lanes[i] += top * p


@kernel
def draw_gaussians(
    two_theta: Reals,
    area: Reals,
    fwhm: Reals,
    two_theta_min: float,
    step: float,
    n_points: int,
) -> NDArray[np.float32]:
    """Return the sum of area-normalised Gaussians on the grid, (LANES + P + LANES,) with points 0 ... P-1 inside.

    Heights are relative to the strongest area at one grid step of width, to stay within single precision.
    """
    y = np.zeros(n_points + 2 * LANES, np.float32)
    strongest = 0.0
    for i in range(area.size):
        strongest = max(strongest, area[i])
    for i in range(area.size):
        if area[i] > WEAKEST * strongest:
            sigma = fwhm[i] * FWHM_TO_SIGMA / step
            add_gaussian(y, (two_theta[i] - two_theta_min) / step, sigma, area[i] / strongest / sigma)
    return y


# fast: the maximum of finite numbers does not depend on the order
@fast_kernel
def scale_to_unit_maximum(y: NDArray[np.float32], out: NDArray[np.float32]) -> bool:
    """Write the grid points of the work array to out (P,), divided by their maximum; False if all are zero."""
    n_points = out.size
    grid = y[LANES : LANES + n_points]
    lanes = np.zeros(LANES, np.float32)
    whole = n_points // LANES * LANES
    for begin in range(0, whole, LANES):
        block = grid[begin : begin + LANES]
        for i in range(LANES):
            lanes[i] = max(lanes[i], block[i])
    largest = np.float32(0.0)
    for i in range(whole, n_points):
        largest = max(largest, grid[i])
    for i in range(LANES):
        largest = max(largest, lanes[i])
    if largest <= 0.0:
        out[:] = 0.0
        return False
    factor = np.float32(1.0) / largest
    for i in range(n_points):
        out[i] = grid[i] * factor
    return True

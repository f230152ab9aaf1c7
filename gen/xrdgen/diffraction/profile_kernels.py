"""Kernels of the second stage: lines are added to a buffer that is not scaled, as Gaussians or pseudo-Voigts.

    symbol          variable            meaning                                                 reference
    I               area                area of a line                                          `line_kernels`
    sigma           1 / sharpness       FWHM / sqrt(8 ln 2)                                     `line_kernels`
    h               height              I / sigma, up to a factor that all lines share          -
    z               -                   (2 theta - position) / sigma                            -
    G               -                   exp(-z^2 / 2) / (sigma sqrt(2 pi))                      paper, section 2.2
    eta             lorentzian_fraction y = sum of I [(1 - eta) G + eta Lorentzian]             [W]

[W] Wertheim et al., Rev. Sci. Instrum. 45 (1974) 1369.

Both parts of the pseudo-Voigt y have area 1 and the same FWHM; the Lorentzian is in `lorentzian_kernels`.

A Gaussian is drawn as far as it is above FAINTEST of the highest line that the grid shows: |z| < sqrt(2 ln(h /
FAINTEST)), which is CUTOFF for that line and less for all others. It is drawn in blocks of LANES grid points, which the
compiler turns into vector instructions, with

    exp(-z^2 / 2) = p(v)^16,    v = z^2 / 32,    p(v) a polynomial of fourth degree, close to exp(-v)

fitted so that p^16, not p, is right to 1e-6 of the height.

# R reflections    P grid points
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from xrdgen.diffraction.reach_kernels import CUTOFF, FLANK_END
from xrdgen.jit import fast_kernel, kernel

FAINTEST = math.exp(-0.5 * CUTOFF * CUTOFF)
"""Share of the largest height below which nothing is drawn, 2.7e-7."""

WEAKEST = 1e-7
"""Lorentzians lower than this share of the largest height are left out (systematically absent lines are 1e-30)."""

FLANK = 4.0
"""Lines outside the grid that are higher than this times what the grid shows are drawn with the exact exponential."""

LANES = 16
"""Grid points drawn together; the work array has this many to spare on both sides."""

_POWER = 16
EXPONENT_SCALE = 0.5 / _POWER
"""v over z^2."""

LAST_V = 1.0
"""p is fitted on [0, LAST_V]: p(1)^16 = 1e-7 ends every tail."""


def _exp_coefficients() -> tuple[float, ...]:
    """Fit p(v) = 1 + c_1 v + ... + c_4 v^4 so that p^16 is close to exp(-16 v); return the c.

    To first order p^16 - exp(-16 v) = 16 exp(-15 v) (p - exp(-v)): least squares with this weight.
    """
    v = (1.0 - np.cos(np.linspace(0.0, np.pi, 300))) / 2.0 * LAST_V
    weight = np.exp(-(_POWER - 1) * v)
    powers = v[:, None] ** np.arange(1, 5)
    fit, *_ = np.linalg.lstsq(powers * weight[:, None], np.expm1(-v) * weight, rcond=None)
    return tuple(float(c) for c in fit)


E1, E2, E3, E4 = (np.float32(c) for c in _exp_coefficients())

Reals = NDArray[np.float64]
Singles = NDArray[np.float32]


# fast: products
@fast_kernel
def line_heights(area: Reals, sharpness: Reals, height: Reals) -> None:
    """Fill the heights (R,) of Gaussians of some areas and sharpness, up to a factor that all lines share."""
    for i in range(area.size):
        height[i] = area[i] * sharpness[i]


@kernel
def largest_visible_height(centre: Reals, sharpness: Reals, height: Reals, n_points: int) -> float:
    """Return the largest Gaussian value of single lines on the grid, 0 if no line is within CUTOFF sigma of it.

    Lines beside the grid count with their flank at its edge; lines of height 0 are none.
    """
    largest = 0.0
    seen = False
    for i in range(height.size):
        if height[i] <= 0.0:
            continue
        outside = max(-centre[i], centre[i] - (n_points - 1))
        if outside <= 0.0:
            seen = True
            largest = max(largest, height[i])
        elif outside * sharpness[i] < FLANK_END:
            z = outside * sharpness[i]
            seen = seen or z < CUTOFF
            largest = max(largest, height[i] * math.exp(-0.5 * z * z))
    return largest if seen else 0.0


# fast: no sums of more than three terms; sharpness is positive
@fast_kernel
def half_widths(height: Reals, sharpness: Reals, unit: float, half_width: Singles) -> None:
    """Fill how far (grid steps) each Gaussian is above FAINTEST units of height, (R,); 0 if it is nowhere.

    Read as an integer, the bits of a single-precision number x are 2^23 (127 + log2 x), up to 0.087 too little.
    """
    scale = 1.0 / (FAINTEST * unit)
    for i in range(height.size):
        half_width[i] = height[i] * scale
    bits = half_width.view(np.int32)
    for i in range(height.size):
        log2 = np.float32(bits[i]) * np.float32(2.0**-23) - np.float32(127.0 - 0.087)
        z_squared = max(log2, np.float32(0.0)) * np.float32(2.0 * math.log(2.0))
        half_width[i] = math.sqrt(z_squared) / np.float32(sharpness[i])


# fast: the order of sums within a peak is free; exponents are finite
@fast_kernel
def add_gaussian(y: Singles, centre: float, sharpness: float, height: float, half_width: float) -> None:
    """Add a Gaussian to the work array (LANES + P + LANES,), whose element LANES is grid point 0.

    Args:
        y: work array.
        centre: position in grid steps from the first grid point.
        sharpness: 1 / sigma, 1 / step.
        height: at the centre.
        half_width: drawn at least as far as this from the centre, grid steps.

    """
    first = max(math.floor(centre - half_width) + 1, 1 - LANES)
    last = min(math.ceil(centre + half_width) - 1, y.size - 2 * LANES - 1)
    # v = u^2 = z^2 / 32
    scale = math.sqrt(EXPONENT_SCALE) * sharpness
    step = np.float32(scale)
    start = np.float32((first - centre) * scale)
    top = np.float32(height)
    one = np.float32(1.0)
    for begin in range(first + LANES, last + LANES + 1, LANES):
        lanes = y[begin : begin + LANES]
        for i in range(LANES):
            u = start + np.float32(i) * step
            v = min(u * u, np.float32(LAST_V))
            p = (((E4 * v + E3) * v + E2) * v + E1) * v + one
            p = p * p
            p = p * p
            p = p * p
            p = p * p
            lanes[i] += top * p
        start += np.float32(LANES) * step


@kernel
def add_flank(y: Singles, centre: float, sharpness: float, height: float) -> None:
    """Add a line whose centre lies outside the grid and whose flank may be all that is seen, exactly."""
    for i in range(y.size - 2 * LANES):
        z = (i - centre) * sharpness
        if abs(z) < FLANK_END:
            y[LANES + i] += np.float32(height * math.exp(-0.5 * z * z))


@kernel
def add_gaussians(y: Singles, centre: Reals, sharpness: Reals, height: Reals, unit: float, share: float) -> None:
    """Add all lines as Gaussians to the work array (LANES + P + LANES,).

    Args:
        y: work array.
        centre: (R,) grid steps from the first point.
        sharpness: (R,) 1 / sigma, 1 / step.
        height: (R,).
        unit: `largest_visible_height`; y is in these units, which keeps it within single precision.
        share: factor of all heights, 1 - eta.

    """
    half_width = np.empty(height.size, np.float32)
    half_widths(height, sharpness, unit / share, half_width)
    scale = share / unit
    last = y.size - 2 * LANES - 1
    for i in range(height.size):
        if half_width[i] > 0.0:
            if height[i] * scale > FLANK and not 0.0 <= centre[i] <= last:
                add_flank(y, centre[i], sharpness[i], height[i] * scale)
            else:
                add_gaussian(y, centre[i], sharpness[i], height[i] * scale, half_width[i])

"""Kernels of the first stage where sample and instrument act: every line has its own position, area, width and shape.

    what acts           on          kernel
    emission lines      all         `effects.emission_kernels`: each from d, with its own LP factor
    thermal motion      area        exp(-2 B s^2) of one B for all atoms
    texture             area        `effects.texture_kernels`
    size, strain, ...   width       `effects.widths_kernels`
    shifts              position    `effects.shifts_kernels`
    axial divergence    all         `effects.asymmetry_kernels`: some lines become a few

    symbol      variable        meaning                                                         reference
    H           fwhm            full width at half maximum, degrees 2theta                      `effects.widths`
    eta         lorentzian      share of the Lorentzian in the area                             `effects.widths`


# R reflections    E emission lines    N lines, E R and more
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from xrdgen.diffraction.effects.asymmetry import LARGEST_T, MAX_NODES, ONE_NODE
from xrdgen.diffraction.effects.asymmetry_kernels import asymmetry_nodes
from xrdgen.diffraction.effects.emission_kernels import Emitted
from xrdgen.diffraction.effects.parameters import PatternParameters
from xrdgen.diffraction.effects.shifts_kernels import shift
from xrdgen.diffraction.effects.widths_kernels import line_shapes, scherrer_at_zero
from xrdgen.diffraction.line_kernels import arcsine
from xrdgen.diffraction.reach_kernels import FWHM_TO_SIGMA, Instrument
from xrdgen.diffraction.shaped_reach_kernels import FLOOR_STEPS
from xrdgen.jit import fast_kernel, kernel

SAMPLES = 129
"""Places at which gamma^2 is known."""

LAST_SAMPLE = 176.0
"""Degrees 2theta of the last of them."""

FAR = 5.0
"""Degrees beyond the grid from which the shape of a line does not matter, only its area and centroid."""

_SAMPLE_SQUARES = np.sin(np.radians(0.5 * np.linspace(0.0, LAST_SAMPLE, SAMPLES))) ** 2
"""sin^2(theta) of the samples."""

Reals = NDArray[np.float64]


class ShapedLines(NamedTuple):
    """Lines as the profile stage takes them, (N,) each."""

    centre: Reals
    """Position, grid steps from the first grid point."""
    area: Reals
    """Integrated intensity, in any unit that all lines share; 0 for lines that are not there."""
    sharpness: Reals
    """1 / sigma of the Gaussian of the same FWHM, 1 / step."""
    lorentzian: Reals
    """Share of the Lorentzian in the area."""
    gamma_squared: Reals
    """(SAMPLES,) (FWHM / 2)^2 in grid steps squared along the axis: widths change slowly."""
    first_sample: float
    """Its first place, grid steps from the first grid point."""
    samples_per_step: float
    """1 / grid step."""
    far_centre: Reals = np.zeros(0)
    """(F,) positions of further lines, far above the grid, of which only the tails are seen (`far_line_kernels`)."""
    far_strength: NDArray[np.float32] = np.zeros(0, np.float32)
    """(F,) their A, in the unit of area x sharpness."""


@kernel
def empty_shaped_lines(n_lines: int) -> ShapedLines:
    """Return arrays for so many lines."""
    columns = np.empty((4, n_lines))
    return ShapedLines(
        columns[0],
        columns[1],
        columns[2],
        columns[3],
        np.empty(SAMPLES),
        0.0,
        1.0,
        np.empty(0),
        np.empty(0, np.float32),
    )


# fast: products and comparisons
@fast_kernel
def reflect(
    s_squared: Reals, intensity: Reals, wavelength: float, weight: float, ends: Reals, sin_squared: Reals, area: Reals
) -> None:
    """Fill sin^2(theta) and the intensity (R,) of the lines of one wavelength, 0 where they do not reach the grid.

    Args:
        s_squared: (R,) 1/Å^2.
        intensity: (R,) multiplicity |F|^2 and what else does not depend on the wavelength.
        wavelength: Å.
        weight: of the emission line.
        ends: (2,) smallest and largest sin^2(theta) that reach the grid.
        sin_squared: (R,) filled, not above the largest.
        area: (R,) filled, without the Lorentz-polarisation factor.

    """
    squared = wavelength * wavelength
    least, most = ends[0], ends[1]
    for i in range(s_squared.size):
        x = squared * s_squared[i]
        area[i] = weight * intensity[i] if least <= x <= most else 0.0
        sin_squared[i] = min(x, most)


# fast: no sums; sin^2(theta) lies inside (0, 1)
@fast_kernel
def line_positions(sin_squared: Reals, instrument: Instrument, centre: Reals) -> None:
    """Fill the positions (N,) before any shift, grid steps from the first grid point."""
    first = instrument.two_theta_min / instrument.step
    steps_per_radian = 180.0 / math.pi / instrument.step
    for i in range(sin_squared.size):
        cos_squared = 1.0 - sin_squared[i]
        sine, cosine = math.sqrt(sin_squared[i]), math.sqrt(cos_squared)
        half = arcsine(min(sine, cosine), min(sin_squared[i], cos_squared))
        theta = half if sin_squared[i] <= 0.5 else 0.5 * math.pi - half
        centre[i] = 2.0 * theta * steps_per_radian - first


# fast: no sums; sin^2(theta) lies inside (0, 1)
@fast_kernel
def lorentz_polarisation(sin_squared: Reals, area: Reals) -> None:
    """Multiply areas (N,) by LP."""
    for i in range(sin_squared.size):
        cos_squared = 1.0 - sin_squared[i]
        cos_two_theta = cos_squared - sin_squared[i]
        area[i] *= (1.0 + cos_two_theta * cos_two_theta) / (sin_squared[i] * math.sqrt(cos_squared))


# fast: no sums; widths are positive
@fast_kernel
def sharpness_of(fwhm: Reals, instrument: Instrument, sharpness: Reals) -> None:
    """Fill 1 / sigma (N,), 1 / step, of FWHM (N,) in degrees; both may be one array."""
    steps = instrument.step / FWHM_TO_SIGMA
    for i in range(fwhm.size):
        sharpness[i] = steps / fwhm[i]


# fast: products
@fast_kernel
def shift_lines(sin_squared: Reals, instrument: Instrument, parameters: PatternParameters, centre: Reals) -> None:
    """Move lines (N,) by zero shift and displacement."""
    per_step = 1.0 / instrument.step
    for i in range(sin_squared.size):
        centre[i] += shift(math.sqrt(1.0 - sin_squared[i]), parameters) * per_step


# fast: sin^2(theta) lies inside (0, 1), widths are positive
@fast_kernel
def move_to_centroids(
    sin_squared: Reals,
    sharpness: Reals,
    instrument: Instrument,
    axial_divergence: float,
    farthest: float,
    centre: Reals,
    asymmetric: NDArray[np.bool_],
) -> None:
    """Move lines (N,) to their centroids, and mark those of which that is not enough (N,), which stay.

    To first order the tail of axial divergence reaches so many degrees, below 0 above 90 degrees; a third of its half
    is the centroid.

    Args:
        sin_squared: (N,).
        sharpness: (N,) 1 / sigma, 1 / step.
        instrument: see `Instrument`.
        axial_divergence: S/L = H/L.
        farthest: grid steps, lines behind are moved.
        centre: (N,) changed.
        asymmetric: (N,) filled.

    """
    reach = 2.0 * axial_divergence
    per_step = 1.0 / instrument.step
    factor = 0.25 * reach * reach * 180.0 / math.pi * per_step
    # beyond it tan(2 theta) is too small for the whole slit
    longest = math.degrees(0.5 * reach * LARGEST_T) * per_step
    narrow = ONE_NODE / FWHM_TO_SIGMA
    first = instrument.two_theta_min * per_step
    for i in range(centre.size):
        # cot(2 theta) = (1 - 2 sin^2) / (2 sin cos)
        tail = factor * (1.0 - 2.0 * sin_squared[i]) / math.sqrt(sin_squared[i] * (1.0 - sin_squared[i]))
        length = abs(tail)
        allowed = min(min(longest, narrow / sharpness[i]), 0.1 * (first + centre[i]))
        stays = length > allowed and centre[i] <= farthest
        asymmetric[i] = stays
        centre[i] -= 0.0 if stays else tail * (1.0 / 6.0)


@kernel
def with_asymmetry(
    lines: ShapedLines, sin_squared: Reals, instrument: Instrument, parameters: PatternParameters
) -> ShapedLines:
    """Return shifted lines with axial divergence: most move to their centroid, some become up to MAX_NODES lines.

    Lines of whose profile only the far tail is on the grid are moved, too.

    Args:
        lines: at their positions before any shift; changed.
        sin_squared: (N,).
        instrument: see `Instrument`.
        parameters: of the pattern.

    """
    n = lines.centre.size
    step = instrument.step
    farthest = (instrument.two_theta_max + FAR - instrument.two_theta_min) / step
    asymmetric = np.empty(n, np.bool_)
    move_to_centroids(
        sin_squared, lines.sharpness, instrument, parameters.axial_divergence, farthest, lines.centre, asymmetric
    )
    several = np.empty(n, np.int64)
    n_several = 0
    for i in range(n):
        several[n_several] = i
        n_several += 1 if asymmetric[i] and lines.area[i] > 0.0 else 0
    shifted = lines.centre.copy()
    shift_lines(sin_squared, instrument, parameters, shifted)
    more = empty_shaped_lines(n + n_several * (MAX_NODES - 1))
    more.centre[:n] = shifted
    more.area[:n] = lines.area
    more.sharpness[:n] = lines.sharpness
    more.lorentzian[:n] = lines.lorentzian
    offset, weight = np.empty(MAX_NODES), np.empty(MAX_NODES)
    m = n
    for j in range(n_several):
        i = several[j]
        two_theta = instrument.two_theta_min + step * lines.centre[i]
        fwhm = step / (lines.sharpness[i] * FWHM_TO_SIGMA)
        cosine = 1.0 - 2.0 * sin_squared[i]
        n_nodes = asymmetry_nodes(two_theta, cosine, fwhm, parameters.axial_divergence, offset, weight)
        for k in range(n_nodes):
            at = i if k == 0 else m
            m += 1 if k > 0 else 0
            more.centre[at] = shifted[i] + offset[k] / step
            more.area[at] = lines.area[i] * weight[k]
            more.sharpness[at] = lines.sharpness[i]
            more.lorentzian[at] = lines.lorentzian[i]
    return ShapedLines(
        more.centre[:m],
        more.area[:m],
        more.sharpness[:m],
        more.lorentzian[:m],
        lines.gamma_squared,
        lines.first_sample,
        lines.samples_per_step,
        lines.far_centre,
        lines.far_strength,
    )


@kernel
def shaped_lines(
    s_squared: Reals,
    intensity: Reals,
    emitted: Emitted,
    instrument: Instrument,
    parameters: PatternParameters,
) -> ShapedLines:
    """Return the lines (N,) of reflections, with all that acts on them.

    Args:
        s_squared: (R,) 1/Å^2.
        intensity: (R,) multiplicity |F|^2 and what else does not depend on the wavelength.
        emitted: the emission lines, with their ends.
        instrument: see `Instrument`.
        parameters: of the pattern.

    """
    n, n_wavelengths = s_squared.size, emitted.wavelength.size
    floor = FLOOR_STEPS * instrument.step
    lines = empty_shaped_lines(n * n_wavelengths)
    sin_squared = np.empty(n * n_wavelengths)
    for e in range(n_wavelengths):
        own = slice(e * n, (e + 1) * n)
        wavelength = emitted.wavelength[e]
        scherrer = scherrer_at_zero(parameters.crystallite_size, wavelength, instrument.scherrer_constant)
        reflect(s_squared, intensity, wavelength, emitted.weight[e], emitted.ends[e], sin_squared[own], lines.area[own])
        line_shapes(sin_squared[own], parameters, scherrer, floor, lines.sharpness[own], lines.lorentzian[own])
    sharpness_of(lines.sharpness, instrument, lines.sharpness)
    line_positions(sin_squared, instrument, lines.centre)
    lorentz_polarisation(sin_squared, lines.area)
    lines = with_samples(lines, instrument, parameters, emitted.wavelength[0])
    if parameters.axial_divergence > 0.0:
        return with_asymmetry(lines, sin_squared, instrument, parameters)
    shift_lines(sin_squared, instrument, parameters, lines.centre)
    return lines


@kernel
def with_samples(
    lines: ShapedLines, instrument: Instrument, parameters: PatternParameters, wavelength: float
) -> ShapedLines:
    """Return the lines with gamma^2 along the axis, from 0 to LAST_SAMPLE degrees."""
    spacing = LAST_SAMPLE / (SAMPLES - 1)
    shares = np.empty(SAMPLES)
    scherrer = scherrer_at_zero(parameters.crystallite_size, wavelength, instrument.scherrer_constant)
    gamma_squared = lines.gamma_squared
    line_shapes(_SAMPLE_SQUARES, parameters, scherrer, FLOOR_STEPS * instrument.step, gamma_squared, shares)
    for i in range(SAMPLES):
        gamma_squared[i] = (0.5 * gamma_squared[i] / instrument.step) ** 2
    return ShapedLines(
        lines.centre,
        lines.area,
        lines.sharpness,
        lines.lorentzian,
        gamma_squared,
        -instrument.two_theta_min / instrument.step,
        instrument.step / spacing,
        lines.far_centre,
        lines.far_strength,
    )

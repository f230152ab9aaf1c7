"""Kernels for reflections far above the grid, of which only tails are seen: strengths from tables along the axis.

With wide lines they are as many as those on the grid. All that acts on a line is a smooth function of its place:

    symbol      variable        meaning                                                         reference
    u           sin_squared     sin^2(theta) = lambda^2 s^2                                     Bragg's law
    p(u)        centre          position, grid steps from the first grid point, with all shifts `shaped_line_kernels`
    q(u)        strength        A of a line whose intensity is 1                                `pseudo_voigt_kernels`

Both are known at SAMPLES values of u for each emission line and linear in between. What is left out are the Gaussian
and, of axial divergence, all but the centroid: nothing that the grid sees.

# R reflections    F = E R far lines
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from xrdgen.diffraction.effects.emission_kernels import Emitted
from xrdgen.diffraction.effects.parameters import PatternParameters
from xrdgen.diffraction.effects.shifts_kernels import largest_shift
from xrdgen.diffraction.effects.widths_kernels import line_shapes, scherrer_at_zero
from xrdgen.diffraction.lorentzian_kernels import GAMMA_PER_SIGMA, HEIGHT_OF_EQUAL_AREA
from xrdgen.diffraction.reach_kernels import LAST_TAIL, Instrument
from xrdgen.diffraction.shaped_line_kernels import (
    FAR,
    line_positions,
    lorentz_polarisation,
    move_to_centroids,
    sharpness_of,
    shift_lines,
)
from xrdgen.diffraction.shaped_reach_kernels import FAR_END, FLOOR_STEPS, SHORT_RANGE
from xrdgen.jit import fast_kernel, kernel

FAR_STEPS = 400.0
"""Grid steps beyond the grid from which lines may be far ones, if these are more than FAR degrees."""

SAMPLES = 129

_ONE = np.uint64(1)

Reals = NDArray[np.float64]
Singles = NDArray[np.float32]


@kernel
def nearest_far(instrument: Instrument, parameters: PatternParameters, emitted: Emitted) -> float:
    """Return the s^2 (1/Å^2) from which all lines of a reflection are far ones; infinite where none is.

    Args:
        instrument: see `Instrument`.
        parameters: of the pattern.
        emitted: its lines.

    """
    edge = instrument.two_theta_max
    if edge - instrument.two_theta_min < SHORT_RANGE or edge > FAR_END:
        return np.inf
    edge += max(FAR, FAR_STEPS * instrument.step) + largest_shift(parameters)
    if edge >= LAST_TAIL:
        return np.inf
    sine = math.sin(math.radians(0.5 * edge)) / float(emitted.wavelength.min())
    return float(sine * sine)


# fast: products and sums; tables are finite
@fast_kernel
def look_up(
    s_squared: Reals,
    intensity: Reals,
    squared: float,
    first: float,
    last: float,
    table: Reals,
    centre: Reals,
    strength: Singles,
) -> None:
    """Fill position (R,) and A (R,) of the lines of one wavelength, A 0 beyond `last`.

    Args:
        s_squared: (R,) 1/Å^2.
        intensity: (R,).
        squared: wavelength squared, Å^2.
        first: sin^2(theta) of the table's first sample; none is smaller.
        last: of the last one.
        table: (2, SAMPLES) p and q.
        centre: (R,) filled.
        strength: (R,) filled.

    """
    per_sample = (SAMPLES - 1) / (last - first)
    for i in range(s_squared.size):
        u = squared * s_squared[i]
        x = (min(u, last) - first) * per_sample
        x = min(max(x, 0.0), SAMPLES - 1.001)
        at = np.uint64(x)
        t = x - np.float64(np.int64(x))
        centre[i] = table[0, at] + t * (table[0, at + _ONE] - table[0, at])
        amount = table[1, at] + t * (table[1, at + _ONE] - table[1, at])
        strength[i] = np.float32(intensity[i] * amount if u <= last else 0.0)


@kernel
def fill_tables(
    sin_squared: Reals,
    weight: float,
    scherrer: float,
    instrument: Instrument,
    parameters: PatternParameters,
    table: Reals,
) -> None:
    """Fill p and q (2, SAMPLES) of one emission line at sin^2(theta) (SAMPLES,).

    Args:
        sin_squared: (SAMPLES,).
        weight: of the emission line.
        scherrer: `scherrer_at_zero`.
        instrument: see `Instrument`.
        parameters: of the pattern.
        table: filled.

    """
    centre, strength = table[0], table[1]
    sharpness, share = np.empty(SAMPLES), np.empty(SAMPLES)
    line_shapes(sin_squared, parameters, scherrer, FLOOR_STEPS * instrument.step, sharpness, share)
    sharpness_of(sharpness, instrument, sharpness)
    strength[:] = weight * HEIGHT_OF_EQUAL_AREA * GAMMA_PER_SIGMA * GAMMA_PER_SIGMA
    lorentz_polarisation(sin_squared, strength)
    for i in range(SAMPLES):
        # height gamma^2 eta = area (1 / sigma) (gamma / sigma)^2 sigma^2 eta
        strength[i] *= share[i] / sharpness[i]
    line_positions(sin_squared, instrument, centre)
    if parameters.axial_divergence > 0.0:
        stays = np.empty(SAMPLES, np.bool_)
        move_to_centroids(sin_squared, sharpness, instrument, parameters.axial_divergence, -1.0, centre, stays)
    shift_lines(sin_squared, instrument, parameters, centre)


@kernel
def far_lines(
    s_squared: Reals,
    intensity: Reals,
    emitted: Emitted,
    instrument: Instrument,
    parameters: PatternParameters,
) -> tuple[Reals, Singles]:
    """Return positions (F,) in grid steps and A (F,), in the unit of area x sharpness, of the far lines.

    Args:
        s_squared: (R,) 1/Å^2, none below `nearest_far`.
        intensity: (R,) multiplicity |F|^2 and what else does not depend on the wavelength.
        emitted: the emission lines, with their ends.
        instrument: see `Instrument`.
        parameters: of the pattern.

    """
    n, n_wavelengths = s_squared.size, emitted.wavelength.size
    centre, strength = np.empty(n * n_wavelengths), np.zeros(n * n_wavelengths, np.float32)
    if n == 0:
        return centre, strength
    nearest, farthest = s_squared.min(), s_squared.max()
    table = np.empty((2, SAMPLES))
    for e in range(n_wavelengths):
        own = slice(e * n, (e + 1) * n)
        wavelength, end = emitted.wavelength[e], emitted.ends[e, 1]
        squared = wavelength * wavelength
        first = squared * nearest
        if first >= end:
            # none of this emission line reaches the grid
            centre[own] = 0.0
            continue
        last = max(min(squared * farthest, end), first * (1.0 + 1e-9))
        scherrer = scherrer_at_zero(parameters.crystallite_size, wavelength, instrument.scherrer_constant)
        fill_tables(np.linspace(first, last, SAMPLES), emitted.weight[e], scherrer, instrument, parameters, table)
        look_up(s_squared, intensity, squared, first, last, table, centre[own], strength[own])
    return centre, strength

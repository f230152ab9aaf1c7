"""Kernels that say which reflections a grid sees where lines are shifted and each has its own width and shape.

A line beside the grid counts as long as its Gaussian is within FLANK_END sigma, its Lorentzian above SHAPED_TAIL of the
height, the grid's end being moved outwards by the largest shift. Of the tails left out, those of many lines may add up:
see `SHAPED_TAIL`; of an impurity, tails are as much longer as its share is smaller than 1. Below the grid all lines
count where there is a Lorentzian part, above `LAST_TAIL` none.

# E emission lines
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from xrdgen.diffraction.effects.emission_kernels import Emitted
from xrdgen.diffraction.effects.parameters import PatternParameters
from xrdgen.diffraction.effects.shifts_kernels import largest_shift
from xrdgen.diffraction.effects.widths_kernels import line_shape, scherrer_at_zero
from xrdgen.diffraction.reach_kernels import FLANK_END, FWHM_TO_SIGMA, LAST_TAIL, LAST_TWO_THETA, Instrument
from xrdgen.jit import kernel

SHAPED_TAIL = 2e-5
"""A line above the grid is left out if its Lorentzian tail there is below this share of its height. Noise and
background of the mildest pattern are a hundred times what the tails that are left out add up to."""

SHORT_RANGE, FAR_END = 30.0, 110.0
"""Degrees 2theta. On a grid shorter than the one, lines beside it may be far higher than all on it; beyond the other,
lines grow with the Lorentz factor: with a Lorentzian part all of them count."""

FLOOR_STEPS = 2.0
"""Smallest FWHM in grid steps: a narrower line would fall between points."""

_MAX_STEPS = 50
_CONVERGED = 0.01

Reals = NDArray[np.float64]


@kernel
def spread(two_theta: float, parameters: PatternParameters, scherrer: float, floor: float, tail: float) -> float:
    """Return how far (degrees) a line at 2theta is followed to either side; see the module.

    Args:
        two_theta: degrees.
        parameters: of the pattern.
        scherrer: `scherrer_at_zero`.
        floor: smallest FWHM, degrees.
        tail: share of the height to which the Lorentzian is followed.

    """
    sine = math.sin(math.radians(0.5 * two_theta))
    fwhm, share = line_shape(sine * sine, parameters, scherrer, floor)
    return max(FLANK_END * FWHM_TO_SIGMA * fwhm, 0.5 * fwhm * math.sqrt(share / tail))


@kernel
def shaped_reach(
    instrument: Instrument, parameters: PatternParameters, scherrer: float, floor: float, tail: float
) -> tuple[float, float]:
    """Return the smallest and largest 2theta (degrees, before any shift) of the lines that a grid sees."""
    shifted = largest_shift(parameters)
    has_tail = parameters.lorentzian_fraction > 0.0 or parameters.thompson_cox_hastings > 0.0
    short = instrument.two_theta_max - instrument.two_theta_min < SHORT_RANGE
    if has_tail and (short or instrument.two_theta_max > FAR_END):
        return 0.0, min(max(instrument.two_theta_max + shifted, LAST_TAIL), LAST_TWO_THETA)
    first = instrument.two_theta_min - shifted
    first = 0.0 if has_tail else max(first - spread(max(first, 0.0), parameters, scherrer, floor, tail), 0.0)
    edge = instrument.two_theta_max + shifted
    # grows towards the first line that does not come back to the grid, and never passes it
    last = edge
    for _ in range(_MAX_STEPS):
        limit = LAST_TAIL if has_tail else LAST_TWO_THETA
        if last >= limit:
            return first, max(min(edge, LAST_TWO_THETA), limit)
        following = edge + spread(last, parameters, scherrer, floor, tail)
        if following - last < _CONVERGED:
            return first, following + _CONVERGED
        last = following
    return first, last


@kernel
def shaped_limits(
    instrument: Instrument,
    parameters: PatternParameters,
    emitted: Emitted,
    largest_s_squared: float,
    share: float,
) -> tuple[float, float]:
    """Return the smallest and largest 1/d^2 (1/Å^2) of the reflections that a grid sees with any emission line.

    Args:
        instrument: see `Instrument`.
        parameters: of the pattern.
        emitted: its lines, whose ends are filled.
        largest_s_squared: 1/Å^2, where the table of form factors ends.
        share: of the crystal in the maximum of the pattern.

    """
    nearest, farthest = np.inf, 0.0
    floor = FLOOR_STEPS * instrument.step
    ends = emitted.ends
    for e in range(emitted.wavelength.size):
        wavelength = emitted.wavelength[e]
        scherrer = scherrer_at_zero(parameters.crystallite_size, wavelength, instrument.scherrer_constant)
        first, last = shaped_reach(instrument, parameters, scherrer, floor, SHAPED_TAIL / share)
        for end, two_theta in enumerate((first, last)):
            sine = math.sin(math.radians(0.5 * two_theta))
            ends[e, end] = sine * sine
        nearest = min(nearest, 4.0 * ends[e, 0] / (wavelength * wavelength))
        farthest = max(farthest, 4.0 * ends[e, 1] / (wavelength * wavelength))
    return nearest, min(farthest, 4.0 * largest_s_squared)

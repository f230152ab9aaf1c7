"""Kernels that say which reflections a 2 theta grid sees: lines just outside it, and far ones with long tails.

    symbol          variable            meaning                                                 reference
    2 theta         two_theta           degrees; lambda = 2 d sin(theta)                        Bragg's law
    1/d^2           d_star_squared      (2 sin(theta) / lambda)^2, 1/Å^2                        -
    FWHM_0          fwhm_at_zero        K lambda / L, the Scherrer width at theta = 0           `profile_kernels`
    sigma_0         -                   FWHM_0 / sqrt(8 ln 2)                                   -
    gamma_0         -                   FWHM_0 / 2                                              -
    eta             lorentzian_fraction share of the Lorentzian in the area of a line           `profile_kernels`
    c               width_at_zero       how far a line of theta = 0 spreads, degrees            below

A line at 2 theta spreads c / cos(theta) to both sides, as its width grows:

    Gaussian        c = FLANK_END sigma_0           beyond it is less than 3e-18 of its height
    Lorentzian      c = gamma_0 sqrt(eta / TAIL)    beyond it is less than TAIL of its height

The line farthest above the grid is the first one that does not come back to it, the smallest root of

    2 theta - c / cos(theta) = two_theta_max

Gaussian flanks are followed so far because a strong line beyond the grid may outshine weak ones on it; but a grid with
no line within CUTOFF sigma of it has no pattern. TAIL is so small because many lines are left out at once: with 1e-5
their tails added up to 2.6e-5 of the maximum (natural random crystals, 100 nm, all Lorentzian, 5 to 90 degrees); with
2e-6 no line below LAST_TAIL is left out there.

Below the grid there are few lines, strong ones: with a Lorentzian part all of them count. Far above it, Lorentz factor
and Scherrer width diverge together towards 180 degrees, where no instrument measures and no formula holds: tails of
lines beyond LAST_TAIL are left out.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from xrdgen.jit import kernel

CUTOFF = 5.5
"""A line is on the grid if a grid point is within this many sigma of it; there a Gaussian is 2.7e-7 of its height."""

FLANK_END = 9.0
"""Lines farther than this many sigma from the grid have no Gaussian part on it."""

TAIL = 2e-6
"""A line outside the grid is left out if its Lorentzian tail there is below this share of its height."""

LAST_TWO_THETA = 179.9
"""Reflections nearer to 180 degrees than this are left out: their Lorentz factor and width diverge."""

LAST_TAIL = 170.0
"""Lines above this (degrees) count only with their Gaussian flank."""

FWHM_TO_SIGMA = 1.0 / math.sqrt(8.0 * math.log(2.0))

_MAX_STEPS = 100
_CONVERGED = 1e-7


class Instrument(NamedTuple):
    """Numbers that all patterns of a simulation share; a tuple so that kernels take it as one argument."""

    wavelength: float
    """Å."""
    scherrer_constant: float
    two_theta_min: float
    """First grid point, degrees."""
    two_theta_max: float
    """Last grid point, degrees."""
    step: float
    """Grid step, degrees 2theta."""


@kernel
def farthest_line(two_theta_max: float, width_at_zero: float, limit: float) -> float:
    """Return the smallest root of 2 theta - c / cos(theta) = two_theta_max, or the limit if that is smaller.

    The fixed-point iteration from two_theta_max grows towards the root and never passes it.
    """
    two_theta = two_theta_max
    for _ in range(_MAX_STEPS):
        if two_theta >= limit:
            return limit
        following = two_theta_max + width_at_zero / math.cos(math.radians(0.5 * two_theta))
        if following - two_theta < _CONVERGED:
            return min(following + _CONVERGED, limit)
        two_theta = following
    return limit


@kernel
def reach(instrument: Instrument, crystallite_size: float, lorentzian_fraction: float) -> tuple[float, float]:
    """Return the smallest and largest 2 theta (degrees) of the reflections that a grid sees.

    Args:
        instrument: see `Instrument`.
        crystallite_size: L in Å.
        lorentzian_fraction: eta.

    """
    fwhm_at_zero = math.degrees(instrument.scherrer_constant * instrument.wavelength / crystallite_size)
    spread = FLANK_END * FWHM_TO_SIGMA * fwhm_at_zero
    last = farthest_line(instrument.two_theta_max, spread, LAST_TWO_THETA)
    if lorentzian_fraction > 0.0:
        tail = 0.5 * fwhm_at_zero * math.sqrt(lorentzian_fraction / TAIL)
        return 0.0, max(last, farthest_line(instrument.two_theta_max, tail, LAST_TAIL))
    first = instrument.two_theta_min - spread / math.cos(math.radians(0.5 * instrument.two_theta_min))
    return max(first, 0.0), last


@kernel
def d_star_squared_limits(
    instrument: Instrument, crystallite_size: float, lorentzian_fraction: float
) -> tuple[float, float]:
    """Return the smallest and largest 1/d^2 (1/Å^2) of the reflections that a grid sees; see `reach`."""
    first, last = reach(instrument, crystallite_size, lorentzian_fraction)
    lowest = 2.0 * math.sin(math.radians(0.5 * first)) / instrument.wavelength
    highest = 2.0 * math.sin(math.radians(0.5 * last)) / instrument.wavelength
    return lowest * lowest, highest * highest

"""A measured pattern made ready for a network: range, zero shift, background, the network's axis, scaling.

In this order, each step documented where it is done and shown by `xrdtrain predict --plot`. Positions map by
s = sin(theta) / lambda, so that any wavelength comes onto any network's axis. Two things are approximations there:
intensities are changed by the ratio of the polarisation factors alone (the Lorentz factor and the change of scale
together differ by a constant at equal s), and a doublet stays the doublet of its own anode, K-alpha 1 on K-alpha 1.

# M measured points, P points of the network's axis
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xrdcommon.errors import InputError
from xrdcommon.grid import Grid

from xrdtrain.measured.background import AUTO, background
from xrdtrain.measured.pattern import MeasuredPattern
from xrdtrain.measured.positions import s_of, two_theta_of
from xrdtrain.measured.resample import measured_points, resample

LEAST_OVERLAP = 0.5
"""Share of the axis that must be measured for a network that is not told what was."""

LEAST_OVERLAP_MASKED = 0.2
"""The same for a network with a mask channel, which learned from parts of patterns."""

SAME = 1e-3
"""Relative difference of wavelengths below which intensities are left as they are."""


@dataclass(frozen=True, slots=True)
class PrepareOptions:
    """How measured patterns are made ready.

    Attributes:
        background: auto, none or a method (see `background`).
        two_theta_range: first and last angle to use, degrees 2theta as measured; None for all.
        zero_shift: degrees 2theta that the instrument shows too much; subtracted from every angle.

    """

    background: str = AUTO
    two_theta_range: tuple[float, float] | None = None
    zero_shift: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what no instrument has.

        Raises:
            InputError: a range that does not rise, a shift beyond 5 degrees.

        """
        limits = self.two_theta_range
        if limits is not None and not 0.0 <= limits[0] < limits[1] <= 180.0:
            raise InputError(f"range {limits[0]:g} to {limits[1]:g}: give two angles, 0 to 180 degrees 2theta, rising")
        if not abs(self.zero_shift) <= 5.0:
            raise InputError(f"zero shift {self.zero_shift:g}: must be -5 to 5 degrees 2theta")


@dataclass(frozen=True, slots=True)
class PreparedPattern:
    """What a network sees of a measured pattern.

    Attributes:
        values: (P,) intensity in [0, 1] with maximum 1, 0 where nothing was measured.
        mask: (P,) True where it was measured.
        axis: (P,) degrees 2theta of the network.
        angles: (M,) measured points that were used, degrees 2theta on the network's axis.
        intensity: (M,) as measured there.
        background: (M,) that was removed, None for none.
        remarks: what was done.

    """

    values: NDArray[np.float32]
    mask: NDArray[np.bool_]
    axis: NDArray[np.float64]
    angles: NDArray[np.float64]
    intensity: NDArray[np.float64]
    background: NDArray[np.float64] | None
    remarks: tuple[str, ...]


def prepare(
    pattern: MeasuredPattern,
    grid: Grid,
    wavelength: float,
    options: PrepareOptions | None = None,
    *,
    has_mask: bool = False,
) -> PreparedPattern:
    """Make a pattern ready for a network.

    Args:
        pattern: with s, so with its radiation where its axis is an angle.
        grid: the network's axis.
        wavelength: the network's, Å.
        options: range, zero shift, background.
        has_mask: whether the network is told what was measured.

    Raises:
        InputError: the range does not overlap the network's enough, or nothing is left above zero.

    """
    options = options or PrepareOptions()
    angles, intensity, remarks = _on_network_angles(pattern, wavelength, options)
    axis = grid.two_theta
    at_axis = measured_points(angles, axis) if len(angles) > 1 else np.zeros(len(axis), dtype=np.bool_)
    least = LEAST_OVERLAP_MASKED if has_mask else LEAST_OVERLAP
    if at_axis.mean() < least:
        low, high = (angles[0], angles[-1]) if len(angles) else (np.nan, np.nan)
        share = "less than half" if least == LEAST_OVERLAP else f"less than {least:.0%}"
        raise InputError(
            f"{pattern.file}: measured {low:g} to {high:g} degrees 2theta at {wavelength:g} Å, the network needs "
            f"{grid}; {share} of it is covered{_hint(pattern)}"
        )
    base = background(angles, intensity, options.background, pattern.file)
    if base is not None:
        remarks += (f"background removed ({'arpls' if options.background == AUTO else options.background})",)
    net = intensity if base is None else intensity - base
    values = np.where(at_axis, resample(angles, net, axis), 0.0).clip(min=0.0)
    highest = float(values.max())
    if highest <= 0.0:
        raise InputError(f"{pattern.file}: no intensity above zero in the network's range, {grid}")
    step = float(np.median(np.diff(angles)))
    if abs(len(axis) - len(angles)) > 0 or np.abs(angles - axis).max() > grid.step / 100:
        remarks += (f"{angles[0]:.5g} to {angles[-1]:.5g} degrees in steps of {step:.4g} brought onto {grid}",)
    if not at_axis.all():
        whose = "is masked" if has_mask else "counts as zero"
        remarks += (f"{1.0 - at_axis.mean():.0%} of the network's axis was not measured and {whose}",)
    return PreparedPattern((values / highest).astype(np.float32), at_axis, axis, angles, intensity, base, remarks)


def _on_network_angles(
    pattern: MeasuredPattern, wavelength: float, options: PrepareOptions
) -> tuple[NDArray[np.float64], NDArray[np.float64], tuple[str, ...]]:
    """Return the angles (M,) at which a network of a wavelength has a pattern's points, with the intensities there."""
    remarks: tuple[str, ...] = ()
    own = pattern.radiation
    two_theta, s, intensity = pattern.two_theta, pattern.s, pattern.intensity
    if len(two_theta):
        if own is None:
            raise InputError(f"{pattern.file}: its wavelength is not known; give --wavelength, for example CuKa")
        if options.zero_shift:
            two_theta = two_theta - options.zero_shift
            remarks += (f"zero shift of {options.zero_shift:g} degrees removed",)
        s = s_of(two_theta, own.wavelength)
    elif options.zero_shift:
        raise InputError(f"{pattern.file}: --zero-shift is for angles, this file has {pattern.axis}; leave it out")
    same = own is not None and abs(own.wavelength / wavelength - 1.0) < SAME and len(two_theta) > 0
    # within a thousandth the two are the same line, written with other decimals
    angles = two_theta if same else two_theta_of(s, wavelength)
    shown = two_theta if len(two_theta) else angles
    keep = np.isfinite(angles) & (angles > 0.0)
    if options.two_theta_range is not None:
        low, high = options.two_theta_range
        keep &= (shown >= low) & (shown <= high)
        remarks += (f"range {low:g} to {high:g} degrees",)
    if not same and len(two_theta) and own is not None:
        ratio = _polarisation(np.where(keep, angles, 1.0)) / _polarisation(two_theta)
        intensity = intensity * ratio
        remarks += (f"mapped from {own} to the network's {wavelength:g} Å",)
    return angles[keep], intensity[keep], remarks


def _polarisation(two_theta: NDArray[Any]) -> NDArray[np.float64]:
    """Return (1 + cos^2 2theta) / 2, the polarisation factor of an unpolarised beam (International Tables C, 6.2)."""
    factor: NDArray[np.float64] = 0.5 * (1.0 + np.cos(np.radians(two_theta)) ** 2)
    return factor


def _hint(pattern: MeasuredPattern) -> str:
    """Return what the cause may be where a pattern lies outside a network's range."""
    if len(pattern.two_theta) and pattern.two_theta[-1] < 15.0:
        return "; if its axis is Q or its wavelength another, say so with --axis or --wavelength"
    return ""

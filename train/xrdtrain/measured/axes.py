"""From whatever a file's first column is to 2theta and to s = sin(theta) / lambda.

# M points
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from xrdcommon.errors import FormatError, InputError

from xrdtrain.measured.pattern import Axis

LEAST_REVERSED = 20
"""Points from which a strictly falling axis is a scan measured or listed downwards."""

UNEVEN = 5.0
"""First against last step; 2theta is stepped evenly, d is not."""

_PER_ANGLE = {
    Axis.TWO_THETA: 1.0,
    Axis.THETA: 2.0,
    Axis.RADIANS: 180.0 / np.pi,
    Axis.THETA_RADIANS: 360.0 / np.pi,
    Axis.CENTIDEGREES: 0.01,
}
"""Factor from an angle to 2theta in degrees."""


def is_angle(axis: Axis) -> bool:
    """Return whether an axis is 2theta in some unit, so that s needs a wavelength."""
    return axis in _PER_ANGLE


def angle_to_two_theta(axis: Axis, x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return 2theta in degrees of an angular axis."""
    return x * _PER_ANGLE[axis]


def to_s(axis: Axis, x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return s = sin(theta) / lambda in 1/Å of Q = 4 pi s, d = 1 / (2 s) or s itself."""
    if axis is Axis.D:
        return 0.5 / x
    return x / {Axis.Q: 4.0 * np.pi, Axis.Q_NM: 40.0 * np.pi, Axis.S: 1.0}[axis]


def ordered(
    x: NDArray[np.float64], columns: list[NDArray[np.float64] | None], path: Path, other: NDArray[np.float64]
) -> tuple[NDArray[np.float64], list[NDArray[np.float64] | None], tuple[str, ...]]:
    """Return a rising axis with its columns: scans listed downwards are turned round, equal angles averaged.

    Args:
        x: (M,) axis as stored.
        columns: intensity and esd, (M,) each or None.
        path: for messages.
        other: (M,) the intensity, to recognise swapped columns.

    Raises:
        InputError: not in order; the columns look swapped.

    """
    remarks: tuple[str, ...] = ()
    change = np.diff(x)
    if len(x) >= LEAST_REVERSED and (change <= 0).all() and (change < 0).any():
        x, columns = x[::-1], [None if column is None else column[::-1] for column in columns]
        change = np.diff(x)
        remarks += ("the axis falls from point to point; the order was turned round",)
    if (change < 0).any():
        first = int(np.flatnonzero(change < 0)[0])
        if len(other) > 2 and (np.diff(other) > 0).all():
            raise InputError(
                f"{path}: the second column rises like an angle, the first does not: the columns look swapped; "
                "give 2theta first, or --columns 2,1"
            )
        raise InputError(
            f"{path}: 2theta must rise from point to point, after {x[first]:g} comes {x[first + 1]:g}; sort the file"
        )
    if (change == 0).any():
        unique, inverse = np.unique(x, return_inverse=True)
        if len(unique) < 0.5 * len(x):
            raise InputError(f"{path}: {len(x) - len(unique)} of {len(x)} angles stand there twice; give each once")
        counts = np.bincount(inverse)
        columns = [None if column is None else np.bincount(inverse, weights=column) / counts for column in columns]
        remarks += (f"{len(x) - len(unique)} angles stand there more than once; their intensities were averaged",)
        x = unique
    return x, columns, remarks


def check_degrees(x: NDArray[np.float64], said: bool, path: Path, *, uneven: bool) -> None:
    """Refuse numbers that cannot be 2theta in degrees, or that are more likely something else.

    Args:
        x: (M,) rising.
        said: whether the file or the user says that they are 2theta in degrees.
        path: for messages.
        uneven: whether the axis fell with very uneven steps, as lists of d do.

    Raises:
        FormatError: with what they look like and the option that says so.

    """
    low, high = float(x[0]), float(x[-1])
    step = float(np.median(np.diff(x)))
    if high > 180.0:
        if low >= 0.0 and np.array_equal(x, np.arange(len(x)) + x[0]) and x[0] in (0.0, 1.0):
            raise FormatError(
                f"{path}: the first column counts the points, {low:g} to {high:g}; give 2theta, or name the columns "
                "with --columns"
            )
        if high <= 18_000.0:
            raise FormatError(
                f"{path}: the axis runs from {low:g} to {high:g}: no 2theta in degrees, perhaps hundredths of them; "
                "say so with --axis centidegrees"
            )
        raise FormatError(f"{path}: the axis runs from {low:g} to {high:g}: no 2theta in degrees (0 to 180)")
    if high <= 0.0:
        raise FormatError(f"{path}: the axis runs from {low:g} to {high:g}: no 2theta in degrees (0 to 180)")
    if said:
        return
    if uneven:
        raise FormatError(
            f"{path}: the axis falls from {high:g} to {low:g} in uneven steps, as d does; "
            "say what it is with --axis d or --axis 2theta"
        )
    if high <= np.pi + 1e-6:
        raise FormatError(
            f"{path}: the axis runs from {low:g} to {high:g}: hardly 2theta in degrees; "
            "say what it is with --axis radians, q, d or 2theta"
        )
    if high <= 12.0 and low < 2.5 and step < 0.05 and high - low > 2.5:
        raise FormatError(
            f"{path}: the axis runs from {low:g} to {high:g}: 2theta of a low-angle scan, or Q in 1/Å; "
            "say what it is with --axis 2theta or --axis q"
        )

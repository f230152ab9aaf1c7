"""From measured angles to a network's axis, without losing what lies between its points.

# M measured points, P points of the axis
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SLACK = 1e-3
"""Share of a step by which steps may differ and still count as the same."""

GAP = 10.0
"""Median steps between neighbouring points beyond which nothing was measured between them."""

LEAST_GAP = 0.25
"""Degrees; narrower gaps are not counted as such."""


def resample(
    angles: NDArray[np.float64], values: NDArray[np.float64], axis: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Bring values at measured angles onto an equidistant axis.

    The measurement is taken as straight lines between its points. Where its steps are finer than those of the axis,
    a point of the axis has the mean over one step, so that the area of every line is kept; elsewhere the value there.

    Args:
        angles: (M,) degrees 2theta, rising.
        values: (M,).
        axis: (P,) degrees 2theta, equidistant.

    Returns:
        (P,), constant beyond the measured range.

    """
    step = float(axis[1] - axis[0])
    direct = np.interp(axis, angles, values)
    spacing = np.interp(axis, angles, np.gradient(angles))
    fine = spacing < step * (1.0 - SLACK)
    if not fine.any():
        return direct
    area = np.concatenate([[0.0], np.cumsum(0.5 * (values[1:] + values[:-1]) * np.diff(angles))])

    def integral(limit: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the integral of the straight lines from the first angle to each limit."""
        limit = np.clip(limit, angles[0], angles[-1])
        cell = np.clip(np.searchsorted(angles, limit, side="right") - 1, 0, len(angles) - 2)
        width = angles[cell + 1] - angles[cell]
        part = limit - angles[cell]
        slope = (values[cell + 1] - values[cell]) / width
        result: NDArray[np.float64] = area[cell] + part * (values[cell] + 0.5 * slope * part)
        return result

    low, high = np.clip(axis - 0.5 * step, angles[0], angles[-1]), np.clip(axis + 0.5 * step, angles[0], angles[-1])
    width = high - low
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = (integral(high) - integral(low)) / width
    return np.where(fine & (width > 0.0), mean, direct)


def measured_points(angles: NDArray[np.float64], axis: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which points of an axis (P,) were measured: within the range, to half a step, and in no gap."""
    step = float(axis[1] - axis[0])
    inside: NDArray[np.bool_] = (axis >= angles[0] - 0.5 * step) & (axis <= angles[-1] + 0.5 * step)
    spacing = np.diff(angles)
    widest = max(GAP * float(np.median(spacing)), LEAST_GAP)
    for place in np.flatnonzero(spacing > widest):
        inside &= ~((axis > angles[place] + 0.5 * step) & (axis < angles[place + 1] - 0.5 * step))
    return inside

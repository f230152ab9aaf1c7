"""From a source's grid to a network's axis.

A network's axis need not be the grid of its source, as long as the source covers it in steps that are no longer than
the axis's. Equal grids are left as they
are. Otherwise a source is taken as straight lines between its points: an axis of the same step has their value at
each of its points, a coarser one their mean over one of its steps, which keeps the area of a reflection
instead of missing it between two points.

# B rows, P source points, Q points of the axis
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from xrdcommon.errors import InputError
from xrdcommon.grid import Grid
from xrdcommon.measurement import Measurement

_SLACK = 1e-3
"""Share of a step by which limits may differ."""


def axis_within(grid: Grid, step: float | None) -> Grid:
    """Return the axis of this step that begins where a grid begins and ends within it.

    A step of None, or one that is finer than the grid's, gives the grid itself.
    """
    if step is None or step <= grid.step * (1.0 + _SLACK):
        return grid
    intervals = math.floor((grid.two_theta_max - grid.two_theta_min) / step + _SLACK)
    return Grid(grid.two_theta_min, round(grid.two_theta_min + intervals * step, 9), step)


def check_covers(what: str, source: Measurement, ours: Measurement, our_name: str) -> None:
    """Refuse patterns that cannot be brought onto a network's axis.

    Args:
        what: the patterns, for the message.
        source: their grid and wavelength.
        ours: the network's.
        our_name: whose that is, for the message.

    Raises:
        InputError: another wavelength, a range that does not cover the axis, or longer steps than the axis has (lines
            may have been lost between them).

    """
    source.require_radiation(what, ours, our_name)
    slack = _SLACK * ours.grid.step
    low, high = source.grid.two_theta_min, source.grid.two_theta_max
    coarser = source.grid.step > ours.grid.step * (1.0 + _SLACK)
    if coarser or low > ours.grid.two_theta_min + slack or high < ours.grid.two_theta_max - slack:
        raise InputError(
            f"{what}: {source.grid}, but {our_name} has {ours.grid}; freeze or produce it again on that grid"
        )


class AxisChange:
    """Resamples rows from one grid to another that it covers."""

    def __init__(self, source: Grid, axis: Grid) -> None:
        """Precompute where every point of the axis lies.

        Args:
            source: grid of the rows.
            axis: covered by the source.

        """
        self.same = source == axis
        self._averages = axis.step > source.step * (1.0 + _SLACK)
        last = source.n_points - 1
        half = 0.5 * axis.step if self._averages else 0.0
        centre = axis.two_theta - source.two_theta_min
        # in steps of the source; at the ends of the source the mean is over what there is
        limits = np.stack([centre - half, centre + half]) / source.step
        limits = np.clip(limits, 0.0, last)
        cell = np.minimum(np.floor(limits).astype(np.int64), last - 1)
        self._cell, self._part = torch.from_numpy(cell), torch.from_numpy(limits - cell)
        self._length = torch.from_numpy(limits[1] - limits[0])

    def __call__(self, rows: Tensor) -> Tensor:
        """Return (B, Q) float32 of rows (B, P) float32, on the same device."""
        if self.same:
            return rows
        if self._cell.device != rows.device:
            self._cell, self._part = self._cell.to(rows.device), self._part.to(rows.device)
            self._length = self._length.to(rows.device)
        if not self._averages:
            cell, part = self._cell[0], self._part[0].to(rows.dtype)
            return torch.lerp(rows[:, cell], rows[:, cell + 1], part)
        # the integral of the straight lines up to every point, then up to the limits; in float64, as small differences
        # are taken of sums over thousands of points
        exact = rows.double()
        sums = torch.zeros_like(exact)
        torch.cumsum(0.5 * (exact[:, 1:] + exact[:, :-1]), dim=1, out=sums[:, 1:])
        low, high = (self._integral(exact, sums, self._cell[end], self._part[end]) for end in (0, 1))
        return ((high - low) / self._length).to(rows.dtype)

    @staticmethod
    def _integral(rows: Tensor, sums: Tensor, cell: Tensor, part: Tensor) -> Tensor:
        """Return the integral up to `part` of the cells (Q,), (B, Q)."""
        left, right = rows[:, cell], rows[:, cell + 1]
        return sums[:, cell] + part * (left + 0.5 * part * (right - left))

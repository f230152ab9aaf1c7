"""A pattern on an axis of even steps of sin^2(theta), as a second channel of a network's input.

By Bragg's law sin^2(theta) = (lambda / 2)^2 / d^2, and 1 / d^2 is a quadratic form of h, k, l: the lines of a cubic
lattice lie at whole multiples of one distance, those of others at sums of such multiples, and a larger cell shrinks the
whole pattern by one factor. The value at each point is the mean of the pattern, taken as straight lines between
its points, over one step of the new axis.

# B rows, Q points of either axis
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from xrdcommon.grid import Grid

Cells = tuple[Tensor, Tensor, Tensor]


def squared_sine_axis(grid: Grid) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return sin^2(theta) at the points (Q,) of the new axis: from that of the first angle to that of the last."""
    ends = np.sin(np.radians([grid.two_theta_min, grid.two_theta_max]) / 2.0) ** 2
    return np.linspace(ends[0], ends[1], grid.n_points)


@lru_cache(maxsize=8)
def _cells(grid: Grid, device: torch.device) -> Cells:
    """Return, for the lower and the upper limit of each step, the cell of the grid and the place in it; the lengths."""
    axis = squared_sine_axis(grid)
    half = 0.5 * (axis[1] - axis[0])
    limits = np.clip(np.stack([axis - half, axis + half]), axis[0], axis[-1])
    angles = np.degrees(2.0 * np.arcsin(np.sqrt(limits)))
    last = grid.n_points - 1
    places = np.clip((angles - grid.two_theta_min) / grid.step, 0.0, last)
    cell = np.minimum(np.floor(places).astype(np.int64), last - 1)
    cells = (cell, places - cell, places[1] - places[0])
    first, second, third = (torch.from_numpy(part).to(device) for part in cells)
    return first, second, third


def on_squared_sine(x: Tensor, grid: Grid) -> Tensor:
    """Return patterns (B, Q) of a grid on the axis of sin^2(theta), (B, Q)."""
    cell, part, length = _cells(grid, x.device)
    exact = x.double()  # small differences of sums over thousands of points
    sums = torch.cumsum(0.5 * (exact[:, 1:] + exact[:, :-1]), dim=1)
    sums = torch.nn.functional.pad(sums, (1, 0))

    def integral(end: int) -> Tensor:
        left, right = exact[:, cell[end]], exact[:, cell[end] + 1]
        return sums[:, cell[end]] + part[end] * (left + 0.5 * part[end] * (right - left))

    return ((integral(1) - integral(0)) / length).clamp(min=0.0).to(x.dtype)

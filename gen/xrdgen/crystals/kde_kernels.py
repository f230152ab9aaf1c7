"""Exact draws from the kernel density estimates of `kde`.

A Gaussian KDE is a mixture of equal normal distributions, one about each support point, so a draw picks a point and
adds a normal deviate; nothing is evaluated on a grid.

| symbol | variable | source |
|---|---|---|
| p(f / v) = sum_i w_i N(f; f_i, h_f), w_i ~ exp(-(v - v_i)^2 / 2 h_v^2) | `draw_density_factor` | paper S1, step 7 |
| x = x_i + L z, z standard normal | `draw_unit_cell` | paper S1, step 6 |

Where the support is given as logarithms (preset `improved`), the same draw is made of f -> ln f and v -> ln v, and of
the axes -> ln(axis / a) with a = 1; the exponential of the drawn value is then positive by itself.

# N support points of a group, V_atomic ascending    d free parameters of the cell
"""

from __future__ import annotations

from math import exp, log, sqrt

import numpy as np
from numpy.typing import NDArray

from xrdgen.jit import kernel
from xrdgen.random_kernels import below, normal_pair, uniform
from xrdgen.symmetry.lattice_kernels import cell_volume

NEGLIGIBLE = 72.0
"""Weights under exp(-36) = 2e-16 of the largest one are below the rounding of a sum; in units of z^2."""

MAX_MISSES = 40
"""Rejections after which the cumulative sum is used: both give the same distribution."""

MAX_REDRAWS = 1000
"""Draws of one value outside its range after which the attempt is given up."""


@kernel
def nearest_deviation(v_atomic: NDArray[np.float64], v: float, bandwidth: float) -> float:
    """Return the smallest (v - v_i)^2 / h^2 over support points (N,) in ascending order."""
    right = int(np.searchsorted(v_atomic, v))
    nearest = np.inf
    if right < len(v_atomic):
        nearest = (v_atomic[right] - v) ** 2
    if right > 0:
        nearest = min(nearest, (v - v_atomic[right - 1]) ** 2)
    return nearest / bandwidth**2


@kernel
def pick_conditional(stream: NDArray[np.uint64], v_atomic: NDArray[np.float64], v: float, bandwidth: float) -> int:
    """Return i with probability proportional to exp(-(v - v_i)^2 / 2 h^2), exact to rounding.

    Weights are taken relative to the largest, so that v may lie anywhere. Only the window with weights that matter is
    searched: a uniform pick in it is accepted with its relative weight; after `MAX_MISSES` the weights are summed.
    """
    nearest = nearest_deviation(v_atomic, v, bandwidth)
    reach = bandwidth * sqrt(nearest + NEGLIGIBLE)
    first = int(np.searchsorted(v_atomic, v - reach))
    last = int(np.searchsorted(v_atomic, v + reach, side="right"))
    for _ in range(MAX_MISSES):
        pick = first + below(stream, last - first)
        z = (v - v_atomic[pick]) / bandwidth
        if uniform(stream) < exp(0.5 * (nearest - z * z)):
            return pick
    total = 0.0
    for i in range(first, last):
        z = (v - v_atomic[i]) / bandwidth
        total += exp(0.5 * (nearest - z * z))
    target = uniform(stream) * total
    for i in range(first, last):
        z = (v - v_atomic[i]) / bandwidth
        target -= exp(0.5 * (nearest - z * z))
        if target < 0.0:
            return i
    return last - 1


@kernel
def draw_density_factor(
    stream: NDArray[np.uint64],
    v_atomic: NDArray[np.float64],
    density_factor: NDArray[np.float64],
    bandwidth_v: float,
    bandwidth_f: float,
    v: float,
    smallest: float,
    logarithmic: bool,
) -> tuple[float, int]:
    """Draw the density factor of a crystal with atomic volume v, redrawn until it is above `smallest`.

    Args:
        stream: random stream.
        v_atomic: (N,) support, Å^3, ascending; its logarithm where `logarithmic`.
        density_factor: (N,) support, same order; likewise.
        bandwidth_v: of V_atomic, Å^3, or of its logarithm.
        bandwidth_f: of the factor, or of its logarithm.
        v: V_atomic of the crystal, Å^3.
        smallest: bound of the factor, not below 0.
        logarithmic: whether support and bandwidths are those of logarithms.

    Returns:
        The factor and how many draws were rejected; the factor is 0 where `MAX_REDRAWS` were.

    """
    at = log(v) if logarithmic else v
    for rejected in range(MAX_REDRAWS):
        pick = pick_conditional(stream, v_atomic, at, bandwidth_v)
        deviate, _ = normal_pair(stream)
        factor = density_factor[pick] + bandwidth_f * deviate
        if logarithmic:
            factor = exp(factor)
        if factor > smallest:
            return factor, rejected
    return 0.0, MAX_REDRAWS


@kernel
def draw_unit_cell(
    stream: NDArray[np.uint64],
    lattices: NDArray[np.float64],
    cholesky: NDArray[np.float64],
    source: NDArray[np.int64],
    fixed: NDArray[np.float64],
    logarithmic: bool,
    cell: NDArray[np.float64],
) -> int:
    """Draw a cell of unit volume; draws that are no cell are rejected, the others renormalised.

    Args:
        stream: random stream.
        lattices: (N, d) free parameters of the support; d = 0 for cubic.
        cholesky: (d, d) L of the kernel's covariance.
        source: (6,) which free parameter gives each cell parameter, -1 where it is fixed.
        fixed: (6,) values of the fixed parameters.
        logarithmic: whether the free axes are logarithms; angles never are.
        cell: (6,) output: a, b, c with abc-volume 1, degrees.

    Returns:
        How many draws were rejected.

    """
    d = cholesky.shape[0]
    deviates = np.empty(d + 1)
    rejected = 0
    while True:
        pick = 0
        if d > 0:
            pick = below(stream, lattices.shape[0])
        for i in range(0, d, 2):
            deviates[i], deviates[i + 1] = normal_pair(stream)
        for column in range(6):
            k = source[column]
            value = fixed[column]
            if k >= 0:
                value = lattices[pick, k]
                for j in range(k + 1):
                    value += cholesky[k, j] * deviates[j]
                if logarithmic and column < 3:
                    value = exp(value)
            cell[column] = value
        volume = cell_volume(cell)
        if volume > 0.0:
            scale = volume ** (-1.0 / 3.0)
            for column in range(3):
                cell[column] *= scale
            return rejected
        rejected += 1

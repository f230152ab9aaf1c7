"""Kernels of the third stage: from the buffer in which all lines were added to the points of the diffractogram.

Scaling comes last: before it the buffer has any unit, so that more can be added. With imperfections, in this order:

    lines of all phases, maximum 1
    + background + hump                                     `effects.background_kernels`
    + noise, which knows what lies under it                 `effects.noise_kernels`
    - background - hump, + residue        where the background was removed after measuring
    clipped at 0, or less the minimum     the latter where there is noise
    0 outside the range that was measured
    minimum and maximum of [0, 1]         the paper's networks take the square root: nothing is negative

# P grid points
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from xrdgen.diffraction.profile_kernels import LANES
from xrdgen.jit import fast_kernel, kernel

Singles = NDArray[np.float32]


# fast: the maximum of finite numbers does not depend on the order
@fast_kernel
def scale_to_unit_maximum(y: Singles, out: Singles) -> bool:
    """Write the grid points of the work array to out (P,), divided by their maximum; False if all are zero.

    Numbers that are not negative have the order of their bits, and the maximum of integers needs no care for NaN.
    """
    grid = y[LANES : LANES + out.size]
    bits = grid.view(np.int32)
    largest_bits = np.int32(0)
    for i in range(bits.size):
        largest_bits = max(largest_bits, bits[i])
    if largest_bits == 0:
        out[:] = 0.0
        return False
    largest = np.empty(1, np.int32)
    largest[0] = largest_bits
    one = np.float32(1.0)
    # x (1 / x) may be rounded to less than 1: a little more, and no more than 1
    factor = np.float32(1.0 + 2.0**-22) / largest.view(np.float32)[0]
    for i in range(out.size):
        out[i] = min(grid[i] * factor, one)
    return True


@kernel
def largest_of(y: Singles) -> float:
    """Return the largest of some numbers, or 0 where none is positive; see `scale_to_unit_maximum`."""
    bits = y.view(np.int32)
    largest_bits = np.int32(0)
    for i in range(bits.size):
        largest_bits = max(largest_bits, bits[i])
    largest = np.empty(1, np.int32)
    largest[0] = largest_bits
    return float(largest.view(np.float32)[0])


@kernel
def extremes_of(y: Singles) -> tuple[float, float]:
    """Return the smallest and the largest of some finite numbers, by the order of their bits.

    Of negative numbers, whose bits have the opposite order, the lowest has the largest bits without a sign.
    """
    signed, unsigned = y.view(np.int32), y.view(np.uint32)
    first, last, farthest = signed[0], signed[0], unsigned[0]
    for i in range(signed.size):
        first = min(first, signed[i])
        last = max(last, signed[i])
    for i in range(unsigned.size):
        farthest = max(farthest, unsigned[i])
    found = np.empty(2, np.uint32)
    ordered = found.view(np.int32)
    # all are negative if the last is: the first is the one closest to 0
    ordered[0], ordered[1] = first, last if last >= 0 else first
    if first < 0:
        found[0] = farthest
    extremes = found.view(np.float32)
    return float(extremes[0]), float(extremes[1])


# fast: finite numbers, one product and one sum each
@fast_kernel
def add_scaled(y: Singles, factor: float, out: Singles) -> None:
    """Add factor y to out, (N,) each."""
    single = np.float32(factor)
    for i in range(out.size):
        out[i] += single * y[i]


# fast: finite numbers, one product each
@fast_kernel
def scale(y: Singles, factor: float) -> None:
    """Multiply all points by a factor."""
    single = np.float32(factor)
    for i in range(y.size):
        y[i] *= single


# fast: finite numbers, one sum and one product each
@fast_kernel
def move_and_scale(y: Singles, smallest: float, factor: float) -> None:
    """Set y to (y - smallest) factor, cut to [0, 1]."""
    zero, one = np.float32(0.0), np.float32(1.0)
    low, single = np.float32(smallest), np.float32(factor)
    for i in range(y.size):
        y[i] = min(max((y[i] - low) * single, zero), one)


@kernel
def finish_range(y: Singles, first: int, last: int, floor_is_zero: bool) -> bool:
    """Cut points (P,) to the range that was measured and scale them to [0, 1]; return False if nothing is left.

    Args:
        y: (P,), changed.
        first: first point that was measured.
        last: last one.
        floor_is_zero: whether negative points become 0; else the smallest point does.

    """
    y[:first] = 0.0
    y[last + 1 :] = 0.0
    measured = y[first : last + 1]
    smallest, largest = 0.0, largest_of(measured)
    if not floor_is_zero:
        smallest, largest = extremes_of(measured)
    if not largest > smallest:
        y[:] = 0.0
        return False
    # a little more than 1 / (largest - smallest), and cut to 1: the maximum is 1 whatever the rounding
    move_and_scale(measured, smallest, (1.0 + 2.0**-22) / (largest - smallest))
    return True

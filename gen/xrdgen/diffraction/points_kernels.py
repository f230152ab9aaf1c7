"""Kernels of the third stage: from the buffer in which all lines were added to the points of the diffractogram.

Scaling comes last: before it the buffer has any unit, so that more can be added.

# P grid points
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from xrdgen.diffraction.profile_kernels import LANES
from xrdgen.jit import fast_kernel

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

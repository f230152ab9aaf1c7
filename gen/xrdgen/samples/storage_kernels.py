"""Conversion of patterns to the type they are stored in; NumPy's takes half of the time that writing a shard does.

    symbol      meaning                                                                         reference
    binary16    1 sign, 5 exponent (bias 15) and 10 fraction bits; subnormal below 2^-14        IEEE 754-2019, 3.6

Patterns are in [0, 1], so neither sign, overflow, infinity nor NaN occur. A float32 above 2^-14 is rounded to nearest
even by an integer addition that may carry into the exponent. Below, adding 1/2 in float32 leaves exactly the bits of
the subnormal, rounded to nearest even by the addition itself. Both are computed and one is chosen, without a branch, so
that the loop is vectorised.

# N values
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from xrdgen.jit import kernel

_SMALLEST_NORMAL = np.uint32((127 - 14) << 23)
"""2^-14 as float32 bits."""
_REBIAS = np.uint32((127 - 15) << 23)
_HALF = np.float32(0.5)
_HALF_BITS = np.uint32(0x3F000000)
_LOST = np.uint32(13)
"""Fraction bits that float16 does not have."""
_BELOW_HALF = np.uint32(0x0FFF)
_ONE = np.uint32(1)


@kernel
def to_float16(
    values: NDArray[np.float32],
    bits: NDArray[np.uint32],
    raised: NDArray[np.float32],
    raised_bits: NDArray[np.uint32],
    out: NDArray[np.uint16],
) -> int:
    """Write the float16 bits of values in [0, 1], rounded to nearest even; return the largest float32 bits.

    Bits above those of 1.0 are a value above 1, below 0 or not a number, whose float16 bits mean nothing.

    Args:
        values: (N,).
        bits: (N,) view of the values.
        raised: (M,) work space; M values at a time.
        raised_bits: (M,) view of the work space.
        out: (N,) view of the float16 array to fill.

    """
    step = raised.size
    largest = np.uint32(0)
    for begin in range(0, values.size, step):
        n = min(step, values.size - begin)
        part, part_bits, part_out = values[begin : begin + n], bits[begin : begin + n], out[begin : begin + n]
        for i in range(n):
            raised[i] = part[i] + _HALF
        for i in range(n):
            b = part_bits[i]
            normal = (b - _REBIAS + _BELOW_HALF + ((b >> _LOST) & _ONE)) >> _LOST
            subnormal = raised_bits[i] - _HALF_BITS
            part_out[i] = np.uint16(normal if b >= _SMALLEST_NORMAL else subnormal)
            largest = max(largest, b)
    return int(largest)

"""Kernels for the noise of the points; see `noise`. Single precision, in loops that the compiler vectorises.

    ln u        u = 2^e x, 1 <= x < 2: e and x from the bits, log2(x) a polynomial
    cos, sin    of 2 pi v, |v| <= 1/2: polynomials in v^2

all right to 1e-6, fitted where the module is loaded; the deviates to 1e-4 (where u is close to 1, its root magnifies).

# P grid points    Q blocks of four random words
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from xrdcommon.identity import Purpose

from xrdgen.diffraction.effects.noise import MULTIPLIERS, ROUNDS, WEYL
from xrdgen.diffraction.effects.parameter_kernels import start_purpose
from xrdgen.jit import fast_kernel, kernel
from xrdgen.random_kernels import next_word

Reals = NDArray[np.float64]
Singles = NDArray[np.float32]
Integers32 = NDArray[np.int32]
Words = NDArray[np.uint64]

CHUNK = 256
"""Blocks of random words that are made together; the work arrays stay in the first cache."""

_M0, _M1 = (np.uint64(word) for word in MULTIPLIERS)
_W0, _W1 = (np.uint64(word) for word in WEYL)
_LOW, _HALF = np.uint64(0xFFFFFFFF), np.uint64(32)
_NOISE_POINTS = np.uint64(Purpose.NOISE_POINTS)


def _fit(function: Callable[[Reals], Reals], low: float, high: float, degree: int) -> tuple[np.float32, ...]:
    """Return the coefficients, lowest first, of a polynomial that is nearly the best one in the maximum norm."""
    x = (low + high) / 2.0 + (high - low) / 2.0 * np.cos(np.linspace(0.0, np.pi, 400))
    fit = np.polynomial.Chebyshev.fit(x, function(x), degree, domain=[low, high])
    return tuple(np.float32(c) for c in fit.convert(kind=np.polynomial.Polynomial).coef)


# in x = mantissa - 1, divided by x: the logarithm of 1 is 0 without rounding
_L0, _L1, _L2, _L3, _L4, _L5, _L6, _L7 = _fit(lambda x: np.log2(1.0 + x) / x, 1e-9, 1.0, 7)
# in x = v^2, the sine divided by v
_C0, _C1, _C2, _C3, _C4, _C5, _C6 = _fit(lambda x: np.cos(2.0 * np.pi * np.sqrt(x)), 0.0, 0.25, 6)
_S0, _S1, _S2, _S3, _S4, _S5 = _fit(lambda x: np.sin(2.0 * np.pi * np.sqrt(x)) / np.sqrt(x), 1e-12, 0.25, 5)

_MINUS_2_LN_2 = np.float32(-2.0 * math.log(2.0))
_MANTISSA, _ONE_BITS = np.int32(0x7FFFFF), np.int32(0x3F800000)
_EXPONENT_SHIFT, _BIAS = np.int32(23), np.int32(127)
_TO_UNIT, _HALF_UNIT, _TO_TURN = np.float32(2.0**-31), np.float32(2.0**-32), np.float32(2.0**-32)
_UNITY, _ZERO = np.float32(1.0), np.float32(0.0)


# fast: whole numbers only; nothing is reordered
@fast_kernel
def fill_words(k0: np.uint64, k1: np.uint64, c2: np.uint64, c3: np.uint64, first: int, words: Integers32) -> None:
    """Fill (4, N) random 32-bit words of Philox4x32 for the blocks first ... first + N - 1, as signed numbers.

    Args:
        k0: first word of the key, below 2^32 as the others.
        k1: second.
        c2: third word of the counter.
        c3: fourth.
        first: number of the first block, the first word of its counter.
        words: (4, N) filled.

    """
    for i in range(words.shape[1]):
        x0, x1, x2, x3 = np.uint64(first + i), np.uint64(0), c2, c3
        key_0, key_1 = k0, k1
        for _ in range(ROUNDS):
            product_0, product_1 = _M0 * x0, _M1 * x2
            x0, x1 = (product_1 >> _HALF) ^ x1 ^ key_0, product_1 & _LOW
            x2, x3 = (product_0 >> _HALF) ^ x3 ^ key_1, product_0 & _LOW
            key_0, key_1 = (key_0 + _W0) & _LOW, (key_1 + _W1) & _LOW
        words[0, i], words[1, i], words[2, i], words[3, i] = np.int32(x0), np.int32(x1), np.int32(x2), np.int32(x3)


# fast: polynomials and a root of what is not negative; the order of sums within a term is free
@fast_kernel
def box_muller(first: Integers32, second: Integers32, work: Singles, cosines: Singles, sines: Singles) -> None:
    """Fill two sets of normal deviates (N,) from two sets of random words (N,); work (N,)."""
    for i in range(first.size):
        work[i] = np.float32((first[i] >> np.int32(1)) & np.int32(0x7FFFFFFF)) * _TO_UNIT + _HALF_UNIT
    bits = work.view(np.int32)
    for i in range(first.size):
        exponent = np.float32((bits[i] >> _EXPONENT_SHIFT) - _BIAS)
        bits[i] = (bits[i] & _MANTISSA) | _ONE_BITS
        cosines[i] = exponent
    for i in range(first.size):
        x = work[i] - _UNITY
        p = _L7
        p = p * x + _L6
        p = p * x + _L5
        p = p * x + _L4
        p = p * x + _L3
        p = p * x + _L2
        p = p * x + _L1
        p = p * x + _L0
        radius = np.sqrt(max(_MINUS_2_LN_2 * (cosines[i] + x * p), _ZERO))
        v = np.float32(second[i]) * _TO_TURN
        y = v * v
        c = _C6
        c = c * y + _C5
        c = c * y + _C4
        c = c * y + _C3
        c = c * y + _C2
        c = c * y + _C1
        c = c * y + _C0
        s = _S5
        s = s * y + _S4
        s = s * y + _S3
        s = s * y + _S2
        s = s * y + _S1
        s = s * y + _S0
        cosines[i] = radius * c
        sines[i] = radius * s * v


@kernel
def fill_normals(key: Words, counter: Words, stream: Words, deviates: Singles) -> None:
    """Fill standard normal deviates (4 Q,); `noise.normal_deviates` gives the first P of the same.

    Args:
        key: (2,) of the producer.
        counter: (4,) of the sample, whatever its purpose.
        stream: (11,) work space.
        deviates: (4 Q,) filled, Q whole.

    """
    start_purpose(stream, key, counter, _NOISE_POINTS)
    first, second = next_word(stream), next_word(stream)
    k0, k1, c2, c3 = first & _LOW, first >> _HALF, second & _LOW, second >> _HALF
    words = np.empty((4, CHUNK), np.int32)
    work = np.empty(CHUNK, np.float32)
    n_blocks = deviates.size // 4
    for begin in range(0, n_blocks, CHUNK):
        n = min(CHUNK, n_blocks - begin)
        fill_words(k0, k1, c2, c3, begin, words[:, :n])
        for pair in range(2):
            at = 2 * pair * n_blocks + begin
            box_muller(
                words[2 * pair, :n],
                words[2 * pair + 1, :n],
                work[:n],
                deviates[at : at + n],
                deviates[at + n_blocks : at + n_blocks + n],
            )

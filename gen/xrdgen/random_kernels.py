"""Random numbers inside kernels: Philox4x64-10 as NumPy has it, uniform and normal deviates, categories.

| symbol | variable | source |
|---|---|---|
| R = 10 rounds of a Feistel-like network on four 64-bit words | `_philox_block` | Salmon et al., SC 2011, section 3.3 |
| M0, M1 multipliers; W0, W1 Weyl constants of the key | `_M0, _M1, _W0, _W1` | ibid., table 2 and Random123 |
| u = (r >> 11) 2^-53 in [0, 1) | `uniform` | NumPy, `next_double` |
| x = u sqrt(-2 ln s / s), s = u^2 + v^2 < 1 | `normal_pair` | Marsaglia & Bray, SIAM Rev. 6 (1964) 260 |

A stream is an array of 11 unsigned words: key (2), counter (4), the block of outputs (4), outputs used (1). Its numbers
are bit for bit those of `numpy.random.Philox(key=key, counter=counter).random_raw()`. All arithmetic is modulo 2^64;
every literal is a `uint64`, since Numba would turn a mixture of signed and unsigned words into floating point.
"""

from __future__ import annotations

from math import log, sqrt

import numpy as np
from numpy.typing import NDArray

from xrdgen.jit import kernel

STREAM_WORDS = 11
"""Length of a stream's array."""

_COUNTER, _BLOCK, _USED = 2, 6, 10

_M0 = np.uint64(0xD2E7470EE14C6C93)
_M1 = np.uint64(0xCA5A826395121157)
_W0 = np.uint64(0x9E3779B97F4A7C15)
_W1 = np.uint64(0xBB67AE8584CAA73B)
_ONE, _FOUR, _ELEVEN, _HALF = np.uint64(1), np.uint64(4), np.uint64(11), np.uint64(32)
_LOW = np.uint64(0xFFFFFFFF)
_ZERO = np.uint64(0)
_TWO_TO_MINUS_53 = 1.0 / 9007199254740992.0


@kernel
def start_stream(stream: NDArray[np.uint64], key: NDArray[np.uint64], counter: NDArray[np.uint64]) -> None:
    """Put a stream (11,) at the beginning of a key (2,) and counter (4,); word 0 of the counter counts blocks."""
    # word by word: copying a slice of so few costs several times as much
    stream[0], stream[1] = key[0], key[1]
    stream[2], stream[3], stream[4], stream[5] = counter[0], counter[1], counter[2], counter[3]
    stream[_USED] = _FOUR


@kernel
def _high_product(a: np.uint64, b: np.uint64) -> np.uint64:
    """Return the upper 64 bits of the 128-bit product, from products of 32-bit halves."""
    a_low, a_high = a & _LOW, a >> _HALF
    b_low, b_high = b & _LOW, b >> _HALF
    middle = a_high * b_low + ((a_low * b_low) >> _HALF)  # cannot overflow: (2^32-1)^2 + 2^32-1 < 2^64
    carry = a_low * b_high + (middle & _LOW)
    return a_high * b_high + (middle >> _HALF) + (carry >> _HALF)


@kernel
def _philox_block(stream: NDArray[np.uint64]) -> None:
    """Advance the counter by one and fill the block: ten rounds, the key bumped between them."""
    for word in range(_COUNTER, _COUNTER + 4):
        stream[word] = stream[word] + _ONE
        if stream[word] != _ZERO:
            break
    c0, c1, c2, c3 = stream[2], stream[3], stream[4], stream[5]
    k0, k1 = stream[0], stream[1]
    for _ in range(10):
        high_0, low_0 = _high_product(_M0, c0), _M0 * c0
        high_1, low_1 = _high_product(_M1, c2), _M1 * c2
        c0, c1, c2, c3 = high_1 ^ c1 ^ k0, low_1, high_0 ^ c3 ^ k1, low_0
        k0, k1 = k0 + _W0, k1 + _W1
    stream[6], stream[7], stream[8], stream[9] = c0, c1, c2, c3
    stream[_USED] = _ZERO


@kernel
def next_word(stream: NDArray[np.uint64]) -> np.uint64:
    """Return the next 64 random bits."""
    if stream[_USED] >= _FOUR:
        _philox_block(stream)
    word = stream[_BLOCK + np.int64(stream[_USED])]
    stream[_USED] = stream[_USED] + _ONE
    return np.uint64(word)


@kernel
def uniform(stream: NDArray[np.uint64]) -> float:
    """Return a uniform deviate in [0, 1), a multiple of 2^-53."""
    return np.float64(next_word(stream) >> _ELEVEN) * _TWO_TO_MINUS_53


@kernel
def normal_pair(stream: NDArray[np.uint64]) -> tuple[float, float]:
    """Return two independent standard normal deviates (Marsaglia's polar method, exact)."""
    while True:
        u = 2.0 * uniform(stream) - 1.0
        v = 2.0 * uniform(stream) - 1.0
        s = u * u + v * v
        if 0.0 < s < 1.0:
            scale = sqrt(-2.0 * log(s) / s)
            return u * scale, v * scale


@kernel
def below(stream: NDArray[np.uint64], n: int | np.int64) -> int:
    """Return a whole number uniform in [0, n); the bias, n 2^-53, is beyond any sample."""
    return int(uniform(stream) * n)


@kernel
def categorical(stream: NDArray[np.uint64], cumulative: NDArray[np.int64]) -> int:
    """Return index k with probability (cumulative[k] - cumulative[k - 1]) / cumulative[-1], by bisection."""
    target = below(stream, cumulative[-1])
    low, high = 0, len(cumulative) - 1
    while low < high:
        middle = (low + high) // 2
        if cumulative[middle] > target:
            high = middle
        else:
            low = middle + 1
    return low

"""Random numbers of one sample, from NumPy's Philox generator.

Every deviate is made from 64-bit words in a fixed way, so that two engines which draw in the same order draw the same.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from xrdcommon.identity import Purpose, SampleIdentity, generator


class RandomStream:
    """The random numbers of one purpose of one sample, in the order in which they are asked for."""

    def __init__(self, identity: SampleIdentity, purpose: Purpose) -> None:
        self._words = generator(identity, purpose).bit_generator

    def uniform(self) -> float:
        """Return a number in [0, 1): the upper 53 bits of one word."""
        return (int(self._words.random_raw()) >> 11) / 2.0**53

    def below(self, n: int) -> int:
        """Return a whole number in [0, n)."""
        return int(self.uniform() * n)

    def normal_pair(self) -> tuple[float, float]:
        """Return two standard normal deviates (Marsaglia's polar method): a point of the unit disc, stretched."""
        while True:
            u = 2.0 * self.uniform() - 1.0
            v = 2.0 * self.uniform() - 1.0
            s = u * u + v * v
            if 0.0 < s < 1.0:
                scale = math.sqrt(-2.0 * math.log(s) / s)
                return u * scale, v * scale

    def categorical(self, cumulative: NDArray[np.int64]) -> int:
        """Return an index with probability in proportion to its count, given cumulative counts."""
        return int(np.searchsorted(cumulative, self.below(int(cumulative[-1])), side="right"))

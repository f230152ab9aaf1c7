"""Noise of the points, in float64: one normal deviate a point whose standard deviation grows with the intensity.

    symbol      meaning                                                                             source
    I           intensity of the lines, in units of their maximum                                   -
    b           background and hump under them                                                      -
    a           additive: standard deviation where I = 0; it includes the counting noise of b       [S], [M]
    c           counting (Poisson): standard deviation c sqrt(I), c^-2 = counts at the maximum      -
    m           multiplicative: standard deviation m (I + b)                                        [S]
    sigma^2     a^2 (1 + m^2) + c^2 I + m^2 (I + b)^2                                               below

The paper adds a n_1 to the intensity and multiplies the sum by 1 + m n_2: sigma is the standard deviation of that. Its
product of two deviates is not quite normal; taking one deviate for both is a departure, which halves the cost.

The deviates are made from random words of Philox4x32-7, a counter-based generator, by the method of Box and Muller:

    u = (w_1 + 1/2) 2^-31 (31 bits), v = w_2 2^-32 in [-1/2, 1/2);   n = sqrt(-2 ln u) cos(2 pi v),  n' with the sine

Block k of four words has counter (k, 0, second key word); its words 0, 1 make the deviates k and Q + k, words 2, 3 the
deviates 2 Q + k and 3 Q + k. The key is drawn from the sample's stream of `Purpose.NOISE_POINTS`.

[S] Schopmans et al., S4. [M] `data/imperfections.toml`. Philox: Salmon et al., SC 2011: seven rounds are the fewest
that pass all tests of BigCrush. Box & Muller, Ann. Math. Stat. 29 (1958) 610.

# P grid points    Q blocks of four
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from xrdcommon.identity import Purpose, SampleIdentity, generator

from xrdgen.diffraction.effects.parameters import PatternParameters

Reals = NDArray[np.float64]

ROUNDS = 7
"""Of Philox4x32."""

MULTIPLIERS = 0xD2511F53, 0xCD9E8D57
WEYL = 0x9E3779B9, 0xBB67AE85
"""Constants of Philox4x32 (Salmon et al., table 2; Random123)."""

_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)


def philox4x32(counter: NDArray[np.uint64], key: NDArray[np.uint64], rounds: int = ROUNDS) -> NDArray[np.uint64]:
    """Return (4, Q) random 32-bit words for counters (4, Q) and a key (2,), all below 2^32."""
    c0, c1, c2, c3 = (np.array(word, dtype=np.uint64) for word in counter)
    k0, k1 = np.uint64(key[0]), np.uint64(key[1])
    for _ in range(rounds):
        product_0, product_1 = np.uint64(MULTIPLIERS[0]) * c0, np.uint64(MULTIPLIERS[1]) * c2
        c0, c1, c2, c3 = (
            (product_1 >> _HALF) ^ c1 ^ k0,
            product_1 & _LOW,
            (product_0 >> _HALF) ^ c3 ^ k1,
            product_0 & _LOW,
        )
        k0, k1 = (k0 + np.uint64(WEYL[0])) & _LOW, (k1 + np.uint64(WEYL[1])) & _LOW
    return np.array([c0, c1, c2, c3])


def box_muller(first: NDArray[np.uint64], second: NDArray[np.uint64]) -> tuple[Reals, Reals]:
    """Return two sets of normal deviates (Q,) from two sets of 32-bit words (Q,)."""
    u = ((first >> np.uint64(1)).astype(np.float64) + 0.5) * 2.0**-31
    signed = second.astype(np.int64)
    v = np.where(signed >= 2**31, signed - 2**32, signed) * 2.0**-32
    radius = np.sqrt(-2.0 * np.log(u))
    return radius * np.cos(2.0 * np.pi * v), radius * np.sin(2.0 * np.pi * v)


def normal_deviates(identity: SampleIdentity, n_points: int) -> Reals:
    """Return the standard normal deviates (P,) of a sample's points."""
    words = generator(identity, Purpose.NOISE_POINTS).bit_generator.random_raw(2)
    key = np.array([int(words[0]) & 0xFFFFFFFF, int(words[0]) >> 32], dtype=np.uint64)
    n_blocks = -(-n_points // 4)
    counter = np.zeros((4, n_blocks), dtype=np.uint64)
    counter[0] = np.arange(n_blocks)
    counter[2], counter[3] = int(words[1]) & 0xFFFFFFFF, int(words[1]) >> 32
    w = philox4x32(counter, key)
    return np.concatenate([*box_muller(w[0], w[1]), *box_muller(w[2], w[3])])[:n_points]


def noise_sigma(lines: Reals, baseline: Reals, parameters: PatternParameters) -> Reals:
    """Return sigma (P,) of points with lines (P,) and baseline (P,), in units of the lines' maximum."""
    a, c, m = parameters.noise_additive, parameters.noise_counting, parameters.noise_multiplicative
    total = lines + baseline
    return np.asarray(np.sqrt(a**2 * (1.0 + m**2) + c**2 * np.maximum(lines, 0.0) + m**2 * total**2))


def measured_points(
    lines: Reals, baseline: Reals, residue: Reals, deviates: Reals, parameters: PatternParameters
) -> Reals:
    """Return points (P,) with background, noise and what is left after a background was removed.

    Args:
        lines: (P,) maximum 1.
        baseline: (P,) background and hump.
        residue: (P,) left of a removed background.
        deviates: (P,) standard normal.
        parameters: of the pattern.

    """
    kept = residue if parameters.background_removed else baseline
    return lines + kept + noise_sigma(lines, baseline, parameters) * deviates

"""Kernels that draw the parameters of a pattern, each effect from a random stream of its own.

A stream begins at the counter of the sample with the effect's `Purpose`; so a switched-off effect changes no other
draw, and patterns with and without it show the same crystal under otherwise equal conditions. Within a stream a value
comes first and then, in one deviate, whether this pattern has the effect at all (where some have it and some have not).
The laws are those of `ranges`.
"""

from __future__ import annotations

from math import exp, log

import numpy as np
from numpy.typing import NDArray

from xrdgen.diffraction.effects.parameters import MAX_IMPURITIES, PURPOSE_OF, RANGE_NAMES, PatternParameters
from xrdgen.diffraction.effects.ranges import EXPONENTIAL, FIXED, LOG_UNIFORM, NORMAL, UNIFORM
from xrdgen.jit import kernel
from xrdgen.random_kernels import normal_pair, start_stream, uniform

_PURPOSE_WORD = 3
"""Word of a stream's array: two are the key, the purpose is the second of the counter."""

_LAW, _FIRST, _SECOND, _LOW, _HIGH, _SHARE = range(6)

_MAX_REDRAWS = 1000
"""After so many draws outside the limits (which no sensible law sees), the last one is set to the nearer limit."""

_N_ROWS = len(RANGE_NAMES)
_SIZE = RANGE_NAMES.index("crystallite_size")
_STRAIN = RANGE_NAMES.index("microstrain")
_U = RANGE_NAMES.index("caglioti_u")
_V = RANGE_NAMES.index("caglioti_v")
_W = RANGE_NAMES.index("caglioti_w")
_TCH = RANGE_NAMES.index("thompson_cox_hastings")
_LORENTZIAN = RANGE_NAMES.index("lorentzian_fraction")
_SAMPLE_LORENTZIAN = RANGE_NAMES.index("sample_lorentzian")
_AXIAL = RANGE_NAMES.index("axial_divergence")
_ZERO_SHIFT = RANGE_NAMES.index("zero_shift")
_DISPLACEMENT = RANGE_NAMES.index("displacement")
_K_ALPHA_2 = RANGE_NAMES.index("k_alpha_2")
_K_BETA = RANGE_NAMES.index("k_beta")
_TUNGSTEN = RANGE_NAMES.index("tungsten")
_B_ISO = RANGE_NAMES.index("b_iso")
_MARCH_R = RANGE_NAMES.index("march_r")
_IMPURITIES = RANGE_NAMES.index("impurities")
_FRACTION = RANGE_NAMES.index("impurity_fraction")
_LEVEL = RANGE_NAMES.index("background_level")
_LENGTH = RANGE_NAMES.index("background_length")
_HUMP_HEIGHT = RANGE_NAMES.index("hump_height")
_HUMP_POSITION = RANGE_NAMES.index("hump_position")
_HUMP_WIDTH = RANGE_NAMES.index("hump_width")
_REMOVED = RANGE_NAMES.index("background_removed")
_RESIDUE = RANGE_NAMES.index("residue")
_RESIDUE_LENGTH = RANGE_NAMES.index("residue_length")
_RESIDUE_OFFSET = RANGE_NAMES.index("residue_offset")
_CLIPPED = RANGE_NAMES.index("clipped")
_ADDITIVE = RANGE_NAMES.index("noise_additive")
_COUNTING = RANGE_NAMES.index("noise_counting")
_MULTIPLICATIVE = RANGE_NAMES.index("noise_multiplicative")
_LATE_START = RANGE_NAMES.index("late_start")
_EARLY_END = RANGE_NAMES.index("early_end")

_PURPOSE_OF = np.array([PURPOSE_OF[name] for name in RANGE_NAMES], dtype=np.uint64)
"""Stream of each row; the rows of one stream stand together."""

_NEUTRAL = np.array([float(name == "march_r") for name in RANGE_NAMES])
"""Value of each row at which it does nothing."""

_N_AXES = 13
"""Directions h k l with indices -1, 0, 1, up to sign."""

Words = NDArray[np.uint64]
Reals = NDArray[np.float64]


@kernel
def start_purpose(stream: Words, key: Words, counter: Words, purpose: np.uint64) -> None:
    """Put a stream (11,) at the beginning of one purpose of the sample whose key (2,) and counter (4,) are given."""
    start_stream(stream, key, counter)
    stream[_PURPOSE_WORD] = purpose


@kernel
def draw_value(stream: Words, law: Reals) -> float:
    """Return a value of a law, a row (6,) of the table of ranges; its share is not looked at."""
    kind = int(law[_LAW])
    first, second = law[_FIRST], law[_SECOND]
    if kind == FIXED:
        return float(first)
    if kind == UNIFORM:
        return float(first + (second - first) * uniform(stream))
    if kind == LOG_UNIFORM:
        return float(first * exp(log(second / first) * uniform(stream)))
    value = 0.0
    for _ in range(_MAX_REDRAWS):
        if kind == EXPONENTIAL:
            value = -first * log(1.0 - uniform(stream))
        else:
            deviate = normal_pair(stream)[0]
            value = first + second * deviate if kind == NORMAL else first * exp(second * deviate)
        if law[_LOW] <= value <= law[_HIGH]:
            break
    return float(min(max(value, law[_LOW]), law[_HIGH]))


@kernel
def draw(stream: Words, law: Reals, neutral: float) -> float:
    """Return a value of a law, or the neutral one in the patterns that do not have the effect."""
    if law[_SHARE] == 0.0:
        return neutral
    value = draw_value(stream, law)
    return value if law[_SHARE] == 1.0 or uniform(stream) < law[_SHARE] else neutral


@kernel
def draw_axis(stream: Words) -> tuple[float, float, float]:
    """Return one of the 13 directions with indices -1, 0, 1 (one of each pair of opposites), all equally likely.

    Counted in base 3, 14 ... 26 are (0, 0, 1) ... (1, 1, 1); their opposites are 12 ... 0.
    """
    code = _N_AXES + 1 + int(uniform(stream) * _N_AXES)
    return code // 9 - 1.0, code // 3 % 3 - 1.0, code % 3 - 1.0


@kernel
def count_impurities(stream: Words, probabilities: Reals) -> float:
    """Return how many impurities a pattern has, given the probabilities of one, two and three (3,)."""
    u = uniform(stream)
    reached = 0.0
    for i in range(probabilities.size):
        reached += probabilities[i]
        if u < reached:
            return i + 1.0
    return 0.0


@kernel
def draw_parameters(
    key: Words, counter: Words, stream: Words, ranges: Reals, two_theta_min: float, two_theta_max: float
) -> PatternParameters:
    """Return the parameters of the pattern of one sample.

    Args:
        key: (2,) of the producer.
        counter: (4,) of the sample, whatever its purpose.
        stream: (11,) work space.
        ranges: `Imperfections.ranges`.
        two_theta_min: first grid point, degrees.
        two_theta_max: last.

    """
    values = np.empty(_N_ROWS)
    fractions = np.zeros(MAX_IMPURITIES)
    axis_h, axis_k, axis_l = 0.0, 0.0, 1.0
    n_impurities = 0.0
    for row in range(_N_ROWS):
        if row == 0 or _PURPOSE_OF[row] != _PURPOSE_OF[row - 1]:
            start_purpose(stream, key, counter, _PURPOSE_OF[row])
        if row == _IMPURITIES:
            n_impurities = count_impurities(stream, ranges[row, 1 : 1 + MAX_IMPURITIES])
            continue
        # one place for all: Numba compiles what is called once more for every place
        for i in range(MAX_IMPURITIES if row == _FRACTION else 1):
            values[row] = draw(stream, ranges[row], _NEUTRAL[row])
            if row == _FRACTION and i < n_impurities:
                fractions[i] = values[row]
        if row == _MARCH_R and values[row] != 1.0:
            axis_h, axis_k, axis_l = draw_axis(stream)
    # what belongs to an effect that this pattern does not have is neutral too
    if values[_LEVEL] == 0.0:
        values[_LENGTH] = 0.0
    if values[_HUMP_HEIGHT] == 0.0:
        values[_HUMP_POSITION] = 0.0
        values[_HUMP_WIDTH] = 0.0
    values[_RESIDUE] *= values[_REMOVED]
    if values[_RESIDUE] == 0.0:
        values[_RESIDUE_LENGTH] = 0.0
    values[_RESIDUE_OFFSET] *= values[_REMOVED] * values[_ADDITIVE]
    values[_CLIPPED] *= values[_REMOVED]
    values[_COUNTING] *= values[_ADDITIVE]
    late, early = values[_LATE_START], values[_EARLY_END]
    while late + early > 0.5 * (two_theta_max - two_theta_min):
        late *= 0.5
        early *= 0.5
    return PatternParameters(
        values[_SIZE],
        values[_STRAIN],
        values[_U],
        values[_V],
        values[_W],
        values[_TCH],
        values[_LORENTZIAN],
        values[_SAMPLE_LORENTZIAN],
        values[_AXIAL],
        values[_ZERO_SHIFT],
        values[_DISPLACEMENT],
        values[_K_ALPHA_2],
        values[_K_BETA],
        values[_TUNGSTEN],
        values[_B_ISO],
        values[_MARCH_R],
        axis_h,
        axis_k,
        axis_l,
        n_impurities,
        fractions[0],
        fractions[1],
        fractions[2],
        values[_LEVEL],
        values[_LENGTH],
        values[_HUMP_HEIGHT],
        values[_HUMP_POSITION],
        values[_HUMP_WIDTH],
        values[_REMOVED],
        values[_RESIDUE],
        values[_RESIDUE_LENGTH],
        values[_RESIDUE_OFFSET],
        values[_CLIPPED],
        values[_ADDITIVE],
        values[_COUNTING],
        values[_MULTIPLICATIVE],
        two_theta_min + late,
        two_theta_max - early,
    )

"""Does a pattern look like several phases at once? A linear detector on what all stages of a network see.

Mixtures of comparable shares are made of held-out synthetic patterns, which is what the detector learns to tell from
single ones; impurities that the single ones were simulated with belong to these. The shallow stages know the crowd of
lines that the last layer has forgotten: with it alone half as many mixtures are told.

# N patterns, P points of the axis, F summaries (mean, maximum, standard deviation of every channel of every stage)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from xrdcommon.grid import Grid

from xrdtrain.inputs.masking import FIRST, LAST, measured_ranges

Singles = NDArray[np.float32]

MOST_PHASES = 4
LEAST_SHARE = 0.5
"""Areas of a mixture's patterns lie between this and 1: phases of comparable shares, whatever they were alone."""

LEAST_SHOWN = 0.3
"""Share of the axis that a mixture has to have been measured over; other combinations are not made."""

QUANTILE = 0.99
"""Share of single phases that are not called mixtures."""

RIDGE = 3e-3
"""Penalty of the weights, on summaries of variance 1; fixed."""

WEIGHTS = "mixture_weights"
_ROUNDS = 200


@dataclass(frozen=True, slots=True)
class MixtureDetector:
    """Summaries s with weights . s + bias > 0 look like a mixture.

    Attributes:
        weights: (F,).
        bias: holds the threshold too.
        caught: share of held-out mixtures that it tells, where 1 - `QUANTILE` of the single phases are called so.

    """

    weights: Singles
    bias: float
    caught: float

    def fires(self, summaries: Singles) -> NDArray[np.bool_]:
        """Return which of (N, F) look like mixtures."""
        return np.asarray(summaries.astype(np.float64) @ self.weights.astype(np.float64) + self.bias > 0.0)

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return it as named arrays."""
        return {WEIGHTS: self.weights, "mixture_bias": np.array(self.bias), "mixture_caught": np.array(self.caught)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> MixtureDetector:
        """Read back what `to_arrays` made.

        Raises:
            KeyError: one is missing.

        """
        return cls(arrays[WEIGHTS], float(arrays["mixture_bias"]), float(arrays["mixture_caught"]))


def blend(parts: NDArray[np.float64], random: np.random.Generator) -> NDArray[np.float64]:
    """Return the sum (P,) of patterns (K, P) with comparable areas."""
    areas = np.maximum(parts.sum(axis=1, keepdims=True), 1e-12)
    return np.asarray((parts / areas * random.uniform(LEAST_SHARE, 1.0, (len(parts), 1))).sum(axis=0))


def mix(
    patterns: NDArray[np.floating], samples: NDArray[np.void], grid: Grid, n: int, random: np.random.Generator
) -> tuple[Singles, NDArray[np.void]]:
    """Return n mixtures of two to four patterns each, measured where all of their patterns were.

    Args:
        patterns: (N, P), 0 where they were not measured.
        samples: (N,) their records, with the ranges measured.
        grid: of the patterns.
        n: number of mixtures.
        random: generator of the draws.

    Returns:
        Patterns (n, P) with a maximum of 1, and records (n,): the first pattern's with the range of the mixture.

    """
    whole = np.array([grid.two_theta_min, grid.two_theta_max])
    ranges = measured_ranges(samples, grid)
    limits = np.tile(whole, (len(samples), 1)) if ranges is None else ranges.astype(np.float64)
    least = min(LEAST_SHOWN * (whole[1] - whole[0]), float((limits[:, 1] - limits[:, 0]).max()))
    wide = np.flatnonzero(limits[:, 1] - limits[:, 0] >= least)
    mixed, records = np.empty((n, patterns.shape[1]), dtype=np.float32), np.empty(n, dtype=samples.dtype)
    for row in range(n):
        # a pattern after the other, as long as enough of the axis is common to them
        chosen = [int(random.choice(wide))]
        first, last = limits[chosen[0]]
        wanted = random.integers(2, MOST_PHASES + 1)
        for other in random.permutation(len(patterns)):
            low, high = max(first, limits[other, 0]), min(last, limits[other, 1])
            if high - low >= least and other not in chosen:
                chosen.append(int(other))
                first, last = low, high
            if len(chosen) == wanted:
                break
        total = blend(patterns[chosen].astype(np.float64), random)
        mixed[row] = total / max(total.max(), 1e-12)
        records[row] = samples[chosen[0]]
        if ranges is not None:
            records[row][FIRST], records[row][LAST] = first, last
    return mixed, records


def fit_detector(single: Singles, mixed: Singles, judged: Singles, others: Singles) -> MixtureDetector:
    """Learn to tell mixtures from single phases: logistic regression with a ridge.

    Args:
        single, mixed: (N, F) and (M, F) summaries to learn from.
        judged: (N', F) of other single phases, which set the threshold.
        others: (M', F) of other mixtures, which say how many are caught.

    """
    from scipy.optimize import minimize  # slow to load, and every training would wait for it

    both = np.concatenate([single, mixed])
    mean, spread = both.mean(axis=0), both.std(axis=0) + 1e-6
    x = ((both - mean) / spread).astype(np.float32)
    labels = np.concatenate([np.zeros(len(single)), np.ones(len(mixed))])

    def loss(w: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        z = x @ w[1:].astype(np.float32) + w[0]
        rest = (expit(z) - labels) / len(labels)
        value = float((np.logaddexp(0.0, z) - labels * z).mean() + 0.5 * RIDGE * (w[1:] ** 2).sum())
        return value, np.concatenate([[rest.sum()], rest.astype(np.float32) @ x + RIDGE * w[1:]])

    found = minimize(loss, np.zeros(x.shape[1] + 1), jac=True, method="L-BFGS-B", options={"maxiter": _ROUNDS}).x
    weights = (found[1:] / spread).astype(np.float32)
    scores = judged.astype(np.float64) @ weights.astype(np.float64)
    threshold = float(np.quantile(scores, QUANTILE))
    detector = MixtureDetector(weights, -threshold, 0.0)
    return MixtureDetector(weights, -threshold, float(detector.fires(others).mean()))

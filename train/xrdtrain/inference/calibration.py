"""How sure a network is: temperature, class bias, and candidate sets that hold the true group as often as promised.

Both are fitted on synthetic patterns that the network has not been trained on, never on real ones, so that what they
bring on real ones can be measured. Probabilities are softmax(logits / temperature + bias): temperature scaling (Guo et
al., ICML 2017) with a bias for each class, whose square is penalised as a class with few patterns says little.
Candidate sets are split conformal ones (Sadinle, Lei and Wasserman, J. Am. Stat. Assoc. 114 (2019) 223): all classes
whose probability is at least a threshold that keeps the true one in the promised share of the hold-out.

# N patterns, C classes
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax, softmax
from xrdcommon.errors import FormatError, InputError

FORMAT: Final = 1
FILE: Final = "calibration.json"

LEVELS: Final = (0.5, 0.8, 0.9, 0.95, 0.99)
"""Shares of patterns whose true group a candidate set is to hold."""

LEAST: Final = 500
"""Patterns of the hold-out below which a fit says little."""

PENALTY: Final = 20.0
"""Patterns that a bias of 0 counts for, in units of half its square."""

BINS: Final = 15


@dataclass(frozen=True, slots=True)
class Calibration:
    """What turns logits into probabilities that can be trusted.

    Attributes:
        temperature: logits are divided by it.
        bias: (C,) added afterwards.
        thresholds: share of patterns -> least probability of the members of its candidate set.
        source: what it was fitted on.
        n: patterns of the hold-out.
        samples: of the training after which the network was calibrated; None where it does not matter.
        before: calibration error and loss without it, on patterns that were left out of the fit.
        after: the same with it.

    """

    temperature: float
    bias: NDArray[np.float64]
    thresholds: dict[float, float] = field(default_factory=dict)
    source: str = ""
    n: int = 0
    samples: int | None = None
    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)

    def __call__(self, logits: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """Return calibrated logits (N, C) of logits (N, C)."""
        return logits.astype(np.float64) / self.temperature + self.bias

    def candidates(self, probability: NDArray[np.floating[Any]], level: float) -> NDArray[np.bool_]:
        """Return which classes (N, C) belong to the candidate set of each pattern; the likeliest always does.

        Args:
            probability: (N, C) calibrated.
            level: one of `thresholds`.

        """
        chosen = probability >= self.thresholds[level]
        chosen[np.arange(len(chosen)), probability.argmax(axis=1)] = True
        return chosen

    def to_dict(self) -> dict[str, Any]:
        """Return the fields for JSON."""
        return {
            "format": FORMAT,
            "temperature": self.temperature,
            "bias": self.bias.tolist(),
            "thresholds": {f"{level:g}": value for level, value in self.thresholds.items()},
            "source": self.source,
            "n": self.n,
            "samples": self.samples,
            "before": self.before,
            "after": self.after,
        }

    @classmethod
    def from_dict(cls, content: Any, n_classes: int, where: str) -> Calibration:
        """Read back what `to_dict` wrote.

        Args:
            content: the JSON value.
            n_classes: C of the network that it belongs to.
            where: the file, for messages.

        Raises:
            FormatError: another version, or not for this network.

        """
        if not isinstance(content, Mapping) or content.get("format") != FORMAT:
            found = content.get("format") if isinstance(content, Mapping) else None
            raise FormatError(f"{where}: calibration of format {found}, this version reads {FORMAT}")
        try:
            bias = np.array(content["bias"], dtype=np.float64)
            temperature = float(content["temperature"])
            thresholds = {float(level): float(value) for level, value in content["thresholds"].items()}
            samples = None if content["samples"] is None else int(content["samples"])
            rest = str(content["source"]), int(content["n"]), samples, dict(content["before"]), dict(content["after"])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise FormatError(f"{where}: not a calibration that this version reads ({error})") from error
        if bias.shape != (n_classes,) or not np.isfinite(bias).all() or not 0.0 < temperature < math.inf:
            raise FormatError(f"{where}: does not belong to this network of {n_classes} classes; calibrate it again")
        return cls(temperature, bias, thresholds, *rest)


def expected_error(right: NDArray[np.bool_], confidence: NDArray[np.floating[Any]]) -> dict[str, Any]:
    """Return the expected calibration error `ece` and its bins (Guo et al., ICML 2017).

    Args:
        right: (N,) whether the first candidate is the true one.
        confidence: (N,) its probability.

    """
    which = np.minimum((confidence * BINS).astype(int), BINS - 1)
    bins, error = [], 0.0
    for number in range(BINS):
        mask = which == number
        n = int(mask.sum())
        accuracy, sure = (float(right[mask].mean()), float(confidence[mask].mean())) if n else (math.nan, math.nan)
        error += n * abs(accuracy - sure) if n else 0.0
        bins.append(
            {"from": number / BINS, "to": (number + 1) / BINS, "n": n, "accuracy": accuracy, "confidence": sure}
        )
    return {"ece": error / len(right) if len(right) else math.nan, "bins": bins}


def reliability(logits: NDArray[np.float64], index: NDArray[np.int64]) -> dict[str, Any]:
    """Return calibration error, its bins and the mean cross-entropy of logits (N, C) with true classes (N,)."""
    probability = softmax(logits, axis=1)
    found = expected_error(probability.argmax(axis=1) == index, probability.max(axis=1))
    loss = -log_softmax(logits, axis=1)[np.arange(len(index)), index].mean()
    filled = [entry for entry in found["bins"] if entry["n"]]
    return {"ece": found["ece"], "loss": float(loss), "bins": filled}


def fit_calibration(
    logits: NDArray[np.floating[Any]], index: NDArray[np.int64], source: str, samples: int | None = None, seed: int = 0
) -> Calibration:
    """Fit temperature, bias and thresholds, and measure on patterns left out what they bring.

    The hold-out is cut at random into three parts: one for temperature and bias, one for the thresholds, one that both
    are measured on.

    Args:
        logits: (N, C) of patterns that the network was not trained on.
        index: (N,) their classes.
        source: what they are, for the record.
        samples: that the network was trained on.
        seed: of the cut.

    Raises:
        InputError: too few patterns, or logits that are not finite.

    """
    if len(index) < LEAST:
        raise InputError(f"{source}: {len(index)} patterns to calibrate with; give at least {LEAST}")
    values = logits.astype(np.float64)
    if not np.isfinite(values).all():
        raise InputError(f"{source}: logits that are not finite; the training diverged")
    order = np.random.default_rng(seed).permutation(len(index))
    fitted, chosen, left = np.array_split(order, [len(order) // 2, 3 * len(order) // 4])
    temperature, bias = _fit(values[fitted], index[fitted])
    plain = Calibration(temperature, bias)
    calibrated = plain(values)
    true = softmax(calibrated[chosen], axis=1)[np.arange(len(chosen)), index[chosen]]
    thresholds = {level: _threshold(true, level) for level in LEVELS}
    whole = Calibration(temperature, bias, thresholds)
    return Calibration(
        temperature,
        bias,
        thresholds,
        source,
        len(index),
        samples,
        reliability(values[left], index[left]),
        {**reliability(calibrated[left], index[left]), "sets": coverage(whole, calibrated[left], index[left])},
    )


def coverage(
    calibration: Calibration, calibrated: NDArray[np.float64], index: NDArray[np.int64]
) -> dict[str, dict[str, float]]:
    """Return, for each promised share, the share of patterns whose set holds the true class, and the mean size.

    Args:
        calibration: with thresholds.
        calibrated: (N, C) calibrated logits.
        index: (N,) true classes, negative where the true group is not a class (no set can hold it).

    """
    probability = softmax(calibrated, axis=1)
    rows = np.arange(len(index))
    result = {}
    for level in calibration.thresholds:
        sets = calibration.candidates(probability, level)
        held = sets[rows, index.clip(min=0)] & (index >= 0)
        result[f"{level:g}"] = {"coverage": float(held.mean()), "mean_size": float(sets.sum(axis=1).mean())}
    return result


def _threshold(true: NDArray[np.float64], level: float) -> float:
    """Return the probability that this share of true classes (N,) reaches, corrected for their finite number."""
    allowed = math.floor((len(true) + 1) * (1.0 - level))
    return 0.0 if allowed < 1 else float(np.sort(true)[allowed - 1])


def _fit(logits: NDArray[np.float64], index: NDArray[np.int64]) -> tuple[float, NDArray[np.float64]]:
    """Return temperature and bias (C,) of the least penalised cross-entropy."""
    from scipy.optimize import minimize  # slow to load, and every training would wait for it

    n, n_classes = logits.shape
    rows = np.arange(n)

    def objective(x: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        scale, bias = math.exp(x[0]), x[1:]  # 1 / temperature
        log_probability = log_softmax(logits * scale + bias, axis=1)
        rest = np.exp(log_probability)
        rest[rows, index] -= 1.0
        value = -log_probability[rows, index].sum() + 0.5 * PENALTY * float(bias @ bias)
        gradient = np.concatenate([[scale * float((rest * logits).sum())], rest.sum(axis=0) + PENALTY * bias])
        return value / n, gradient / n

    found = minimize(objective, np.zeros(1 + n_classes), jac=True, method="L-BFGS-B")
    return math.exp(-float(found.x[0])), np.asarray(found.x[1:], dtype=np.float64)

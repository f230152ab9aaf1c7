"""Numbers behind the report's figures; arrays in, arrays out.

| figure of the paper | function |
|---|---|
| Table 1 | `measures` |
| S4 | `top_k_curve` |
| 1, S13 | `group_counts` |
| 4, 6 | `histogram` |
| S7 | `recall_by_group` |
"""

# N evaluated diffractograms, K candidates, C classes, B bins, G space groups (index = number, 0 unused).

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xrdcommon.space_groups import CRYSTAL_SYSTEMS, N_GROUPS

from xrdtrain.evaluation import measures as accuracy
from xrdtrain.report.run_folder import Evaluation

_SYSTEM = accuracy.system_numbers()


def measures(evaluation: Evaluation) -> dict[str, Any]:
    """Return the measures of `xrdtrain evaluate` for one set (see `accuracy.evaluate`)."""
    families = evaluation.samples["family"]
    return accuracy.evaluate(evaluation.labels, evaluation.classes, evaluation.top, evaluation.probability, families)


def group_counts(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Count the diffractograms of every space group, (231,)."""
    return np.bincount(labels, minlength=N_GROUPS + 1)


def guesses_of_five(evaluation: Evaluation) -> tuple[float, float]:
    """Return the top-5 of five classes at random, and of always naming the five most frequent groups of the set."""
    labels = evaluation.labels[evaluation.inside]
    frequent = np.sort(group_counts(labels))[-5:].sum() / len(labels) if len(labels) else float("nan")
    return min(1.0, 5.0 / len(evaluation.classes)), float(frequent)


def top_k_curve(evaluation: Evaluation) -> NDArray[np.float64]:
    """Return the accuracy for k = 1 to K, (K,), over the diffractograms whose group is a class."""
    inside = evaluation.inside
    return accuracy.top_k_curve(evaluation.labels[inside], evaluation.top[inside])


@dataclass(frozen=True, slots=True)
class GroupRecall:
    """Recall TP / (TP + FN) of every space group; arrays (231,), NaN where there is no diffractogram."""

    counts: NDArray[np.int64]
    recall: NDArray[np.float64]


def recall_by_group(evaluation: Evaluation) -> GroupRecall:
    """Return count and recall of every space group."""
    counts = group_counts(evaluation.labels)
    right = group_counts(evaluation.labels[evaluation.correct])
    return GroupRecall(counts, np.divide(right, counts, out=np.full(len(counts), np.nan), where=counts > 0))


def trend(values: NDArray[np.float64], weights: NDArray[np.float64], width: float) -> NDArray[np.float64]:
    """Smooth a sequence (n,) with a Gaussian of `width` places; NaN entries have no weight."""
    places = np.arange(len(values))
    kernel = np.exp(-0.5 * ((places[:, None] - places[None]) / width) ** 2) * np.where(np.isnan(values), 0, weights)
    total = kernel.sum(axis=1)
    smooth = np.full(len(values), np.nan)
    np.divide(kernel @ np.nan_to_num(values), total, out=smooth, where=total > 1e-9)
    return smooth


def confusion(evaluation: Evaluation) -> NDArray[np.int64]:
    """Count (true, predicted) pairs among the classes, (C, C) in the order of `classes`."""
    inside = evaluation.inside
    n_classes = len(evaluation.classes)
    rows = np.searchsorted(evaluation.classes, evaluation.labels[inside])
    columns = np.searchsorted(evaluation.classes, evaluation.top[inside, 0])
    return np.bincount(rows * n_classes + columns, minlength=n_classes**2).reshape(n_classes, n_classes)


def frequent_confusions(evaluation: Evaluation, most: int) -> list[tuple[int, int, int]]:
    """Return the most frequent wrong answers as (true group, predicted group, times), most frequent first."""
    inside = evaluation.inside
    return accuracy.confused_pairs(evaluation.labels[inside], evaluation.top[inside, 0], most)


def system_confusion(evaluation: Evaluation) -> NDArray[np.int64]:
    """Count (true, predicted) crystal systems over the diffractograms whose group is a class, (7, 7)."""
    inside = evaluation.inside
    n = len(CRYSTAL_SYSTEMS)
    pairs = _SYSTEM[evaluation.labels[inside]] * n + _SYSTEM[evaluation.top[inside, 0]]
    return np.bincount(pairs, minlength=n * n).reshape(n, n)


def system_recall(evaluation: Evaluation) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return count and top-1 accuracy of every crystal system, (7,) each, over groups that are classes."""
    inside = evaluation.inside
    systems = _SYSTEM[evaluation.labels[inside]]
    counts = np.bincount(systems, minlength=len(CRYSTAL_SYSTEMS))
    right = np.bincount(systems[evaluation.correct[inside]], minlength=len(CRYSTAL_SYSTEMS))
    return counts, np.divide(right, counts, out=np.full(len(counts), np.nan), where=counts > 0)


@dataclass(frozen=True, slots=True)
class Histogram:
    """A descriptor in bins with edges (B + 1,): counts of right and wrong answers, (B,) each."""

    edges: NDArray[np.float64]
    right: NDArray[np.int64]
    wrong: NDArray[np.int64]

    @property
    def error_rate(self) -> NDArray[np.float64]:
        """Fraction wrong in each bin, NaN where empty (paper, figure 6)."""
        total = self.right + self.wrong
        rate = np.full(len(total), np.nan)
        np.divide(self.wrong, total, out=rate, where=total > 0)
        return rate

    def density(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the probability densities (right, wrong) whose sum integrates to 1 over the bins."""
        area = max(1, int((self.right + self.wrong).sum())) * np.diff(self.edges)
        return self.right / area, self.wrong / area


def histogram(values: NDArray[np.float64], correct: NDArray[np.bool_], edges: NDArray[np.float64]) -> Histogram:
    """Count right and wrong answers in bins; values outside and NaN are left out."""
    known = np.isfinite(values)
    right, _ = np.histogram(values[known & correct], edges)
    wrong, _ = np.histogram(values[known & ~correct], edges)
    return Histogram(edges, right, wrong)

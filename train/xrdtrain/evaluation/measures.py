"""Accuracies of ranked space groups: the numbers of `xrdtrain evaluate`.

# N patterns, C classes, K ranks kept
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xrdcommon.extinction import extinction_group
from xrdcommon.space_groups import CRYSTAL_SYSTEMS, ENANTIOMORPHIC_PAIRS, N_GROUPS, crystal_system, merged_group

from xrdtrain.evaluation.families import family_measures
from xrdtrain.evaluation.subgroups import distance_measures
from xrdtrain.inference.calibration import expected_error

MOST_CONFUSED = 20


def _table(function: Any) -> NDArray[np.int64]:
    """Return function(number) for every space group at index number; index 0 is 0."""
    return np.array([0] + [int(function(number)) for number in range(1, N_GROUPS + 1)])


def _mean(values: NDArray[Any]) -> float:
    """Return the mean, NaN of nothing."""
    return float(values.mean()) if values.size else float("nan")


def quick(
    labels: NDArray[np.integer[Any]], top: NDArray[np.integer[Any]], inside: NDArray[np.bool_]
) -> dict[str, float]:
    """Return the accuracies shown after every epoch.

    Args:
        labels: (N,) true space groups.
        top: (N, K) ranked space groups.
        inside: (N,) whether the true group is a class; the others count as wrong in `*_all`.

    """
    right1 = top[:, 0] == labels
    right5 = (top[:, :5] == labels[:, None]).any(axis=1)
    merged = _table(merged_group)
    right_merged = merged[top[:, 0]] == merged[labels]
    return {
        "top1": _mean(right1[inside]),
        "top5": _mean(right5[inside]),
        "top1_all": _mean(right1 & inside),
        "top5_all": _mean(right5 & inside),
        "top1_enantiomorphs_merged": _mean(right_merged[inside]),
    }


def top_k_curve(labels: NDArray[np.integer[Any]], top: NDArray[np.integer[Any]]) -> NDArray[np.float64]:
    """Return the share of labels (N,) among the first k = 1 to K of the ranked groups (N, K), (K,); NaN of nothing."""
    if not len(labels):
        return np.full(top.shape[1], np.nan)
    curve: NDArray[np.float64] = np.maximum.accumulate(top == labels[:, None], axis=1).mean(axis=0)
    return curve


def confused_pairs(
    labels: NDArray[np.integer[Any]], said: NDArray[np.integer[Any]], most: int
) -> list[tuple[int, int, int]]:
    """Return the most frequent wrong answers as (true group, predicted group, times), the most frequent first."""
    wrong = labels != said
    pairs = labels[wrong].astype(np.int64) * (N_GROUPS + 1) + said[wrong]
    values, counts = np.unique(pairs, return_counts=True)
    order = np.lexsort((values, -counts))[:most]
    return [(int(values[i]) // (N_GROUPS + 1), int(values[i]) % (N_GROUPS + 1), int(counts[i])) for i in order]


def system_numbers() -> NDArray[np.int64]:
    """Return the place of every space group's crystal system in `CRYSTAL_SYSTEMS`, at index number; index 0 is 0."""
    return _table(lambda number: CRYSTAL_SYSTEMS.index(crystal_system(number)))


def _ceiling(labels: NDArray[np.integer[Any]]) -> float:
    """Return the best top-1 there is: of each enantiomorphic pair only the more frequent member can be right."""
    counts = np.bincount(labels, minlength=N_GROUPS + 1)
    lost = sum(min(counts[a], counts[b]) for a, b in ENANTIOMORPHIC_PAIRS)
    return float(1.0 - lost / len(labels)) if len(labels) else float("nan")


def _per_group(
    labels: NDArray[np.integer[Any]], top: NDArray[np.integer[Any]], classes: NDArray[np.integer[Any]]
) -> dict[str, dict[str, float]]:
    """Return recall (top-1, top-5) and precision of every group that occurs or is predicted."""
    result = {}
    for group in np.union1d(labels, top[:, 0]):
        mine, said = labels == group, top[:, 0] == group
        result[str(int(group))] = {
            "n": int(mine.sum()),
            "is_class": bool(group in classes),
            "top1": _mean(top[mine, 0] == group),
            "top5": _mean((top[mine, :5] == group).any(axis=1)),
            "n_predicted": int(said.sum()),
            "precision": _mean(labels[said] == group),
        }
    return result


def _extinction(
    labels: NDArray[np.int64], top: NDArray[np.int64], groups: NDArray[np.int64], classes: NDArray[np.integer[Any]]
) -> dict[str, Any]:
    """Return how often the absences are read rightly, and how often the right group is then told from its like.

    Args:
        labels: (N,) true space groups, all of them classes.
        top: (N, K) ranked space groups.
        groups: extinction group of every space group.
        classes: (C,) space groups the network knows.

    Returns:
        `top_k`: the true extinction group is that of one of the first k candidates. Of the `n_right` patterns whose
        first candidate has it, `within`: the first candidate is right; `within_top_k`: the true group is among the
        first k of those candidates that are of its extinction group. `within_shared` is `within` where the extinction
        group holds another class as well (`n_right_shared`), `within_shared_by_frequency` what naming the most
        frequent member of each of these would get.

    """
    members = groups[top] == groups[labels][:, None]
    among_like = np.cumsum(members, axis=1)  # 1, 2 ... of those of the true extinction group
    place = np.where(top == labels[:, None], among_like, 0).max(axis=1)  # 0: not among the ranks kept
    chosen = members[:, 0]
    shared = np.bincount(groups[classes], minlength=len(groups))[groups[labels]] > 1
    both = chosen & shared
    like = groups[labels[both]]
    frequent = sum(int(np.bincount(labels[both][like == group]).max()) for group in np.unique(like))
    right = top[:, 0] == labels
    return {
        "top_k": [_mean(column) for column in members.cumsum(axis=1).astype(np.bool_).T],
        "n_right": int(chosen.sum()),
        "within": _mean(right[chosen]),
        "within_top_k": [_mean((place[chosen] > 0) & (place[chosen] <= k)) for k in np.arange(1, top.shape[1] + 1)],
        "n_right_shared": int(both.sum()),
        "within_shared": _mean(right[both]),
        "within_shared_by_frequency": frequent / int(both.sum()) if both.any() else float("nan"),
    }


def _outside(
    labels: NDArray[np.int64],
    top: NDArray[np.int64],
    probability: NDArray[np.floating[Any]],
    system: NDArray[np.int64],
    extinction: NDArray[np.int64],
) -> dict[str, Any]:
    """Return what is said of patterns (n,) whose space group is no class, none of which can be right."""
    return {
        "n": len(labels),
        "n_groups": len(np.unique(labels)),
        "crystal_system": _mean(system[top[:, 0]] == system[labels]),
        "extinction_group": _mean(extinction[top[:, 0]] == extinction[labels]),
        "probability": _mean(probability[:, 0]),
    }


def evaluate(
    labels: NDArray[np.integer[Any]],
    classes: NDArray[np.integer[Any]],
    top: NDArray[np.integer[Any]],
    probability: NDArray[np.floating[Any]],
    families: NDArray[np.integer[Any]] | None = None,
) -> dict[str, Any]:
    """Return everything `xrdtrain evaluate --json` says about one test set.

    Args:
        labels: (N,) true space groups.
        classes: (C,) space groups the network knows.
        top: (N, K) ranked space groups.
        probability: (N, K) their probabilities.
        families: (N,) structure family of every pattern, 0 where it is not known; None where none is.

    """
    truth: NDArray[np.int64] = labels.astype(np.int64)
    given: NDArray[np.int64] = top.astype(np.int64)
    inside = np.isin(truth, classes)
    known, ranked = truth[inside], given[inside]
    system = system_numbers()
    extinction = _table(extinction_group)
    first_right = ranked == known[:, None]
    right = first_right[:, 0]
    counts = Counter(int(group) for group in known)
    common = counts.most_common(1)
    answered = ranked[:, 0] > 0  # a measured pattern that was refused has no answer
    same_extinction = extinction[ranked[:, 0]] == extinction[known]
    same_system = system[ranked[:, 0]] == system[known]
    per_system = {}
    for number, name in enumerate(CRYSTAL_SYSTEMS):
        mask = system[known] == number
        per_system[name] = {
            "n": int(mask.sum()),
            "top1": _mean(right[mask]),
            "top5": _mean(first_right[mask, :5].any(axis=1)),
            "system": _mean(system[ranked[mask, 0]] == number),
        }
    return {
        "n": len(labels),
        "n_outside_classes": int((~inside).sum()),
        "n_classes": len(classes),
        **quick(truth, given, inside),
        "top_k": top_k_curve(known, ranked).tolist(),
        "top1_ceiling": _ceiling(known),
        "crystal_system": _mean(same_system),
        "extinction_group": _mean(same_extinction),
        "extinction": _extinction(known, ranked, extinction, classes),
        "families": family_measures(
            None if families is None else families[inside], known, first_right, same_extinction, same_system
        ),
        "subgroup_distance": distance_measures(known[answered], ranked[answered, 0], classes),
        "outside_classes": _outside(truth[~inside], given[~inside], probability[~inside], system, extinction),
        "chance": 1.0 / len(classes),
        "most_frequent_group": {
            "space_group": common[0][0] if common else None,
            "top1": common[0][1] / len(known) if common else float("nan"),
            "top1_all": common[0][1] / len(labels) if common else float("nan"),
        },
        "calibration": expected_error(right, probability[inside, 0]),
        "per_crystal_system": per_system,
        "per_group": _per_group(truth, given, classes),
        "most_confused": [
            {"true": true, "predicted": said, "n": n}
            for true, said, n in confused_pairs(known, ranked[:, 0], MOST_CONFUSED)
        ],
    }

"""How far an answer is from the truth: steps in the graph of maximal subgroups.

Two types of space groups are neighbours when one is a maximal subgroup of the other, translationengleich or
klassengleich (International Tables A1). The members of an enantiomorphic pair are neighbours too: each has
subgroups of the other's type, which count as isomorphic there.
"""

# N answers, C classes; (231, 231) tables have index 0 unused.

from __future__ import annotations

import csv
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from xrdcommon.space_groups import ENANTIOMORPHIC_PAIRS, N_GROUPS

SUBGROUPS_PATH: Final = Path(str(files("xrdtrain") / "evaluation" / "data" / "maximal_subgroups.csv"))


@cache
def maximal_subgroups() -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return whether the second group is of the type of a maximal subgroup of the first: t and k, (231, 231) each."""
    tables = np.zeros((2, N_GROUPS + 1, N_GROUPS + 1), dtype=np.bool_)
    with SUBGROUPS_PATH.open(newline="", encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            for table, kind in zip(tables, ("t", "k"), strict=True):
                table[int(row["group"]), [int(group) for group in row[kind].split()]] = True
    return tables[0], tables[1]


@cache
def distances() -> NDArray[np.int64]:
    """Return the fewest steps from any group to any other, (231, 231); row and column 0 are 0."""
    from scipy.sparse.csgraph import shortest_path

    table = np.zeros((N_GROUPS + 1, N_GROUPS + 1), dtype=np.int64)
    joined = np.logical_or(*maximal_subgroups())
    for pair in ENANTIOMORPHIC_PAIRS:
        joined[pair] = True
    table[1:, 1:] = shortest_path(joined[1:, 1:], directed=False, unweighted=True)
    return table


def distance_measures(
    labels: NDArray[np.int64], said: NDArray[np.int64], classes: NDArray[np.integer[Any]]
) -> dict[str, Any]:
    """Return how far the answers are from the truth.

    Args:
        labels: (N,) true space groups, all of them classes.
        said: (N,) answers.
        classes: (C,) space groups the network knows.

    Returns:
        `histogram`: answers at 0, 1, 2 ... steps; `mean_of_errors`, and `mean_of_random_errors` of answers drawn from
        the other classes. Of the errors of one step: `to_supergroup` and `to_subgroup`, translationengleich (the
        answer has symmetry too much, or lacks some); `klassengleich`, in either direction; `mirror_images`.

    """
    table, (t, k) = distances(), maximal_subgroups()
    steps, wrong = table[labels, said], labels != said
    groups, places = np.unique(labels[wrong], return_inverse=True)
    random = [table[group, classes[classes != group]].mean() for group in groups]
    same_class = k[labels, said] | k[said, labels]
    return {
        "histogram": np.bincount(steps, minlength=1).tolist(),
        "mean_of_errors": float(steps[wrong].mean()) if wrong.any() else float("nan"),
        "mean_of_random_errors": float(np.array(random)[places].mean()) if wrong.any() else float("nan"),
        "to_supergroup": int(t[said, labels].sum()),
        "to_subgroup": int(t[labels, said].sum()),
        "klassengleich": int(same_class.sum()),
        "mirror_images": int(((steps == 1) & ~same_class & ~t[said, labels] & ~t[labels, said]).sum()),
    }

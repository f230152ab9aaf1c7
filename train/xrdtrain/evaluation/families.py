"""Accuracy when every structure family counts once: what a few large families do not hide.

A family is a Wyckoff configuration: space group and Wyckoff letters of the sites, whatever the elements. Each pattern
has the weight 1 / (patterns of its family).
"""

# N patterns, F families, K ranks.

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

LARGEST = 10
"""Families that are listed."""


def family_measures(
    families: NDArray[np.integer[Any]] | None,
    labels: NDArray[np.int64],
    first_right: NDArray[np.bool_],
    same_extinction: NDArray[np.bool_],
    same_system: NDArray[np.bool_],
) -> dict[str, Any] | None:
    """Return accuracies over families, None where no pattern's family is known.

    Args:
        families: (N,) numbers of the families, 0 where not known.
        labels: (N,) true space groups, all of them classes.
        first_right: (N, K) whether each ranked candidate is right.
        same_extinction: (N,) whether the first candidate has the right extinction group.
        same_system: (N,) whether it has the right crystal system.

    Returns:
        as `evaluate` says of patterns; `top1_error` is the standard error of top-1 over the families, `n_unknown`
        patterns without a family are left out, and `largest` lists the families with most patterns.

    """
    if families is None or not (families > 0).any():
        return None
    known = families > 0
    numbers, first, places, sizes = np.unique(
        families[known], return_index=True, return_inverse=True, return_counts=True
    )

    def by_family(values: NDArray[np.bool_]) -> NDArray[np.float64]:
        shares: NDArray[np.float64] = np.bincount(places, values[known], len(numbers)) / sizes
        return shares

    top1 = by_family(first_right[:, 0])
    curve = [float(by_family(column).mean()) for column in np.maximum.accumulate(first_right, axis=1).T]
    order = np.argsort(-sizes, kind="stable")[:LARGEST]
    groups = labels[known][first]
    return {
        "n": len(numbers),
        "n_patterns": int(known.sum()),
        "n_unknown": int((~known).sum()),
        "top1": float(top1.mean()),
        "top1_error": float(top1.std(ddof=1) / np.sqrt(len(top1))) if len(top1) > 1 else float("nan"),
        "top5": curve[min(5, len(curve)) - 1],
        "top_k": curve,
        "extinction_group": float(by_family(same_extinction).mean()),
        "crystal_system": float(by_family(same_system).mean()),
        "largest": [
            {"space_group": int(groups[place]), "n": int(sizes[place]), "top1": float(top1[place])} for place in order
        ],
    }

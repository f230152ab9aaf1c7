"""Accuracy of the parts of a test set: each collection it was taken from alone, and each compound once.

Databases hold one compound many times, at other temperatures and pressures or refined again; the paper keeps these
duplicates. A compound is a space group, a Wyckoff configuration and a composition.
"""

# N patterns whose space group is a class, K ranks.

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

PLACES = 2
"""Decimals of the atoms in a unit cell to which compositions of one compound agree."""


def collection_measures(ids: Sequence[str], first_right: NDArray[np.bool_]) -> dict[str, dict[str, Any]]:
    """Return accuracies of each collection, {} where all patterns are from one.

    Args:
        ids: N identities such as 'AMCSD:42'.
        first_right: (N, K) whether each ranked candidate is right.

    """
    names = np.array([name.partition(":")[0] if ":" in name else "" for name in ids])
    found = sorted(set(names.tolist()) - {""})
    if len(found) < 2:
        return {}
    return {name: {"n": int((names == name).sum()), **_shares(first_right[names == name])} for name in found}


def distinct_measures(samples: NDArray[np.void], first_right: NDArray[np.bool_]) -> dict[str, Any] | None:
    """Return accuracies in which every compound has the same weight, None where no pattern's family is known.

    Args:
        samples: (N,) records with space_group, family and composition (atoms of each element in the unit cell).
        first_right: (N, K) whether each ranked candidate is right.

    """
    known = samples["family"] > 0
    if not known.any():
        return None
    keys = np.column_stack(
        [
            samples["space_group"][known].astype(np.float64),
            samples["family"][known].astype(np.float64),
            samples["composition"][known].round(PLACES),
        ]
    )
    _, places, sizes = np.unique(keys, axis=0, return_inverse=True, return_counts=True)
    weights = 1.0 / sizes[places.reshape(-1)]
    return {"n": len(sizes), "n_patterns": int(known.sum()), **_shares(first_right[known], weights)}


def _shares(first_right: NDArray[np.bool_], weights: NDArray[np.float64] | None = None) -> dict[str, float]:
    """Return top-1 and top-5."""
    return {f"top{k}": float(np.average(first_right[:, :k].any(axis=1), weights=weights)) for k in (1, 5)}

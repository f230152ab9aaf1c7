"""Accuracy by what a crystal is like: volume, sites, density factor, crystallite size."""

# N patterns, K ranks, B bins.

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

FIELDS: Final = ("volume", "n_sites", "density_factor", "crystallite_size")
"""Fields of the records that are looked at."""

BINS: Final = 5
"""Bins with about as many patterns each."""


def by_descriptor(samples: NDArray[Any], first_right: NDArray[np.bool_]) -> dict[str, Any]:
    """Return the accuracy in bins of each descriptor, split at its quintiles.

    Args:
        samples: (N,) records of patterns whose space group is a class.
        first_right: (N, K) whether each ranked candidate is right.

    Returns:
        for each of `FIELDS`: `n_unknown` patterns without a value, and `bins`, each with its limits `from` and `to`
        (whole numbers: both included; else `to` belongs to the next bin, but for the last), `n`, `top1` and `top5`.

    """
    result: dict[str, Any] = {}
    for field in FIELDS:
        values = samples[field].astype(np.float64)
        known = np.isfinite(values) & (values > 0)  # 0 sites: not recorded
        bins = []
        if known.any():
            whole = np.issubdtype(samples.dtype[field], np.integer)
            edges = np.quantile(values[known], np.linspace(0, 1, BINS + 1), method="lower")
            upper = np.unique(edges[1:])
            edges = np.concatenate([edges[:1], upper])
            places = np.minimum(np.searchsorted(upper, values, side="left" if whole else "right"), len(upper) - 1)
            for place in range(len(upper)):
                mask = known & (places == place)
                if not mask.any():  # of few patterns the lowest value is the first limit, and that is of the next bin
                    continue
                low, high = (values[mask].min(), values[mask].max()) if whole else (edges[place], upper[place])
                right = first_right[mask]
                bins.append(
                    {
                        "from": float(low),
                        "to": float(high),
                        "n": int(mask.sum()),
                        "top1": float(right[:, 0].mean()),
                        "top5": float(right[:, :5].any(axis=1).mean()),
                    }
                )
        result[field] = {"n_unknown": int((~known).sum()), "bins": bins}
    return result

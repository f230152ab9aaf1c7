"""CPU time in rounds that alternate between what is compared, since the speed of a shared machine drifts."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping

import numpy as np

MAX_EXTRA_ROUNDS = 3
NOISY = 1.2
"""A round that took so much longer than the quickest is noisy; another one is made."""


def cpu_seconds(function: Callable[[], object], repeats: int) -> float:
    """CPU time of one call, the mean of some."""
    begin = time.process_time()
    for _ in range(repeats):
        function()
    return (time.process_time() - begin) / repeats


def alternate(
    functions: Mapping[str, Callable[[], float]], rounds: int, extra: int = MAX_EXTRA_ROUNDS
) -> dict[str, float]:
    """Median over rounds of what each function returns (seconds); more rounds where some were noisy."""
    times: dict[str, list[float]] = {name: [] for name in functions}
    done = 0
    while done < rounds or (done < rounds + extra and any(map(_is_noisy, times.values()))):
        for name, function in functions.items():
            times[name].append(function())
        done += 1
    return {name: float(np.median(values)) for name, values in times.items()}


def _is_noisy(values: list[float]) -> bool:
    """Return whether fewer than two thirds of the rounds agree with the quickest."""
    near = sum(value < NOISY * min(values) for value in values)
    return near < 2 * len(values) / 3


def load_average() -> str:
    """The load average of the last minute beside the number of cores."""
    return f"load average {os.getloadavg()[0]:.1f} on {len(os.sched_getaffinity(0))} cores"

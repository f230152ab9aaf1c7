"""Learning rate as a function of how far the training has come, so that a limit on time fits it too."""

from __future__ import annotations

import math

from xrdtrain.models.presets import PAPER_EPOCH, Schedule

HALVED_EVERY = 500 * PAPER_EPOCH
"""Samples after which the paper halves the learning rate (S2.2)."""

WARM_UP = 0.1
START, END = 0.05, 0.002
"""One-cycle: share of the training that warms up; first and last learning rate as shares of the largest."""


def learning_rate(schedule: Schedule, largest: float, samples: int, progress: float) -> float:
    """Return the learning rate of the next step.

    Args:
        schedule: which one.
        largest: the preset's learning rate.
        samples: samples trained on so far.
        progress: how far the training is, 0 to 1: the larger of samples / target and time / limit.

    """
    if schedule is Schedule.CONSTANT:
        return largest
    if schedule is Schedule.HALVING:
        return float(largest * 0.5 ** (samples // HALVED_EVERY))
    progress = min(max(progress, 0.0), 1.0)
    if progress < WARM_UP:
        return largest * (START + (1.0 - START) * progress / WARM_UP)
    falling = (progress - WARM_UP) / (1.0 - WARM_UP)
    return largest * (END + (1.0 - END) * 0.5 * (1.0 + math.cos(math.pi * falling)))

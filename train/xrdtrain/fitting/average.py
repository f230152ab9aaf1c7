"""The exponential moving average of a network's weights (Polyak & Juditsky, 1992), which is measured and saved."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


class Average:
    """A network whose weights follow those of the one that is trained.

    After step t the average keeps min(decay, (1 + t) / (10 + t)) of itself, so that the first weights, which are noise,
    do not stay in it.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        """Begin with the weights of a network.

        Args:
            model: network that is trained.
            decay: share that the average keeps of itself a step, in the end.

        """
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self._decay = decay
        self.steps = 0

    def update(self, model: nn.Module) -> None:
        """Follow a step; buffers, which are no weights, are taken as they are."""
        self.steps += 1
        decay = min(self._decay, (1 + self.steps) / (10 + self.steps))
        with torch.no_grad():
            follow = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
            follow(list(self.model.parameters()), list(model.parameters()), self.steps)
            for own, other in zip(self.model.buffers(), model.buffers(), strict=True):
                own.copy_(other)

    def restore(self, weights: Mapping[str, Any], steps: int) -> None:
        """Go on from a checkpoint."""
        self.model.load_state_dict(weights)
        self.steps = steps

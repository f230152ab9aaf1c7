"""What a training makes small: the cross-entropy, and what options add to it.

# B rows of this rank's part of a batch, C classes
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from xrdtrain.distributed import Ranks
from xrdtrain.fitting.heads import Heads
from xrdtrain.models import Recipe


class ClassWeights:
    """Weights of the classes: their frequency among all samples of the training so far to minus a power, of mean 1.

    Every class counts as met once before the first batch. The mean is over the samples, so that the size of the
    gradient stays what it is without weights.
    """

    def __init__(self, power: float, n_classes: int, ranks: Ranks) -> None:
        self._power, self._ranks = power, ranks
        self.counts = torch.ones(n_classes, dtype=torch.float64)

    def count(self, labels: Tensor) -> Tensor:
        """Count this rank's labels (B,), on the CPU, and those of all others; return the weights (C,)."""
        self.counts += self._ranks.total(torch.bincount(labels, minlength=len(self.counts)).double())
        frequency = self.counts / self.counts.sum()
        weights = frequency.pow(-self._power)
        return (weights / (frequency * weights).sum()).float()


class Objective:
    """The loss of a batch, as its recipe has it."""

    def __init__(self, recipe: Recipe, n_classes: int, ranks: Ranks, heads: Heads | None) -> None:
        """Prepare.

        Args:
            recipe: of the training.
            n_classes: C.
            ranks: the processes of the training.
            heads: what is learned beside the space group, None: nothing.

        """
        self._smoothing, self._head_weight, self._heads = recipe.label_smoothing, recipe.head_weight, heads
        self._weights = ClassWeights(recipe.class_weights, n_classes, ranks) if recipe.class_weights else None
        self.is_plain = not (recipe.class_weights or recipe.label_smoothing or recipe.mix or recipe.heads)

    def __call__(
        self,
        logits: Tensor,
        labels: Tensor,
        samples: NDArray[np.void],
        outputs: Mapping[str, Tensor],
        fractions: NDArray[np.float32] | None,
    ) -> Tensor:
        """Return the sum over the rows.

        Args:
            logits: (B, C) float32.
            labels: (B,) on the CPU.
            samples: (B,) records.
            outputs: of the heads.
            fractions: (B,) of the partner in each pattern (see `mixing`); None: no pattern is mixed.

        """
        device = logits.device
        if self.is_plain:
            return functional.cross_entropy(logits, labels.to(device, non_blocking=True), reduction="sum")
        weight = None if self._weights is None else self._weights.count(labels).to(device)

        def entropy(wanted: Tensor) -> Tensor:
            return functional.cross_entropy(
                logits, wanted.to(device), weight=weight, label_smoothing=self._smoothing, reduction="none"
            )

        loss = entropy(labels)
        alone = torch.ones_like(loss)
        if fractions is not None:
            f = torch.from_numpy(fractions).to(device)
            loss = torch.lerp(loss, entropy(labels.flip(0)), f)
            alone = (f == 0.0).float()
        total = loss.sum()
        if self._heads is not None:
            total = total + self._head_weight * self._heads.losses(outputs, samples, alone)
        return total

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps."""
        return {} if self._weights is None else {"class_counts": self._weights.counts.clone()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a checkpoint."""
        if self._weights is not None:
            self._weights.counts.copy_(state["class_counts"])

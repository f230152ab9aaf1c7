"""What learns: the network, what an option puts beside it in training, its loss and its optimiser.

# B rows of this rank's part of a batch, C classes
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel
from xrdcommon.grid import Grid

from xrdtrain.data.batch import Batch
from xrdtrain.distributed import Ranks, explain_lost_peer
from xrdtrain.fitting.average import Average
from xrdtrain.fitting.heads import WithHeads
from xrdtrain.fitting.mixing import draw_fractions, mix
from xrdtrain.fitting.objective import Objective
from xrdtrain.fitting.optimisers import make_optimiser
from xrdtrain.inference.classifier import Precision, arithmetic
from xrdtrain.inputs.transform import Preparation
from xrdtrain.models import NetworkSpec, Recipe
from xrdtrain.runs import checkpoint
from xrdtrain.runs.config import RunConfig

Predicted = tuple[Tensor, Tensor, Tensor, NDArray[np.void]]
"""Logits (B, C), labels (B,), the sum of their cross-entropies, and records (B,): of samples not learned yet."""


class Learner:
    """Predicts a batch and learns from it; every rank has one, and all have the same weights."""

    def __init__(
        self,
        *,
        config: RunConfig,
        recipe: Recipe,
        spec: NetworkSpec,
        model: nn.Module,
        grid: Grid,
        ranks: Ranks,
        compiled: bool,
    ) -> None:
        self._config, self._recipe, self._ranks = config, recipe, ranks
        self._precision = Precision(config.precision)
        self._prepare = Preparation(spec.input, grid)
        self._model = model.to(ranks.device).train()
        self._with_heads = WithHeads(self._model, recipe.heads, spec.classes).to(ranks.device) if recipe.heads else None
        trained: nn.Module = self._with_heads or self._model
        self._optimiser = make_optimiser(recipe, trained, config.learning_rate)
        forward: Any = trained
        if ranks.world > 1:
            devices = [ranks.device] if ranks.device.type == "cuda" else None
            forward = DistributedDataParallel(trained, device_ids=devices)
        self._forward: Any = torch.compile(forward) if compiled else forward
        self._average = Average(self._model, recipe.ema) if recipe.ema else None
        heads = None if self._with_heads is None else self._with_heads.heads
        self._objective = Objective(recipe, len(spec.classes), ranks, heads)

    @property
    def shown(self) -> nn.Module:
        """The network that is measured and saved."""
        return self._model if self._average is None else self._average.model

    @property
    def rate(self) -> float:
        """Learning rate of the last step."""
        return float(self._optimiser.param_groups[0]["lr"])

    def step(self, batch: Batch, rate: float, first: int) -> Predicted:
        """Predict a batch, then learn from it.

        Args:
            batch: this rank's part.
            rate: learning rate.
            first: number of the batch's first sample in the training, over all ranks.

        Returns:
            What was predicted of the patterns that no other was added to.

        """
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        patterns, samples, fractions = batch.patterns, batch.samples, self._fractions(first)
        if fractions is not None:
            patterns, samples = mix(patterns.to(self._ranks.device, non_blocking=True), samples, fractions)
        x = self._prepare(patterns, self._ranks.device, samples, self._hidden(first))
        with explain_lost_peer(), arithmetic(self._precision, self._ranks.device):
            said = self._forward(x)
        logits, outputs = (said, {}) if self._with_heads is None else said
        logits = logits.float()
        loss = self._objective(logits, batch.labels, samples, outputs, fractions)
        self._optimiser.zero_grad(set_to_none=True)
        with explain_lost_peer():
            # DDP takes the mean over ranks; parts of a batch may differ in size
            (loss * (self._ranks.world / self._config.batch)).backward()  # type: ignore[no-untyped-call]
        self._optimiser.step()
        if self._average is not None:
            self._average.update(self._model)
        return self._predicted(logits.detach(), loss.detach(), batch, fractions)

    def _predicted(
        self, logits: Tensor, loss: Tensor, batch: Batch, fractions: NDArray[np.float32] | None
    ) -> Predicted:
        """Return the predictions of the patterns that are as they came."""
        labels, samples = batch.labels.to(self._ranks.device, non_blocking=True), batch.samples
        if self._objective.is_plain:
            return logits, labels, loss, samples
        if fractions is not None:
            alone = np.flatnonzero(fractions == 0.0)
            rows = torch.from_numpy(alone).to(self._ranks.device)
            logits, labels, samples = logits[rows], labels[rows], samples[alone]
        return logits, labels, functional.cross_entropy(logits, labels, reduction="sum"), samples

    def _hidden(self, first: int) -> NDArray[np.float64] | None:
        """Return what the recipe hides from this rank's part of a batch."""
        if self._recipe.mask is None:
            return None
        batch = self._config.batch
        return self._recipe.mask.draw(self._config.seed, first, batch)[self._ranks.slice(batch)]

    def _fractions(self, first: int) -> NDArray[np.float32] | None:
        """Return what is mixed in this rank's part of a batch."""
        if not self._recipe.mix:
            return None
        batch = self._config.batch
        return draw_fractions(self._recipe.mix, self._config.seed, first, batch)[self._ranks.slice(batch)]

    def is_finite(self) -> bool:
        """Return whether all weights are finite."""
        return checkpoint.not_finite((self._with_heads or self._model).state_dict()) is None

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps: the network to be used, and what the training needs beside it."""
        training: dict[str, Any] = self._objective.state()
        if self._average is not None:
            training |= {"model": self._model.state_dict(), "averaged_steps": self._average.steps}
        if self._with_heads is not None:
            training["heads"] = self._with_heads.heads.state_dict()
        state = {"model": self.shown.state_dict(), "optimiser": self._optimiser.state_dict()}
        return {**state, "training": training} if training else state

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        training = state.get("training", {})
        self._model.load_state_dict(training.get("model", state["model"]))
        if self._average is not None:
            self._average.restore(state["model"], int(training["averaged_steps"]))
        if self._with_heads is not None:
            self._with_heads.heads.load_state_dict(training["heads"])
        self._objective.restore(training)
        self._optimiser.load_state_dict(state["optimiser"])

"""Optimisers of the recipes (paper, S2.2: Adam with 0.9 and 0.999)."""

from __future__ import annotations

import torch
from torch import nn

from xrdtrain.models import Recipe
from xrdtrain.models.presets import Optimiser


def make_optimiser(recipe: Recipe, model: nn.Module, rate: float) -> torch.optim.Optimizer:
    """Return the optimiser of a recipe."""
    if recipe.optimiser is Optimiser.ADAM:
        return torch.optim.Adam(model.parameters(), lr=rate, betas=(0.9, 0.999), fused=True)
    return torch.optim.AdamW(
        model.parameters(), lr=rate, betas=(0.9, 0.999), weight_decay=recipe.weight_decay, fused=True
    )

"""Optimisers of the presets (paper, S2.2: Adam with 0.9 and 0.999)."""

from __future__ import annotations

import torch
from torch import nn

from xrdtrain.models import Preset
from xrdtrain.models.presets import Optimiser


def make_optimiser(preset: Preset, model: nn.Module, rate: float) -> torch.optim.Optimizer:
    """Return the preset's optimiser."""
    if preset.optimiser is Optimiser.ADAM:
        return torch.optim.Adam(model.parameters(), lr=rate, betas=(0.9, 0.999), fused=True)
    return torch.optim.AdamW(
        model.parameters(), lr=rate, betas=(0.9, 0.999), weight_decay=preset.weight_decay, fused=True
    )

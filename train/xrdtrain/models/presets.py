"""Presets: a network and how it is trained (paper, S2.2 and table S2), checked by a test against table 1."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

import torch
from torch import nn
from xrdcommon.errors import InputError

from xrdtrain.models.park import Park, ParkSettings
from xrdtrain.models.resnet import ResNet, ResNetSettings

PAPER_EPOCH = 130_500
"""Diffractograms of one of the paper's epochs."""

PAPER_POINTS, PAPER_CLASSES = 8501, 145
"""Size of the paper's input and output, for which parameters are counted."""


class Schedule(StrEnum):
    """How the learning rate changes."""

    CONSTANT = "constant"
    HALVING = "halving"
    """Halved every 500 epochs of 130,500 samples (paper, S2.2)."""
    ONE_CYCLE = "one-cycle"
    """Up for a tenth of the training, then down as a cosine (Smith & Topin, 2019)."""


class Optimiser(StrEnum):
    """Which optimiser steps."""

    ADAM = "adam"
    ADAMW = "adamw"


@dataclass(frozen=True, slots=True)
class Preset:
    """A network with its training.

    Attributes:
        name: what --model names.
        network: shape of the network.
        square_root: the input is the square root of the pattern.
        batch: samples of one step, over all processes.
        optimiser: Adam (0.9, 0.999) or AdamW.
        learning_rate: initial (halving, constant) or largest (one-cycle) learning rate.
        weight_decay: of AdamW.
        schedule: how the learning rate changes.
        samples: default length of a training.
        samples_per_epoch: default distance between two lines of metrics.

    """

    name: str
    network: ParkSettings | ResNetSettings
    square_root: bool
    batch: int
    optimiser: Optimiser
    learning_rate: float
    weight_decay: float
    schedule: Schedule
    samples: int
    samples_per_epoch: int = PAPER_EPOCH

    def to_dict(self) -> dict[str, Any]:
        """Return the fields for JSON, with the kind of network."""
        fields = asdict(self)
        fields["network"]["kind"] = "park" if isinstance(self.network, ParkSettings) else "resnet"
        return fields


def _park(name: str, hidden: tuple[int, int]) -> Preset:
    return Preset(
        name=name,
        network=ParkSettings(hidden),
        square_root=False,
        batch=870,
        optimiser=Optimiser.ADAM,
        learning_rate=1e-3,
        weight_decay=0.0,
        schedule=Schedule.CONSTANT,
        samples=1000 * PAPER_EPOCH,
    )


def _resnet(name: str, blocks: tuple[int, int, int, int], *, bottleneck: bool) -> Preset:
    return Preset(
        name=name,
        network=ResNetSettings(blocks, bottleneck),
        square_root=True,
        batch=145,
        optimiser=Optimiser.ADAM,
        learning_rate=1e-4,
        weight_decay=0.0,
        schedule=Schedule.HALVING,
        samples=2000 * PAPER_EPOCH,
    )


def _small(name: str, network: ResNetSettings, learning_rate: float) -> Preset:
    return Preset(
        name=name,
        network=network,
        square_root=True,
        batch=128,
        optimiser=Optimiser.ADAMW,
        learning_rate=learning_rate,
        weight_decay=1e-2,
        schedule=Schedule.ONE_CYCLE,
        samples=400_000,
        samples_per_epoch=38_400,
    )


_RESIDUAL_10 = ResNetSettings((1, 1, 1, 1), bottleneck=False)

# One learned stride of 16 (0.16 degrees) under a window of 0.31 degrees instead of strides 2 over 0.01 degrees, and
# kernels of 5. With 35 CPU seconds on one core it saw twice the samples of every fourth point with kernels of 9, and
# got 31 instead of 27 % of fresh synthetic samples right (learning rates 3e-3 and 1e-3).
_CPU: dict[str, Any] = {"stem_kernel": 31, "stem_stride": 16, "kernel": 5}

PRESETS = {
    preset.name: preset
    for preset in (
        _park("park-medium", (4040, 202)),
        _park("park-big", (2300, 1150)),
        _resnet("resnet-10", (1, 1, 1, 1), bottleneck=False),
        _resnet("resnet-50", (3, 4, 6, 3), bottleneck=True),
        _resnet("resnet-101", (3, 4, 23, 3), bottleneck=True),
        _small("resnet-10-small", replace(_RESIDUAL_10, width=32, **_CPU), 3e-3),
        _small("resnet-10-middle", replace(_RESIDUAL_10, width=64, **_CPU), 2e-3),
    )
}
"""All models by name: the paper's five, then small ones for a CPU."""


def get_preset(name: str) -> Preset:
    """Return a preset.

    Raises:
        InputError: no such model.

    """
    if name not in PRESETS:
        raise InputError(f"model '{name}': not known; choose one of {', '.join(PRESETS)}")
    return PRESETS[name]


def default_preset() -> Preset:
    """Return the paper's ResNet-50 where there is a CUDA device, else the small one for a CPU."""
    return PRESETS["resnet-50" if torch.cuda.is_available() else "resnet-10-small"]


def build(preset: Preset, n_points: int, n_classes: int, *, dropout: bool = False) -> nn.Module:
    """Make a network with fresh weights: patterns (B, P), already transformed, to logits (B, C).

    Args:
        preset: which one.
        n_points: P, points of the grid.
        n_classes: C.
        dropout: park networks trained on fixed real data have dropout (paper, figure S1).

    Raises:
        InputError: the grid is too short for the network, or fewer than two classes.

    """
    if n_classes < 2:
        raise InputError(f"{n_classes} classes: a classifier needs at least two space groups")
    if isinstance(preset.network, ParkSettings):
        return Park(preset.network, n_points, n_classes, dropout=dropout)
    return ResNet(preset.network, n_points, n_classes)


def n_parameters(model: nn.Module) -> int:
    """Count the trained numbers of a network."""
    return sum(parameter.numel() for parameter in model.parameters())

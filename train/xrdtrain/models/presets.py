"""Presets: a name for a network and the recipe that trains it (paper, S2.2 and table S2; table 1 by a test)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from enum import StrEnum
from typing import Any

import torch
from xrdcommon.errors import FormatError, InputError
from xrdcommon.measurement import Measurement

from xrdtrain.inputs.axis import axis_within
from xrdtrain.inputs.masking import RandomMask
from xrdtrain.inputs.spec import Channel, InputSpec, Transform
from xrdtrain.models.own import OwnSettings, find_function
from xrdtrain.models.park import ParkSettings
from xrdtrain.models.patch_resnet import PatchResNetSettings
from xrdtrain.models.resnet import ResNetSettings
from xrdtrain.models.spec import Architecture, Network, NetworkSpec, make_network

PAPER_EPOCH = 130_500
"""Diffractograms of one of the paper's epochs."""

PAPER_CLASSES = 145
"""Size of the paper's output, for which parameters are counted (its input is `Measurement()`)."""


HEADS = ("crystal-system", "extinction-group", "lattice", "crystallite-size")
"""What a network may learn beside the space group (see `fitting.heads`)."""


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
class Recipe:
    """How a network is trained; it is kept with the run and may differ from any preset.

    Attributes:
        batch: samples of one step, over all processes.
        optimiser: Adam (0.9, 0.999) or AdamW.
        learning_rate: initial (halving, constant) or largest (one-cycle) learning rate.
        weight_decay: of AdamW.
        schedule: how the learning rate changes.
        samples: default length of a training.
        samples_per_epoch: default distance between two lines of metrics.
        mask: what is hidden from the patterns in training; None: nothing.
        class_weights: the loss of a sample is weighted by its group's frequency to minus this power.
        label_smoothing: share of each label that is spread over all classes.
        ema: decay a step of the average of the weights that is measured and saved; 0: the weights themselves are.
        mix: share of the patterns that another crystal's is added to.
        heads: what is learned beside the space group, of `HEADS`.
        head_weight: of each head's loss.

    """

    batch: int
    optimiser: Optimiser
    learning_rate: float
    weight_decay: float
    schedule: Schedule
    samples: int
    samples_per_epoch: int = PAPER_EPOCH
    mask: RandomMask | None = None
    class_weights: float = 0.0
    label_smoothing: float = 0.0
    ema: float = 0.0
    mix: float = 0.0
    heads: tuple[str, ...] = ()
    head_weight: float = 0.1

    def __post_init__(self) -> None:
        """Refuse options of training that make no sense.

        Raises:
            InputError: names it.

        """
        limits = {"class_weights": 1.0, "label_smoothing": 0.9, "ema": 0.99999, "mix": 0.9, "head_weight": 10.0}
        for name, most in limits.items():
            if not 0.0 <= getattr(self, name) <= most:
                raise InputError(f"{name.replace('_', '-')} {getattr(self, name)}: must be 0 to {most:g}")
        if unknown := [name for name in self.heads if name not in HEADS]:
            raise InputError(f"no head '{unknown[0]}'; there are {', '.join(HEADS)}")

    def options(self) -> list[str]:
        """Return the options of training that are on, as `--option` takes them."""
        names = ("class_weights", "label_smoothing", "ema", "mix")
        said = [f"{name.replace('_', '-')}={getattr(self, name):g}" for name in names if getattr(self, name)]
        if self.heads:
            said += [f"heads={','.join(self.heads)}", f"head-weight={self.head_weight:g}"]
        return said

    def to_dict(self) -> dict[str, Any]:
        """Return the fields for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any], where: str) -> Recipe:
        """Read back what `to_dict` wrote; also the preset of an earlier version, which held the same fields.

        Args:
            content: the JSON value.
            where: the file, for messages.

        Raises:
            FormatError: something is missing or not what it should be.

        """
        try:
            values = {field.name: content[field.name] for field in fields(cls) if field.name in content}
            values["optimiser"], values["schedule"] = Optimiser(values["optimiser"]), Schedule(values["schedule"])
            values["mask"] = None if values.get("mask") is None else RandomMask.from_dict(values["mask"])
            values["heads"] = tuple(values.get("heads", ()))
            return cls(**values)
        except (KeyError, TypeError, ValueError, InputError) as error:
            raise FormatError(f"{where}: not a recipe that this version reads ({error})") from error


@dataclass(frozen=True, slots=True)
class Preset:
    """A name for a network and its recipe.

    Attributes:
        name: what --model names.
        network: shape of the network.
        recipe: how it is trained.
        transform: of the intensities.
        channels: of the input.
        step: of the network's axis, degrees 2theta; None, or a finer one than the source's: the source's grid.

    """

    name: str
    network: Architecture
    recipe: Recipe
    transform: Transform = Transform.NONE
    channels: tuple[Channel, ...] = (Channel.PATTERN,)
    step: float | None = None

    def spec(self, source: Measurement, classes: tuple[int, ...], *, dropout: bool = False) -> NetworkSpec:
        """Return the network for patterns of a source.

        Args:
            source: grid and wavelength of the patterns.
            classes: space groups, rising.
            dropout: park networks trained on fixed real data have dropout (paper, figure S1).

        """
        axis = Measurement(axis_within(source.grid, self.step), source.wavelength)
        return NetworkSpec(self.network, InputSpec(axis, self.channels, self.transform), classes, dropout)


def _park(name: str, hidden: tuple[int, int]) -> Preset:
    recipe = Recipe(
        batch=870,
        optimiser=Optimiser.ADAM,
        learning_rate=1e-3,
        weight_decay=0.0,
        schedule=Schedule.CONSTANT,
        samples=1000 * PAPER_EPOCH,
    )
    return Preset(name, ParkSettings(hidden), recipe)


def _resnet(name: str, blocks: tuple[int, int, int, int], *, bottleneck: bool) -> Preset:
    recipe = Recipe(
        batch=145,
        optimiser=Optimiser.ADAM,
        learning_rate=1e-4,
        weight_decay=0.0,
        schedule=Schedule.HALVING,
        samples=2000 * PAPER_EPOCH,
    )
    return Preset(name, ResNetSettings(blocks, bottleneck), recipe, Transform.SQUARE_ROOT)


def _small(name: str, network: Architecture, learning_rate: float) -> Preset:
    recipe = Recipe(
        batch=128,
        optimiser=Optimiser.ADAMW,
        learning_rate=learning_rate,
        weight_decay=1e-2,
        schedule=Schedule.ONE_CYCLE,
        samples=400_000,
        samples_per_epoch=38_400,
    )
    return Preset(name, network, recipe, Transform.SQUARE_ROOT)


def _measured(name: str, learning_rate: float) -> Preset:
    """Return a small network for measured patterns: its axis has the step of a usual scan, and it sees the range."""
    # the same window and stride in degrees as those of patch-resnet on the default grid
    base = _small(name, PatchResNetSettings(window=32, stride=16), learning_rate)
    return replace(
        base,
        recipe=replace(base.recipe, mask=RandomMask()),
        channels=(Channel.PATTERN, Channel.MASK),
        step=0.02,
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
        # With 110 CPU seconds of a core with AMX, 49 % of fresh samples right, where resnet-10-small with a ReLU after
        # its dense layer gets 40 % (18.8 and 15.5 % of the embedded real structures).
        _small("patch-resnet", PatchResNetSettings(), 3e-3),
        _measured("patch-resnet-measured", 3e-3),
    )
}
"""All models by name: the paper's five, then small ones for a CPU."""


def get_preset(name: str) -> Preset:
    """Return a preset, or one for a network of the user's own, `package.module:function`.

    Such a network is trained as the small ones are, with a lower learning rate, and gets the square root of patterns.

    Raises:
        InputError: no such model, or its module cannot be imported.

    """
    if ":" in name:
        settings = OwnSettings(name)
        find_function(name)
        recipe = replace(PRESETS["resnet-10-small"].recipe, learning_rate=1e-3)
        return Preset(name, settings, recipe, Transform.SQUARE_ROOT)
    if name not in PRESETS:
        raise InputError(
            f"model '{name}': not known; choose one of {', '.join(PRESETS)}, or name a function of your own as "
            "package.module:function"
        )
    return PRESETS[name]


def default_preset() -> Preset:
    """Return the paper's ResNet-50 where there is a CUDA device, else the small one for a CPU."""
    return PRESETS["resnet-50" if torch.cuda.is_available() else "patch-resnet"]


def build(preset: Preset, n_points: int, n_classes: int, *, dropout: bool = False) -> Network:
    """Make a preset's network for an axis of P points and C classes (see `spec.make_network`)."""
    return make_network(preset.network, n_points, n_classes, n_channels=len(preset.channels), dropout=dropout)

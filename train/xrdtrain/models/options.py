"""What `--option NAME=VALUE` changes of a preset: how it is trained, or the network itself. All are off by default."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from xrdcommon.errors import InputError

from xrdtrain.inputs.spec import Channel
from xrdtrain.models.patch_resnet import PatchResNetSettings
from xrdtrain.models.presets import HEADS, Preset
from xrdtrain.models.resnet import ResNetSettings


@dataclass(frozen=True, slots=True)
class TrainingOption:
    """An option of training.

    Attributes:
        name: of the option.
        value: what its value is, for help.
        usual: the value that the name alone stands for.
        help: what it does.
        change: returns a preset with the option; told the value's text.

    """

    name: str
    value: str
    usual: str
    help: str
    change: Callable[[Preset, str], Preset]


def _number(text: str) -> float:
    """Read a number.

    Raises:
        InputError: none.

    """
    try:
        return float(text)
    except ValueError:
        raise InputError("must be a number") from None


def _whole(text: str) -> int:
    """Read a whole number from 0.

    Raises:
        InputError: none.

    """
    if not text.isdecimal():
        raise InputError("must be a whole number, 0 or more")
    return int(text)


def _switch(text: str) -> bool:
    """Read on or off.

    Raises:
        InputError: neither.

    """
    if text not in ("on", "off"):
        raise InputError("must be on or off")
    return text == "on"


def _recipe(field: str, read: Callable[[str], Any]) -> Callable[[Preset, str], Preset]:
    """Return a change of one field of the recipe, which checks its value."""

    def change(preset: Preset, text: str) -> Preset:
        return replace(preset, recipe=replace(preset.recipe, **{field: read(text)}))

    return change


def _names(text: str) -> tuple[str, ...]:
    """Read names of heads: in the order of `HEADS`, so that the same ones are the same network."""
    given = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in given if name not in HEADS]
    if unknown:
        raise InputError(f"no head '{unknown[0]}'; there are {', '.join(HEADS)}")
    return tuple(name for name in HEADS if name in given)


def _dense_relu(preset: Preset, text: str) -> Preset:
    if not isinstance(preset.network, ResNetSettings):
        raise InputError(f"only for the resnet models; {preset.name} has no dense layer without a ReLU")
    return replace(preset, network=replace(preset.network, dense_activation=_switch(text)))


def _peaks(preset: Preset, text: str) -> Preset:
    if not isinstance(preset.network, ResNetSettings | PatchResNetSettings):
        raise InputError(f"only for the resnet and patch-resnet models, not for {preset.name}")
    return replace(preset, network=replace(preset.network, peaks=_whole(text)))


def _squared_sine(preset: Preset, text: str) -> Preset:
    others = tuple(channel for channel in preset.channels if channel is not Channel.SQUARED_SINE)
    return replace(preset, channels=(*others, Channel.SQUARED_SINE) if _switch(text) else others)


OPTIONS: Final = {
    option.name: option
    for option in (
        TrainingOption(
            "class-weights",
            "POWER",
            "0.5",
            "Weight the loss of a sample by its space group's inverse frequency to this power (0 to 1), with mean 1. "
            "Probabilities then favour rare groups, until `xrdtrain calibrate` fits them to the frequencies again.",
            _recipe("class_weights", _number),
        ),
        TrainingOption(
            "label-smoothing",
            "SHARE",
            "0.1",
            "Spread this share of each label over all space groups.",
            _recipe("label_smoothing", _number),
        ),
        TrainingOption(
            "ema",
            "DECAY",
            "0.999",
            "Measure, save and export the exponential moving average of the weights, with this decay a step.",
            _recipe("ema", _number),
        ),
        TrainingOption(
            "mix",
            "SHARE",
            "0.3",
            "Add another crystal's pattern, up to as much of it, to this share of the patterns, with labels shared "
            "accordingly (mixup; the shares of two phases, each scaled to its maximum).",
            _recipe("mix", _number),
        ),
        TrainingOption(
            "heads",
            "LIST",
            ",".join(HEADS),
            f"Learn more than the space group beside it: {', '.join(HEADS)}. Dropped after training.",
            _recipe("heads", _names),
        ),
        TrainingOption("head-weight", "W", "0.1", "Weight of each head's loss.", _recipe("head_weight", _number)),
        TrainingOption(
            "sin2-theta",
            "on|off",
            "on",
            "Show the network the pattern on an axis of sin^2(theta) too, on which a lattice's lines are evenly spaced "
            "multiples.",
            _squared_sine,
        ),
        TrainingOption("dense-relu", "on|off", "on", "A ReLU after the dense layer of the resnet models.", _dense_relu),
        TrainingOption(
            "peaks",
            "N",
            "64",
            "Give the network the N strongest maxima (position, height, width) as a list too.",
            _peaks,
        ),
    )
}


def with_options(preset: Preset, options: Sequence[str]) -> Preset:
    """Return a preset changed by options NAME=VALUE, or NAME for its usual value.

    Raises:
        InputError: no such option, one given twice, a wrong value, or one that the model cannot have.

    """
    seen: set[str] = set()
    for given in options:
        name, equals, text = given.partition("=")
        if name not in OPTIONS:
            near = difflib.get_close_matches(name, OPTIONS, 1)
            hint = f"did you mean {near[0]}?" if near else f"choose among {', '.join(OPTIONS)}"
            raise InputError(f"--option '{given}': no such option; {hint}")
        if name in seen:
            raise InputError(f"--option {name}: given twice")
        seen.add(name)
        try:
            preset = OPTIONS[name].change(preset, text if equals else OPTIONS[name].usual)
        except InputError as error:
            raise InputError(f"--option {given}: {error}") from error
    if preset.recipe.heads == () and "head-weight" in seen:
        raise InputError("--option head-weight: there are no heads; add --option heads")
    return preset

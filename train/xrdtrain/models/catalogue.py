"""All presets with their sizes, counted without allocating weights."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from xrdcommon.measurement import Measurement

from xrdtrain.inputs.spec import Channel, Transform
from xrdtrain.models.presets import PAPER_CLASSES, PRESETS
from xrdtrain.models.spec import n_parameters


@dataclass(frozen=True, slots=True)
class Entry:
    """A model as `xrdtrain models` lists it.

    Attributes:
        name: for --model.
        parameters: at 8501 points and 145 classes.
        training: how it is trained, in a phrase.

    """

    name: str
    parameters: int
    training: str


def catalogue() -> list[Entry]:
    """Return all models, the paper's first."""
    entries = []
    for preset in PRESETS.values():
        with torch.device("meta"):
            model = preset.spec(Measurement(), tuple(range(1, PAPER_CLASSES + 1))).build()
        recipe = preset.recipe
        training = f"{recipe.optimiser} {recipe.learning_rate:g} {recipe.schedule}, batch {recipe.batch}"
        training += ", square root of the pattern" if preset.transform is Transform.SQUARE_ROOT else ""
        training += ", with a mask of what was measured" if Channel.MASK in preset.channels else ""
        training += f", steps of {preset.step:g} degrees" if preset.step is not None else ""
        entries.append(Entry(preset.name, n_parameters(model), training))
    return entries

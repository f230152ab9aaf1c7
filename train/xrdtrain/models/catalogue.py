"""All presets with their sizes, counted without allocating weights."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from xrdtrain.models.presets import PAPER_CLASSES, PAPER_POINTS, PRESETS, build, n_parameters


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
            model = build(preset, PAPER_POINTS, PAPER_CLASSES)
        training = f"{preset.optimiser} {preset.learning_rate:g} {preset.schedule}, batch {preset.batch}"
        training += ", square root of the pattern" if preset.square_root else ""
        entries.append(Entry(preset.name, n_parameters(model), training))
    return entries

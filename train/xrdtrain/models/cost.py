"""Operations of a training step, counted without computing it, and what an accelerator needs to be fed.

A multiplication and an addition are two operations. Counted are the matrix products and convolutions of the forward and
the backward pass (torch's counter), which are nearly all of a step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode
from xrdcommon.measurement import Measurement

from xrdtrain.models.presets import PAPER_CLASSES, Preset
from xrdtrain.models.spec import NetworkSpec

H100_BF16: Final = 989e12
"""Operations a second of an NVIDIA H100 SXM in bfloat16, dense (its data sheet)."""

REACHED: Final = 0.4
"""Share of it that a training of convolutions is taken to reach."""

SAMPLES_PER_CORE: Final = 9_000
"""Pure diffractograms that one core of a producer puts on disk in a second (`make bench`)."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What a training step of a model costs, at 8501 points and 145 classes.

    Attributes:
        operations: of one sample, forward and backward.
        samples_per_second: that an H100 would train on.
        producers: cores that keep it fed.

    """

    operations: float
    samples_per_second: float
    producers: float


def cost(preset: Preset) -> Cost:
    """Return the cost of a preset as the paper's input and output have it; the weights are never allocated."""
    operations = operations_of(preset.spec(Measurement(), tuple(range(1, PAPER_CLASSES + 1))))
    rate = REACHED * H100_BF16 / operations
    return Cost(operations, rate, rate / SAMPLES_PER_CORE)


def operations_of(spec: NetworkSpec, batch: int = 2) -> float:
    """Count the operations of one sample in a training step."""
    with torch.device("meta"):
        model = spec.build()
        channels = (len(spec.input.channels),) if len(spec.input.channels) > 1 else ()
        x = torch.empty((batch, *channels, spec.input.measurement.grid.n_points))
        labels = torch.zeros(batch, dtype=torch.int64)
        with FlopCounterMode(display=False) as counter:
            functional.cross_entropy(model(x), labels).backward()  # type: ignore[no-untyped-call]
    return float(counter.get_total_flops()) / batch

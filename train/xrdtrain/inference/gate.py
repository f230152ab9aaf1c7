"""`xrdtrain gate`: fit, on synthetic patterns, what says that a pattern is unlike them or a mixture of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from xrdcommon.fixed_sets.fixed_set import FixedSet
from xrdcommon.measurement import Measurement

from xrdtrain.inference.capture import captured, summarised
from xrdtrain.inference.features import FILE, FeatureReference, fit_reference, halves
from xrdtrain.inference.load import load_run
from xrdtrain.inference.mixtures import Singles, fit_detector, mix
from xrdtrain.inputs.axis import check_covers
from xrdtrain.inputs.transform import Preparation

CHUNK = 256
_MIXING = 0x6D697874
"""Key of the draws of mixtures."""


def fit_gate(
    path: Path, holdout: Path, *, most: int = 20_000, advance: Callable[[int], None] = lambda n: None
) -> FeatureReference:
    """Fit the gates of a run on a fixed set of synthetic patterns that it was not trained on, and keep it in the run.

    Args:
        path: run folder.
        holdout: fixed set.
        most: patterns that are used, the first ones.
        advance: told the patterns done: those of the set, then as many mixtures of them.

    Raises:
        MissingFileError, FormatError, InputError: no such run or set, they do not fit, or too few patterns.

    """
    run = load_run(path)
    data = FixedSet.open(holdout)
    theirs = Measurement.of_simulation(data.grid, data.attributes.get("simulation"))
    check_covers(str(holdout), theirs, run.measurement, f"the run {path}")
    prepare = Preparation(run.spec.input, data.grid)
    n = min(len(data), most)
    samples = data.samples[:n]
    random = np.random.Generator(np.random.Philox(key=_MIXING))

    def seen(patterns: NDArray[np.floating], records: NDArray[np.void]) -> tuple[Singles, Singles]:
        """Return summaries of all stages, and the features alone."""
        block = torch.from_numpy(np.ascontiguousarray(patterns))
        with summarised(run.model) as found, captured(run.model) as last, torch.inference_mode():
            run.model(prepare(block, run.device, records))
        return found[0], last[0]

    def mixtures(rows: NDArray[np.int64]) -> Singles:
        found = []
        own, records = patterns[rows], samples[rows]
        for start in range(0, len(rows), CHUNK):
            number = min(CHUNK, len(rows) - start)
            found.append(seen(*mix(own, records, data.grid, number, random))[0])
            advance(number)
        return np.concatenate(found)

    patterns = data.patterns(0, n)
    parts = []
    for start in range(0, n, CHUNK):
        stop = min(start + CHUNK, n)
        parts.append(seen(patterns[start:stop], samples[start:stop]))
        advance(stop - start)
    summaries, features = (np.concatenate(part) for part in zip(*parts, strict=True))
    reference = fit_reference(features, samples["space_group"].astype(np.int64))
    first, second = halves(n)
    detector = fit_detector(summaries[first], mixtures(first), summaries[second], mixtures(second))
    reference = replace(reference, mixtures=detector)
    reference.save(path / FILE)
    return reference

"""`xrdtrain gate`: fit, on synthetic patterns, what says that a pattern is unlike them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from xrdcommon.fixed_sets.fixed_set import FixedSet
from xrdcommon.measurement import Measurement

from xrdtrain.inference.features import FILE, FeatureReference, captured, fit_reference
from xrdtrain.inference.load import load_run
from xrdtrain.inputs.axis import check_covers
from xrdtrain.inputs.transform import Preparation

CHUNK = 256


def fit_gate(
    path: Path, holdout: Path, *, most: int = 20_000, advance: Callable[[int], None] = lambda n: None
) -> FeatureReference:
    """Fit the gate of a run on a fixed set of synthetic patterns that it was not trained on, and keep it in the run.

    Args:
        path: run folder.
        holdout: fixed set.
        most: patterns that are used, the first ones.
        advance: told the patterns done.

    Raises:
        MissingFileError, FormatError, InputError: no such run or set, they do not fit, or too few patterns.

    """
    run = load_run(path)
    data = FixedSet.open(holdout)
    theirs = Measurement.of_simulation(data.grid, data.attributes.get("simulation"))
    check_covers(str(holdout), theirs, run.measurement, f"the run {path}")
    prepare = Preparation(run.spec.input, data.grid)
    n = min(len(data), most)
    with captured(run.model) as found, torch.inference_mode():
        for start in range(0, n, CHUNK):
            stop = min(start + CHUNK, n)
            block = torch.from_numpy(np.ascontiguousarray(data.patterns(start, stop)))
            run.model(prepare(block, run.device, data.samples[start:stop]))
            advance(stop - start)
    reference = fit_reference(np.concatenate(found), data.samples["space_group"][:n].astype(np.int64))
    reference.save(path / FILE)
    return reference

"""`xrdtrain calibrate`: fit, on synthetic patterns only, how sure a network is.

# N patterns, C classes
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from xrdcommon.errors import InputError
from xrdcommon.files import write_json

from xrdtrain.evaluation.fixed_test_sets import open_test_sets
from xrdtrain.evaluation.test_set_pass import rank_by_run
from xrdtrain.inference.calibration import FILE, Calibration, fit_calibration
from xrdtrain.inference.load import Run, load_run


def calibrate(path: Path, source: Path | None, advance: Callable[[int], None] = lambda n: None) -> Calibration:
    """Fit the calibration of a run and write it into the run folder.

    Args:
        path: run folder.
        source: fixed set of synthetic patterns that the run was not trained on; None: the last samples of the training,
            as they were predicted before they were trained on.
        advance: told the patterns done.

    Raises:
        InputError: real patterns, too few, or no samples kept.
        MissingFileError, FormatError: no such run or set.

    """
    if not path.is_dir():
        raise InputError(f"{path}: calibrate a run folder, then export it")
    run = load_run(path)
    logits, index, what = _of_training(run) if source is None else _of_set(run, source, advance)
    calibration = fit_calibration(logits, index, what, run.samples)
    write_json(path / FILE, calibration.to_dict())
    return calibration


def _of_training(run: Run) -> tuple[NDArray[np.float16], NDArray[np.int64], str]:
    """Return logits (N, C) and classes (N,) of the last samples of the training."""
    if run.config.recipe.get("ema"):
        raise InputError(
            f"{run.path}: its averaged weights are used, but its fresh samples were predicted by those in training; "
            "give a fixed set of synthetic patterns"
        )
    place = run.path / "evaluation" / "synthetic.npz"
    if not place.is_file():
        raise InputError(f"{run.path}: kept no fresh samples; give a fixed set of synthetic patterns")
    with np.load(place, allow_pickle=False) as arrays:
        if "logits" not in arrays:
            raise InputError(f"{place}: an earlier version kept no logits; give a fixed set of synthetic patterns")
        return arrays["logits"], run.classes.index(arrays["labels"].astype(np.int64)), "fresh samples of the training"


def _of_set(
    run: Run, source: Path, advance: Callable[[int], None]
) -> tuple[NDArray[np.float16], NDArray[np.int64], str]:
    """Return logits (N, C) and classes (N,) of a fixed set."""
    (test,) = open_test_sets(
        {"holdout": source}, measurement=run.measurement, classes=run.classes, reference=f"the run {run.path}"
    )
    if not test.data.samples["run"].any():
        raise InputError(
            f"{source}: patterns of real crystals; calibrate on synthetic ones, so that real ones can tell what it "
            "brings (`xrdgen produce`, then `xrdgen convert`)"
        )
    ranking = rank_by_run(run, test, advance)
    known = test.labels >= 0
    return ranking.logits[known], test.labels[known], str(source)

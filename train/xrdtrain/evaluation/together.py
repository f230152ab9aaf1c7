"""Measure several networks that answer together: the mean of their calibrated probabilities.

# N patterns, C classes
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import log_softmax, logsumexp
from xrdcommon import console
from xrdcommon.errors import InputError

from xrdtrain.evaluation import test_set_pass as evaluation
from xrdtrain.evaluation.fixed_test_sets import TestSet, open_test_sets, parse_tests
from xrdtrain.evaluation.measured_pass import evaluate_measured
from xrdtrain.inference.answer import Answerer
from xrdtrain.inference.classifier import rank_logits
from xrdtrain.inference.load import Run, load_run
from xrdtrain.measured.background import check_method
from xrdtrain.measured.measured_set import is_measured_set, open_measured_set

MEMBER_MEASURES = ("top1", "top5", "top1_all", "top5_all", "calibration")
"""What is told of each network by itself."""


def evaluate_together(
    places: Sequence[Path], tests: Sequence[str], *, backgrounds: Sequence[str] = ("auto",), prior: str = "trained"
) -> dict[str, Any]:
    """Return all measures of each test set, and under `members` those of each network alone; nothing is written.

    Args:
        places: runs, .safetensors files, or names of networks of the package, of one axis and one list of classes.
        tests: NAME=PATH of fixed sets or sets of measured patterns.
        backgrounds: for measured patterns, one measurement each; the first goes by the set's name.
        prior: for measured patterns, see `inference.prior`.

    Raises:
        InputError, MissingFileError, FormatError: no such network or set, or they do not fit.

    """
    runs = [load_run(place) for place in places]
    for place, run in zip(places, runs, strict=True):
        if run.spec.input != runs[0].spec.input or run.spec.classes != runs[0].spec.classes:
            raise InputError(
                f"{place}: of other space groups or another axis than {places[0]}; measured together are networks "
                "that differ in neither (`xrdtrain fit --classes RUN` takes the classes of a run)"
            )
    paths = parse_tests(tests)
    fixed = {name: path for name, path in paths.items() if not is_measured_set(path)}
    reference = f"the run {places[0]}"
    opened = open_test_sets(fixed, measurement=runs[0].measurement, classes=runs[0].classes, reference=reference)
    results = {test.name: _fixed(runs, places, test) for test in opened}
    for name, path in paths.items():
        if name in fixed:
            continue
        data = open_measured_set(path)
        for number, background in enumerate(map(check_method, backgrounds)):
            label = name if number == 0 else f"{name}-{background}"
            with console.progress(f"evaluate {label}", len(data) * (1 + len(runs))) as advance:
                found = [
                    evaluate_measured(Answerer(chosen), data, background=background, prior=prior, advance=advance)[0]
                    for chosen in (runs, *([run] for run in runs))
                ]
            results[label] = {**found[0], "members": _members(places, found[1:])}
    return results


def mean_logits(logits: Sequence[NDArray[Any]]) -> NDArray[np.float64]:
    """Return the logarithm of the mean probability (N, C) of several networks' logits."""
    each = np.stack([log_softmax(np.asarray(values, dtype=np.float64), axis=1) for values in logits])
    return np.asarray(logsumexp(each, axis=0) - np.log(len(each)), dtype=np.float64)


def _fixed(runs: Sequence[Run], places: Sequence[Path], test: TestSet) -> dict[str, Any]:
    """Return the measures of a fixed set."""
    found, logits = [], []
    with console.progress(f"evaluate {test.name}", len(test) * len(runs)) as advance:
        for run in runs:
            ranking = evaluation.rank_by_run(run, test, advance)
            arrays = evaluation.predictions(test, ranking, run.classes)
            arrays = arrays if run.calibration is None else evaluation.calibrated(arrays, run.calibration)
            found.append(evaluation.measure(arrays))
            logits.append(arrays["logits"] if run.calibration is None else run.calibration(arrays["logits"]))
    top, probability = rank_logits(torch.from_numpy(mean_logits(logits)), arrays["top"].shape[1])
    together = {**arrays, "top": arrays["classes"][top.numpy()], "top_probability": probability.numpy()}
    return {**evaluation.measure(together), "members": _members(places, found)}


def _members(places: Sequence[Path], found: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what each network gets alone."""
    return [
        {"network": str(place), **{key: measures[key] for key in MEMBER_MEASURES if key in measures}}
        for place, measures in zip(places, found, strict=True)
    ]


def member_lines(name: str, measures: dict[str, Any]) -> list[str]:
    """Return the lines that set each network beside all together."""
    return [
        f"  {name}: {member['network']} alone: top-1 {member['top1']:.1%}, top-5 {member['top5']:.1%}"
        for member in measures["members"]
    ]

"""`xrdtrain evaluate`: measure a trained network on fixed sets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from xrdcommon import console
from xrdcommon.errors import InputError
from xrdcommon.files import write_json
from xrdcommon.json_values import json_ready

from xrdtrain.evaluation import test_set_pass as evaluation
from xrdtrain.evaluation.fixed_test_sets import open_test_sets, parse_tests
from xrdtrain.evaluation.gradients import Weights, gradient_measures, gradient_norms, write_gradients
from xrdtrain.evaluation.measured_pass import evaluate_measured, write_measured
from xrdtrain.inference.answer import Answerer
from xrdtrain.inference.calibration import coverage
from xrdtrain.inference.load import Run, load_run
from xrdtrain.measured.background import check_method
from xrdtrain.measured.measured_set import is_measured_set, open_measured_set


def evaluate_run(
    path: Path,
    tests: Sequence[str] | None,
    *,
    backgrounds: Sequence[str] = ("auto",),
    prior: str = "trained",
    write_to: Path | None = None,
    gradients: Weights | None = None,
) -> dict[str, Any]:
    """Return all measures of each test set and write the predictions to RUN/evaluation.

    Where the run is calibrated, its calibrated probabilities are measured, with the calibration error before beside it.
    Measures of measured patterns are written beside theirs. Of a network that is one file nothing is written.

    Args:
        path: run folder, .safetensors file, or the name of a network of the package.
        tests: NAME=PATH, or None for the run's own; a path is a fixed set or a set of measured patterns.
        backgrounds: for measured patterns, one measurement each; the first goes by the set's name.
        prior: for measured patterns, see `inference.prior`.
        write_to: the folder that takes RUN's place.
        gradients: on fixed sets, whose gradient norm is found for each pattern; None: nobody's.

    Raises:
        InputError, MissingFileError, FormatError: no such run or set, or they do not fit.

    """
    run = load_run(path)
    folder = path if write_to is None else write_to
    if tests is None:
        paths = {name: Path(place) for name, place in run.config.tests.items()}
    else:
        paths = parse_tests(tests)
    if not paths:
        raise InputError(f"{path}: the run has no test set; give one with --test NAME=PATH")
    measured = {name: place for name, place in paths.items() if is_measured_set(place)}
    paths = {name: place for name, place in paths.items() if name not in measured}
    opened = open_test_sets(paths, measurement=run.measurement, classes=run.classes, reference=f"the run {path}")
    results = {}
    for test in opened:
        with console.progress(f"evaluate {test.name}", len(test)) as advance:
            ranking = evaluation.rank_by_run(run, test, advance)
        arrays = evaluation.predictions(test, ranking, run.classes)
        measures = evaluation.measure(arrays)
        if run.calibration is not None:
            before = {name: measures[name] for name in ("top1", "top5", "calibration")}
            arrays = evaluation.calibrated(arrays, run.calibration)
            sets = coverage(run.calibration, run.calibration(arrays["logits"]), test.labels)
            measures = {**evaluation.measure(arrays), "uncalibrated": before, "candidate_sets": sets}
        if gradients is not None:
            with console.progress(f"gradients {test.name}", len(test)) as advance:
                arrays = {**arrays, "gradient_norm": gradient_norms(run, test, gradients, advance)}
            measures = {**measures, "gradient_norm": gradient_measures(arrays, gradients)}
            if folder.is_dir():
                write_gradients(folder / "evaluation" / f"{test.name}-gradients.csv", arrays)
        if folder.is_dir():
            evaluation.write_predictions(folder / "evaluation" / f"{test.name}.npz", arrays)
        results[test.name] = measures
    return results | _measured(run, measured, backgrounds, prior)


def _measured(run: Run, sets: dict[str, Path], backgrounds: Sequence[str], prior: str) -> dict[str, Any]:
    """Return the measures of sets of measured patterns, for each way to remove the background."""
    results: dict[str, Any] = {}
    answerer = Answerer([run])
    for name, place in sets.items():
        data = open_measured_set(place)
        for number, background in enumerate(backgrounds):
            label = name if number == 0 else f"{name}-{check_method(background)}"
            with console.progress(f"evaluate {label}", len(data)) as advance:
                measures, arrays = evaluate_measured(
                    answerer, data, background=check_method(background), prior=prior, advance=advance
                )
            if run.path.is_dir():
                write_measured(run.path / "evaluation" / "measured" / f"{label}.npz", arrays)
            results[label] = measures
    if run.path.is_dir():
        for label in reversed(results):  # the first one last: it shows that all are there
            write_json(run.path / "evaluation" / "measured" / f"{label}.json", json_ready(results[label]))
    return results

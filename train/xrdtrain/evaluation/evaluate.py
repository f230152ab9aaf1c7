"""`xrdtrain evaluate`: measure a trained network on fixed sets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from xrdcommon import console
from xrdcommon.errors import InputError

from xrdtrain.distributed import Ranks
from xrdtrain.evaluation import test_set_pass as evaluation
from xrdtrain.evaluation.fixed_test_sets import open_test_sets, parse_tests
from xrdtrain.inference.classifier import Precision
from xrdtrain.inference.load import load_run


def evaluate_run(path: Path, tests: Sequence[str] | None) -> dict[str, Any]:
    """Return all measures of each test set and write the predictions to RUN/evaluation.

    Args:
        path: run folder.
        tests: NAME=PATH, or None for the run's own.

    Raises:
        InputError, MissingFileError, FormatError: no such run or set, or they do not fit.

    """
    run = load_run(path)
    if tests is None:
        paths = {name: Path(place) for name, place in run.config.tests.items()}
    else:
        paths = parse_tests(tests)
    if not paths:
        raise InputError(f"{path}: the run has no test set; give one with --test NAME=PATH")
    opened = open_test_sets(paths, measurement=run.measurement, classes=run.classes, reference=f"the run {path}")
    results = {}
    for test in opened:
        with console.progress(f"evaluate {test.name}", len(test)) as advance:
            _, ranking = evaluation.rank_test_set(
                run.model,
                test,
                ranks=Ranks(0, 1, run.device),
                precision=Precision(run.config.precision),
                spec=run.spec.input,
                advance=advance,
            )
        arrays = evaluation.predictions(test, ranking, run.classes)
        evaluation.write_predictions(path / "evaluation" / f"{test.name}.npz", arrays)
        results[test.name] = evaluation.measure(arrays)
    return results

"""Several networks that answer together."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import softmax
from xrdcommon.errors import InputError
from xrdtrain.evaluation.evaluate import evaluate_run
from xrdtrain.evaluation.together import evaluate_together, mean_logits
from xrdtrain.fitting.fit import FitRequest, fit


def train(folder: Path, source: Path, seed: int, **more: Any) -> Path:
    request = {"model": "resnet-10-small", "samples": 192, "batch": 32, **more}
    fit(FitRequest(source=source, run=folder, tests=("none",), seed=seed, eval_every=192, **request))
    return folder


def test_the_mean_is_that_of_probabilities() -> None:
    """Two networks of two classes: sure of the first (0.9), undecided (0.5)."""
    found = mean_logits([np.log([[0.9, 0.1]]) + 3.0, np.array([[0.0, 0.0]])])
    np.testing.assert_allclose(softmax(found, axis=1), [[0.7, 0.3]])


def test_networks_are_measured_together_and_alone(tmp_path: Path, make_fixed_set: Any, run_command: Any) -> None:
    source, test = make_fixed_set("train.zarr", n=192), make_fixed_set("test.zarr", n=60)
    runs = [train(tmp_path / f"run-{seed}", source, seed) for seed in (1, 2)]
    found = evaluate_together(runs, [f"real={test}"])["real"]
    alone = [evaluate_run(run, [f"real={test}"])["real"] for run in runs]
    assert [member["top1"] for member in found["members"]] == [measures["top1"] for measures in alone]
    # by hand, from the logits that each run has written
    logits = [np.load(run / "evaluation" / "real.npz")["logits"].astype(float) for run in runs]
    labels = np.load(runs[0] / "evaluation" / "real.npz")["labels"]
    classes = np.load(runs[0] / "evaluation" / "real.npz")["classes"]
    best = classes[sum(softmax(values, axis=1) for values in logits).argmax(axis=1)]
    assert found["top1"] == pytest.approx((best == labels).mean())
    done = run_command("xrdtrain", "evaluate", *runs, "--test", f"real={test}", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["real"]["top1"] == pytest.approx(found["top1"])
    said = run_command("xrdtrain", "evaluate", *runs, "--test", f"real={test}").stdout
    assert f"{runs[1]} alone: top-1 {alone[1]['top1']:.1%}" in said
    without = run_command("xrdtrain", "evaluate", *runs)
    assert without.returncode == 2
    assert "--test NAME=PATH" in without.stderr


def test_networks_of_other_classes_are_refused(tmp_path: Path, make_fixed_set: Any) -> None:
    source = make_fixed_set("train.zarr", n=96)
    runs = [train(tmp_path / "all", source, 1), train(tmp_path / "few", source, 1, classes=(2, 14, 62))]
    with pytest.raises(InputError, match="few: of other space groups"):
        evaluate_together(runs, [f"real={source}"])

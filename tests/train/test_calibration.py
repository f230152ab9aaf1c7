"""Temperature, bias and candidate sets: on numbers whose truth is known, and from a run to its evaluation."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import softmax
from xrdcommon.errors import FormatError, InputError
from xrdtrain.evaluation.calibrate import calibrate
from xrdtrain.evaluation.evaluate import evaluate_run
from xrdtrain.fitting.fit import fit
from xrdtrain.fitting.request import FitRequest
from xrdtrain.inference.calibration import Calibration, coverage, fit_calibration
from xrdtrain.inference.load import load_run


def drawn(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Logits that say the truth, and classes drawn from their probabilities."""
    random = np.random.default_rng(seed)
    logits = random.normal(0.0, 2.0, (n, 8))
    cumulative = softmax(logits, axis=1).cumsum(axis=1)
    return logits, (random.random((n, 1)) > cumulative).sum(axis=1).clip(max=7)


def test_what_was_spoilt_is_found_again() -> None:
    """Logits spoilt by a factor and a bias come back: temperature, bias (but for a constant), calibration error."""
    truth, index = drawn(40_000, 0)
    bias = np.array([0.0, 1.0, -1.0, 0.5, 0.0, 0.0, -0.5, 0.0])
    found = fit_calibration((truth - bias) * 2.5, index, "test", 77)
    assert found.temperature == pytest.approx(2.5, rel=0.03)
    np.testing.assert_allclose(found.bias - found.bias.mean(), bias - bias.mean(), atol=0.08)
    assert found.before["ece"] > 0.1
    assert found.after["ece"] < 0.02
    assert found.after["loss"] < found.before["loss"]
    again = Calibration.from_dict(json.loads(json.dumps(found.to_dict())), 8, "x")
    np.testing.assert_array_equal(again((truth - bias) * 2.5), found((truth - bias) * 2.5))
    assert again.samples == 77
    assert again.thresholds == found.thresholds
    with pytest.raises(FormatError, match="does not belong to this network of 9 classes"):
        Calibration.from_dict(found.to_dict(), 9, "x")


def test_sets_hold_the_true_class_as_often_as_promised() -> None:
    truth, index = drawn(8_000, 1)
    found = fit_calibration(truth * 3.0, index, "test")
    others, their = drawn(40_000, 2)
    real = coverage(found, found(others * 3.0), their)
    sizes = []
    for level, values in real.items():
        assert values["coverage"] >= float(level) - 0.02
        sizes.append(values["mean_size"])
    assert real["0.8"]["coverage"] < 0.83  # and no more often than that
    assert sizes == sorted(sizes)
    # no set holds a group that is not a class
    assert coverage(found, found(others[:100]), np.full(100, -1))["0.9"]["coverage"] == 0.0


def test_refusals() -> None:
    logits, index = drawn(499, 0)
    with pytest.raises(InputError, match="at least 500"):
        fit_calibration(logits, index, "few")
    logits, index = drawn(600, 0)
    logits[0, 0] = np.nan
    with pytest.raises(InputError, match="not finite"):
        fit_calibration(logits, index, "nan")


@pytest.mark.slow
def test_a_run_is_calibrated_on_what_it_had_not_seen(
    tmp_path: Path, make_spool: Any, make_fixed_set: Any, run_command: Callable[..., Any]
) -> None:
    spool, run = make_spool(shards=8, rows=160), tmp_path / "run"
    real = make_fixed_set(n=60)
    fit(FitRequest(source=spool.path, run=run, model="resnet-10-small", tests=(f"real={real}",), samples=960, batch=64))
    with np.load(run / "evaluation" / "real.npz") as arrays:  # the probabilities of all classes are kept
        assert arrays["logits"].dtype == np.float16
        kept = softmax(arrays["logits"].astype(np.float64), axis=1)
        order = np.argsort(-kept, axis=1)
        np.testing.assert_allclose(np.take_along_axis(kept, order, 1), arrays["top_probability"], atol=0.01)
    before = evaluate_run(run, None)["real"]
    assert "uncalibrated" not in before
    done = run_command("xrdtrain", "calibrate", run, "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["n"] == 960
    assert report["samples"] == 960
    after = evaluate_run(run, None)["real"]
    assert after["uncalibrated"]["calibration"]["ece"] == pytest.approx(before["calibration"]["ece"], abs=1e-6)
    assert set(after["candidate_sets"]) == {"0.5", "0.8", "0.9", "0.95", "0.99"}
    loaded = load_run(run)
    assert loaded.calibration is not None
    grid = loaded.grid
    x = np.random.default_rng(0).uniform(0, 1, (2, grid.n_points))
    plain = loaded.logits(x, calibrated=False)
    np.testing.assert_allclose(loaded.logits(x), loaded.calibration(plain), rtol=1e-5)
    with pytest.raises(InputError, match="patterns of real crystals"):
        calibrate(run, real)
    # after more training the calibration is another network's
    fit(FitRequest(source=spool.path, run=run, samples=1024))
    assert load_run(run).calibration is None

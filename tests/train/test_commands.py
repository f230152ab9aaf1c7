"""`xrdtrain evaluate`, `predict`, `--produce` and the Python API on a trained run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader
from xrdcommon.errors import InputError, Interrupted, MissingFileError
from xrdcommon.fixed_sets.fixed_set import FixedSet
from xrdcommon.grid import Grid
from xrdcommon.spool.audit import audit
from xrdtrain.api import load_run, open_fixed_set, open_spool_dataset
from xrdtrain.evaluation.evaluate import evaluate_run
from xrdtrain.fitting.local_producer import Producer, local_producer
from xrdtrain.inference.answer import Answerer
from xrdtrain.inference.predict import PredictOptions, predict
from xrdtrain.inference.show import draw


def test_evaluate_and_predict(
    tmp_path: Path, trained: tuple[Path, Path], make_fixed_set: Any, run_command: Callable[..., Any]
) -> None:
    run, real = trained
    other = make_fixed_set("other.zarr", n=30, groups=(2, 14, 1))
    done = run_command("xrdtrain", "evaluate", run, "--test", f"other={other}", "--json")
    assert done.returncode == 0, done.stderr
    measures = json.loads(done.stdout)["other"]
    assert (measures["n"], measures["n_outside_classes"]) == (30, 10)
    assert measures["top1_all"] == pytest.approx(measures["top1"] * 20 / 30)
    assert (run / "evaluation" / "other.npz").exists()
    again = evaluate_run(run, None)
    assert again["real"]["top1"] == json.loads((run / "evaluation.json").read_text())["real"]["top1"]

    data = FixedSet.open(real)
    row = int(np.flatnonzero(data.samples["space_group"] == 154)[0])
    points = np.linspace(4.0, 92.0, 3001)
    measured = 5000 * np.interp(points, data.grid.two_theta, data.patterns(row, row + 1)[0].astype(float))
    np.savetxt(tmp_path / "quartz.xy", np.stack([points, measured], axis=1))
    done = run_command("xrdtrain", "predict", run, tmp_path / "quartz.xy", "--json", "--plot", tmp_path / "q.png")
    assert done.returncode == 0, done.stderr
    (answer,) = json.loads(done.stdout)
    assert "brought onto 5 to 90 degrees" in " ".join(answer["remarks"])
    assert answer["wavelength_assumed"]
    assert "the wavelength is not said" in done.stderr
    assert answer["file"].endswith("quartz.xy")
    assert answer["candidates"][0]["label"] == "152/154"
    assert 0.5 < answer["candidates"][0]["probability"] <= 1.0
    assert (tmp_path / "q.png").read_bytes()[:4] == b"\x89PNG"
    done = run_command("xrdtrain", "predict", run, tmp_path / "none.xy")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)


def test_predict_rows_and_refusals(tmp_path: Path, trained: tuple[Path, Path], make_fixed_set: Any) -> None:
    run, real = trained
    answerer = Answerer([load_run(run)])
    predictions = list(predict(answerer, [real], PredictOptions(keep_patterns=True)))
    assert len(predictions) == 60
    labels = FixedSet.open(real).samples["space_group"]
    right = [labels[i] in p.candidates[0].space_groups for i, p in enumerate(predictions)]
    assert np.mean(right) > 0.9
    np.save(tmp_path / "short.npy", np.ones(100))
    (refused,) = predict(answerer, [tmp_path / "short.npy"], PredictOptions())
    assert "the network's grid has 851 points" in str(refused.error)
    with pytest.raises(InputError, match="cannot draw"):
        draw(predictions[:1], tmp_path / "x.gif", 5)
    with pytest.raises(InputError, match="at most 20"):
        draw(predictions, tmp_path / "x.png", 5)
    with pytest.raises(MissingFileError, match="no such run"):
        evaluate_run(tmp_path / "nowhere", None)
    coarse = make_fixed_set("coarse.zarr", grid=Grid(5.0, 90.0, 0.5))
    with pytest.raises(InputError, match=r"in steps of 0.5, but the run .* in steps of 0.1"):
        evaluate_run(run, (f"coarse={coarse}",))


def test_python_api(trained: tuple[Path, Path], make_spool: Any) -> None:
    run, real = trained
    network = load_run(run)
    fixed = open_fixed_set(real)
    pattern, group = fixed[3]
    assert pattern.dtype == torch.float32
    assert len(fixed) == 60
    candidates = network.predict(fixed.grid.two_theta, pattern.numpy())
    assert group in candidates[0].space_groups
    with pytest.raises(IndexError):
        fixed[60]
    loader: Any = DataLoader(fixed, batch_size=16)
    assert sum(len(labels) for _, labels in loader) == 60

    spool = make_spool("other", shards=2, rows=100)
    stream = open_spool_dataset(spool.path, "notebook", wait=False)
    batches: Any = list(DataLoader(stream, batch_size=50))
    assert [tuple(x.shape) for x, _ in batches] == [(50, 851)] * 4
    assert all(set(labels.tolist()) <= set(stream.classes.tolist()) for _, labels in batches)
    assert stream.commit() == 200
    found = audit(spool)
    assert (found.used, found.ready, found.lost) == (200, 0, 0)
    assert list(stream) == []
    stream.close()


def test_producer_that_dies(tmp_path: Path) -> None:
    """A refused option is the user's fault (2), a killed producer can be started again (75)."""
    with local_producer(tmp_path / "spool", 1, "--no-such-option", tmp_path / "log") as producer:
        assert producer is not None
        producer._process.wait(60)
        with pytest.raises(InputError, match="xrdgen produce: "):
            producer.check()
    with Producer(tmp_path / "spool", 1, "--samples 100000000", tmp_path / "log2") as producer:
        os.killpg(producer._process.pid, signal.SIGKILL)
        producer._process.wait(60)
        assert producer.died
        with pytest.raises(Interrupted, match="killed by SIGKILL"):
            producer.check()
    with pytest.raises(InputError, match="0 or more"):
        Producer(tmp_path, -1, "", tmp_path / "log3")
    assert not producer.finished


@pytest.mark.slow
def test_produce_beside_the_training(tmp_path: Path, make_fixed_set: Any) -> None:
    """One command: a real producer fills the spool, the training empties it, both end."""
    command = [str(Path(sys.executable).with_name("xrdtrain")), "fit", str(tmp_path / "spool")]
    command += ["--run", str(tmp_path / "run"), "--model", "resnet-10-small", "--test", "none", "--batch", "64"]
    command += ["--samples", "640", "--produce", "1"]
    command += ["--produce-options", "--step 0.025 --rows-per-shard 256 --seed 1 --high-shards 8"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr + (tmp_path / "run" / "produce.log").read_text()
    assert "started xrdgen produce --workers 1" in done.stderr
    from xrdcommon.spool.spool import Spool

    found = audit(Spool.open(tmp_path / "spool"))
    assert (found.used, found.used_twice, found.lost) == (640, 0, 0)
    assert found.claimed + found.ready == found.produced - 640

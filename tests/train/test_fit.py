"""Training on real spools and fixed sets: learns, resumes exactly, stops properly, refuses clearly."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from xrdcommon.errors import InputError, MissingFileError, SpoolError, XrdError
from xrdcommon.grid import Grid
from xrdcommon.spool.audit import audit
from xrdcommon.spool.consumer import start_consumer
from xrdcommon.spool.spool import Spool
from xrdtrain.data.progress import OnCrash
from xrdtrain.fitting.fit import FitRequest, fit
from xrdtrain.inference.classifier import Precision
from xrdtrain.inference.load import load_run
from xrdtrain.runs import checkpoint

COMMON: dict[str, Any] = {"tests": ("none",), "precision": Precision.FP32, "batch": 64, "model": "resnet-10-small"}


def request(source: Path, run: Path, **options: Any) -> FitRequest:
    """A short training."""
    return FitRequest(source=source, run=run, **{**COMMON, **options})


def metrics(run: Path) -> list[dict[str, Any]]:
    """Read metrics.jsonl."""
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def last(run: Path) -> dict[str, Any]:
    """Load the last checkpoint."""
    return checkpoint.load(checkpoint.checkpoints(run / "checkpoints")[-1], torch.device("cpu"))


def start(*arguments: object) -> subprocess.Popen[str]:
    """Start `xrdtrain fit` as a user would."""
    command = [str(Path(sys.executable).with_name("xrdtrain")), "fit", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(condition: Callable[[], Any], process: subprocess.Popen[str], seconds: float = 60.0) -> None:
    """Wait until something happens in a running process."""
    limit = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < limit, "took too long"
        time.sleep(0.01)


def same_weights(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Compare two networks bit for bit."""
    return all(torch.equal(value, other["model"][key]) for key, value in one["model"].items())


def test_fit_on_a_spool(tmp_path: Path, make_spool: Any, make_fixed_set: Any, capsys: Any) -> None:
    spool = make_spool(shards=8, rows=160)
    real = make_fixed_set(n=100, groups=(2, 14, 62, 152, 154, 225, 1))
    run = tmp_path / "run"
    results = fit(request(spool.path, run, samples=1152, eval_every=512, tests=(f"real={real}",)))
    assert results["real"]["top1"] > 0.9
    assert results["real"]["n"] == 100
    assert results["real"]["n_outside_classes"] == 14
    assert results["real"]["top1_all"] == pytest.approx(results["real"]["top1"] * 0.86)
    assert results["synthetic"]["n"] == 1152
    records = metrics(run)
    assert [record["samples"] for record in records] == [512, 1024, 1152]
    assert [record["epoch"] for record in records] == [1, 2, 3]
    for record in records:
        assert 0 <= record["wait_fraction"] <= 1
        assert record["gap"] == pytest.approx(record["top1"] - record["tests"]["real"]["top1"])
        assert record["samples_per_second"] > 0
        assert set(record["tests"]["real"]) >= {"loss", "top1", "top5", "top1_all"}
    assert records[0]["top1"] < records[1]["top1"]  # fresh samples were predicted before they were learned
    with np.load(run / "evaluation" / "synthetic.npz") as predictions:
        identities = list(zip(predictions["samples"]["shard"], predictions["samples"]["index"], strict=True))
        assert predictions["top"].shape == (1152, 6)
    assert len(set(identities)) == 1152  # nothing twice
    assert list((run / "tensorboard").iterdir())
    # 7 shards are used and gone, 32 rows of the eighth are counted
    found = audit(Spool.open(spool.path))
    assert (found.used, found.used_twice, found.lost, found.ready) == (1152, 0, 0, 0)
    assert len(checkpoint.checkpoints(run / "checkpoints")) == 2
    said = capsys.readouterr().err
    assert "resnet-10-small: " in said
    assert "epoch   3      1,152 samples" in said
    # the end is the end, but more can be asked for
    assert fit(request(spool.path, run, samples=1152)) == {}
    assert "--test NAME=PATH measures it" in capsys.readouterr().err
    other = make_fixed_set("other.zarr", n=30)
    measured = fit(request(spool.path, run, samples=1152, tests=(f"real={real}", f"other={other}")))
    assert list(measured) == ["other"]
    assert measured["other"]["n"] == 30
    assert list(json.loads((run / "evaluation.json").read_text())) == ["real", "synthetic", "other"]
    assert (run / "evaluation" / "other.npz").exists()
    assert fit(request(spool.path, run, samples=1152, tests=(f"other={other}",))) == {}
    fit(request(spool.path, run, samples=1280))
    assert last(run)["samples"] == 1280
    assert [record["samples"] for record in metrics(run)] == [512, 1024, 1152, 1280]
    assert audit(Spool.open(spool.path)).used == 1280


def test_overfits_a_tiny_fixed_set(tmp_path: Path, make_fixed_set: Any) -> None:
    data = make_fixed_set(n=96)
    before = sorted((path, path.stat().st_mtime_ns) for path in data.rglob("*"))
    results = fit(request(data, tmp_path / "run", samples=96 * 12, batch=32, tests=(f"same={data}",)))
    assert results["same"]["top1"] == 1.0
    assert results["training"]["n"] == 1152
    assert sorted((path, path.stat().st_mtime_ns) for path in data.rglob("*")) == before


def test_every_row_once_an_epoch(tmp_path: Path, make_fixed_set: Any) -> None:
    data = make_fixed_set(n=100)
    fit(request(data, tmp_path / "run", samples=200, batch=20))
    with np.load(tmp_path / "run" / "evaluation" / "training.npz") as predictions:
        rows = predictions["samples"]["index"].astype(int)
    assert sorted(rows[:100]) == sorted(rows[100:]) == list(range(100))
    assert list(rows[:100]) != list(rows[100:])


@pytest.mark.slow
def test_sigkill_changes_nothing(tmp_path: Path, make_spool: Any, fill_spool: Any) -> None:
    """A process killed at any moment goes on with the same batches, to the same weights, bit for bit."""
    whole, broken = make_spool("whole", shards=24), make_spool("broken", shards=12)
    options = {"samples": 3584, "eval_every": 1280, "checkpoint_every": 384, "seed": 5}
    fit(request(whole.path, tmp_path / "a", **options))
    arguments = [broken.path, "--run", tmp_path / "b", "--model", "resnet-10-small", "--test", "none"]
    arguments += ["--samples", 3584, "--eval-every", 1280, "--checkpoint-every", 384, "--seed", 5]
    arguments += ["--batch", 64, "--precision", "fp32"]
    process = start(*arguments)
    folder = tmp_path / "b" / "checkpoints"
    wait_for(lambda: len(checkpoint.checkpoints(folder)) > 1, process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    reached = last(tmp_path / "b")["samples"]
    assert reached < 1920  # it had no more
    fill_spool(broken, 12, 12, 160)
    fit(request(broken.path, tmp_path / "b", **options))
    assert same_weights(last(tmp_path / "a"), last(tmp_path / "b"))
    evaluations = [np.load(tmp_path / run / "evaluation" / "synthetic.npz") for run in "ab"]
    for name in ("shard", "index"):
        assert (evaluations[0]["samples"][name] == evaluations[1]["samples"][name]).all()
    one, other = metrics(tmp_path / "a"), metrics(tmp_path / "b")
    assert [record["loss"] for record in one] == [record["loss"] for record in other]
    found = audit(Spool.open(broken.path))
    assert (found.used, found.used_twice, found.lost) == (3584, 0, 0)


def test_fixed_set_resumes_exactly(tmp_path: Path, make_fixed_set: Any) -> None:
    """Dropout and order go on where they were."""
    data = make_fixed_set(n=96, grid=Grid(5.0, 90.0, 0.05))
    options = {"model": "park-big", "batch": 32, "eval_every": 64}
    fit(request(data, tmp_path / "a", samples=256, **options))
    fit(request(data, tmp_path / "b", samples=128, **options))
    fit(request(data, tmp_path / "b", samples=256, **options))
    assert same_weights(last(tmp_path / "a"), last(tmp_path / "b"))
    assert [r["loss"] for r in metrics(tmp_path / "a")] == [r["loss"] for r in metrics(tmp_path / "b")]


def test_signal_stops_and_resumes(tmp_path: Path, make_spool: Any) -> None:
    """An empty spool is waited for; SIGTERM ends the wait with a checkpoint and exit code 75."""
    spool = make_spool(shards=3, rows=160)
    run = tmp_path / "run"
    arguments = (spool.path, "--run", run, "--test", "none", "--batch", 64, "--samples", 100_000)
    process = start(*arguments, "--model", "resnet-10-small", "--precision", "fp32")
    # five seconds after the last batch what was used is covered by a checkpoint, to let production go on
    wait_for(
        lambda: (
            not list((spool.path / "claimed").glob("*/*n160*00000[01].n160*"))
            and checkpoint.checkpoints(run / "checkpoints")
        ),
        process,
    )
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 75, said
    assert "stopped by SIGTERM after 448 samples" in said
    assert "is `xrdgen produce" in said
    assert last(run)["samples"] == 448
    found = audit(Spool.open(spool.path))
    assert (found.used, found.claimed, found.lost) == (448, 32, 0)
    # a run folder remembers its options; time that is up ends it properly
    results = fit(FitRequest(run=run, max_time=0.001))
    assert results["synthetic"]["n"] == 448


def test_time_limit_waits_no_longer(tmp_path: Path, make_spool: Any) -> None:
    spool = make_spool(shards=2)
    begin = time.monotonic()
    results = fit(request(spool.path, tmp_path / "run", max_time=4.0, samples=10_000))
    assert time.monotonic() - begin < 12.0
    assert results["synthetic"]["n"] == 320
    assert metrics(tmp_path / "run")[-1]["wait_fraction"] > 0.3


def test_bf16_learns_too(tmp_path: Path, make_spool: Any) -> None:
    spool = make_spool(shards=5)
    results = fit(request(spool.path, tmp_path / "run", samples=768, precision=Precision.BF16))
    assert results["synthetic"]["top1"] > 0.5
    assert all(value.dtype == torch.float32 for value in last(tmp_path / "run")["model"].values())


def test_damaged_shard_is_left_out(tmp_path: Path, make_spool: Any, capsys: Any) -> None:
    spool = make_spool(shards=4)
    victim = sorted((spool.path / "ready" / "main").iterdir())[1]
    content = bytearray(victim.read_bytes())
    content[5000] ^= 1
    victim.write_bytes(content)
    fit(request(spool.path, tmp_path / "run", samples=448))
    assert (spool.path / "quarantine" / "main" / victim.name).exists()
    assert "quarantine" in capsys.readouterr().err
    with np.load(tmp_path / "run" / "evaluation" / "synthetic.npz") as predictions:
        assert set(predictions["samples"]["shard"].tolist()) == {0, 2, 3}


def test_init_from(tmp_path: Path, make_spool: Any, make_fixed_set: Any) -> None:
    spool = make_spool(shards=8)
    fit(request(spool.path, tmp_path / "a", samples=640))
    fixed = make_fixed_set(n=64, groups=(2, 26, 62))
    fit(request(fixed, tmp_path / "b", samples=64, learning_rate=1e-6, init_from=tmp_path / "a"))
    before, after = last(tmp_path / "a")["model"], last(tmp_path / "b")["model"]
    assert torch.allclose(before["dense.weight"], after["dense.weight"], atol=1e-4)
    # the last layer keeps the rows of the groups that both know, whatever their places; others begin afresh
    classes = load_run(tmp_path / "a").spec.classes
    known = [group for group in (2, 26, 62) if group in classes]
    assert 0 < len(known) < 3, classes
    assert after["logits.weight"].shape[0] == 3
    for row, group in enumerate((2, 26, 62)):
        if group in known:
            assert torch.allclose(after["logits.weight"][row], before["logits.weight"][classes.index(group)], atol=1e-4)
            assert torch.allclose(after["logits.bias"][row], before["logits.bias"][classes.index(group)], atol=1e-4)
    with pytest.raises(InputError, match="both must be the same"):
        fit(request(fixed, tmp_path / "c", model="resnet-10", init_from=tmp_path / "a"))


def test_wrong_input(tmp_path: Path, make_spool: Any, make_fixed_set: Any) -> None:
    spool = make_spool(shards=3)
    run = tmp_path / "run"
    other_grid = make_fixed_set("grid.zarr", grid=Grid(5.0, 90.0, 0.2))
    other_radiation = make_fixed_set("mo.zarr", wavelength=0.7093)
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "thesis.txt").write_text("mine")
    cases: list[tuple[FitRequest | dict[str, Any], type[XrdError], str]] = [
        ({"source": tmp_path / "none"}, MissingFileError, r"xrdgen produce .*none.* --produce N"),
        ({"source": folder}, InputError, "neither a spool"),
        ({"run": folder}, InputError, "not a run folder"),
        ({"tests": (f"x={other_grid}",)}, InputError, "in steps of 0.2, but the source .* in steps of 0.1"),
        ({"tests": (f"x={other_radiation}",)}, InputError, "wavelength 0.7093 Å, but the source .* 1.5406"),
        ({"tests": (f"x={tmp_path / 'no.zarr'}",)}, MissingFileError, "no such fixed set"),
        ({"tests": ("synthetic=a",)}, InputError, "taken"),
        ({"model": "resnet-34"}, InputError, "choose one of"),
        ({"classes": (1, 2)}, InputError, "--classes"),
        ({"source": other_grid, "produce": 1}, InputError, "fixed set; --produce"),
        ({"source": other_grid, "batch": 10_000}, InputError, "smaller --batch"),
        ({"produce_options": "--seed 1"}, InputError, "--produce N"),
        ({"init_from": folder}, InputError, "not a run folder"),
        ({"source": other_grid, "on_crash": OnCrash.DISCARD}, InputError, "--on-crash discard: a fixed set"),
    ]
    for change, kind, message in cases:
        options = {"source": spool.path, "run": run, **COMMON, "samples": 64, **change}
        with pytest.raises(kind, match=message):
            fit(FitRequest(**options))
        assert not run.exists() or not (run / "config.json").exists(), change
    for name in ("samples", "batch", "max_time", "learning_rate", "eval_every"):
        with pytest.raises(InputError, match="must be positive"):
            FitRequest(**{name: 0})
    assert len(list((spool.path / "ready" / "main").iterdir())) == 3  # nothing claimed, nothing lost
    assert (folder / "thesis.txt").read_text() == "mine"
    fit(request(spool.path, run, samples=128))
    with pytest.raises(InputError, match=r"batch was 64, now 32; learning_rate was 0.00\d+, now 0.5"):
        fit(request(spool.path, run, samples=192, batch=32, learning_rate=0.5))
    with pytest.raises(InputError, match="--resume is never"):
        fit(request(spool.path, run, resume=False))
    with (
        pytest.raises(SpoolError, match="another running process"),
        start_consumer(spool, json.loads((run / "config.json").read_text())["run_id"]),
    ):
        fit(request(spool.path, run, samples=192))
    newest = checkpoint.checkpoints(run / "checkpoints")[-1]
    newest.write_bytes(newest.read_bytes()[:1000])
    with pytest.raises(InputError, match=r"damaged checkpoint .* delete it"):
        fit(request(spool.path, run, samples=192))


def test_diverged_training_says_so(tmp_path: Path, make_spool: Any) -> None:
    spool = make_spool(shards=4)
    with pytest.raises(InputError, match=r"the loss is not finite .* --learning-rate below 1e"):
        fit(request(spool.path, tmp_path / "run", samples=576, learning_rate=1e30))


def test_bare_command_without_a_spool(tmp_path: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "XRD_SPOOL"}
    command = [str(Path(sys.executable).with_name("xrdtrain")), "fit"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert f"{tmp_path / 'spool'}: no spool or fixed set there" in done.stderr
    assert "--produce N" in done.stderr
    assert list(tmp_path.iterdir()) == []

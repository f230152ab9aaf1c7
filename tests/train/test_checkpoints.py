"""Damaged checkpoints, and trainings that diverge: the last good one stays, is found, and is gone on from."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from xrdcommon.errors import FormatError, InputError
from xrdcommon.spool.audit import audit
from xrdcommon.spool.spool import Spool
from xrdtrain.data.batch import Batch
from xrdtrain.distributed import _first_host
from xrdtrain.evaluation.evaluate import evaluate_run
from xrdtrain.fitting.fit import fit
from xrdtrain.fitting.request import FitRequest
from xrdtrain.fitting.trainer import Trainer
from xrdtrain.inference.classifier import Precision
from xrdtrain.inference.load import load_run
from xrdtrain.runs import checkpoint

CPU = torch.device("cpu")
COMMON: dict[str, Any] = {"tests": ("none",), "precision": Precision.FP32, "batch": 64, "model": "resnet-10-small"}


def request(source: Path, run: Path, **options: Any) -> FitRequest:
    return FitRequest(source=source, run=run, **{**COMMON, **options})


def found(run: Path) -> list[Path]:
    return checkpoint.checkpoints(run / "checkpoints")


def state_of(seed: int) -> dict[str, Any]:
    torch.manual_seed(seed)
    return {"model": {"a": torch.randn(40, 7), "b": torch.randn(300)}, "counters": {"epoch": 3, "finished": False}}


def test_no_flipped_bit_goes_unnoticed(tmp_path: Path) -> None:
    good = state_of(0)
    path = checkpoint.save(tmp_path, 64, good)
    content = path.read_bytes()
    random = np.random.default_rng(1)
    noticed = 0
    for position in random.choice(len(content), 400, replace=False):
        damaged = bytearray(content)
        damaged[position] ^= 1 << int(random.integers(8))
        path.write_bytes(damaged)
        try:
            state = checkpoint.load(path, CPU)
        except FormatError:
            noticed += 1
            continue
        for name, value in good["model"].items():  # padding of the archive, or its dates
            assert torch.equal(state["model"][name], value)
        assert state["counters"] == good["counters"]
    assert noticed > 100
    for part in (0, 1, 100, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:part])
        with pytest.raises(FormatError, match="damaged checkpoint"):
            checkpoint.load(path, CPU)
        with pytest.raises(FormatError, match="damaged checkpoint"):
            checkpoint.counters(path)
    path.write_bytes(content)
    assert checkpoint.counters(path) == good["counters"]


def test_the_one_before_is_taken_and_said(tmp_path: Path, capsys: Any) -> None:
    assert checkpoint.newest(tmp_path / "nothing", CPU) is None
    one, two = (checkpoint.save(tmp_path, samples, state_of(samples)) for samples in (64, 128))
    assert checkpoint.newest(tmp_path, CPU)[0] == two  # type: ignore[index]
    content = bytearray(two.read_bytes())
    place = content.find(state_of(128)["model"]["b"].numpy().tobytes())
    assert place > 0
    content[place + 3] ^= 0x40
    for damaged in (bytes(content), b""):
        two.write_bytes(damaged)
        path, state = checkpoint.newest(tmp_path, CPU)  # type: ignore[misc]
        assert path == one
        assert state["samples"] == 64
        said = capsys.readouterr().err
        assert f"{two}: damaged checkpoint" in said
        assert f"taking the checkpoint before, {one}" in said
    one.write_bytes(b"")
    with pytest.raises(FormatError, match="no earlier one can be used"):
        checkpoint.newest(tmp_path, CPU)


def test_training_goes_on_from_the_one_before(tmp_path: Path, make_fixed_set: Any, make_spool: Any) -> None:
    for name, source in (("fixed", make_fixed_set()), ("stream", make_spool(shards=8, rows=100).path)):
        run = tmp_path / name
        fit(request(source, run, samples=256, eval_every=64))
        assert [int(path.stem.split("-")[1]) for path in found(run)] == [192, 256]
        newest = found(run)[-1]
        newest.write_bytes(newest.read_bytes()[:-100])
        fit(request(source, run, samples=384, eval_every=64))
        assert checkpoint.load(found(run)[-1], CPU)["samples"] == 384
    counts = audit(Spool.open(source))
    assert counts.ok
    assert (counts.used_twice, counts.lost) == (0, 0)


def poison(monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    """Let the weights become NaN after so many samples, as a learning rate that is too high would."""
    step = Trainer._step

    def poisoned(self: Trainer, batch: Batch) -> None:
        step(self, batch)
        if self.samples == at:
            with torch.no_grad():
                next(self._learner.shown.parameters()).fill_(torch.nan)

    monkeypatch.setattr(Trainer, "_step", poisoned)


@pytest.mark.parametrize("at", [320, 384, 448])
def test_the_last_good_one_stays_and_is_gone_on_from(
    at: int, tmp_path: Path, make_spool: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether between two checkpoints, at one, or at the end."""
    spool, run = make_spool(shards=8, rows=100), tmp_path / "run"
    asked = request(spool.path, run, samples=448, eval_every=192, checkpoint_every=128)
    with monkeypatch.context() as patch:
        poison(patch, at)
        with pytest.raises(
            InputError, match=r"diverged: the (loss is|weights are) not finite after \d+ samples"
        ) as why:
            fit(asked)
    kept = found(run)[-1]
    assert f"the last good checkpoint is {kept}: the same command with a --learning-rate below 0.003" in str(why.value)
    assert checkpoint.load(kept, CPU)["samples"] < at
    assert not (run / "evaluation.json").exists()
    with pytest.raises(InputError, match=r"learning_rate was 0\.003, now 0\.5"):
        fit(request(spool.path, run, samples=448, learning_rate=0.5))
    fit(request(spool.path, run, samples=448, learning_rate=1e-4))
    assert load_run(run, CPU).samples == 448
    assert load_run(run, CPU).config.learning_rate == 1e-4
    counts = audit(Spool.open(spool.path))
    assert (counts.ok, counts.used, counts.used_twice, counts.lost) == (True, 448, 0, 0)


def test_a_learning_rate_far_too_high(tmp_path: Path, make_fixed_set: Any) -> None:
    data, run = make_fixed_set(), tmp_path / "run"
    with pytest.raises(InputError, match="training diverged"):
        fit(request(data, run, samples=100_000, learning_rate=1e12, checkpoint_every=64, eval_every=640))
    for path in found(run):
        assert checkpoint.not_finite(checkpoint.load(path, CPU)["model"]) is None


def test_weights_that_are_not_finite_are_never_used(
    tmp_path: Path, make_fixed_set: Any, run_command: Callable[..., Any]
) -> None:
    """Also where an earlier version kept nothing else."""
    data, run = make_fixed_set(), tmp_path / "run"
    fit(request(data, run, samples=64))
    (path,) = found(run)
    state = torch.load(path, weights_only=True)
    sound = run.with_name("sound")
    shutil.copytree(run, sound)
    state["model"]["dense.weight"][0, 0] = torch.inf
    torch.save({**state, "samples": 128}, checkpoint.path_of(path.parent, 128))
    assert load_run(run, CPU).samples == 64
    torch.save(state, path)
    for use in (lambda: load_run(run, CPU), lambda: evaluate_run(run, [f"x={data}"])):
        with pytest.raises(FormatError, match=r"weights of 'dense\.weight' are not finite"):
            use()
    with pytest.raises(FormatError, match="not finite"):
        fit(request(data, tmp_path / "other", samples=64, init_from=run))
    with pytest.raises(FormatError, match="not finite"):
        fit(request(data, run, samples=192))
    done = run_command("xrdtrain", "predict", run, data)
    assert done.returncode == 2
    assert "not finite" in done.stderr
    assert "nan" not in done.stdout
    assert "Traceback" not in done.stderr


def test_hook_of_threads_is_given_back(tmp_path: Path, make_fixed_set: Any) -> None:
    before = threading.excepthook
    fit(request(make_fixed_set(), tmp_path / "run", samples=64))
    assert threading.excepthook is before


def test_slurm_that_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="set MASTER_ADDR"):
        _first_host("node[1-4]")
    command = tmp_path / "scontrol"
    command.write_text("#!/bin/sh\nwhile :; do :; done\n")
    command.chmod(0o755)
    monkeypatch.setattr("xrdtrain.distributed.SCONTROL_PATIENCE", 0.3)
    with pytest.raises(InputError, match=r"timed out .* set MASTER_ADDR"):
        _first_host("node[1-4]")

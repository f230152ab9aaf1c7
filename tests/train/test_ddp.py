"""Two processes over gloo do what one does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from xrdcommon.spool.audit import audit
from xrdcommon.spool.spool import Spool
from xrdtrain.fitting.fit import FitRequest, fit
from xrdtrain.inference.classifier import Precision
from xrdtrain.models import build, get_preset
from xrdtrain.runs import checkpoint


@pytest.mark.slow
def test_two_processes_are_one(tmp_path: Path, make_spool: Any, make_fixed_set: Any) -> None:
    """Same batches, same gradients (up to the order of sums), an odd batch, everything written once."""
    one, two = make_spool("one", shards=4), make_spool("two", shards=4)
    real = make_fixed_set(n=31)
    samples, batch = 45 * 12, 45
    fit(
        FitRequest(
            source=one.path,
            run=tmp_path / "a",
            model="resnet-10-small",
            tests=(f"real={real}",),
            samples=samples,
            batch=batch,
            eval_every=270,
            precision=Precision.FP32,
        )
    )
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        "--no-python",
        "--",
    ]
    command += [str(Path(sys.executable).with_name("xrdtrain")), "fit", str(two.path), "--run", str(tmp_path / "b")]
    command += ["--model", "resnet-10-small", "--test", f"real={real}", "--samples", str(samples)]
    command += ["--batch", str(batch), "--eval-every", "270", "--precision", "fp32"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("epoch   2") == 1
    states = [
        checkpoint.load(checkpoint.checkpoints(tmp_path / run / "checkpoints")[-1], torch.device("cpu")) for run in "ab"
    ]
    checkpoint.seed_everything(0)
    begin = build(get_preset("resnet-10-small"), one.grid.n_points, len(one.classes)).state_dict()
    way, difference = (
        torch.cat([(left[key] - right[key]).flatten() for key in begin])
        for left, right in ((states[0]["model"], begin), (states[0]["model"], states[1]["model"]))
    )
    assert difference.norm() < 0.05 * way.norm()  # Adam turns rounding of tiny gradients into whole steps
    alone, together = (
        [json.loads(line) for line in (tmp_path / run / "metrics.jsonl").read_text().splitlines()] for run in "ab"
    )
    assert [record["samples"] for record in together] == [270, 540]
    assert together[0]["loss"] == pytest.approx(alone[0]["loss"], rel=1e-3)
    assert together[1]["tests"]["real"]["loss"] == pytest.approx(alone[1]["tests"]["real"]["loss"], rel=0.05, abs=1e-3)
    found = audit(Spool.open(two.path))
    assert (found.used, found.used_twice, found.lost) == (540, 0, 0)

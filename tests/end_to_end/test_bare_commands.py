"""`xrdgen produce --workers 256` and `xrdtrain fit`, nothing else, in an empty folder."""

from __future__ import annotations

import json
import os
import re
import signal
from pathlib import Path
from typing import Any

import pytest
from xrdgen.samples.config import ROWS_PER_SHARD

pytestmark = [pytest.mark.end_to_end, pytest.mark.slow]


def test_the_two_bare_commands(start: Any, run_command: Any, tmp_path: Path) -> None:
    def audit() -> dict[str, Any]:
        done = run_command("xrdgen", "audit", "--json", cwd=tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)  # type: ignore[no-any-return]

    cores = len(os.sched_getaffinity(0))
    ready = tmp_path / "spool" / "ready" / "main"
    producer = start("xrdgen", "produce", "--workers", 256, cwd=tmp_path)
    producer.wait_for(lambda: ready.exists() and any(ready.iterdir()))
    assert producer.stop(signal.SIGINT) == 75, producer.said
    if cores < 256:
        assert f"256 workers asked for, {cores} cores here: {cores} local processes are started" in producer.said
    assert "SIGINT: finishing the shards that are being made" in producer.said
    assert "Traceback" not in producer.said
    found = audit()
    assert found["ok"]
    assert found["produced"] == found["ready"] == ROWS_PER_SHARD * len(list(ready.iterdir())) > 0
    assert (found["used"], found["quarantined"], found["lost"]) == (0, 0, 0)

    training = start("xrdtrain", "fit", cwd=tmp_path)
    training.wait_for(lambda: "no data for" in training.said or re.search(r"epoch 1: [1-9]", training.said))
    assert training.stop(signal.SIGTERM) == 75, training.said
    assert "test set amcsd: 402 patterns" in training.said
    (run,) = (tmp_path / "runs").iterdir()
    config = json.loads((run / "config.json").read_text())
    assert re.fullmatch(r"\d{4}-\d\d-\d\d-" + config["model"], run.name)
    checkpoint = max((run / "checkpoints").glob("*.pt"))
    trained = int(checkpoint.stem.split("-")[1])
    assert trained > 0
    assert f"after {trained:,} samples; checkpoint written" in training.said
    between = audit()
    assert (between["ok"], between["used"], between["produced"]) == (True, trained, found["produced"])

    again = start("xrdtrain", "fit", cwd=tmp_path)
    again.wait_for(lambda: f"going on after {trained:,} samples" in again.said)
    again.wait_for(lambda: "no data for" in again.said or "epoch" in again.said)
    assert again.stop(signal.SIGTERM) == 75, again.said
    assert [path.name for path in (tmp_path / "runs").iterdir()] == [run.name]
    after = audit()
    assert (after["ok"], after["used_twice"], after["lost"], after["quarantined"]) == (True, 0, 0, 0)
    assert after["used"] >= trained
    assert after["used"] + after["ready"] + after["claimed"] == after["produced"] == found["produced"]

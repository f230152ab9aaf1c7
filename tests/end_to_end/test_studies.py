"""Studies that do not run through: one is killed and goes on, of another an arm cannot be trained."""

from __future__ import annotations

import csv
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.support.small_study import GRID, small

pytestmark = [pytest.mark.end_to_end, pytest.mark.slow]


def test_a_killed_study_goes_on(start: Any, run_command: Any, structures: Path, tmp_path: Path) -> None:
    """The paper's direct training, split by structure type: SIGKILL, SIGTERM, then to the end."""
    words = ("xrdtrain", "study", "direct-structure-type-split", "--out", "study", *small(structures=structures))
    first = start(*words, cwd=tmp_path)
    first.wait_for(lambda: (tmp_path / "study" / "split" / "test.parquet").exists())
    first.stop(signal.SIGKILL)
    again = start(*words, cwd=tmp_path)
    again.wait_for(lambda: "park-medium-0: xrdtrain fit" in again.said)
    assert "2/6 split: done before" in again.said
    assert again.stop(signal.SIGTERM) == 75, again.said
    assert "the same command goes on" in again.said
    assert "No training is done yet" in (tmp_path / "study" / "table.md").read_text()
    done = run_command(*words, cwd=tmp_path, timeout=600.0)
    assert done.returncode == 0, done.stdout + done.stderr
    with (tmp_path / "study" / "table.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["arm"], row["test"], row["seeds"]) for row in rows] == [
        ("park-medium", "real", "1"),
        ("park-big", "real", "1"),
    ]
    for row, published in zip(rows, (0.559, 0.561), strict=True):
        assert float(row["published"]) == pytest.approx(published)
        assert float(row["low"]) <= float(row["top1"]) <= float(row["high"])
        assert int(row["n"]) > 10
    page = (tmp_path / "study" / "report.html").read_text()
    assert "park-medium-0" in page
    assert "park-big-0" in page
    table = (tmp_path / "study" / "table.md").read_text()
    assert "| 55.9 |" in table
    assert table in done.stdout
    other = run_command(*words, "--scale", "2e-6", cwd=tmp_path)
    assert other.returncode == 2
    assert "holds another study" in other.stderr
    assert "scale is 1e-06 there, 2e-06 asked for" in other.stderr


EXPERIMENT = """
title = "One arm cannot be trained"
about = "..."
[[step]]
name = "freeze"
run = "xrdgen freeze {structures} --out test.zarr %s"
makes = "test.zarr/zarr.json"
[values]
structures = ""
[[arm]]
name = "wrong"
source = "test.zarr"
fit = "--model resnet-11 --samples 256"
tests = ["real=test.zarr"]
[[arm]]
name = "right"
source = "test.zarr"
fit = "--model resnet-10-small --samples 256"
tests = ["real=test.zarr"]
"""


def test_what_fails_is_named_and_the_rest_is_kept(run_command: Any, structures: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(EXPERIMENT % GRID)
    words = ("xrdtrain", "study", "mine.toml", "--out", "study")
    missing = run_command(*words, cwd=tmp_path)
    assert missing.returncode == 2
    assert "needs structures; give it with --set structures=" in missing.stderr
    assert not (tmp_path / "study").exists()
    done = run_command(*words, "--set", f"structures={structures}", cwd=tmp_path, timeout=600.0)
    assert done.returncode == 2
    assert "1 of 3 steps failed (wrong-0); wrong-0: " in done.stderr
    assert "resnet-11" in done.stderr
    assert "Traceback" not in done.stderr
    assert "| right | real |" in (tmp_path / "study" / "table.md").read_text()

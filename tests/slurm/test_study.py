"""A study that submits itself to a real SLURM, from a folder without an environment, is told to stop, and goes on."""

from __future__ import annotations

import csv
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.support.small_study import GRID, write_some

pytestmark = [pytest.mark.end_to_end, pytest.mark.slow]

STUDY = f"""
title = "A short one"
about = "..."
[values]
structures = ""
[[step]]
name = "freeze"
run = "xrdgen freeze {{structures}} --out test.zarr {GRID}"
makes = "test.zarr/zarr.json"
[[arm]]
name = "only"
source = "test.zarr"
fit = "--model resnet-10-small --samples 64 --batch 16"
tests = ["real=test.zarr"]
"""


def test_a_submitted_study_is_queued_again_and_ends(slurm: Any, tmp_path: Path) -> None:
    write_some(tmp_path / "some.parquet", {14: 10, 225: 10})
    (tmp_path / "mine.toml").write_text(STUDY)
    (tmp_path / "setup.sh").write_text("export XRD_LAUNCH='env SET_UP=yes'\ntouch was-set-up\n")
    words = ("study", "mine.toml", "--submit", "--out", "study", "--set", "structures=some.parquet")
    options = ("--sbatch-options", "--cpus-per-task=1 --time=10 --mem=2G")
    environment = {"XRD_SETUP": str(tmp_path / "setup.sh"), "OMP_NUM_THREADS": "1"}
    program = Path(sys.executable).with_name("xrdtrain")
    said = slurm.run(program, *words, *options, cwd=tmp_path, environment=environment)
    (job,) = re.findall(r"Submitted batch job (\d+)", said)

    def state() -> tuple[str, int]:
        (found,) = slurm.jobs(job)
        return found["JobState"], int(found["Restarts"])

    def log() -> str:
        return "".join(path.read_text() for path in tmp_path.glob("xrdstudy-*.log"))

    step = tmp_path / "study" / "steps" / "freeze.log"
    slurm.wait_for(lambda: step.exists() or state()[0] == "FAILED", "the first step", 240.0)
    assert step.exists(), log()
    slurm.run("scancel", "--batch", "--signal=USR1", job)  # as before the time limit
    slurm.wait_for(lambda: state()[1] == 1 or state()[0] == "FAILED", "the restart", 240.0)
    slurm.wait_for(lambda: state()[0] in ("COMPLETED", "FAILED"), "the end", 400.0)
    assert state() == ("COMPLETED", 1), log()
    assert "stopped in freeze of mine; the same command goes on" in log()
    assert (tmp_path / "was-set-up").exists()
    with (tmp_path / "study" / "table.csv").open(newline="") as stream:
        (row,) = csv.DictReader(stream)
    assert (row["arm"], row["test"], row["n"], row["samples"]) == ("only", "real", "20", "64")
    assert "| only | real |" in log()

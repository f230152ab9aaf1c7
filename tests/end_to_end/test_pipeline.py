"""The whole pipeline through the installed commands, small, on real structures."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = [pytest.mark.end_to_end, pytest.mark.slow]

STEP = 0.05
AUDIT = {"ok", "produced", "used", "used_twice", "ready", "claimed", "quarantined", "lost"}
STATUS = {"samples_produced", "samples_used", "shards_ready", "bytes_ready", "samples_per_second", "producers"}
EVALUATION = {"n", "n_outside_classes", "top1", "top5", "top1_all", "top1_enantiomorphs_merged"}


def test_from_cifs_to_a_report(run_command: Any, sources: tuple[Path, Path], tmp_path: Path) -> None:
    def run(command: str, *arguments: object) -> str:
        done = run_command(command, *arguments, cwd=tmp_path, timeout=240)
        assert done.returncode == 0, f"{command} {arguments}: {done.stderr}"
        assert "Traceback" not in done.stderr
        return str(done.stdout)

    def answer(command: str, *arguments: object) -> Any:
        return json.loads(run(command, *arguments, "--json"))

    folder, archive = sources
    imported = answer("xrdgen", "structures", "import", folder, archive, "--out", "all.parquet", "--workers", 1)
    assert (imported["read"], imported["imported"], imported["rejected"]) == (49, 48, 1)
    with (tmp_path / "all.rejected.csv").open() as stream:
        (rejected,) = csv.DictReader(stream)
    assert rejected["file"].endswith("broken.cif")
    assert rejected["reason"]

    parts = answer("xrdgen", "structures", "split", "all.parquet", "--by", "random", "--out", "parts")
    assert parts["train"] + parts["test"] == 48
    assert parts["test"] >= 8
    figures = answer("xrdgen", "statistics", "build", "parts/train.parquet", "--out", "mine.npz")
    assert figures["structures"] == parts["train"]

    made = ("--workers", 0, "--samples", 512, "--rows-per-shard", 128, "--seed", 3, "--verification", "exact")
    mine = ("--statistics", "mine.npz", "--min-structures", 4, "--step", STEP)
    run("xrdgen", "produce", "spool", *made, *mine)
    status = answer("xrdgen", "status", "spool")
    assert status.keys() >= STATUS
    assert (status["samples_produced"], status["shards_ready"], status["producers"]) == (512, 4, 0)
    run("xrdgen", "freeze", "parts/test.parquet", "--out", "test.zarr", "--step", STEP)

    fit = ("--model", "resnet-10-small", "--batch", 64, "--samples", 384, "--test", "mine=test.zarr")
    run("xrdtrain", "fit", "spool", "--run", "run", *fit)
    audit = answer("xrdgen", "audit", "spool")
    assert audit.keys() >= AUDIT
    assert audit["ok"] is True
    assert (audit["produced"], audit["used"], audit["used_twice"], audit["lost"]) == (512, 384, 0, 0)

    measures = answer("xrdtrain", "evaluate", "run")
    assert list(measures) == ["mine"]
    assert measures["mine"].keys() >= EVALUATION
    assert measures["mine"]["n"] == parts["test"]
    assert 0.0 <= measures["mine"]["top1_all"] <= measures["mine"]["top1"] <= measures["mine"]["top5"] <= 1.0

    cif = sorted(folder.glob("0*.cif"))[0]
    run("xrdgen", "simulate", cif, "--out", "one.xy", "--plot", "one.png")
    two_theta, intensity = np.loadtxt(tmp_path / "one.xy", unpack=True)
    assert (len(two_theta), intensity.max()) == (8501, pytest.approx(1.0))
    (predicted,) = answer("xrdtrain", "predict", "run", "one.xy", "--top", 3)
    assert predicted["file"].endswith("one.xy")
    assert len(predicted["candidates"]) == 3
    for candidate in predicted["candidates"]:
        assert candidate.keys() >= {"space_group", "symbol", "probability"}

    page = tmp_path / run("xrdtrain", "report", "run").strip()
    html = page.read_text()
    assert html.lstrip().lower().startswith("<!doctype html>")
    assert not re.search(r"""(?:src|href)=["'](?:https?:|//|[^"'#]*\.(?:js|css|png|svg))""", html)
    assert not re.search(r"@import|url\((?!['\"]?(?:data:|#))", html)

    (entry, *_) = models = answer("xrdtrain", "models")
    assert entry.keys() >= {"name", "parameters"}
    assert {model["name"]: model["parameters"] for model in models}["resnet-10"] == 9_395_025

"""Whole experiments at a small scale, as a user starts them; one is killed and goes on."""

from __future__ import annotations

import csv
import json
import signal
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from xrdgen.structures.table import read_table, write_table

pytestmark = [pytest.mark.end_to_end, pytest.mark.slow]

GROUPS = (14, 62, 166, 225)
EACH = 45
GRID = "--two-theta-min 10 --two-theta-max 50 --step 0.05"
SMALL = ("--scale", "1e-6", "--set", "min_structures=15", "--set", f"grid={GRID}", "--set", "fit_options=--batch 32")


@pytest.fixture(scope="module")
def structures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small real structures of four space groups."""
    table = read_table("embedded:amcsd")
    small = table[(table["n_atoms"] <= 60) & ~table["over_occupancy"]]
    chosen = [small[small["space_group"] == group].sample(EACH, random_state=1) for group in GROUPS]
    path = tmp_path_factory.mktemp("structures") / "small structures.parquet"
    write_table(path, pd.concat(chosen, ignore_index=True))
    return path


def test_a_killed_study_goes_on(start: Any, run_command: Any, structures: Path, tmp_path: Path) -> None:
    """The paper's direct training, split by structure type: SIGKILL, SIGTERM, then to the end."""
    words = ("xrdtrain", "study", "direct-structure-type-split", "--out", "study", "--set", f"structures={structures}")
    first = start(*words, *SMALL, cwd=tmp_path)
    first.wait_for(lambda: (tmp_path / "study" / "split" / "test.parquet").exists())
    first.stop(signal.SIGKILL)
    again = start(*words, *SMALL, cwd=tmp_path)
    again.wait_for(lambda: "park-medium-0: xrdtrain fit" in again.said)
    assert "2/6 split: done before" in again.said
    assert again.stop(signal.SIGTERM) == 75, again.said
    assert "the same command goes on" in again.said
    assert "No training is done yet" in (tmp_path / "study" / "table.md").read_text()
    done = run_command(*words, *SMALL, cwd=tmp_path, timeout=600.0)
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
    other = run_command(*words, "--scale", "2e-6", *SMALL[2:], cwd=tmp_path)
    assert other.returncode == 2
    assert "holds another study" in other.stderr
    assert "scale is 1e-06 there, 2e-06 asked for" in other.stderr


def test_networks_and_their_sources_meet_on_the_same_classes(
    run_command: Any, structures: Path, tmp_path: Path
) -> None:
    """The first study: spools for three arms, fixed sets for two, one class list."""
    done = run_command(
        "xrdtrain", "study", "first-study", "--out", "study", "--set", f"structures={structures}", *SMALL, "--seeds", 1,
        "--json",
        cwd=tmp_path, timeout=600.0,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    rows = json.loads(done.stdout)
    assert [row["arm"] for row in rows] == ["paper", "improved", "soft-spheres", "real-types", "real-random"]
    assert {row["seeds"] for row in rows} == {1}
    runs = sorted((tmp_path / "study" / "runs").iterdir())
    assert len(runs) == 5
    classes = [json.loads((run / "config.json").read_text())["classes"] for run in runs]
    assert all(found == classes[0] for found in classes)
    with (tmp_path / "study" / "curve.csv").open(newline="") as stream:
        assert {row["arm"] for row in csv.DictReader(stream)} == {row["arm"] for row in rows}


def test_a_study_measures_its_networks_on_measured_patterns(run_command: Any, structures: Path, tmp_path: Path) -> None:
    """Two arms of the study of imperfections, on a file of patterns as instruments have them."""
    two_theta = np.arange(12.0, 48.0, 0.05)
    rng = np.random.default_rng(5)
    patterns = np.array([_lines(two_theta, rng.uniform(15.0, 45.0, 12)) for _ in range(9)])
    labels = np.array([14, 62, 166, 225, 14, 62, 166, 225, 230])
    np.savez(tmp_path / "field.npz", two_theta=two_theta, intensity=patterns, sg=labels)
    text = (resources.files("xrdtrain.experiments") / "measured-study.toml").read_text()
    arms = text.split("\n[[arm]]")
    (tmp_path / "two.toml").write_text("\n[[arm]]".join([arms[0], arms[1], arms[4]]))
    done = run_command(
        "xrdtrain", "study", "two.toml", "--out", "study", "--set", f"structures={structures}", *SMALL,
        "--set", "rruff=field.npz", "--seeds", 1, "--json",
        cwd=tmp_path, timeout=600.0,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    rows = json.loads(done.stdout)
    assert [(row["arm"], row["test"]) for row in rows] == [
        (arm, test) for arm in ("pure", "measured") for test in ("pure", "simulated", "rruff")
    ]
    for row in rows:
        if row["test"] == "rruff":
            assert (row["n"], row["n_outside_classes"]) == (9, 1)
            assert 0.0 <= row["top1"] <= row["top5"] <= row["top10"] < 1.0  # group 230 is no class: never right
    again = run_command(
        "xrdtrain", "evaluate", "study/runs/pure-0", "--test", "rruff=field.npz", "--background", "none",
        "--json", cwd=tmp_path,
    )  # fmt: skip
    assert json.loads(again.stdout)["rruff"]["top1_all"] == rows[2]["top1"]


def _lines(two_theta: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Return a pattern of narrow lines."""
    heights = np.linspace(1000.0, 100.0, len(centres))
    return np.exp(-(((two_theta[:, None] - centres) / 0.1) ** 2)) @ heights


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
    assert "wrong-0 of 3 steps failed" in done.stderr
    assert "resnet-11" in done.stderr
    assert "Traceback" not in done.stderr
    assert "| right | real |" in (tmp_path / "study" / "table.md").read_text()

"""The experiments of the paper's tables 1 and S2, small: what they train, on what, and the paper's figures beside."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from xrdcommon.fixed_sets.fixed_set import FixedSet
from xrdgen.structures.table import read_table

from tests.end_to_end.support.small_study import GROUPS, OF_EACH, SHORT_GRID, Carry, with_arms, write_some

pytestmark = [pytest.mark.end_to_end, pytest.mark.slow]


def test_direct_training_with_a_random_split(carry_out: Carry) -> None:
    """Table 1, first line: real structures, two crystallite sizes of each, a park network with dropout."""
    study = carry_out("direct-random-split", samples=320)
    (row,) = study.rows
    found = study.columns("arm", "test", "published", "published_fresh")
    assert found == [("park-medium", "real", 0.832, 0.884)]
    assert (row["samples"], row["n"], row["n_outside_classes"]) == (320, 52, 0)
    assert row["low"] <= row["top1"] <= row["high"]
    assert row["top1"] <= row["top5"] == row["top10"] == 1.0  # of four classes
    assert "| paper % |" in study.table
    assert " | 83.2 | " in study.table
    config = study.config("park-medium-0")
    assert (config["model"], config["dropout"], config["classes"]) == ("park-medium", True, list(GROUPS))
    assert (config["recipe"]["batch"], config["learning_rate"]) == (870, 1e-3)
    train, test = FixedSet.open(study.folder / "train.zarr"), FixedSet.open(study.folder / "test.zarr")
    assert (len(train), len(test)) == (2 * (len(GROUPS) * OF_EACH - 52), 52)
    pairs = train.samples.reshape(-1, 2)
    assert (pairs["volume"][:, 0] == pairs["volume"][:, 1]).all()
    assert (pairs["crystallite_size"][:, 0] != pairs["crystallite_size"][:, 1]).all()
    parts = [set(read_table(study.folder / "split" / f"{part}.parquet")["id"]) for part in ("train", "test")]
    assert not parts[0] & parts[1]
    assert 'id="gap-parts' not in (study.folder / "report.html").read_text()


def test_synthetic_training(carry_out: Carry, tmp_path: Path) -> None:
    """Table 1, last lines: park-big with two crystallite sizes a crystal, the resnets with one."""
    file = with_arms("synthetic", ["park-big", "resnet-10"], tmp_path)
    study = carry_out(file, samples_park=128, samples_resnet=96)
    assert study.columns("arm", "test", "published", "published_fresh", "samples") == [
        ("park-big", "real", 0.577, 0.742, 128),
        ("resnet-10", "real", 0.734, 0.872, 96),
    ]
    assert study.spool("park-big-0")["sizes_per_crystal"] == 2
    assert study.spool("resnet-10-0").get("sizes_per_crystal", 1) == 1
    for run in ("park-big-0", "resnet-10-0"):
        assert study.spool(run)["generator"]["space_groups"] == "natural"
        assert study.spool(run)["generator"]["preset"] == "paper"
        assert study.spool(run)["preset"] == "pure"
        assert study.config(run)["classes"] == list(GROUPS)
        assert study.config(run)["dropout"] is False
    recipes = {run: study.config(f"{run}-0")["recipe"] for run in ("park-big", "resnet-10")}
    assert [recipe["batch"] for recipe in recipes.values()] == [870, 145]
    assert [recipe["schedule"] for recipe in recipes.values()] == ["constant", "halving"]
    both = study.drawn("park-big-0")
    order = np.argsort(both["index"])
    crystals = both[order].reshape(-1, 2)
    assert (crystals["index"][:, 0] + 1 == crystals["index"][:, 1]).all()
    assert (crystals["volume"][:, 0] == crystals["volume"][:, 1]).all()
    assert (crystals["crystallite_size"][:, 0] != crystals["crystallite_size"][:, 1]).all()
    assert len(np.unique(study.drawn("resnet-10-0")["volume"])) == 96  # every crystal once
    page = (study.folder / "report.html").read_text()
    assert "park-big-0" in page
    assert "resnet-10-0" in page
    # nobody trained or counted is tested
    parts = [read_table(study.folder / "split" / f"{part}.parquet") for part in ("train", "test")]
    known, tested = ({f"AMCSD:{name}" for name in part["id"]} for part in parts)
    assert set(FixedSet.open(study.folder / "test.zarr").ids or ()) <= tested - known


def test_all_groups_equally_often(carry_out: Carry, tmp_path: Path) -> None:
    """A space group of a tenth of the structures is a third of what is drawn; the measure for it is that per group."""
    uneven = write_some(tmp_path / "uneven.parquet", {14: 100, 62: 80, 166: 20})
    study = carry_out("synthetic-uniform", table=uneven, samples_resnet=96, min_structures=10, grid=SHORT_GRID)
    assert study.columns("arm", "test", "samples", "published") == [("resnet-50", "real", 96, None)]
    assert study.spool("resnet-50-0")["generator"]["space_groups"] == "uniform"
    counted = read_table(study.folder / "split" / "train.parquet")["space_group"].value_counts(normalize=True)
    assert counted[166] < 0.1
    groups = study.drawn("resnet-50-0")["space_group"]
    third, deviation = len(groups) / 3, math.sqrt(len(groups) * 2 / 9)
    assert all(abs((groups == group).sum() - third) < 3 * deviation for group in (14, 62, 166))
    assert "| per group % |" in study.table
    with np.load(study.folder / "runs" / "resnet-50-0" / "evaluation" / "real.npz") as real:
        right, labels = real["top"][:, 0] == real["labels"], real["labels"]
    assert len(set(np.unique(labels, return_counts=True)[1])) > 1
    recall = [right[labels == group].mean() for group in np.unique(labels)]
    assert study.rows[0]["per_group"] == pytest.approx(np.mean(recall))
    assert "paper %" not in study.table
    log = (study.folder / "steps" / "resnet-50-0.log").read_text()
    assert "Warning" not in log

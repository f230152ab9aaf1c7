"""Studies of imperfections, of structure types and of options of training, small."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from xrdcommon.fixed_sets.fixed_set import FixedSet
from xrdgen.structures.table import read_table
from xrdtrain.models.presets import HEADS

from tests.end_to_end.support.small_study import GROUPS, SHORT_GRID, Carry, with_arms

pytestmark = [pytest.mark.end_to_end, pytest.mark.slow]


def write_measured(path: Path, labels: list[int]) -> None:
    """Write patterns of narrow lines as measured ones."""
    two_theta, rng = np.arange(12.0, 48.0, 0.05), np.random.default_rng(5)
    heights = np.linspace(1000.0, 100.0, 12)
    centres = rng.uniform(15.0, 45.0, (len(labels), 1, 12))
    patterns = np.exp(-(((two_theta[:, None] - centres) / 0.1) ** 2)) @ heights
    np.savez(path, two_theta=two_theta, intensity=patterns, sg=np.array(labels))


def test_networks_and_their_sources_meet_on_the_same_classes(carry_out: Carry) -> None:
    """The first study: spools for three arms, fixed sets for two, one class list."""
    study = carry_out("first-study", samples=256)
    arms = ["paper", "improved", "soft-spheres", "real-types", "real-random"]
    assert [row["arm"] for row in study.rows] == arms
    assert {row["seeds"] for row in study.rows} == {1}
    assert len(list((study.folder / "runs").iterdir())) == 5
    classes = [study.config(f"{arm}-0")["classes"] for arm in arms]
    assert all(found == classes[0] for found in classes)
    with (study.folder / "curve.csv").open(newline="") as stream:
        assert {row["arm"] for row in csv.DictReader(stream)} == {row["arm"] for row in study.rows}
    drawn = [study.spool(f"{arm}-0")["generator"] for arm in arms[:3]]
    assert [settings["preset"] for settings in drawn] == ["paper", "improved", "improved"]
    assert [settings["ordering"] for settings in drawn] == ["none", "none", "soft-spheres"]


def test_a_study_measures_its_networks_on_measured_patterns(carry_out: Carry, run_command: Any, tmp_path: Path) -> None:
    """Two arms of the study of imperfections, on a file of patterns as instruments have them."""
    write_measured(tmp_path / "field.npz", [14, 62, 166, 225, 14, 62, 166, 225, 230])
    arms = ("pure", "measured")
    study = carry_out(with_arms("measured-study", arms, tmp_path), samples=256, rruff=tmp_path / "field.npz")
    assert study.columns("arm", "test") == [(arm, test) for arm in arms for test in ("pure", "simulated", "rruff")]
    for row in study.rows:
        if row["test"] == "rruff":
            assert (row["n"], row["n_outside_classes"]) == (9, 1)
            assert 0.0 <= row["top1"] <= row["top5"] <= row["top10"] < 1.0  # group 230 is no class: never right
    again = run_command(
        "xrdtrain", "evaluate", "study/runs/pure-0", "--test", "rruff=field.npz", "--background", "none",
        "--json", cwd=tmp_path,
    )  # fmt: skip
    assert json.loads(again.stdout)["rruff"]["top1_all"] == study.rows[2]["top1"]
    march = {arm: study.drawn(f"{arm}-0")["march_r"] for arm in arms}
    assert (march["pure"] == 1).all()
    assert (march["measured"] != 1).any()


def test_imperfections_with_and_without_impurities(carry_out: Carry, tmp_path: Path) -> None:
    """S4: both networks on both sets, then on measured patterns, where the paper's figure stands."""
    field = tmp_path / "field.npz"
    write_measured(field, [14, 62, 166, 225, 14, 230])
    study = carry_out("s4", samples=64, model="resnet-10-small", rruff=field)
    tests = ("s4", "s4-impurity", "rruff")
    assert study.columns("arm", "test", "published") == [
        *(("s4", test, None) for test in tests),
        *(("s4-impurity", test, 0.252 if test == "rruff" else None) for test in tests),
    ]
    assert [row["n_outside_classes"] for row in study.rows if row["test"] == "rruff"] == [1, 1]
    assert all(row["n"] == 6 and row["top10"] <= 5 / 6 for row in study.rows if row["test"] == "rruff")
    for arm in ("s4", "s4-impurity"):
        assert study.spool(f"{arm}-0")["preset"] == arm
        drawn = study.drawn(f"{arm}-0")
        assert ((drawn["impurity_fraction_1"] > 0).mean() > 0.9) == (arm == "s4-impurity")
        assert (drawn["impurity_fraction_1"] <= 0.05).all()
        assert (drawn["noise_additive"] > 0).all()
        assert len(np.unique(drawn["caglioti_u"])) > 32
        frozen = FixedSet.open(study.folder / f"{arm}.zarr").samples
        assert ((frozen["impurity_fraction_1"] > 0).mean() > 0.9) == (arm == "s4-impurity")
        log = (study.folder / "steps" / f"{arm}-0-measured.json").read_text()
        assert json.loads(log)["command"][3:5] == ["--background", "none"]


def test_given_structure_types_alone(carry_out: Carry, tmp_path: Path) -> None:
    """Crystals of the list's types beside crystals of all types, tested on real ones of the list."""
    study = carry_out("structure-types", samples=64, min_count=3)
    assert study.columns("arm", "test", "seeds") == [("types", "types", 1), ("all", "types", 1)]
    listed = pd.read_csv(study.folder / "types.csv")
    assert (listed["count"] >= 3).all()
    assert set(listed["space_group"]) == set(study.config("types-0")["classes"])
    assert study.config("all-0")["classes"] == list(GROUPS)
    assert len(study.spool("types-0")["generator"]["structure_types"]) == len(listed)
    assert "structure_types" not in study.spool("all-0")["generator"]
    families = {run: set(study.drawn(run)["family"].tolist()) for run in ("types-0", "all-0")}
    assert 1 < len(families["types-0"]) <= len(listed)
    assert 0 not in families["types-0"]
    test = FixedSet.open(study.folder / "test.zarr")
    # what is tested is of the list, and so among the types that can be drawn
    whole = read_table(study.folder / "split" / "test.parquet")
    assert 0 < len(test) < len(whole)
    assert all(row["n"] == len(test) for row in study.rows)
    for run in ("types-0", "all-0"):
        assert study.spool(run)["generator"]["preset"] == "improved"


def test_options_reach_the_training(carry_out: Carry, tmp_path: Path) -> None:
    """The base without any, an option of the loss and one of the network, on the same crystals in the same order."""
    arms = ["base", "heads", "peaks"]
    study = carry_out(with_arms("options", arms, tmp_path), samples=64, grid=SHORT_GRID)
    assert study.columns("arm", "test") == [(arm, "types") for arm in arms]
    recipes = {arm: study.config(f"{arm}-0")["recipe"] for arm in arms}
    changed = recipes["heads"] | {"heads": []}
    assert recipes["base"] == recipes["peaks"] == changed
    assert sorted(recipes["heads"]["heads"]) == sorted(HEADS)
    shapes = {arm: study.network(f"{arm}-0")["architecture"] for arm in arms}
    assert shapes["base"] == shapes["heads"] == shapes["peaks"] | {"peaks": 0}
    assert shapes["peaks"]["peaks"] == 64
    assert {study.config(f"{arm}-0")["model"] for arm in arms} == {"patch-resnet"}
    crystals = [study.drawn(f"{arm}-0")[["space_group", "volume", "index"]].tolist() for arm in arms]
    assert crystals[0] == crystals[1] == crystals[2]

"""The tables of a study: what they are counted from, and what they leave out."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from xrdtrain.experiments.experiment import Experiment, load
from xrdtrain.experiments.outcome import Row, table_lines, write_outcome
from xrdtrain.experiments.plan import TaskPlan, plan

GROUP = {"is_class": True, "top5": 1.0, "n_predicted": 1, "precision": 0.5}


def measures(**changes: Any) -> dict[str, Any]:
    """What `xrdtrain fit` says of a test set of ten patterns."""
    groups = {"2": {**GROUP, "n": 6, "top1": 0.5}, "14": {**GROUP, "n": 2, "top1": 1.0}}
    groups |= {"62": {**GROUP, "n": 0, "top1": math.nan}, "230": {**GROUP, "is_class": False, "n": 2, "top1": 0.0}}
    curve = [0.625, 0.7, 0.75, 0.8, 0.85, 0.9, 0.92, 0.94, 0.96, 0.98, 1.0]
    found = {"n": 10, "n_outside_classes": 2, "top1": 0.625, "top5": 0.85, "top_k": curve, "per_group": groups}
    return {**found, **changes}


def finished(folder: Path, found: dict[str, Any], epochs: list[float]) -> tuple[Experiment, TaskPlan]:
    """Write the results of the only training of a study."""
    experiment = load("direct-random-split")
    todo = plan(experiment, experiment.resolve({}, 1e-6), 1)
    run = folder / "runs" / "park-medium-0"
    run.mkdir(parents=True)
    (run / "evaluation.json").write_text(json.dumps({"real": found}))
    lines = [{"samples": 870 * (i + 1), "top1": top1, "tests": {}} for i, top1 in enumerate(epochs)]
    (run / "metrics.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return experiment, todo


def test_a_line_of_the_table(tmp_path: Path) -> None:
    experiment, todo = finished(tmp_path, measures(), [0.1, 0.2, *[0.5] * 9, 0.6])
    (row,), lines = write_outcome(experiment, todo, tmp_path)
    assert (row.n, row.n_outside_classes, row.seeds, row.samples) == (8, 2, 1, 12 * 870)
    assert (row.top1, row.top5, row.top10) == (0.625, 0.85, 0.98)
    assert row.per_group == pytest.approx((0.5 + 1.0) / 2)
    assert row.fresh_top1 == pytest.approx((9 * 0.5 + 0.6) / 10)  # the last ten, as the paper has it
    assert (row.published, row.published_fresh) == (pytest.approx(0.832), pytest.approx(0.884))
    assert lines == (tmp_path / "table.md").read_text().splitlines()
    assert "| 62.5 | 83.2 |" in lines[4]
    with (tmp_path / "table.csv").open(newline="") as stream:
        (written,) = csv.DictReader(stream)
    assert float(written["per_group"]) == pytest.approx(0.75)


def test_fewer_than_ten_classes_are_all_among_ten(tmp_path: Path) -> None:
    experiment, todo = finished(tmp_path, measures(top_k=[0.625, 0.8, 1.0], top5=1.0), [0.5])
    (row,), _ = write_outcome(experiment, todo, tmp_path)
    assert (row.top5, row.top10) == (1.0, 1.0)


def test_columns_of_the_paper_stand_where_it_has_figures() -> None:
    numbers: dict[str, Any] = dict.fromkeys([name for name in Row.__slots__ if name not in ("arm", "label", "test")], 1)
    row = Row(arm="a", label="A", test="t", **numbers | {"published": 0.5, "published_fresh": math.nan})
    experiment = load("s4")
    with_figure = table_lines(experiment, [row])[2]
    assert "| paper % |" in with_figure
    assert "paper, fresh" not in with_figure
    assert "paper" not in table_lines(experiment, [replace(row, published=math.nan)])[2]

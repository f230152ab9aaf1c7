"""What a study found: one line for each arm and test set, with an interval, beside the paper's figures.

One seed: the interval is Wilson's for a share of n patterns (J. Am. Stat. Assoc. 22 (1927) 209), which knows the test
set's chance but not the training's. Several seeds: Student's interval of the mean over seeds, which knows both.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats
from xrdcommon.files import read_json, write_bytes, write_json
from xrdcommon.json_values import json_ready

from xrdtrain.experiments.experiment import Arm, Experiment
from xrdtrain.experiments.plan import TaskPlan

LEVEL = 0.95
"""Of the intervals."""


@dataclass(frozen=True, slots=True)
class Row:
    """An arm on a test set; shares from 0 to 1.

    Attributes:
        arm: name.
        label: for people.
        test: name of the test set.
        seeds: trainings that are done.
        n: patterns whose group is a class; of measured patterns all, those of other groups count as wrong.
        n_outside_classes: whose group is no class.
        top1: mean over the seeds.
        low: lower end of its interval.
        high: upper end.
        top5: mean over the seeds.
        top10: mean over the seeds, NaN where it was not measured.
        fresh_top1: on fresh synthetic patterns, or those trained on; mean over the seeds.
        samples: trained on.
        published: top-1 of the paper, NaN where it gives none.

    """

    arm: str
    label: str
    test: str
    seeds: int
    n: int
    n_outside_classes: int
    top1: float
    low: float
    high: float
    top5: float
    top10: float
    fresh_top1: float
    samples: int
    published: float


def interval(shares: Sequence[float], n: int) -> tuple[float, float]:
    """Return the 95 % interval of the mean of shares measured on n patterns each."""
    if len(shares) > 1:
        mean, error = float(np.mean(shares)), float(np.std(shares, ddof=1)) / math.sqrt(len(shares))
        half = float(stats.t.ppf(0.5 + LEVEL / 2, len(shares) - 1)) * error
        return max(0.0, mean - half), min(1.0, mean + half)
    if n == 0:
        return math.nan, math.nan
    found = stats.binomtest(round(shares[0] * n), n).proportion_ci(LEVEL, method="wilson")
    return float(found.low), float(found.high)


def rows(experiment: Experiment, plan: TaskPlan, folder: Path) -> list[Row]:
    """Read what the trainings that are done have reached."""
    found = []
    for arm in experiment.arm:
        trainings = [task for task in plan.tasks if task.arm == arm.name and task.after is None]
        runs = [(folder / task.makes).parent for task in trainings if (folder / task.makes).is_file()]
        results = [read_json(run / "evaluation.json") for run in runs]
        curves = [_last_epoch(run / "metrics.jsonl") for run in runs]
        for test in trainings[0].tests:
            parts = [measures[test] for measures in results if test in measures]
            if parts:
                found.append(_row(experiment, arm, test, parts, curves, "topK"))
        for test, parts in _measured(runs).items():
            found.append(_row(experiment, arm, test, parts, curves, "topK_all"))
    return found


def _measured(runs: list[Path]) -> dict[str, list[dict[str, Any]]]:
    """Return the measures of measured patterns by the name of their set."""
    found: dict[str, list[dict[str, Any]]] = {}
    for run in runs:
        for path in sorted((run / "evaluation" / "measured").glob("*.json")):
            found.setdefault(path.stem, []).append(read_json(path))
    return found


def _row(
    experiment: Experiment,
    arm: Arm,
    test: str,
    parts: list[dict[str, Any]],
    curves: list[dict[str, Any]],
    key: str,
) -> Row:
    """Return the line of an arm and a test set.

    Args:
        experiment: the arm's.
        arm: whose trainings were measured.
        test: name of the set.
        parts: measures of each training.
        curves: last epochs of the trainings.
        key: name of the top-K measures.

    """
    outside = int(parts[0]["n_outside_classes"])
    n = int(parts[0]["n"]) - (0 if key.endswith("_all") else outside)
    tops = {k: [_number(part.get(key.replace("K", str(k)))) for part in parts] for k in (1, 5, 10)}
    low, high = interval(tops[1], n)
    return Row(
        arm=arm.name,
        label=arm.label or arm.name,
        test=test,
        seeds=len(parts),
        n=n,
        n_outside_classes=outside,
        top1=float(np.mean(tops[1])),
        low=low,
        high=high,
        top5=float(np.mean(tops[5])),
        top10=float(np.mean(tops[10])),
        fresh_top1=float(np.mean([curve.get("top1", math.nan) for curve in curves])),
        samples=max(int(curve.get("samples", 0)) for curve in curves),
        published=experiment.published.get(arm.name, math.nan) / 100.0,
    )


def curve(experiment: Experiment, plan: TaskPlan, folder: Path) -> list[dict[str, Any]]:
    """Return the learning curves, one dictionary for each arm, seed, epoch and test set."""
    points = []
    for task in plan.tasks:
        metrics = (folder / task.makes).with_name("metrics.jsonl")
        if task.arm is None or task.after is not None or not metrics.is_file():
            continue
        for line in metrics.read_text().splitlines():
            epoch = json.loads(line)
            for test, values in epoch["tests"].items():
                points.append(
                    {
                        "arm": task.arm,
                        "seed": task.seed,
                        "samples": epoch["samples"],
                        "test": test,
                        "top1": values["top1"],
                        "top5": values["top5"],
                        "fresh_top1": epoch["top1"],
                    }
                )
    return points


def write_outcome(experiment: Experiment, plan: TaskPlan, folder: Path) -> list[Row]:
    """Write table.md, table.csv, table.json and curve.csv; return the rows."""
    found = rows(experiment, plan, folder)
    write_json(folder / "table.json", json_ready([asdict(row) for row in found]))
    write_bytes(folder / "table.csv", _csv([asdict(row) for row in found], list(Row.__slots__)).encode())
    write_bytes(folder / "table.md", ("\n".join(table_lines(experiment, found)) + "\n").encode())
    names = ["arm", "seed", "samples", "test", "top1", "top5", "fresh_top1"]
    write_bytes(folder / "curve.csv", _csv(curve(experiment, plan, folder), names).encode())
    return found


def table_lines(experiment: Experiment, found: list[Row]) -> list[str]:
    """Return the table as lines of Markdown."""
    lines = [f"# {experiment.title}", ""]
    if not found:
        return [*lines, "No training is done yet."]
    lines += [
        "| arm | test set | n | top-1 % | 95 % interval | top-5 % | top-10 % | fresh % | samples | seeds | paper % |"
    ]
    lines += ["|---|---|---|---|---|---|---|---|---|---|---|"]
    for row in found:
        limits = f"{_percent(row.low)} to {_percent(row.high)}"
        tops = f"{_percent(row.top5)} | {_percent(row.top10)} | {_percent(row.fresh_top1)}"
        lines.append(
            f"| {row.label} | {row.test} | {row.n:,} | {_percent(row.top1)} | {limits} | {tops} | {row.samples:,} "
            f"| {row.seeds} | {_percent(row.published)} |"
        )
    return lines


def _last_epoch(path: Path) -> dict[str, Any]:
    """Return the last line of a run's metrics."""
    lines = path.read_text().splitlines() if path.is_file() else []
    last: dict[str, Any] = json.loads(lines[-1]) if lines else {}
    return last


def _csv(items: list[dict[str, Any]], names: list[str]) -> str:
    """Write dictionaries as CSV."""
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(items)
    return text.getvalue()


def _number(value: Any) -> float:
    """Return a measure, NaN where there is none."""
    return math.nan if value is None else float(value)


def _percent(share: float) -> str:
    """Write a share in percent."""
    return "-" if not math.isfinite(share) else f"{100 * share:.1f}"

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

from xrdtrain.experiments.experiment import Experiment
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
        n: patterns whose group is a class.
        n_outside_classes: the others.
        top1: mean over the seeds.
        low: lower end of its interval.
        high: upper end.
        top5: mean over the seeds.
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
        done = [task for task in plan.tasks if task.arm == arm.name and (folder / task.makes).is_file()]
        runs = [folder / task.makes for task in done]
        measured = [read_json(path) for path in runs]
        curves = [_last_epoch(path.with_name("metrics.jsonl")) for path in runs]
        for test in done[0].tests if done else ():
            parts = [results[test] for results in measured if test in results]
            inside = int(parts[0]["n"]) - int(parts[0]["n_outside_classes"])
            shares = [_number(part["top1"]) for part in parts]
            low, high = interval(shares, inside)
            found.append(
                Row(
                    arm.name,
                    arm.label or arm.name,
                    test,
                    len(parts),
                    inside,
                    int(parts[0]["n_outside_classes"]),
                    float(np.mean(shares)),
                    low,
                    high,
                    float(np.mean([_number(part["top5"]) for part in parts])),
                    float(np.mean([curve.get("top1", math.nan) for curve in curves])),
                    max(int(curve.get("samples", 0)) for curve in curves),
                    experiment.published.get(arm.name, math.nan) / 100.0,
                )
            )
    return found


def curve(experiment: Experiment, plan: TaskPlan, folder: Path) -> list[dict[str, Any]]:
    """Return the learning curves, one dictionary for each arm, seed, epoch and test set."""
    points = []
    for task in plan.tasks:
        metrics = (folder / task.makes).with_name("metrics.jsonl")
        if task.arm is None or not metrics.is_file():
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
    write_json(folder / "table.json", [{key: _finite(value) for key, value in asdict(row).items()} for row in found])
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
    lines += ["| arm | test set | n | top-1 % | 95 % interval | top-5 % | fresh % | samples | seeds | paper % |"]
    lines += ["|---|---|---|---|---|---|---|---|---|---|"]
    for row in found:
        lines.append(
            f"| {row.label} | {row.test} | {row.n:,} | {_percent(row.top1)} | {_percent(row.low)} to "
            f"{_percent(row.high)} | {_percent(row.top5)} | {_percent(row.fresh_top1)} | {row.samples:,} | {row.seeds} "
            f"| {_percent(row.published)} |"
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


def _finite(value: Any) -> Any:
    """Return a JSON value."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _percent(share: float) -> str:
    """Write a share in percent."""
    return "-" if not math.isfinite(share) else f"{100 * share:.1f}"

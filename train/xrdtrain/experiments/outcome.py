"""What a study found: one line for each arm and test set, with an interval, beside the paper's figures.

One seed: the interval is Wilson's for a share of n patterns (J. Am. Stat. Assoc. 22 (1927) 209), which knows the test
set's chance but not the training's. Several seeds: Student's interval of the mean over seeds, which knows both.

Where a training was measured on the randomised sets, a second table takes its gap apart (see `gaps`).
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats
from xrdcommon.files import read_json, write_bytes, write_json
from xrdcommon.json_values import json_ready

from xrdtrain.experiments.experiment import FRESH, Arm, Experiment
from xrdtrain.experiments.gaps import GapRow, gap_lines, gap_rows
from xrdtrain.experiments.plan import TaskPlan
from xrdtrain.report.page import LAST_EPOCHS

LEVEL = 0.95
"""Of the intervals."""
_NONE = "-"


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
        top10: mean over the seeds.
        per_group: top-1 of every space group with the same weight, mean over the seeds; NaN of measured patterns.
        fresh_top1: on the data trained on (synthetic patterns before they are used, or the fixed set), the mean of the
            last ten epochs as the paper gives it; mean over the seeds.
        samples: trained on.
        published: top-1 of the paper, NaN where it gives none.
        published_fresh: of the paper, what `fresh_top1` is here.

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
    per_group: float
    fresh_top1: float
    samples: int
    published: float
    published_fresh: float


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
        curves = [_epochs(run / "metrics.jsonl") for run in runs]
        for test in trainings[0].tests:
            parts = [measures[test] for measures in results if test in measures]
            if parts:
                found.append(_row(experiment, arm, test, parts, curves, measured=False))
        for test, parts in _measured(runs).items():
            found.append(_row(experiment, arm, test, parts, curves, measured=True))
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
    curves: list[list[dict[str, Any]]],
    *,
    measured: bool,
) -> Row:
    """Return the line of an arm and a test set.

    Args:
        experiment: the arm's.
        arm: whose trainings were measured.
        test: name of the set.
        parts: measures of each training.
        curves: epochs of each training.
        measured: the set is of measured patterns, of which those of other groups count as wrong.

    """
    outside = int(parts[0]["n_outside_classes"])
    n = int(parts[0]["n"]) - (0 if measured else outside)
    tops = {k: [_number(part[f"top{k}_all"]) if measured else _top(part, k) for part in parts] for k in (1, 5, 10)}
    low, high = interval(tops[1], n)
    figures = experiment.published.get(arm.name, {})
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
        per_group=math.nan if measured else float(np.mean([_per_group(part) for part in parts])),
        fresh_top1=float(np.mean([_mean_top1(epochs) for epochs in curves])),
        samples=max(int(epochs[-1]["samples"]) if epochs else 0 for epochs in curves),
        published=figures.get(test, math.nan) / 100.0,
        published_fresh=figures.get(FRESH, math.nan) / 100.0,
    )


def _top(measures: dict[str, Any], k: int) -> float:
    """Return the share of patterns whose group is among the first k; among all of them where there are fewer."""
    shares = [_number(share) for share in measures["top_k"]]
    return shares[min(k, len(shares)) - 1]


def _per_group(measures: dict[str, Any]) -> float:
    """Return the mean over the space groups that are classes and occur of the share of each that is right."""
    shares = [_number(group["top1"]) for group in measures["per_group"].values() if group["is_class"] and group["n"]]
    return float(np.mean(shares)) if shares else math.nan


def _mean_top1(epochs: list[dict[str, Any]]) -> float:
    """Return the accuracy on the data trained on, mean of the last epochs."""
    return float(np.mean([_number(epoch["top1"]) for epoch in epochs[-LAST_EPOCHS:]])) if epochs else math.nan


def curve(experiment: Experiment, plan: TaskPlan, folder: Path) -> list[dict[str, Any]]:
    """Return the learning curves, one dictionary for each arm, seed, epoch and test set."""
    points = []
    for task in plan.tasks:
        metrics = (folder / task.makes).with_name("metrics.jsonl")
        if task.arm is None or task.after is not None:
            continue
        for epoch in _epochs(metrics):
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


def write_outcome(experiment: Experiment, plan: TaskPlan, folder: Path) -> tuple[list[Row], list[str]]:
    """Write table.md, table.csv, table.json, curve.csv, and gap.csv where a gap is taken apart.

    Returns:
        rows: of the table.
        lines: of table.md.

    """
    found = rows(experiment, plan, folder)
    gaps, notes = gap_rows(plan, folder)
    lines = [*table_lines(experiment, found), *gap_lines(gaps, notes)]
    write_json(folder / "table.json", json_ready([asdict(row) for row in found]))
    write_bytes(folder / "table.csv", _csv([asdict(row) for row in found], list(Row.__slots__)).encode())
    write_bytes(folder / "table.md", ("\n".join(lines) + "\n").encode())
    names = ["arm", "seed", "samples", "test", "top1", "top5", "fresh_top1"]
    write_bytes(folder / "curve.csv", _csv(curve(experiment, plan, folder), names).encode())
    if gaps:
        names = [field.name for field in fields(GapRow)]
        write_bytes(folder / "gap.csv", _csv([asdict(row) for row in gaps], names).encode())
    return found, lines


def table_lines(experiment: Experiment, found: list[Row]) -> list[str]:
    """Return the table as lines of Markdown, without columns of the paper where it gives no figures."""
    lines = [f"# {experiment.title}", ""]
    if not found:
        return [*lines, "No training is done yet."]
    columns: list[tuple[str, list[str]]] = [
        ("arm", [row.label for row in found]),
        ("test set", [row.test for row in found]),
        ("n", [f"{row.n:,}" for row in found]),
        ("top-1 %", [_percent(row.top1) for row in found]),
        ("paper %", [_percent(row.published) for row in found]),
        ("95 % interval", [f"{_percent(row.low)} to {_percent(row.high)}" for row in found]),
        ("top-5 %", [_percent(row.top5) for row in found]),
        ("top-10 %", [_percent(row.top10) for row in found]),
        ("per group %", [_percent(row.per_group) for row in found]),
        ("fresh %", [_percent(row.fresh_top1) for row in found]),
        ("paper, fresh %", [_percent(row.published_fresh) for row in found]),
        ("samples", [f"{row.samples:,}" for row in found]),
        ("seeds", [str(row.seeds) for row in found]),
    ]
    columns = [item for item in columns if not (item[0].startswith("paper") and set(item[1]) == {_NONE})]
    lines.append(f"| {' | '.join(name for name, _ in columns)} |")
    lines.append("|---" * len(columns) + "|")
    lines += [f"| {' | '.join(cells)} |" for cells in zip(*(cells for _, cells in columns), strict=True)]
    return [*lines, "", *_LEGEND]


_LEGEND = (
    "n: patterns whose space group the network knows (of measured patterns all: other groups count as wrong).",
    "per group: every space group with the same weight. fresh: on the data trained on (synthetic patterns before they",
    "are used, or the real ones), mean of the last ten epochs. Intervals: of the test set's chance; with several seeds",
    "of the trainings' chance too.",
)


def _epochs(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a run's metrics."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


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
    return f"{100 * share:.1f}" if math.isfinite(share) else _NONE

"""The gap between synthetic and real crystals of the trainings that were measured on randomised sets (paper, 3.3)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from xrdtrain.experiments.plan import TaskPlan
from xrdtrain.report.gap_figure import PARTS, paper_part, part_names, published, take_apart
from xrdtrain.report.run_folder import read_run


@dataclass(frozen=True, slots=True)
class GapRow:
    """One training on one part of the real crystals; percentage points of top-1, errors are standard errors.

    Attributes:
        training: ARM-SEED.
        part: of the crystals: those of the test, or those that the statistics were counted in.
        n: crystals.
        reference: top-1 of the crystals as they are, percent.
        coordinates: what it gains with coordinates drawn anew.
        coordinates_error: of that.
        lattice: gains with the lattice drawn anew.
        lattice_error: of that.
        both: gains with both drawn anew.
        both_error: of that.
        rest: what synthetic diffractograms are better than with both; NaN for a training on a fixed set.
        rest_error: of that.
        fresh: top-1 on fresh synthetic diffractograms, percent: reference, both and rest together.

    """

    training: str
    part: str
    n: int
    reference: float
    coordinates: float
    coordinates_error: float
    lattice: float
    lattice_error: float
    both: float
    both_error: float
    rest: float
    rest_error: float
    fresh: float


def gap_rows(plan: TaskPlan, folder: Path) -> tuple[list[GapRow], list[str]]:
    """Return the gaps of the trainings that are done, and notes on sets that do not fit.

    Raises:
        FormatError: a run whose files are damaged.

    """
    rows: list[GapRow] = []
    notes: list[str] = []
    for task in plan.tasks:
        if task.after is not None or not part_names(task.tests) or not (folder / task.makes).is_file():
            continue
        run = read_run((folder / task.makes).parent)
        for part in part_names(run.tests):
            gap = take_apart(run.tests, part, None if run.is_fixed else run.trained_on)
            if isinstance(gap, str):
                notes.append(f"{task.name}: {gap}")
                continue
            numbers = {name: gap.gain[name] for name in PARTS}
            numbers |= {f"{name}_error": gap.error[name] for name in PARTS}
            rows.append(
                GapRow(
                    training=task.name,
                    part=part,
                    n=gap.n,
                    reference=100.0 * gap.reference,
                    fresh=100.0 * gap.fresh,
                    **numbers,
                )
            )
    return rows, notes


def gap_lines(rows: list[GapRow], notes: list[str]) -> list[str]:
    """Return the gaps as lines of Markdown, each beside the paper's."""
    if not rows and not notes:
        return []
    lines = ["", "## The gap between synthetic and real crystals", "", *notes]
    if not rows:
        return lines
    lines.append("| training | crystals | n | as they are % | coordinates | lattice | both | rest | fresh % |")
    lines.append("|---|---|---|---|---|---|---|---|---|")
    paper = published()
    for row in rows:
        gains = (f"{_points(getattr(row, name))} ± {_plain(getattr(row, f'{name}_error'))}" for name in PARTS)
        lines.append(
            f"| {row.training} | {row.part} | {row.n:,} | {_plain(row.reference)} | {' | '.join(gains)} "
            f"| {_plain(row.fresh)} |"
        )
        figures = paper[paper_part(row.part)]
        lines.append(
            f"| paper, ResNet-101 on the ICSD | {row.part} | - | - "
            f"| {' | '.join(_points(figures[name]) for name in PARTS)} | - |"
        )
    return [*lines, "", *_LEGEND]


_LEGEND = (
    "Percentage points of top-1 (± standard error) that are gained on the same crystals, all sites full, when their",
    "coordinates, their lattice or both are drawn as for synthetic crystals. rest: what synthetic crystals are better",
    "than with both; as they are + both + rest = fresh.",
)


def _points(value: float) -> str:
    """Write percentage points with their sign."""
    return f"{value:+.2f}" if math.isfinite(value) else "-"


def _plain(value: float) -> str:
    """Write a number of percent."""
    return f"{value:.2f}" if math.isfinite(value) else "-"

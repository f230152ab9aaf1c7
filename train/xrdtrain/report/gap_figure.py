"""The gap between synthetic and real crystals, taken apart (paper, section 3.3 and S3).

Four sets of the same crystals differ in what was drawn anew: nothing (reference), coordinates, lattice, both. What
top-1 gains with each is what the synthetic crystals lack in that respect; what synthetic patterns are still better than
the set with both drawn anew is the rest: the occupation of Wyckoff positions, elements, volumes.
"""

# N crystals of a set.

from __future__ import annotations

import csv
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from xrdtrain.report.figure import Figure, Key
from xrdtrain.report.run_folder import Evaluation
from xrdtrain.report.svg import Chart

VARIANTS: Final = ("reference", "coordinates", "lattice", "both")
"""Names of the sets, or the ends of their names after a dash: `test-reference`, ..."""

PARTS: Final = ("coordinates", "lattice", "both", "rest")

STATISTICS_PART: Final = ("train", "statistics")
"""What the sets of the crystals that the statistics were counted in are called; all others are test crystals."""


@dataclass(frozen=True, slots=True)
class Gap:
    """The gap of one part of the crystals, in percentage points of top-1 over the crystals whose group is a class.

    Attributes:
        part: before the dash of the sets' names, "" where there is none.
        n: crystals.
        reference: top-1 of the crystals as they are, 0 to 1.
        fresh: top-1 of synthetic ones, NaN where it is not known.
        gain: by name of `PARTS`.
        error: standard error of each; of the first three from the differences crystal by crystal.

    """

    part: str
    n: int
    reference: float
    fresh: float
    gain: dict[str, float]
    error: dict[str, float]


def published() -> dict[str, dict[str, float]]:
    """Return the paper's figures for ResNet-101, by part and by name of `PARTS`.

    The rest of the test part is 12.3 less 5.70; that of the statistics part is 12.3 less 10.57, its gain over the test
    part.
    """
    with (Path(__file__).parent / "paper_gap.csv").open(newline="", encoding="utf-8") as stream:
        return {row.pop("part"): {name: float(value) for name, value in row.items()} for row in csv.DictReader(stream)}


def paper_part(part: str) -> str:
    """Return which of the paper's two parts (see `published`) a part of one's own crystals is beside."""
    return "statistics" if part in STATISTICS_PART else "test"


def part_names(names: Collection[str]) -> list[str]:
    """Return what stands before the variant in the names of sets of which all four variants are there."""
    found = []
    for name in names:
        head, dash, variant = name.rpartition("-")
        if variant == VARIANTS[0] and all(f"{head}{dash}{other}" in names for other in VARIANTS):
            found.append(head)
    return found


def take_apart(tests: Mapping[str, Evaluation], part: str, synthetic: Evaluation | None) -> Gap | str:
    """Return the gap of a part, or why there is none: the four sets are not of the same crystals."""
    dash = "-" if part else ""
    sets = {variant: tests[f"{part}{dash}{variant}"] for variant in VARIANTS}
    first = sets[VARIANTS[0]]
    for variant, other in sets.items():
        if first.ids is None or other.ids != first.ids or not np.array_equal(other.labels, first.labels):
            return (
                f"{part}{dash}{variant} and {part}{dash}{VARIANTS[0]} are not of the same crystals, so that their "
                "difference says nothing: freeze all four with one table and seed."
            )
    inside = first.inside
    right: dict[str, NDArray[np.float64]] = {
        variant: item.correct[inside].astype(np.float64) for variant, item in sets.items()
    }
    n = int(inside.sum())
    if n < 2:
        return f"{part}{dash}{VARIANTS[0]}: fewer than two crystals of a class."
    shares = {variant: float(values.mean()) for variant, values in right.items()}
    gain, error = {}, {}
    for variant in VARIANTS[1:]:
        difference = right[variant] - right[VARIANTS[0]]
        gain[variant] = 100.0 * float(difference.mean())
        error[variant] = 100.0 * float(difference.std(ddof=1)) / n**0.5
    fresh, n_fresh = float("nan"), 0
    if synthetic is not None and synthetic.inside.any():
        n_fresh = int(synthetic.inside.sum())
        fresh = float(synthetic.correct[synthetic.inside].mean())
    gain["rest"] = 100.0 * (fresh - shares["both"])
    variance = shares["both"] * (1 - shares["both"]) / n + (fresh * (1 - fresh) / n_fresh if n_fresh else float("nan"))
    error["rest"] = 100.0 * variance**0.5
    return Gap(part, n, shares[VARIANTS[0]], fresh, gain, error)


def gap_figures(
    tests: Mapping[str, Evaluation], synthetic: Evaluation | None, *, run: str = "", anchor: str = ""
) -> tuple[list[Figure], list[str]]:
    """Return a figure for every part whose four variants were evaluated, and notes on those that do not fit.

    Args:
        tests: evaluations by name.
        synthetic: that on fresh synthetic patterns.
        run: name of the run, where several are on the page.
        anchor: ending of the figures' names in the page, likewise.

    """
    figures, notes = [], []
    for part in part_names(tests):
        found = take_apart(tests, part, synthetic)
        if isinstance(found, str):
            notes.append(found)
        else:
            figures.append(_figure(found, run, anchor))
    return figures, notes


def _figure(gap: Gap, run: str, anchor: str) -> Figure:
    """Draw the gains of one part beside the paper's."""
    paper = published()[paper_part(gap.part)]
    n = len(PARTS)
    values = np.array([gap.gain[name] for name in PARTS])
    errors = np.array([gap.error[name] for name in PARTS])
    theirs = np.array([paper[name] for name in PARTS])
    everything = np.concatenate([values - errors, values + errors, theirs, [0.0]])
    low, high = float(np.nanmin(everything)), float(np.nanmax(everything))
    margin = 0.08 * (high - low)
    chart = Chart(
        (-0.6, n - 0.4),
        (low - margin if low < 0 else 0.0, high + margin),
        height=320,
        y_label="percentage points of top-1",
        x_ticks=[],
    )
    edges = np.arange(n + 1) - 0.5
    titles = [
        f"{name}: {value:.2f} ± {error:.2f}, paper {other:.2f}"
        for name, value, error, other in zip(PARTS, values, errors, theirs, strict=True)
    ]
    places = np.arange(n, dtype=np.float64)
    chart.bars(edges, np.minimum(values, 0.0), np.maximum(values, 0.0), "bar-plain", titles)
    chart.whiskers(places, values - errors, values + errors, "test-0")
    chart.dots(places, values, "test-0", titles, 4.0)
    chart.dots(places, theirs, "synthetic", titles, 4.0)
    chart.across(0.0, "zero")
    for place, name in enumerate(PARTS):
        chart.text(chart.x(place), chart.height - chart.bottom + 17, name)
    fresh = "" if gap.fresh != gap.fresh else f", on fresh synthetic diffractograms {100 * gap.fresh:.1f} %"
    where = f"The {gap.part} crystals" if gap.part else "The crystals"
    return Figure(
        f"gap-parts-{gap.part or 'sets'}{anchor}",
        f"The gap taken apart{f', {gap.part}' if gap.part else ''}{f', {run}' if run else ''}",
        f"{where} as they are: top-1 {100 * gap.reference:.1f} % of {gap.n:,}{fresh}. Bars: what top-1 gains when "
        "coordinates, the lattice or both are drawn as for synthetic crystals, the same crystals in all four sets; "
        "rest: what synthetic diffractograms are better than with both; whiskers are standard errors. Places 0 to 3 in "
        "the numbers. (Paper, section 3.3: ResNet-101 on the ICSD, another test set.)",
        chart.svg("The gap between synthetic and real crystals taken apart"),
        (Key("test-0", run or "this network"), Key("synthetic", "paper, ResNet-101")),
    )

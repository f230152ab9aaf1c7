"""Diffractograms of the test set with the network's candidates (paper, figure S9)."""

# N diffractograms of the set, P grid points.

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray
from xrdcommon.fixed_sets.fixed_set import FixedSet
from xrdcommon.grid import Grid

from xrdtrain.report.run_folder import Evaluation
from xrdtrain.report.svg import Chart, number
from xrdtrain.report.symbols import printed_symbol

POINTS: Final = 700
"""Columns of the drawing; each shows the largest intensity of its points, so that no line is lost."""

CANDIDATES: Final = 4


@dataclass(frozen=True, slots=True)
class ShownCandidate:
    """A space group that the network offers."""

    number: int
    symbol: str
    probability: float
    right: bool


@dataclass(frozen=True, slots=True)
class Example:
    """A diffractogram and what the network says about it."""

    id: str
    group: int
    symbol: str
    size: float
    kind: str
    svg: Markup
    candidates: tuple[ShownCandidate, ...]


def choose(test: Evaluation) -> list[tuple[int, str]]:
    """Choose rows that show what the network can and cannot do, as (row, why), the same for the same predictions."""
    inside, correct, first = test.inside, test.correct, test.probability[:, 0]
    in_top5 = (test.top[:, :5] == test.labels[:, None]).any(axis=1)
    few = test.samples["volume"] > np.median(test.samples["volume"])
    chosen: list[tuple[int, str]] = []
    for mask, key, why in (
        (correct & few, first, "sure and right, large cell"),
        (correct, -first, "right, barely"),
        (correct & ~few, first, "sure and right, small cell"),
        (inside & ~correct & in_top5, first, "right only among five"),
        (inside & ~correct, first, "sure and wrong"),
        (inside & ~in_top5, -first, "lost"),
    ):
        rows = np.flatnonzero(mask)
        rows = rows[~np.isin(rows, [row for row, _ in chosen])]
        if rows.size:
            chosen.append((int(rows[np.argmax(key[rows])]), why))
    return chosen


def envelope(pattern: NDArray[np.float64], columns: int = POINTS) -> NDArray[np.float64]:
    """Return the largest of the points that fall on each of the columns, (columns,) or (P,) if there are fewer."""
    if len(pattern) <= columns:
        return pattern
    starts = np.linspace(0, len(pattern), columns + 1).astype(np.int64)[:-1]
    largest: NDArray[np.float64] = np.maximum.reduceat(pattern, starts)
    return largest


def shown_candidates(test: Evaluation, row: int) -> tuple[ShownCandidate, ...]:
    """Return the first candidates for one diffractogram."""
    pairs = zip(test.top[row, :CANDIDATES].tolist(), test.probability[row, :CANDIDATES].tolist(), strict=True)
    truth = int(test.labels[row])
    return tuple(ShownCandidate(group, printed_symbol(group), share, group == truth) for group, share in pairs)


def draw_pattern(pattern: NDArray[np.float64], grid: Grid, name: str) -> Markup:
    """Draw a diffractogram (P,) by the square roots of its intensities."""
    columns = envelope(np.sqrt(pattern))
    chart = Chart(
        (grid.two_theta_min, grid.two_theta_max),
        (0.0, 1.03),
        520,
        170,
        x_label="2θ / °",
        left=14,
        bottom=38,
        bare=True,
    )
    chart.line(np.linspace(grid.two_theta_min, grid.two_theta_max, len(columns)), columns, "pattern")
    return chart.svg(f"Diffractogram of {name}")


def examples(test: Evaluation, fixed_set: FixedSet, chosen: Sequence[tuple[int, str]]) -> list[Example]:
    """Draw chosen rows (row, why); the set must be the one that was evaluated, row by row."""
    patterns = fixed_set.take([row for row, _ in chosen]).astype(np.float64)
    ids = fixed_set.ids
    return [
        Example(
            id=ids[row],
            group=int(test.labels[row]),
            symbol=printed_symbol(int(test.labels[row])),
            size=float(test.samples["crystallite_size"][row]),
            kind=why,
            svg=draw_pattern(pattern, fixed_set.grid, ids[row]),
            candidates=shown_candidates(test, row),
        )
        for (row, why), pattern in zip(chosen, patterns, strict=True)
    ]


def skyline(pattern: NDArray[np.float64], width: float = 1080.0, height: float = 120.0) -> Markup:
    """Return a diffractogram (P,) as an ornament without axes."""
    columns = envelope(np.sqrt(pattern), 1080)
    step = width / max(1, len(columns) - 1)
    path = "L".join(f"{number(k * step)},{number(height - value * (height - 4))}" for k, value in enumerate(columns))
    return Markup(
        f'<svg class="skyline" viewBox="0 0 {width:g} {height:g}" preserveAspectRatio="none" aria-hidden="true">'
        f'<path d="M{path}"/></svg>'
    )

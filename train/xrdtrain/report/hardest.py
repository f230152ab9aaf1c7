"""The hardest crystals: those whose right group the network thinks least likely, real and synthetic side by side.

(Paper, figure 3 and the outlook.) Diffractograms of real ones come from their test set; those of a stream are gone when
they have been trained on. RUN/hardest.csv names both, `xrdgen cells` finds or draws them again, and what it writes,
RUN/cells.json, is drawn here: unit cells of both kinds, and diffractograms of the synthetic ones.
"""

# N evaluated diffractograms.

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from markupsafe import Markup
from xrdcommon.fixed_sets.fixed_set import FixedSet
from xrdcommon.identity import SampleIdentity
from xrdcommon.space_groups import crystal_system
from xrdcommon.unit_cells import UnitCell

from xrdtrain.report.cell_drawing import draw_cell
from xrdtrain.report.examples import ShownCandidate, draw_pattern, examples, shown_candidates
from xrdtrain.report.figure import Figure, Key
from xrdtrain.report.run_folder import Evaluation
from xrdtrain.report.svg import Chart, extent
from xrdtrain.report.symbols import printed_symbol

SHOWN: Final = 6
"""Crystals of each kind."""

LISTED: Final = 30
"""Rows of the table."""


@dataclass(frozen=True, slots=True)
class HardRow:
    """A crystal of the table.

    Attributes:
        name: of the structure, or identity of a synthetic sample.
        real: whether it is of the test set.
        group: true space group.
        symbol: of it.
        system: crystal system.
        loss: cross-entropy, nats.
        rank: place of the true group among the candidates; 0 where it is not among those kept.
        candidates: first ones.
        volume: Å^3.
        n_sites: in the asymmetric unit.
        size: of the crystallites, nm.
        lattice: a, b, c in Å, alpha, beta, gamma in degrees; NaN where not recorded.
        gradient_norm: of its loss, None where it was not measured.
        drawing: diffractogram, if it is drawn.
        cell: drawing of the unit cell, if it is known.

    """

    name: str
    real: bool
    group: int
    symbol: str
    system: str
    loss: float
    rank: int
    candidates: tuple[ShownCandidate, ...]
    volume: float
    n_sites: int
    size: float
    lattice: tuple[float, ...]
    gradient_norm: float | None
    drawing: Markup | None = None
    cell: Markup | None = None


def hardest(evaluation: Evaluation, n: int) -> list[int]:
    """Return the n rows with the largest loss, hardest first; those without one (no class) are left out."""
    if evaluation.loss is None:
        return []
    order = np.argsort(-np.nan_to_num(evaluation.loss, nan=-1.0), kind="stable")[:n]
    return [int(row) for row in order if np.isfinite(evaluation.loss[row])]


def hard_rows(
    evaluation: Evaluation,
    n: int,
    fixed_set: FixedSet | None = None,
    *,
    drawn: int = 0,
    cells: Mapping[str, UnitCell] | None = None,
) -> list[HardRow]:
    """Return the n hardest crystals of a set, the first `drawn` of them with what can be drawn of them.

    Args:
        evaluation: with losses.
        n: how many.
        fixed_set: that was evaluated, row by row; None: its diffractograms are not at hand.
        drawn: how many.
        cells: unit cells by name, with diffractograms of synthetic ones.

    """
    rows = hardest(evaluation, n)
    drawings: dict[int, Markup] = {}
    if fixed_set is not None:
        chosen = [(row, "") for row in rows[:drawn]]
        shown = [example.svg for example in examples(evaluation, fixed_set, chosen)]
        drawings = dict(zip(rows[:drawn], shown, strict=True))
    found = [_row(evaluation, row, drawings.get(row)) for row in rows]
    return [_with_cell(row, (cells or {}).get(row.name)) for row in found[:drawn]] + found[drawn:]


def _with_cell(row: HardRow, cell: UnitCell | None) -> HardRow:
    """Return a row with its unit cell drawn, and its diffractogram where there is one."""
    if cell is None:
        return row
    drawing = row.drawing
    if drawing is None and cell.grid is not None and cell.pattern is not None:
        drawing = draw_pattern(cell.pattern, cell.grid, row.name)
    return replace(row, drawing=drawing, cell=draw_cell(cell))


def hardest_csv(evaluations: Iterable[Evaluation], n: int) -> str:
    """Return the names of the n hardest crystals of each set, as `xrdgen cells` reads them."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["name", "set", "space_group", "loss"])
    for evaluation in evaluations:
        for row in hard_rows(evaluation, n):
            writer.writerow([row.name, evaluation.name, row.group, f"{row.loss:.4f}"])
    return text.getvalue()


def _row(evaluation: Evaluation, row: int, drawing: Markup | None) -> HardRow:
    """Return what is said of one crystal."""
    sample: Any = evaluation.samples[row]
    group = int(evaluation.labels[row])
    places = np.flatnonzero(evaluation.top[row] == group)
    norm, loss = evaluation.gradient_norm, evaluation.loss
    identity = SampleIdentity(*(int(sample[name]) for name in ("run", "producer", "shard", "index")))
    return HardRow(
        name=str(identity) if evaluation.ids is None else evaluation.ids[row],
        real=evaluation.ids is not None,
        group=group,
        symbol=printed_symbol(group),
        system=crystal_system(group),
        loss=float("nan") if loss is None else float(loss[row]),
        rank=int(places[0]) + 1 if places.size else 0,
        candidates=shown_candidates(evaluation, row),
        volume=float(sample["volume"]),
        n_sites=int(sample["n_sites"]),
        size=float(sample["crystallite_size"]),
        lattice=tuple(float(value) for value in sample["lattice"]),
        gradient_norm=None if norm is None else float(norm[row]),
        drawing=drawing,
    )


def loss_figure(test: Evaluation, synthetic: Evaluation | None) -> Figure | None:
    """Draw which share of the diffractograms has at least a given loss; None where losses were not kept."""
    sets = [(Key("test-0", test.name), test)]
    if synthetic is not None:
        sets.insert(0, (Key("synthetic", synthetic.name), synthetic))
    curves = []
    for key, item in sets:
        if item.loss is not None and np.isfinite(item.loss).any():
            loss = np.sort(item.loss[np.isfinite(item.loss)])[::-1]
            places = np.unique(np.geomspace(1, len(loss), 200).astype(np.int64))
            curves.append((key, np.maximum(loss[places - 1], 1e-4), places / len(loss)))
    if not curves:
        return None
    chart = Chart(
        extent([loss for _, loss, _ in curves], log=True),
        (0.0, 1.02),
        height=320,
        x_label="loss, nats",
        y_label="share with at least this loss",
        x_log=True,
        x_format="short",
        y_format="percent",
    )
    for key, loss, share in curves:
        chart.line(loss, share, key.style)
    return Figure(
        "loss-distribution",
        "Loss of single diffractograms",
        "Cross-entropy of every diffractogram whose space group is a class: 0.69 where the right group got a "
        "probability of a half, 4.6 where it got one in a hundred. Losses below 0.0001 are drawn there.",
        chart.svg("Distribution of the loss"),
        tuple(key for key, _, _ in curves),
    )

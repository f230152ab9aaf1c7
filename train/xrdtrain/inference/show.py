"""Predictions as people read them: a table, rows of CSV, a figure."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from xrdcommon.errors import InputError

from xrdtrain.inference.predict import Prediction

PLOT_SUFFIXES = (".png", ".svg", ".pdf")
MOST_PANELS = 20


def table(prediction: Prediction, top: int) -> list[str]:
    """Return the lines printed for one pattern."""
    lines = [prediction.name]
    if prediction.radiation is not None:
        lines[0] += f"   {prediction.radiation}, {prediction.radiation.source}"
    lines += [f"  {remark}" for remark in prediction.remarks]
    if prediction.doubts:
        lines.append(f"  unlike anything trained on: {'; '.join(prediction.doubts)}. Do not trust what follows.")
    lines.append(f"  {'':>2}  {'group':<9} {'symbol':<20} {'system':<13} {'extinction':<12} probability")
    for rank, candidate in enumerate(prediction.candidates[:top], 1):
        lines.append(
            f"  {rank:>2}  {candidate.label:<9} {candidate.symbol:<20} {candidate.crystal_system:<13} "
            f"{candidate.extinction_symbol:<12} {candidate.probability:>11.1%}"
        )
    return lines


def csv_text(predictions: Sequence[Prediction], top: int) -> str:
    """Return one row a file: its first candidates, its wavelength, what is doubtful, or why there is no answer."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    ranks = range(1, top + 1)
    writer.writerow(
        ["file", "crystal_system", "extinction_symbol"]
        + [f"{name}_{rank}" for rank in ranks for name in ("space_group", "symbol", "probability")]
        + ["wavelength", "wavelength_from", "doubts", "remarks", "error"]
    )
    for item in predictions:
        first = item.candidates[0] if item.candidates else None
        row: list[Any] = [item.name, *(("", "") if first is None else (first.crystal_system, first.extinction_symbol))]
        for rank in ranks:
            if rank <= len(item.candidates):
                candidate = item.candidates[rank - 1]
                row += [candidate.label, candidate.symbol, f"{candidate.probability:.6f}"]
            else:
                row += ["", "", ""]
        said = item.radiation
        row += ["", ""] if said is None else [f"{said.wavelength:.6g}", said.source]
        row += ["; ".join(item.doubts), "; ".join(item.remarks)]
        row.append("" if item.error is None else " ".join(str(item.error).split()))
        writer.writerow(row)
    return stream.getvalue()


def check_plot(path: Path) -> None:
    """Refuse, before the work, a figure that cannot be drawn.

    Raises:
        InputError: a suffix that cannot be drawn.

    """
    if path.suffix.lower() not in PLOT_SUFFIXES:
        raise InputError(f"{path}: cannot draw '{path.suffix}'; give one of {', '.join(PLOT_SUFFIXES)}")


def draw(predictions: Sequence[Prediction], path: Path, top: int) -> None:
    """Draw each pattern as measured, what the network saw of it, and its candidates.

    Raises:
        InputError: a suffix that cannot be drawn, or too many patterns.

    """
    check_plot(path)
    shown = [item for item in predictions if item.prepared is not None]
    if not shown:
        raise InputError(f"{path}: nothing to draw, no pattern was answered")
    if len(shown) > MOST_PANELS:
        raise InputError(f"--plot: {len(shown)} patterns; at most {MOST_PANELS} fit into one figure")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 4.4 * len(shown)), layout="constrained")
    boxes: Any = figure.subfigures(len(shown), 1, squeeze=False)
    for box, item in zip(boxes[:, 0], shown, strict=True):
        _panel(box, item, top)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)


def _panel(figure: Any, item: Prediction, top: int) -> None:
    """Draw one pattern: measured above, the network's input below, candidates beside them."""
    measured, prepared = item.measured, item.prepared
    if measured is None or prepared is None:
        return
    grid = figure.add_gridspec(2, 2, width_ratios=(3, 1))
    above, below, bars = (figure.add_subplot(grid[place]) for place in ((0, 0), (1, 0), (slice(None), 1)))
    angular = len(measured.two_theta) > 0
    x = measured.two_theta if angular else 4.0 * np.pi * measured.s
    above.plot(x, measured.intensity, linewidth=0.6, color="#1f4e79", label="measured")
    radiation = "" if item.radiation is None else f", {item.radiation}"
    above.set(
        xlabel=f"2θ / °{radiation}" if angular else "Q / Å$^{-1}$", ylabel="intensity", title=Path(item.name).name
    )
    if prepared.background is not None and len(prepared.background) == len(x):
        above.plot(x, prepared.background, linewidth=0.8, color="#c55a11", label="background")
        above.legend(loc="upper right", frameon=False)
    axis = prepared.axis
    below.plot(axis, prepared.values, linewidth=0.6, color="#1f4e79")
    below.fill_between(axis, 0, 1, where=~prepared.mask, color="0.85", step="mid", linewidth=0)
    below.set(xlabel="2θ / ° on the network's axis", ylabel="what it saw", xlim=(axis[0], axis[-1]))
    best = item.candidates[:top][::-1]
    bars.barh([f"{c.label}  {c.symbol}" for c in best], [c.probability for c in best], color="#c55a11")
    bars.set(xlim=(0, 1), xlabel="probability")
    if item.doubts:
        bars.set_title("unlike anything trained on", color="#b00020", fontsize=9)

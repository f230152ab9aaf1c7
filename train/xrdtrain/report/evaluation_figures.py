"""Figures of an evaluation: top-k, recall, confusion, calibration, groups (paper, figures 1, S4, S7, S13)."""

# C classes, B bins.

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from xrdcommon.space_groups import CRYSTAL_SYSTEMS, crystal_system

from xrdtrain.report import analysis
from xrdtrain.report.figure import Figure, Key
from xrdtrain.report.run_folder import Evaluation
from xrdtrain.report.svg import Chart
from xrdtrain.report.symbols import group_name


def percent(value: float | None) -> str:
    """Return a fraction in percent with one decimal, a dash where there is none."""
    return "–" if value is None or not np.isfinite(value) else f"{100 * value:.1f}\N{NO-BREAK SPACE}%"


def top_k(tests: Sequence[Evaluation], synthetic: Evaluation | None) -> Figure:
    """Draw the accuracy when any of the first k candidates counts (paper, S4)."""
    curves = [] if synthetic is None else [(Key("synthetic", synthetic.name), analysis.top_k_curve(synthetic))]
    curves += [(Key(f"test-{place % 4}", test.name), analysis.top_k_curve(test)) for place, test in enumerate(tests)]
    longest = max(len(curve) for _, curve in curves)
    chart = Chart(
        (0.5, longest + 0.5), (0.0, 1.0), height=320, x_label="k", y_format="percent", x_ticks=integer_ticks(longest)
    )
    for key, curve in curves:
        places = np.arange(1, len(curve) + 1)
        chart.line(places, curve, key.style)
        chart.dots(places, curve, key.style, [f"top-{k}: {percent(v)}" for k, v in zip(places, curve, strict=True)])
    return Figure(
        "top-k",
        "One of the first k candidates is right",
        "Over the diffractograms whose space group is a class. A short list is often enough to start a refinement. "
        "(Paper, figure S4.)",
        chart.svg("Top-k accuracy"),
        tuple(key for key, _ in curves),
    )


def integer_ticks(longest: int) -> list[int]:
    """Return about ten whole numbers to label."""
    step = max(1, round(longest / 10))
    return sorted({1, *range(step, longest + 1, step)})


def recall(test: Evaluation, synthetic: Evaluation | None) -> Figure:
    """Draw recall of every group sorted by number of samples, real beside synthetic (paper, S7)."""
    real = analysis.recall_by_group(test)
    groups = sorted(test.classes.tolist(), key=lambda group: (real.counts[group], group))
    places = np.arange(len(groups), dtype=np.float64)
    chart = Chart((-1.0, len(groups)), (0.0, 1.0), 1080, 330, y_format="percent", x_ticks=[], bottom=12)
    sets = [(Key("test-0", test.name), real)]
    if synthetic is not None:
        sets.insert(0, (Key("synthetic", synthetic.name), analysis.recall_by_group(synthetic)))
    for key, item in sets:
        values, counts = item.recall[groups], item.counts[groups]
        titles = [
            f"{group_name(group)}: {percent(value)} of {count} ({key.text})"
            for group, value, count in zip(groups, values, counts, strict=True)
        ]
        chart.line(places, analysis.trend(values, np.sqrt(counts), max(1.5, len(groups) / 18)), f"{key.style} trend")
        chart.dots(places, values, f"{key.style} soft", titles, 2.6)
    counts = real.counts[groups].astype(np.float64)
    below = Chart(
        (-1.0, len(groups)),
        (0.7, max(10.0, counts.max() * 1.3)),
        1080,
        150,
        x_label=f"{len(groups)} space groups, sorted by number of diffractograms in {test.name}",
        y_label="samples",
        y_log=True,
        y_format="short",
        x_ticks=[],
        bottom=28,
    )
    edges = np.arange(len(groups) + 1) - 0.5
    titles = [f"{group_name(group)}: {count:.0f}" for group, count in zip(groups, counts, strict=True)]
    below.bars(edges, np.full(len(groups), 0.7), counts, "bar-plain", titles)
    return Figure(
        "recall",
        "Recall of every space group",
        "Share of each group's diffractograms whose first candidate is right; lines are smoothed trends. Groups "
        "without a real diffractogram are on the left. Hover for names. (Paper, figure S7.)",
        chart.svg("Recall by group") + below.svg("Samples by group"),
        tuple(key for key, _ in sets),
        wide=True,
    )


def confusion_matrix(test: Evaluation) -> Figure:
    """Draw the confusion matrix of all classes in blocks of crystal systems."""
    counts = analysis.confusion(test)
    classes = test.classes.tolist()
    n = len(classes)
    side, edge = 700.0, 94.0
    cell = side / n
    chart = Chart((0, 1), (0, 1), side + edge + 10, side + edge + 10, x_label="first candidate", y_label="times")
    systems = [crystal_system(group) for group in classes]
    for name in CRYSTAL_SYSTEMS:
        members = [place for place, system in enumerate(systems) if system == name]
        if not members:
            continue
        start, width = members[0] * cell, len(members) * cell
        chart.rect(edge + start, start, width, width, "block")
        middle = start + width / 2
        if width > 26:
            chart.text(edge - 6, middle + 4, name, "tick", "end")
            chart.text(edge + middle, side + 14, name, "tick", "end", turn=-35)
    chart.rect(edge, 0, side, side, "frame")
    totals = counts.sum(axis=1)
    for row, column in np.argwhere(counts > 0).tolist():
        share = counts[row, column] / totals[row]
        strength = min(9, int(share * 10))
        kind = "right" if row == column else "wrong"
        title = (
            f"{group_name(classes[row])} taken for {group_name(classes[column])}: "
            f"{counts[row, column]} of {totals[row]}"
        )
        chart.data.append(f"true {classes[row]},{classes[column]},{counts[row, column]}")
        size = max(cell, 2.0)
        chart.rect(edge + column * cell, row * cell, size, size, f"cell-{kind} o{strength}", title)
    return Figure(
        "confusion",
        "Confusion matrix",
        "Rows: true space group; columns: first candidate; both in order of number, framed by crystal system. "
        "Colour: share of the row. Hover for names and counts.",
        chart.drawing("Confusion matrix"),
        (Key("swatch-right", "right"), Key("swatch-wrong", "wrong")),
    )


def system_matrix(test: Evaluation) -> Figure:
    """Draw how crystal systems are confused."""
    counts = analysis.system_confusion(test)
    totals = counts.sum(axis=1)
    cell, edge = 58.0, 96.0
    chart = Chart((0, 1), (0, 1), edge + 7 * cell + 8, 7 * cell + 84, x_label="first candidate", y_label="times")
    for row, name in enumerate(CRYSTAL_SYSTEMS):
        chart.text(edge - 8, row * cell + cell / 2 + 4, name, "tick", "end")
        chart.text(edge + row * cell + cell / 2 + 8, 7 * cell + 14, name, "tick", "end", turn=-35)
        for column in range(7):
            share = counts[row, column] / totals[row] if totals[row] else 0.0
            kind = "right" if row == column else "wrong"
            chart.data.append(f"true {name},{CRYSTAL_SYSTEMS[column]},{counts[row, column]}")
            x, y = edge + column * cell, row * cell
            chart.rect(x, y, cell, cell, "frame")
            if counts[row, column]:
                chart.rect(x, y, cell, cell, f"cell-{kind} o{min(9, int(share * 10))}")
                chart.text(x + cell / 2, y + cell / 2 + 4, f"{100 * share:.0f}", "cell-text")
    return Figure(
        "system-matrix",
        "Crystal systems",
        "Percent of each row: true crystal system; columns: system of the first candidate.",
        chart.drawing("Confusion of crystal systems"),
    )


def calibration(test: Evaluation, result: dict[str, Any]) -> Figure:
    """Draw how often the first candidate is right against its probability.

    Args:
        test: the set.
        result: `calibration` of its measures.

    """
    chart = Chart(
        (0.0, 1.0),
        (0.0, 1.0),
        height=320,
        right=24,
        x_label="probability of the first candidate",
        y_label="fraction right",
        x_format="percent",
        y_format="percent",
    )
    bins = result["bins"]
    total = max(1, sum(item["n"] for item in bins))
    edges = [bins[0]["from"], *(item["to"] for item in bins)]
    titles = [f"{item['n']} diffractograms" for item in bins]
    chart.bars(edges, np.zeros(len(bins)), [item["n"] / total for item in bins], "bar-faint", titles)
    chart.line([0, 1], [0, 1], "zero")
    filled = [item for item in bins if item["n"]]
    confidence, right = [item["confidence"] for item in filled], [item["accuracy"] for item in filled]
    titles = [
        f"{percent(item['confidence'])} sure, right in {percent(item['accuracy'])} of {item['n']}" for item in filled
    ]
    chart.line(confidence, right, "test-0")
    chart.dots(confidence, right, "test-0", titles)
    return Figure(
        "calibration",
        "Does it know what it knows?",
        "On the diagonal a probability can be taken at its word; below it the network is too sure. Mean distance "
        f"{percent(result['ece'])} (expected calibration error, {test.name}, groups that are classes).",
        chart.svg("Calibration"),
        (Key("test-0", test.name), Key("swatch-faint", "share of diffractograms")),
    )


def distribution(test: Evaluation) -> Figure:
    """Draw how many diffractograms each group has, most frequent last (paper, figures 1 and S13)."""
    counts = analysis.group_counts(test.labels)
    present = np.flatnonzero(counts)
    groups = present[np.lexsort((present, counts[present]))]
    values = counts[groups].astype(np.float64)
    n, most = len(groups), float(values.max())
    edges = np.arange(n + 1) - 0.5
    titles = [
        f"{group_name(int(group))}: {value:.0f}{'' if group in test.classes else ', not a class'}"
        for group, value in zip(groups, values, strict=True)
    ]
    chart = Chart(
        (-1.0, n + 0.5),
        (0.7, max(10.0, most * 1.3)),
        1080,
        300,
        x_label=f"the {n} space groups of {test.name}, sorted by count",
        y_label="diffractograms",
        y_log=True,
        y_format="short",
        x_ticks=[],
        right=52,
        bottom=28,
    )
    known = np.isin(groups, test.classes)
    for mask, style in ((known, "bar-plain"), (~known, "bar-hatched")):
        chart.bars(edges, np.full(n, 0.7), np.where(mask, values, np.nan), style, titles)
    linear = Chart((-1.0, n + 0.5), (0.0, most * 1.3), 1080, 300, right=52, bottom=28)
    linear.line(np.arange(n), values, "linear")
    chart.parts += linear.parts
    for value in linear.y.ticks(5):
        chart.text(1080 - 46, linear.y(value) + 4, f"{value:g}", "tick linear-text", "start")
    outside = int(values[~known].sum())
    return Figure(
        "distribution",
        "How many diffractograms each group has",
        f"Bars: logarithmic scale (left); line: linear scale (right). Hatched: {int((~known).sum())} groups with too "
        f"few structures in the statistics to be a class; their {outside} diffractograms count as wrong in "
        "“top-1 of all”. (Paper, figures 1 and S13.)",
        chart.svg("Distribution of space groups"),
        (Key("swatch-plain", "count, log"), Key("linear", "count, linear"), Key("swatch-hatched", "not a class")),
        wide=True,
    )

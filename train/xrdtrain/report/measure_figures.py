"""Figures of what one number hides: structure families, absences and what they leave open, the way of an error."""

from __future__ import annotations

from typing import Any

import numpy as np
from xrdcommon.space_groups import CRYSTAL_SYSTEMS

from xrdtrain.report import analysis
from xrdtrain.report.descriptor_figures import wilson
from xrdtrain.report.evaluation_figures import integer_ticks, percent
from xrdtrain.report.figure import Figure, Key
from xrdtrain.report.run_folder import Evaluation
from xrdtrain.report.svg import Chart, extent
from xrdtrain.report.symbols import group_name


def _curves(curves: list[tuple[Key, list[float]]]) -> Chart:
    """Draw shares against k."""
    longest = len(curves[0][1])
    chart = Chart(
        (0.5, longest + 0.5), (0.0, 1.0), height=320, x_label="k", y_format="percent", x_ticks=integer_ticks(longest)
    )
    places = np.arange(1, longest + 1)
    for key, values in curves:
        chart.line(places, values, key.style)
        titles = [f"{key.text}, k = {k}: {percent(value)}" for k, value in zip(places, values, strict=True)]
        chart.dots(places, values, key.style, titles)
    return chart


def families(name: str, measures: dict[str, Any]) -> Figure | None:
    """Draw top-k with one vote a structure beside one vote a family; None where families are not known."""
    found = measures["families"]
    if found is None:
        return None
    curves = [
        (Key("test-0", "every structure counts once"), measures["top_k"]),
        (Key("test-2 dashed", f"each of {found['n']:,} families counts once"), found["top_k"]),
    ]
    largest = found["largest"][0]
    unknown = f" {found['n_unknown']} diffractograms without a family are left out." if found["n_unknown"] else ""
    return Figure(
        "families",
        "Structures and structure families",
        f"Right among the first k candidates, {name}. A family is a Wyckoff configuration: space group and Wyckoff "
        f"letters. The largest here has {largest['n']:,} of {found['n_patterns']:,} diffractograms, of which "
        f"{percent(largest['top1'])} are right. Top-1 over families: {percent(found['top1'])}.{unknown}",
        _curves(curves).svg("Top-k accuracy per structure and per family"),
        tuple(key for key, _ in curves),
    )


def extinction(name: str, measures: dict[str, Any]) -> Figure:
    """Draw how often absences are read rightly, and how often the right group is told from those that share them."""
    found = measures["extinction"]
    curves = [
        (Key("test-0", "space group"), measures["top_k"]),
        (Key("test-1", "extinction group"), found["top_k"]),
        (Key("test-2 dashed", "space group within the right extinction group"), found["within_top_k"]),
    ]
    return Figure(
        "extinction",
        "Absences, and what they leave open",
        f"Right among the first k candidates, {name}; the dashed curve counts, where the first candidate has the right "
        "extinction group, only candidates of that group. Where it holds several classes, "
        f"{percent(found['within_shared'])} of {found['n_right_shared']:,} first candidates are right; naming the most "
        f"frequent one would be in {percent(found['within_shared_by_frequency'])}.",
        _curves(curves).svg("Top-k accuracy of space groups and extinction groups"),
        tuple(key for key, _ in curves),
    )


def subgroup_distance(name: str, measures: dict[str, Any], other: tuple[str, dict[str, Any]] | None) -> Figure:
    """Draw how many steps of maximal subgroups the answers are from the truth."""
    sets = [(Key("swatch-right", name), measures["subgroup_distance"])]
    if other is not None:
        sets.append((Key("synthetic", other[0]), other[1]["subgroup_distance"]))
    longest = max(len(found["histogram"]) for _, found in sets)
    shares = []
    for _, found in sets:
        counts = np.zeros(longest)
        counts[: len(found["histogram"])] = found["histogram"]
        shares.append(counts / max(1.0, counts.sum()))
    chart = Chart(
        (-0.6, longest - 0.4),
        (0.0, max(0.05, min(1.0, 1.08 * max(float(values.max()) for values in shares)))),
        height=320,
        x_label="steps from the truth",
        y_label="share of answers",
        y_format="percent",
        x_ticks=list(range(longest)),
    )
    counts = measures["subgroup_distance"]["histogram"]
    titles = [f"{step} steps: {n}" for step, n in enumerate([*counts, *[0] * (longest - len(counts))])]
    chart.bars(np.arange(longest + 1) - 0.5, np.zeros(longest), shares[0], "bar-right", titles)
    if other is not None:
        chart.line(np.arange(longest), shares[1], "synthetic")
        chart.dots(np.arange(longest), shares[1], "synthetic")
    found = measures["subgroup_distance"]
    mean = (
        ""
        if found["mean_of_errors"] != found["mean_of_errors"]
        else (
            f" Errors are {found['mean_of_errors']:.2f} steps away on average, wrong answers at random would be "
            f"{found['mean_of_random_errors']:.2f}. Of those one step away, {found['to_supergroup']} have symmetry too "
            f"much (a translationengleiche supergroup), {found['to_subgroup']} lack some, {found['klassengleich']} "
            f"have another lattice of translations, {found['mirror_images']} are mirror images."
        )
    )
    return Figure(
        "subgroup-distance",
        "How far errors are from the truth",
        "Fewest steps between the two types in the graph of maximal subgroups (International Tables A1); 0 is "
        f"right.{mean}",
        chart.svg("Subgroup distance of the answers"),
        tuple(key for key, _ in sets),
    )


def system_accuracy(test: Evaluation, synthetic: Evaluation | None) -> Figure:
    """Draw top-1 in every crystal system."""
    n = len(CRYSTAL_SYSTEMS)
    chart = Chart((-0.6, n - 0.4), (0.0, 1.0), height=320, y_format="percent", x_ticks=[], bottom=62)
    counts, right = analysis.system_recall(test)
    titles = [
        f"{system}: {percent(share)} of {count} ({test.name})"
        for system, share, count in zip(CRYSTAL_SYSTEMS, right, counts, strict=True)
    ]
    places = np.arange(n, dtype=np.float64)
    chart.bars(np.arange(n + 1) - 0.5, np.zeros(n), right, "bar-right", titles)
    low, high = wilson(np.rint(np.nan_to_num(right) * counts).astype(np.int64), counts)
    chart.whiskers(places, low, high, "plain")
    keys = [Key("swatch-right", f"{test.name}, with 68 % interval")]
    if synthetic is not None:
        others, shares = analysis.system_recall(synthetic)
        titles = [
            f"{system}: {percent(share)} of {count} ({synthetic.name})"
            for system, share, count in zip(CRYSTAL_SYSTEMS, shares, others, strict=True)
        ]
        chart.dots(places, shares, "synthetic", titles, 4.0)
        keys.append(Key("synthetic", synthetic.name))
    for place, system in enumerate(CRYSTAL_SYSTEMS):
        chart.text(chart.x(place) + 6, chart.height - 44, system, "tick", "end", turn=-30)
    return Figure(
        "accuracy-systems",
        "Accuracy by crystal system",
        "Top-1 over the diffractograms whose space group is a class; place 0 to 6 in the numbers: triclinic to cubic.",
        chart.svg("Top-1 by crystal system"),
        tuple(keys),
    )


def recall_by_frequency(test: Evaluation, synthetic: Evaluation | None) -> Figure:
    """Draw the recall of every space group against how often it occurs in what was trained on, else in the set."""
    recall = analysis.recall_by_group(test)
    common = recall.counts if synthetic is None else analysis.recall_by_group(synthetic).counts
    groups = np.array([group for group in test.classes if recall.counts[group] and common[group]], dtype=np.int64)
    share = common[groups] / max(1, common.sum())
    where = test.name if synthetic is None else synthetic.name
    chart = Chart(
        extent([share], log=True),
        (-0.03, 1.03),
        height=320,
        x_label=f"share of the group in {where}",
        y_label="recall",
        x_log=True,
        x_format="percent",
        y_format="percent",
    )
    titles = [
        f"{group_name(int(group))}: {percent(recall.recall[group])} of {recall.counts[group]}; "
        f"{percent(part)} of {where}"
        for group, part in zip(groups, share, strict=True)
    ]
    chart.dots(share, recall.recall[groups], "test-0 soft", titles, 3.0)
    order = np.argsort(share, kind="stable")
    weights = np.sqrt(recall.counts[groups][order])
    width = max(1.5, len(groups) / 12)
    chart.line(share[order], analysis.trend(recall.recall[groups][order], weights, width), "plain")
    return Figure(
        "recall-frequency",
        "Recall and frequency of a space group",
        f"Each dot is a space group of {test.name}; the line is a smoothed trend, groups weighted by the root of their "
        "number of diffractograms. A rising line: rare groups are learned less well.",
        chart.svg("Recall against frequency"),
        (Key("test-0", test.name), Key("plain", "trend")),
    )

"""Figures of the training itself: accuracy, loss, gap and speed against unique diffractograms (paper, 5, S5, S6)."""

# E lines of the metrics file.

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from xrdtrain.report.figure import Figure, Key
from xrdtrain.report.svg import Chart, extent, short

MIN_FIT: Final = 10
"""Points below which no power law is fitted."""

AHEAD: Final = 10
"""A power law is carried on to so many times the diffractograms trained on."""

Array = NDArray[np.float64]


def column(metrics: list[dict[str, Any]], *keys: str) -> Array:
    """Return a value of every line (E,), NaN where it is not given."""
    result = np.full(len(metrics), np.nan)
    for place, row in enumerate(metrics):
        value: Any = row
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        if isinstance(value, int | float):
            result[place] = value
    return result


def test_names(metrics: list[dict[str, Any]]) -> list[str]:
    """Return the names of the test sets in the order of their first line."""
    return list(dict.fromkeys(name for row in metrics for name in row.get("tests") or {}))


def power_law(samples: Array, error: Array) -> tuple[float, float] | None:
    """Fit error = a samples^b to the second half of the points; None where they are too few.

    Returns:
        a, b.

    """
    known = np.isfinite(samples) & np.isfinite(error) & (samples > 0) & (error > 0)
    x, y = np.log(samples[known]), np.log(error[known])
    if len(x) < MIN_FIT or np.ptp(x[len(x) // 2 :]) < 0.1:
        return None
    slope, intercept = np.polyfit(x[len(x) // 2 :], y[len(y) // 2 :], 1)
    return float(np.exp(intercept)), float(slope)


@dataclass(frozen=True, slots=True)
class _Training:
    """A training as its metrics file tells it.

    Attributes:
        metrics: lines of the file.
        samples: (E,) trained on so far.
        fixed: trained on a fixed set, whose diffractograms repeat.

    """

    metrics: list[dict[str, Any]]
    samples: Array
    fixed: bool

    @property
    def x_label(self) -> str:
        """Name of the horizontal axis."""
        return "diffractograms trained on" if self.fixed else "unique synthetic diffractograms trained on"

    @property
    def own(self) -> str:
        """What the data trained on are called."""
        return "training set" if self.fixed else "fresh synthetic"

    @property
    def range(self) -> tuple[float, float]:
        """Horizontal limits from 0 to the last sample."""
        return 0.0, max(1.0, float(self.samples.max())) * 1.02


def _curves(t: _Training) -> list[tuple[Key, Array]]:
    """Return the accuracies of figure 5: synthetic, and top-1 and top-5 of every test set."""
    curves = [(Key("synthetic", f"top-1, {t.own}"), column(t.metrics, "top1"))]
    for place, name in enumerate(test_names(t.metrics)):
        style = f"test-{place % 4}"
        curves.append((Key(style, f"top-1, {name}"), column(t.metrics, "tests", name, "top1")))
        curves.append((Key(f"{style} dashed", f"top-5, {name}"), column(t.metrics, "tests", name, "top5")))
    return [(key, values) for key, values in curves if np.isfinite(values).any()]


def _plot(curves: list[tuple[Key, Array]], samples: Array, chart: Chart) -> tuple[Chart, tuple[Key, ...]]:
    """Draw curves over the samples."""
    for key, values in curves:
        chart.line(samples, values, key.style)
    return chart, tuple(key for key, _ in curves)


def training_figures(metrics: list[dict[str, Any]], *, fixed: bool = False) -> list[Figure]:
    """Return the figures that the lines of a metrics file allow.

    Args:
        metrics: at least one line.
        fixed: trained on a fixed set, whose diffractograms repeat.

    """
    t = _Training(metrics, column(metrics, "samples"), fixed)
    curves = _curves(t)
    figures: list[Figure | None] = []
    if curves:
        figures += [*_accuracy(t, curves), _error(t, curves)]
    figures += [draw(t) for draw in (_loss, _gap, _speed, _waiting, _backlog)]
    return [figure for figure in figures if figure is not None]


def _accuracy(t: _Training, curves: list[tuple[Key, Array]]) -> list[Figure]:
    """Draw accuracy with linear and with logarithmic axes."""
    values = [values for _, values in curves]
    note = (
        "The training set is seen again in every epoch, so its curve is one of memory as well."
        if t.fixed
        else "Synthetic diffractograms are predicted before they are trained on, so their curve cannot be overfitted."
    )
    top = min(1.0, max(0.1, float(np.nanmax(np.concatenate(values))) * 1.08))
    linear, legend = _plot(
        curves,
        t.samples,
        Chart(t.range, (0.0, top), x_label=t.x_label, x_format="short", y_format="percent"),
    )
    log, _ = _plot(
        curves,
        t.samples,
        Chart(
            extent([t.samples], log=True),
            extent(values, log=True),
            x_label=t.x_label,
            x_format="short",
            y_format="percent",
            x_log=True,
            y_log=True,
        ),
    )
    return [
        Figure(
            "accuracy",
            "Accuracy as training goes on",
            f"{note} Test sets never choose a checkpoint. (Paper, figure S6.)",
            linear.svg("Accuracy against diffractograms, linear axes"),
            legend,
        ),
        Figure(
            "accuracy-log",
            "The same with logarithmic axes",
            "A straight line is a power law. (Paper, figure 5.)",
            log.svg("Accuracy against diffractograms, logarithmic axes"),
            legend,
        ),
    ]


def _error(t: _Training, curves: list[tuple[Key, Array]]) -> Figure:
    """Draw 1 - accuracy on logarithmic axes, with the power law that the second half follows, carried on."""
    errors = [(key, 1.0 - values) for key, values in curves]
    last = float(t.samples.max())
    shown = np.append(t.samples[len(t.samples) // 2 :], np.geomspace(last, AHEAD * last, 20)[1:])
    laws = [(key, power_law(t.samples, values)) for key, values in errors if "dashed" not in key.style]
    fits = [(key, law[1], law[0] * shown ** law[1]) for key, law in laws if law is not None]
    chart, legend = _plot(
        errors,
        t.samples,
        Chart(
            extent([t.samples, *([shown] if fits else [])], log=True),
            extent([*(values for _, values in errors), *(np.minimum(fit, 1.0) for _, _, fit in fits)], log=True),
            x_label=t.x_label,
            y_label="1 − accuracy",
            x_format="short",
            y_format="percent",
            x_log=True,
            y_log=True,
        ),
    )
    notes = []
    for key, slope, fit in fits:
        chart.line(shown[shown <= last], fit[shown <= last], "fit")
        chart.line(shown[shown >= last], np.minimum(fit[shown >= last], 1.0), "fit dashed")
        if slope < -0.02:
            notes.append(
                f"{key.text} falls as n^{slope:.2f}, so halving it takes {short(2 ** (-1 / slope))} times as many, and "
                f"{100 * fit[-1]:.1f} % are left at {AHEAD} times as many"
            )
    law_text = f" Power law through the second half (thin line): {'; '.join(notes)}." if notes else ""
    if notes:
        law_text += " Dashed: carried on, which holds only as long as the law and the learning rate do."
    return Figure(
        "error",
        "What is left to learn",
        f"1 − accuracy, both axes logarithmic. (Paper, figure S5.){law_text}",
        chart.svg("Error against diffractograms, logarithmic axes"),
        legend,
    )


def _loss(t: _Training) -> Figure | None:
    """Draw the cross-entropy."""
    curves = [(Key("synthetic", t.own), column(t.metrics, "loss"))]
    for place, name in enumerate(test_names(t.metrics)):
        curves.append((Key(f"test-{place % 4}", name), column(t.metrics, "tests", name, "loss")))
    curves = [(key, values) for key, values in curves if np.isfinite(values).any()]
    if not curves:
        return None
    highest = max(float(np.nanmax(values)) for _, values in curves)
    chart, legend = _plot(
        curves,
        t.samples,
        Chart(
            extent([t.samples], log=True),
            (0.0, highest * 1.06),
            x_label=t.x_label,
            y_label="nats",
            x_format="short",
            x_log=True,
        ),
    )
    return Figure("loss", "Cross-entropy", "Over patterns whose group is a class.", chart.svg("Loss"), legend)


def _gap(t: _Training) -> Figure | None:
    """Draw synthetic minus test accuracy in percentage points."""
    synthetic = column(t.metrics, "top1")
    curves = []
    for place, name in enumerate(test_names(t.metrics)):
        gap = 100.0 * (synthetic - column(t.metrics, "tests", name, "top1"))
        if np.isfinite(gap).any():
            curves.append((Key(f"test-{place % 4}", f"{t.own} − {name}"), gap))
    if not curves:
        return None
    low, high = extent([values for _, values in curves])
    chart = Chart(
        t.range,
        (min(0.0, low), max(1.0, high)),
        x_label=t.x_label,
        y_label="percentage points",
        x_format="short",
    )
    chart.across(0.0, "zero")
    chart, legend = _plot(curves, t.samples, chart)
    return Figure(
        "gap",
        "Gap between training and test",
        "Top-1 on the training set minus top-1 on the test set: overfitting (31.1 points for the paper's parkCNN big)."
        if t.fixed
        else "Top-1 on fresh synthetic diffractograms minus top-1 on the test set: what the synthetic crystals do not "
        "share with real ones (12.3 points for the paper's ResNet-101).",
        chart.svg("Gap"),
        legend,
    )


def _speed(t: _Training) -> Figure | None:
    """Draw diffractograms trained on a second."""
    speed = column(t.metrics, "samples_per_second")
    if not np.isfinite(speed).any():
        return None
    chart = Chart(t.range, (0.0, float(np.nanmax(speed)) * 1.1), x_label=t.x_label, x_format="short", y_format="short")
    chart.line(t.samples, speed, "plain")
    return Figure("speed", "Diffractograms a second", "Trained on, over each epoch.", chart.svg("Speed"))


def _waiting(t: _Training) -> Figure | None:
    """Draw the fraction of time spent waiting for data."""
    waiting = column(t.metrics, "wait_fraction")
    if not np.isfinite(waiting).any():
        return None
    high = min(1.0, max(0.05, float(np.nanmax(waiting)) * 1.15))
    chart = Chart(t.range, (0.0, high), x_label=t.x_label, x_format="short", y_format="percent")
    chart.line(t.samples, waiting, "plain")
    return Figure(
        "waiting",
        "Time spent waiting for data",
        "Share of each epoch in which the network stood idle for want of data. Near 0: training is the bottleneck; "
        "high: more producers would help.",
        chart.svg("Waiting fraction"),
    )


def _backlog(t: _Training) -> Figure | None:
    """Draw how many diffractograms wait in the spool."""
    backlog = column(t.metrics, "backlog_samples")
    if not np.isfinite(backlog).any():
        return None
    high = max(1.0, float(np.nanmax(backlog)) * 1.1)
    chart = Chart(t.range, (0.0, high), x_label=t.x_label, x_format="short", y_format="short")
    chart.line(t.samples, backlog, "plain")
    return Figure(
        "backlog",
        "Diffractograms ready in the spool",
        "Produced and not yet trained on, at the end of each epoch; production pauses when the spool is full.",
        chart.svg("Backlog of the spool"),
    )

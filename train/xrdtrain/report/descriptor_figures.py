"""Figures over descriptors of the crystals: synthetic against real, right and wrong (paper, figures 4 and 6)."""

# B bins.

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from xrdtrain.report.analysis import Histogram, histogram
from xrdtrain.report.figure import Figure, Key
from xrdtrain.report.run_folder import Evaluation
from xrdtrain.report.svg import Chart, Scale

MIN_PER_BIN: Final = 5
"""Diffractograms below which a bin's error rate is not drawn."""

BINS: Final = 28


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A number that describes a crystal or its diffractogram.

    Attributes:
        field: of `SAMPLE_DTYPE`.
        title: for people.
        axis: with unit.
        whole: takes whole numbers only.
        central: the axis shows all but half a percent at both ends; else all.

    """

    field: str
    title: str
    axis: str
    whole: bool = False
    central: bool = True


DESCRIPTORS: Final = (
    Descriptor("density_factor", "Density factor", "V / V_atomic"),
    Descriptor("crystallite_size", "Crystallite size", "nm", central=False),
    Descriptor("volume", "Volume of the cell", "Å³, conventional cell"),
    Descriptor("n_sites", "Sites in the asymmetric unit", "number of sites", whole=True),
)


def edges_of(descriptor: Descriptor, sets: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return bin edges (B + 1,) that hold 99 % of every set, or all of it."""
    known = [values[np.isfinite(values)] for values in sets]
    known = [values for values in known if values.size]
    if not known:
        return np.linspace(0.0, 1.0, 3)
    share = 0.005 if descriptor.central else 0.0
    high = max(float(np.quantile(values, 1.0 - share)) for values in known)
    low = min(float(np.quantile(values, share)) for values in known)
    if descriptor.whole:
        step = max(1, int(np.ceil(high / BINS)))
        edges: NDArray[np.float64] = np.arange(0.5, high + step + 0.5, step)
        return edges
    return np.linspace(low, max(high, low * 1.001, low + 1e-6), BINS + 1)


def wilson(wrong: NDArray[np.int64], total: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the 68 % interval (Wilson, 1927) of a rate wrong / total, element by element; NaN where total is 0."""
    n = np.where(total > 0, total, np.nan).astype(np.float64)
    rate = wrong / n
    centre = (rate + 0.5 / n) / (1.0 + 1.0 / n)
    half = np.sqrt(rate * (1.0 - rate) / n + 0.25 / n**2) / (1.0 + 1.0 / n)
    return centre - half, centre + half


def _ticks(descriptor: Descriptor, limits: tuple[float, float]) -> list[float]:
    """Return what to label on the axis of a descriptor."""
    ticks = Scale(*limits, 0.0, 1.0).ticks(6)
    return [value for value in ticks if value.is_integer()] if descriptor.whole else ticks


def _values(evaluation: Evaluation, field: str) -> NDArray[np.float64]:
    """Return a descriptor of the diffractograms whose group is a class."""
    result: NDArray[np.float64] = evaluation.samples[field][evaluation.inside].astype(np.float64)
    return result


def descriptor_figures(test: Evaluation, synthetic: Evaluation | None) -> tuple[list[Figure], list[Figure]]:
    """Return the distributions (paper, figure 4) and the error rates (paper, figure 6)."""
    distributions, errors = [], []
    for descriptor in DESCRIPTORS:
        values = [_values(item, descriptor.field) for item in (test, synthetic) if item is not None]
        edges = edges_of(descriptor, values)
        real = histogram(values[0], test.correct[test.inside], edges)
        other = None
        if synthetic is not None:
            other = histogram(values[1], synthetic.correct[synthetic.inside], edges)
        beyond = [int(((item < edges[0]) | (item > edges[-1])).sum()) for item in values]
        unknown = int((~np.isfinite(values[0])).sum())
        distributions.append(_distribution(descriptor, real, other, beyond, unknown))
        names = (test.name, "" if synthetic is None else synthetic.name)
        errors.append(_error_rate(descriptor, real, other, names))
    return distributions, errors


def _distribution(
    descriptor: Descriptor, real: Histogram, synthetic: Histogram | None, beyond: list[int], unknown: int
) -> Figure:
    """Draw stacked bars (real) and lines (synthetic)."""
    right, wrong = real.density()
    highest = float((right + wrong).max())
    if synthetic is not None:
        other_right, other_wrong = synthetic.density()
        highest = max(highest, float((other_right + other_wrong).max()))
    limits = (float(real.edges[0]), float(real.edges[-1]))
    chart = Chart(
        limits,
        (0.0, max(highest, 1e-9) * 1.06),
        x_label=descriptor.axis,
        y_label="density",
        height=280,
        x_ticks=_ticks(descriptor, limits),
    )
    titles = [
        f"{low:.4g} to {high:.4g}: {int(good)} right, {int(bad)} wrong"
        for low, high, good, bad in zip(real.edges, real.edges[1:], real.right, real.wrong, strict=False)
    ]
    chart.bars(real.edges, np.zeros(len(wrong)), wrong, "bar-wrong", titles)
    chart.bars(real.edges, wrong, wrong + right, "bar-right", titles)
    if synthetic is not None:
        chart.steps(real.edges, other_right + other_wrong, "synthetic")
        chart.steps(real.edges, other_wrong, "synthetic thin")
    notes = [f"{beyond[0]} real" if beyond[0] else "", f"{beyond[1]} synthetic" if beyond[1:] and beyond[1] else ""]
    note = f"Beyond the axis: {' and '.join(filter(None, notes))}." if any(notes) else ""
    if unknown:
        note += f" {unknown} real ones without a value (an element without a radius)."
    return Figure(f"histogram-{descriptor.field}", descriptor.title, note.strip(), chart.svg(descriptor.title))


def _error_rate(descriptor: Descriptor, real: Histogram, synthetic: Histogram | None, names: tuple[str, str]) -> Figure:
    """Draw the fraction wrong in every bin."""
    limits = (float(real.edges[0]), float(real.edges[-1]))
    chart = Chart(
        limits,
        (0.0, 1.0),
        x_label=descriptor.axis,
        y_label="error",
        height=240,
        y_format="percent",
        x_ticks=_ticks(descriptor, limits),
    )
    centres = (real.edges[1:] + real.edges[:-1]) / 2
    keys = []
    for item, key in ((synthetic, Key("synthetic", names[1])), (real, Key("test-0", names[0]))):
        if item is None:
            continue
        total = item.right + item.wrong
        rate = np.where(total >= MIN_PER_BIN, item.error_rate, np.nan)
        low, high = wilson(item.wrong, total)
        hidden = np.isnan(rate)
        chart.whiskers(centres, np.where(hidden, np.nan, low), np.where(hidden, np.nan, high), key.style)
        chart.line(centres, rate, f"{key.style} trend")
        titles = [f"{bad} of {count} wrong" for bad, count in zip(item.wrong, total, strict=True)]
        chart.dots(centres, rate, key.style, titles, 2.6)
        keys.append(key)
    return Figure(
        f"error-{descriptor.field}", descriptor.title, "", chart.svg(f"Error, {descriptor.title}"), tuple(keys)
    )

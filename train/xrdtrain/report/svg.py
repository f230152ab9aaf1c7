"""A small plotter that writes SVG for the page's style sheet: colours are classes, so that dark mode follows."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np
from markupsafe import Markup, escape
from numpy.typing import ArrayLike

Format = Literal["number", "percent", "short"]
FONT: Final = 12.0
"""Size of tick labels in user units; figures are shown at about one pixel a unit."""


def number(value: float) -> str:
    """Return a coordinate with two decimals at most."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def short(value: float) -> str:
    """Return a number as on an axis: 2.5k, 130M."""
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= limit * 0.9995:
            return f"{value / limit:.3g}{unit}"
    return f"{value:.3g}"


def label(value: float, style: Format) -> str:
    """Return a tick's label."""
    if style == "percent":
        return f"{100 * value:.3g} %"
    return short(value) if style == "short" else f"{value:.4g}"


@dataclass(frozen=True, slots=True)
class Scale:
    """Maps values low..high to user units start..stop, linearly or by the logarithm."""

    low: float
    high: float
    start: float
    stop: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """Return the coordinate of a value; what lies outside is put on the edge of the figure."""
        if self.log:
            low, high, value = math.log(self.low), math.log(self.high), math.log(max(value, self.low * 1e-3))
        else:
            low, high = self.low, self.high
        share = (value - low) / (high - low)
        return self.start + min(1.0, max(0.0, share)) * (self.stop - self.start)

    def ticks(self, about: int) -> list[float]:
        """Return round values to label."""
        return _log_ticks(self.low, self.high) if self.log else _linear_ticks(self.low, self.high, about)


def _linear_ticks(low: float, high: float, about: int) -> list[float]:
    """Return multiples of 1, 2, 2.5 or 5 times a power of ten."""
    raw = (high - low) / max(1, about)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1.0, 2.0, 2.5, 5.0, 10.0) if factor * power >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [float(f"{k * step:.12g}") for k in range(first, math.floor(high / step + 1e-9) + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    """Return powers of ten, with 2 and 5 (or more) between where few powers fit."""
    decades = math.log10(high / low)
    factors: tuple[int, ...] = (1,)
    if decades < 2.2:
        factors = (1, 2, 5) if decades >= 1.2 else (1, 2, 3, 5, 7) if decades >= 0.6 else tuple(range(1, 10))
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    values = [float(f"{factor * 10.0**power:.6g}") for power in powers for factor in factors]
    return [value for value in values if low * 0.9999 <= value <= high * 1.0001]


def extent(series: Iterable[ArrayLike], *, log: bool = False, margin: float = 0.04) -> tuple[float, float]:
    """Return limits that hold all finite (on a log axis: positive) values, with a margin."""
    parts = [np.asarray(values, dtype=np.float64).ravel() for values in series]
    values = np.concatenate(parts) if parts else np.empty(0)
    values = values[np.isfinite(values) & ((values > 0) | (not log))]
    if values.size == 0:
        return (1.0, 10.0) if log else (0.0, 1.0)
    low, high = float(values.min()), float(values.max())
    if log:
        grow = max((high / low) ** margin, 1.05)
        return low / grow, high * grow
    grow = (high - low) * margin or max(abs(high), 1.0) * 0.1
    return low - grow, high + grow


@dataclass(slots=True)
class Chart:
    """One pair of axes.

    Args:
        x_range, y_range: limits in data units.
        width, height: user units.
        x_label, y_label: what the axes show, with units.
        x_log, y_log: logarithmic axes.
        x_format, y_format: of the tick labels.
        x_ticks: values to label instead of round ones; an empty list for none.
        bare: no vertical axis.

    """

    x_range: tuple[float, float]
    y_range: tuple[float, float]
    width: float = 520.0
    height: float = 300.0
    x_label: str = ""
    y_label: str = ""
    x_log: bool = False
    y_log: bool = False
    x_format: Format = "number"
    y_format: Format = "number"
    x_ticks: Sequence[float] | None = None
    left: float = 62.0
    right: float = 14.0
    top: float = 10.0
    bottom: float = 42.0
    bare: bool = False
    parts: list[str] = field(default_factory=list)
    data: list[str] = field(default_factory=list)

    @property
    def x(self) -> Scale:
        """Horizontal scale."""
        return Scale(*self.x_range, self.left, self.width - self.right, self.x_log)

    @property
    def y(self) -> Scale:
        """Vertical scale."""
        return Scale(*self.y_range, self.height - self.bottom, self.top, self.y_log)

    def _keep(self, xs: ArrayLike, ys: ArrayLike, style: str) -> None:
        """Keep the numbers of a series, for those who want them as a table."""
        pairs = zip(np.asarray(xs, dtype=float).ravel(), np.asarray(ys, dtype=float).ravel(), strict=True)
        self.data += [f"{style},{x:.7g},{y:.7g}" for x, y in pairs if math.isfinite(x) and math.isfinite(y)]

    def _points(self, xs: ArrayLike, ys: ArrayLike) -> list[list[tuple[float, float]]]:
        """Return coordinates, broken where a value is missing."""
        runs: list[list[tuple[float, float]]] = [[]]
        for x, y in zip(np.asarray(xs, dtype=float), np.asarray(ys, dtype=float), strict=True):
            shown = math.isfinite(x) and math.isfinite(y) and (x > 0 or not self.x_log) and (y > 0 or not self.y_log)
            if shown:
                runs[-1].append((self.x(x), self.y(y)))
            elif runs[-1]:
                runs.append([])
        return [run for run in runs if run]

    def line(self, xs: ArrayLike, ys: ArrayLike, style: str) -> None:
        """Draw a line through points; a lone point becomes a dot."""
        self._keep(xs, ys, style)
        self._draw_line(xs, ys, style)

    def _draw_line(self, xs: ArrayLike, ys: ArrayLike, style: str) -> None:
        """Draw a line."""
        for run in self._points(xs, ys):
            if len(run) == 1:
                self.parts.append(
                    f'<circle class="dot {style}" cx="{number(run[0][0])}" cy="{number(run[0][1])}" r="3"/>'
                )
                continue
            path = "M" + "L".join(f"{number(x)},{number(y)}" for x, y in run)
            self.parts.append(f'<path class="line {style}" d="{path}"/>')

    def steps(self, edges: ArrayLike, values: ArrayLike, style: str) -> None:
        """Draw the outline of a histogram with edges (B + 1,) and values (B,)."""
        limits = np.asarray(edges, dtype=float)
        self._keep(0.5 * (limits[1:] + limits[:-1]), values, style)
        corners_x = np.repeat(limits, 2)[1:-1]
        self._draw_line(corners_x, np.repeat(np.asarray(values, dtype=float), 2), style)

    def bars(
        self, edges: ArrayLike, low: ArrayLike, high: ArrayLike, style: str, titles: Sequence[str] | None = None
    ) -> None:
        """Draw bars between edges (B + 1,) from low (B,) to high (B,)."""
        limits = np.asarray(edges, dtype=float)
        heights = np.asarray(high, dtype=float) - np.asarray(low, dtype=float)
        self._keep(0.5 * (limits[1:] + limits[:-1]), heights, style)
        lefts = [self.x(value) for value in np.asarray(edges, dtype=float)]
        for place, (bottom, top) in enumerate(
            zip(np.asarray(low, dtype=float), np.asarray(high, dtype=float), strict=True)
        ):
            if not (math.isfinite(top) and top > bottom):
                continue
            y_top, y_bottom = self.y(top), self.y(bottom)
            gap = 0.5 if lefts[place + 1] - lefts[place] > 3 else 0.0
            self.rect(
                lefts[place] + gap / 2,
                y_top,
                lefts[place + 1] - lefts[place] - gap,
                y_bottom - y_top,
                style,
                titles[place] if titles else "",
            )

    def rect(self, x: float, y: float, width: float, height: float, style: str, title: str = "") -> None:
        """Draw a rectangle in user units."""
        shape = (
            f'<rect class="{style}" x="{number(x)}" y="{number(y)}" width="{number(width)}" height="{number(height)}"'
        )
        self.parts.append(f"{shape}><title>{escape(title)}</title></rect>" if title else shape + "/>")

    def dots(
        self, xs: ArrayLike, ys: ArrayLike, style: str, titles: Sequence[str] | None = None, radius: float = 3.0
    ) -> None:
        """Draw points with tooltips; missing values are left out."""
        self._keep(xs, ys, style)
        for place, (x, y) in enumerate(zip(np.asarray(xs, dtype=float), np.asarray(ys, dtype=float), strict=True)):
            if math.isfinite(x) and math.isfinite(y):
                title = f"<title>{escape(titles[place])}</title>" if titles else ""
                self.parts.append(
                    f'<circle class="dot {style}" cx="{number(self.x(x))}" cy="{number(self.y(y))}" '
                    f'r="{number(radius)}">{title}</circle>'
                )

    def whiskers(self, xs: ArrayLike, low: ArrayLike, high: ArrayLike, style: str) -> None:
        """Draw vertical intervals."""
        for x, bottom, top in zip(*(np.asarray(values, dtype=float) for values in (xs, low, high)), strict=True):
            if math.isfinite(bottom) and math.isfinite(top):
                self._keep([x, x], [bottom, top], f"whisker {style}")
                self._draw_line([x, x], [bottom, top], f"whisker {style}")

    def across(self, y: float, style: str, text: str = "") -> None:
        """Draw a horizontal rule over the whole width, named at its right end."""
        height = self.y(y)
        self.parts.append(
            f'<line class="rule {style}" x1="{number(self.left)}" x2="{number(self.width - self.right)}" '
            f'y1="{number(height)}" y2="{number(height)}"/>'
        )
        if text:
            self.text(self.width - self.right - 4, height - 5, text, "note", "end")

    def text(self, x: float, y: float, text: str, style: str = "tick", anchor: str = "middle", turn: float = 0) -> None:
        """Write text at user units."""
        rotation = f' transform="rotate({number(turn)} {number(x)} {number(y)})"' if turn else ""
        self.parts.append(
            f'<text class="{style}" x="{number(x)}" y="{number(y)}" text-anchor="{anchor}"{rotation}>'
            f"{escape(text)}</text>"
        )

    def svg(self, title: str) -> Markup:
        """Return the figure with its axes; `title` is for those who cannot see it."""
        drawn, self.parts = self.parts, []
        self._axes()
        self.parts += drawn
        return self.drawing(title)

    def drawing(self, title: str) -> Markup:
        """Return the figure as drawn, without axes."""
        return Markup(  # every text was escaped where it was written
            f'<svg viewBox="0 0 {number(self.width)} {number(self.height)}" role="img" '
            f'aria-label="{escape(title)}">{self._table()}{"".join(self.parts)}</svg>'
        )

    def _table(self) -> str:
        """Return the numbers as a description, which browsers do not show: series, x, y."""
        if not self.data:
            return ""
        head = f"series,{self.x_label.replace(',', ';') or 'x'},{self.y_label.replace(',', ';') or 'y'}"
        return f'<desc class="data">{escape(chr(10).join([head, *self.data]))}</desc>'

    def _axes(self) -> None:
        """Draw grid lines, ticks and labels."""
        base, end = self.height - self.bottom, self.width - self.right
        for value in [] if self.bare else self.y.ticks(max(2, int((base - self.top) / 48))):
            y = number(self.y(value))
            self.parts.append(f'<line class="grid" x1="{number(self.left)}" x2="{number(end)}" y1="{y}" y2="{y}"/>')
            self.text(self.left - 7, self.y(value) + 4, label(value, self.y_format), anchor="end")
        ticks = self.x.ticks(max(2, int((end - self.left) / 80))) if self.x_ticks is None else self.x_ticks
        for value in ticks:
            x = self.x(value)
            self.parts.append(
                f'<line class="axis" x1="{number(x)}" x2="{number(x)}" y1="{number(base)}" y2="{number(base + 4)}"/>'
            )
            self.text(x, base + 17, label(value, self.x_format))
        self.parts.append(
            f'<line class="axis" x1="{number(self.left)}" x2="{number(end)}" y1="{number(base)}" y2="{number(base)}"/>'
        )
        if self.x_label:
            self.text((self.left + end) / 2, self.height - 6, self.x_label, "name")
        if self.y_label:
            self.text(13, (self.top + base) / 2, self.y_label, "name", turn=-90)

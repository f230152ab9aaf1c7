"""What a figure of the report consists of."""

from __future__ import annotations

import json
from dataclasses import dataclass

from markupsafe import Markup


@dataclass(frozen=True, slots=True)
class Key:
    """An entry of a legend: style classes of the swatch and its meaning."""

    style: str
    text: str


@dataclass(frozen=True, slots=True)
class Figure:
    """A drawing with what is said about it.

    Attributes:
        name: anchor in the page.
        title: short, what is shown.
        caption: how to read it; the figure of the paper it corresponds to.
        svg: the drawing.
        legend: keys.
        wide: takes the whole width of the page.

    """

    name: str
    title: str
    caption: str
    svg: Markup
    legend: tuple[Key, ...] = ()
    wide: bool = False

    @property
    def legend_json(self) -> str:
        """The keys as JSON, style to meaning, for the table of numbers."""
        return json.dumps({key.style: key.text for key in self.legend}, ensure_ascii=False)

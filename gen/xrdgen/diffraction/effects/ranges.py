"""The law by which one parameter of a pattern is drawn.

    law             numbers                     value (u uniform in [0, 1), n standard normal)
    fixed           value                       value
    uniform         low, high                   low + (high - low) u
    log-uniform     low, high                   low (high / low)^u
    normal          mean, sd                    mean + sd n
    log-normal      median, sd                  median exp(sd n)
    exponential     mean                        -mean ln(1 - u)

Values of the last three laws outside [low, high], where these are given, are drawn again. `share` is the share of the
patterns that have the effect; the others keep its neutral value.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from xrdcommon.errors import InputError

FIXED, UNIFORM, LOG_UNIFORM, NORMAL, LOG_NORMAL, EXPONENTIAL = range(6)

LAWS: Mapping[str, tuple[int, tuple[str, ...]]] = {
    "fixed": (FIXED, ("value",)),
    "uniform": (UNIFORM, ("low", "high")),
    "log-uniform": (LOG_UNIFORM, ("low", "high")),
    "normal": (NORMAL, ("mean", "sd")),
    "log-normal": (LOG_NORMAL, ("median", "sd")),
    "exponential": (EXPONENTIAL, ("mean",)),
}
"""Number of each law in the kernels, and the names of its one or two numbers."""

RANGE_COLUMNS = 6
"""Law, first and second number, low, high, share."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the known name that is most like a mistaken one, for messages."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.0)
    return close[0] if close else names[0]


@dataclass(frozen=True, slots=True)
class Range:
    """How one parameter is drawn (see the module).

    Attributes:
        law: one of `LAWS`.
        first: its first number.
        second: its second number, 0 where it has one.
        low: smallest value.
        high: largest value.
        share: of the patterns, 0 to 1.

    Raises:
        InputError: an unknown law, numbers that make no distribution, limits that leave nothing.

    """

    law: str
    first: float
    second: float = 0.0
    low: float = -math.inf
    high: float = math.inf
    share: float = 1.0

    def __post_init__(self) -> None:
        if self.law not in LAWS:
            raise InputError(f"law '{self.law}': did you mean '{nearest(self.law, LAWS)}'? One of {', '.join(LAWS)}")
        if not (math.isfinite(self.first) and math.isfinite(self.second)):
            raise InputError(f"{self}: numbers must be finite")
        if not 0.0 <= self.share <= 1.0:
            raise InputError(f"{self}: share must be 0 to 1")
        if self.law in ("uniform", "log-uniform") and self.first > self.second:
            raise InputError(f"{self}: low must not be above high")
        if self.law in ("log-uniform", "log-normal", "exponential") and self.first <= 0.0:
            raise InputError(f"{self}: {LAWS[self.law][1][0]} must be positive")
        if self.law in ("normal", "log-normal") and self.second < 0.0:
            raise InputError(f"{self}: sd must not be negative")
        centre = 0.0 if self.law == "exponential" else self.first
        if not self.low < self.high or (self.has_limits and not self.low <= centre <= self.high):
            raise InputError(f"{self}: low to high must hold {centre:g}, around which the law draws")

    def __str__(self) -> str:
        """Give the range as it is written in a file."""
        return "{ " + ", ".join(f"{name} = {value!r}" for name, value in self.to_dict().items()) + " }"

    @property
    def has_limits(self) -> bool:
        """Whether the law takes low and high as limits beside its own numbers."""
        return self.law in ("normal", "log-normal", "exponential")

    @property
    def off(self) -> bool:
        """Whether the value is the neutral one in every pattern."""
        return self.share == 0.0

    def bounds(self) -> tuple[float, float]:
        """Return the smallest and largest value that can be drawn where the effect is there."""
        if self.law == "fixed":
            return self.first, self.first
        if not self.has_limits:
            return self.first, self.second
        floor = -math.inf if self.law == "normal" else 0.0
        return max(self.low, floor), self.high

    def row(self) -> tuple[float, float, float, float, float, float]:
        """Return the numbers of the kernels' table (`RANGE_COLUMNS`)."""
        return float(LAWS[self.law][0]), self.first, self.second, self.low, self.high, self.share

    def to_dict(self) -> dict[str, Any]:
        """Return law and numbers by name; what is not limited is left out."""
        names = LAWS[self.law][1]
        values: dict[str, Any] = {"law": self.law}
        values.update(zip(names, (self.first, self.second), strict=False))
        if self.has_limits:
            values.update((name, getattr(self, name)) for name in ("low", "high") if math.isfinite(getattr(self, name)))
        if self.share != 1.0:
            values["share"] = self.share
        return values

    @classmethod
    def from_value(cls, value: object, where: str) -> Range:
        """Read a range: a number is a fixed value, a table has a law and its numbers.

        Args:
            value: what a TOML or JSON file has.
            where: named in messages.

        Raises:
            InputError: neither, or names and numbers that are none.

        """
        if isinstance(value, int | float) and not isinstance(value, bool):
            return cls("fixed", float(value))
        if not isinstance(value, Mapping):
            raise InputError(f'{where}: {value!r} is not a range; write a number or {{ law = "uniform", low, high }}')
        law = str(value.get("law", "fixed"))
        if law not in LAWS:
            raise InputError(f"{where}: law '{law}': did you mean '{nearest(law, LAWS)}'? One of {', '.join(LAWS)}")
        wanted = LAWS[law][1]
        limits = () if law in ("fixed", "uniform", "log-uniform") else ("low", "high")
        allowed = {"law", "share", *wanted, *limits}
        for name, number in value.items():
            if name not in allowed:
                raise InputError(f"{where}: {law} has no '{name}'; did you mean '{nearest(str(name), allowed)}'?")
            if name != "law" and (isinstance(number, bool) or not isinstance(number, int | float)):
                raise InputError(f"{where}: {name} = {number!r} is not a number")
        missing = [name for name in wanted if name not in value]
        if missing:
            raise InputError(f"{where}: {law} needs {' and '.join(missing)}")
        numbers = [float(value[name]) for name in wanted]
        others = {name: float(value[name]) for name in (*limits, "share") if name in value}
        try:
            return cls(law, *numbers, **others)
        except InputError as error:
            raise InputError(f"{where}: {error}") from None


OFF = Range("fixed", 0.0, share=0.0)
"""The effect is not there."""

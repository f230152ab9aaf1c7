"""Wavelengths: numbers, anodes and names such as CuKa1, with where each came from."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files

from xrdcommon.errors import InputError

SHORTEST, LONGEST = 0.05, 5.0
"""Å; powder diffractometers and synchrotrons work between these."""

HC = 12.398419843
"""Energy times wavelength, keV Å (CODATA 2018)."""

MEAN_TOLERANCE = 4e-4
"""Å; a number this near to the weighted mean of an anode's doublet names the doublet."""

SAME_LINE = 3e-4
"""Å; a number this near to K-alpha 1 is that line: databases differ by 1e-4."""

_NAME = re.compile(r"^\s*([A-Za-z]{1,2})[\s_-]*(?:k[\s_-]*)?(alpha|a|α|beta|b|β)?[\s_-]*([12])?\s*$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Radiation:
    """X-rays of one line or of a doublet.

    Attributes:
        wavelengths: Å; one line, or K-alpha 1 and K-alpha 2.
        source: where it was said, for example 'the file' or '--wavelength'.
        anode: chemical symbol, or None.
        assumed: True where nobody said it and the network's own wavelength was taken.

    """

    wavelengths: tuple[float, ...]
    source: str
    anode: str | None = None
    assumed: bool = False

    def __post_init__(self) -> None:
        """Refuse what no diffractometer has.

        Raises:
            InputError: no wavelength, or one outside `SHORTEST` to `LONGEST`.

        """
        for value in self.wavelengths:
            if not SHORTEST <= value <= LONGEST:
                raise InputError(f"wavelength {value:g} Å: must be {SHORTEST:g} to {LONGEST:g}; is it in Å?")
        if not self.wavelengths:
            raise InputError("no wavelength given")

    @property
    def wavelength(self) -> float:
        """Å, in which positions are counted: the line, or K-alpha 1 of a doublet."""
        return self.wavelengths[0]

    def from_source(self, source: str) -> Radiation:
        """Return the same radiation, said elsewhere."""
        return replace(self, source=source)

    def __str__(self) -> str:
        """Describe it in one phrase."""
        values = " and ".join(f"{value:.6g}" for value in self.wavelengths)
        return f"{values} Å{'' if self.anode is None else f' ({self.anode})'}"


@cache
def anodes() -> dict[str, tuple[float, float, float]]:
    """Return K-alpha 1, K-alpha 2 and K-beta in Å by chemical symbol (Bearden 1967)."""
    text = (files("xrdtrain.measured") / "data" / "emission.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(line for line in text.splitlines() if not line.startswith("#"))
    return {row["anode"]: (float(row["k_alpha_1"]), float(row["k_alpha_2"]), float(row["k_beta"])) for row in rows}


def of_anode(symbol: str, source: str) -> Radiation | None:
    """Return the K-alpha doublet of an anode, None where it is not in the table."""
    symbol = symbol.strip().capitalize()
    lines = anodes().get(symbol)
    return None if lines is None else Radiation(lines[:2], source, symbol)


def of_wavelengths(values: tuple[float, ...], source: str, anode: str | None = None) -> Radiation:
    """Return the radiation of wavelengths in Å; the weighted mean of a doublet (1.5418 Å) becomes the doublet.

    Raises:
        InputError: outside the range of diffractometers.

    """
    kept = tuple(dict.fromkeys(value for value in values if value > 0.0))
    name = None if anode is None or anode.strip().capitalize() not in anodes() else anode.strip().capitalize()
    if len(kept) == 1:
        for symbol, (first, second, _) in anodes().items():
            if abs(kept[0] - (2.0 * first + second) / 3.0) < min(MEAN_TOLERANCE, (second - first) / 4.0):
                return Radiation((first, second), source, symbol)
    if name is None and kept:
        name = next((symbol for symbol, lines in anodes().items() if abs(lines[0] - kept[0]) < SAME_LINE), None)
    return Radiation(kept[:2], source, name)


LONGEST_SYNCHROTRON = 1.0
"""Å; few powder diffractometers at synchrotrons, but most of those for neutrons, use longer waves."""

ROUNDED = 2e-3
"""Å; a longer wave this near to a line of a tube may be that line, as people round it."""


def may_be_neutrons(radiation: Radiation) -> bool:
    """Return whether a wavelength is longer than synchrotrons mostly use and no line of an X-ray tube."""
    value = radiation.wavelength
    if radiation.anode is not None or value <= LONGEST_SYNCHROTRON:
        return False
    return not any(abs(value - line) < ROUNDED for lines in anodes().values() for line in lines)


def parse_radiation(text: str, source: str = "--wavelength") -> Radiation:
    """Read a number in Å or a name: CuKa, CuKa1, Mo, 'Co K alpha'.

    Raises:
        InputError: neither.

    """
    try:
        return of_wavelengths((float(text.replace(",", ".")),), source)
    except InputError:
        raise
    except ValueError:
        pass  # not a number: a name
    match = _NAME.match(text)
    lines = None if match is None else anodes().get(match[1].capitalize())
    if match is None or lines is None:
        raise InputError(
            f"wavelength '{text}': give a number in Å or a name such as CuKa, CuKa1, MoKa; "
            f"anodes known: {', '.join(anodes())}"
        )
    symbol, line, which = match[1].capitalize(), (match[2] or "a").lower(), match[3]
    if line in ("beta", "b", "β"):
        return Radiation(lines[2:], source, symbol)
    return Radiation(lines[:2] if which is None else (lines[int(which) - 1],), source, symbol)

"""Values of a CIF: numbers with standard uncertainties, and what stands for none."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from xrdcommon.errors import InputError

MISSING = ("", "?", ".")
"""Unknown and not applicable."""

_NUMBER = re.compile(r"([+-]?(?:\d+\.?(\d*)|\.(\d+)))(?:[eEdD]([+-]?\d{1,3}))?(?:\(\d*\.?\d*\)?)?")
_NOT_FINITE = re.compile(r"[+-]?(?:nan|inf|infinity)", re.IGNORECASE)
_FRACTION = re.compile(r"([+-]?\d{1,4})/(\d{1,4})")

EXACT = 99
"""Decimals of a fraction such as 1/3."""


@dataclass(frozen=True, slots=True)
class Number:
    """A number and how many decimals it was written with; value NaN where the file gives none."""

    value: float
    decimals: int

    @property
    def given(self) -> bool:
        """Whether the file gives it."""
        return not math.isnan(self.value)


NOT_GIVEN = Number(math.nan, 0)


def read_number(text: str, name: str) -> Number:
    """Return a number of a CIF.

    Standard uncertainties in brackets are dropped, also unclosed ones and `90.(0)`; a decimal comma, a fraction such
    as 1/3 and Fortran's exponent D are read.

    Args:
        text: as in the file.
        name: of the item, for the message.

    Raises:
        InputError: not a number.

    """
    text = text.strip()
    if text in MISSING:
        return NOT_GIVEN
    candidate = text.replace(",", ".") if text.count(",") == 1 and "." not in text else text
    found = _NUMBER.fullmatch(candidate)
    if found is not None:
        mantissa, behind, alone, exponent = found.groups()
        value = float(f"{mantissa}e{exponent}") if exponent else float(mantissa)
        decimals = len(behind or alone or "") - int(exponent or 0)
        if math.isfinite(value):
            return Number(value, max(0, decimals))
    fraction = _FRACTION.fullmatch(text)
    if fraction is not None and int(fraction.group(2)):
        return Number(int(fraction.group(1)) / int(fraction.group(2)), EXACT)
    if _NOT_FINITE.fullmatch(text):
        what = "not a number" if text.lower().endswith("nan") else "infinity"
        raise InputError(f"{name} is '{text}' ({what}): must be finite")
    raise InputError(f"{name} is '{text[:40]}': not a number")

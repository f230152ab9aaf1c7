"""Lengths of time as people type them."""

from __future__ import annotations

import re

from xrdcommon.errors import InputError

_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}


def parse_duration(text: str) -> float:
    """Return seconds of a text such as 90, 90s, 5m, 1.5h, 1h30m or 2d.

    Raises:
        InputError: not a length of time, or not positive.

    """
    parts = re.findall(r"(\d+(?:\.\d+)?)\s*([a-z]*)", text.strip().lower())
    whole = re.fullmatch(r"(?:\d+(?:\.\d+)?\s*[a-z]*\s*)+", text.strip().lower())
    if not whole or any(unit not in _UNITS for _, unit in parts):
        raise InputError(f"'{text}': not a length of time; give for example 5m, 90s, 1h30m or 2d")
    seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
    if seconds <= 0.0:
        raise InputError(f"'{text}': the length of time must be positive")
    return seconds

"""The formula sum of a file, and whether it is what was read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from xrdgen.elements import element_table, symbol

HYDROGEN = 1
RELATIVE = 0.04
"""Share of an element's atoms by which the content may differ from the formula sum: rounded occupancies."""
ABSOLUTE = 0.06
"""Atoms a formula unit by which it may."""

_TOKEN = re.compile(r"([A-Z][a-z]?)\s*(\d*\.?\d*)(?:\(\d+\))?|([(\[])|([)\]])\s*(\d*\.?\d*)|([\s,.*]+)")


@dataclass(frozen=True, slots=True)
class Comparison:
    """How a content compares with a formula sum.

    Attributes:
        agrees: whether it is the formula sum times a number; hydrogen may be missing.
        units: formula units in the content.
        missing_hydrogens: hydrogen atoms a formula unit that were not read.
        text: what differs, or an empty text.

    """

    agrees: bool
    units: float
    missing_hydrogens: float
    text: str


def read_formula(text: str | None) -> dict[int, float]:
    """Return the atoms of a formula sum by atomic number; empty where it is none or cannot be read (n, x ...)."""
    if not text:
        return {}
    numbers = {name: z for z, name in enumerate(element_table().symbols) if name} | {"D": 1, "T": 1}
    stack: list[dict[int, float]] = [{}]
    place = 0
    while place < len(text):
        found = _TOKEN.match(text, place)
        if found is None or found.end() == place:
            return {}
        place = found.end()
        element, amount, opening, closing, factor, _ = found.groups()
        if element:
            if element not in numbers or amount == ".":
                return {}
            z = numbers[element]
            stack[-1][z] = stack[-1].get(z, 0.0) + (float(amount) if amount else 1.0)
        elif opening:
            stack.append({})
        elif closing:
            if len(stack) < 2 or factor == ".":
                return {}
            inner = stack.pop()
            for z, n in inner.items():
                stack[-1][z] = stack[-1].get(z, 0.0) + n * (float(factor) if factor else 1.0)
    result = {z: n for z, n in stack[0].items() if n > 0.0}
    return result if len(stack) == 1 else {}


def compare(content: Mapping[int, float], formula: Mapping[int, float], units: float | None) -> Comparison:
    """Compare the content of a cell with a formula sum.

    Args:
        content: atoms by atomic number; hydrogen atoms known but not located do not count.
        formula: of the file.
        units: formula units in the same cell, None where the file does not say.

    """
    heavy = {z: n for z, n in formula.items() if z != HYDROGEN} or dict(formula)
    total = sum(heavy.values())
    read = sum(n for z, n in content.items() if z in heavy or z != HYDROGEN)
    candidates = [units] if units is not None else [read / total, *(content.get(z, 0.0) / n for z, n in heavy.items())]
    compared = [_compare(content, formula, number) for number in candidates if number > 0.0]
    if not compared:
        return Comparison(False, 0.0, 0.0, "nothing of the formula sum was read")
    return min(compared, key=lambda comparison: comparison.text.count(",") + bool(comparison.text))


def _compare(content: Mapping[int, float], formula: Mapping[int, float], found: float) -> Comparison:
    """Compare the content of a cell with so many formula units."""
    differences = []
    for z in sorted({*content, *formula} - {HYDROGEN}):
        has, wanted = content.get(z, 0.0) / found, formula.get(z, 0.0)
        if abs(has - wanted) > max(ABSOLUTE, RELATIVE * wanted) or (wanted == 0.0) != (has == 0.0):
            differences.append(f"{symbol(z)} {has:.4g} for {wanted:.4g}")
    hydrogens, wanted_hydrogens = content.get(HYDROGEN, 0.0) / found, formula.get(HYDROGEN, 0.0)
    if hydrogens > wanted_hydrogens + max(ABSOLUTE, RELATIVE * wanted_hydrogens):
        differences.append(f"H {hydrogens:.4g} for {wanted_hydrogens:.4g}")
    missing = max(0.0, wanted_hydrogens - hydrogens)
    missing = missing if missing > max(ABSOLUTE, RELATIVE * wanted_hydrogens) else 0.0
    return Comparison(not differences, found, missing, ", ".join(differences))

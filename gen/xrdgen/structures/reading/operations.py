"""Symmetry operations listed in a file, as a group that was checked.

# O operations, centring included
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property, lru_cache

import gemmi
import numpy as np
from numpy.typing import NDArray
from xrdcommon.errors import InputError

UNIT = 720720
"""Translations are whole multiples of 1/720720: every denominator up to 16."""
MAX_OPERATIONS = 1536
"""Of a listed group: m -3 m, face-centred, in a cell doubled along every axis."""

_TERM = re.compile(r"([+-]?)(\d+/\d+|\d*\.\d+|\d+\.?|)\*?([xyz]?)")
_NUMBERED = re.compile(r"^\s*\d+\s+(?=\S)")
Operation = tuple[tuple[int, ...], tuple[int, ...]]
"""Nine entries of R and three of t in units of 1/720720."""


@dataclass(frozen=True)
class SymmetryGroup:
    """Operations x' = R x + t of a space group in some setting; a group was checked to be one.

    Attributes:
        number: International Tables number.
        name: Hermann-Mauguin symbol with mark, or how many operations were listed.
        rotations: (O, 3, 3) int64.
        translations: (O, 3) fractional in [0, 1).

    """

    number: int
    name: str
    rotations: NDArray[np.int64]
    translations: NDArray[np.float64]

    @property
    def order(self) -> int:
        """Number of operations O."""
        return len(self.rotations)

    @cached_property
    def key(self) -> frozenset[Operation]:
        """Operations as something to compare."""
        shifts = np.rint(self.translations * UNIT).astype(np.int64) % UNIT
        return frozenset(
            (tuple(r), tuple(t)) for r, t in zip(self.rotations.reshape(-1, 9).tolist(), shifts.tolist(), strict=True)
        )

    @cached_property
    def centrings(self) -> NDArray[np.float64]:
        """Translations of the pure translations, (C, 3); the null vector is one."""
        pure = (self.rotations == np.eye(3, dtype=np.int64)).all(axis=(1, 2))
        centrings: NDArray[np.float64] = self.translations[pure]
        return centrings

    @cached_property
    def primitive(self) -> NDArray[np.float64]:
        """Basis of the primitive lattice in terms of the cell's, (3, 3), rows."""
        return _lattice_basis(np.rint(self.centrings * UNIT).astype(np.int64))

    @cached_property
    def metric_average(self) -> NDArray[np.float64]:
        """Matrix (9, 9) that makes a metric tensor, as a vector, invariant under all rotations."""
        matrices = np.unique(self.rotations, axis=0).astype(np.float64)
        average: NDArray[np.float64] = np.mean([np.kron(r.T, r.T) for r in matrices], axis=0)
        return average


@lru_cache(maxsize=1 << 16)
def parse_operation(text: str) -> Operation:
    """Return an operation such as `-y, x-y, z+1/3`, `1/2+X,.5-Y,Z` or `3 x,y,z`, t in [0, 1).

    Raises:
        InputError: not an operation on x, y, z.

    """
    parts = _NUMBERED.sub("", text).strip("'\" ").lower().replace(" ", "").split(",")
    if len(parts) != 3:
        raise InputError(f"symmetry operation '{text[:60]}': not three coordinates")
    rotation: list[int] = []
    translation: list[int] = []
    for part in parts:
        row, shift = [0, 0, 0], Fraction(0)
        place = 0
        while place < len(part):
            found = _TERM.match(part, place)
            if found is None or not (found.group(2) or found.group(3)) or (place and not found.group(1)):
                raise InputError(f"symmetry operation '{text[:60]}': '{part[:20]}' is not in x, y and z")
            sign, amount, axis = found.groups()
            value = _fraction(amount, text) if amount else Fraction(1)
            value = -value if sign == "-" else value
            if not axis:
                shift += value
            elif value.denominator == 1:
                row["xyz".index(axis)] += int(value)
            else:
                raise InputError(f"symmetry operation '{text[:60]}': {value} of an axis")
            place = found.end()
        scaled = shift * UNIT
        if scaled.denominator != 1 or not any(row):
            raise InputError(f"symmetry operation '{text[:60]}': '{part[:20]}' is not a coordinate")
        rotation += row
        translation.append(int(scaled) % UNIT)
    if abs(round(float(np.linalg.det(np.array(rotation).reshape(3, 3))))) != 1:
        raise InputError(f"symmetry operation '{text[:60]}': does not keep the volume")
    return tuple(rotation), tuple(translation)


def _fraction(text: str, operation: str) -> Fraction:
    """Return 1/3 for '1/3', '0.333' and '.33333'.

    Raises:
        InputError: a decimal number that is no fraction of 16 or less.

    """
    if "/" in text:
        above, below = text.split("/")
        if int(below) == 0:
            raise InputError(f"symmetry operation '{operation[:60]}': division by zero")
        return Fraction(int(above), int(below))
    decimals = len(text.partition(".")[2])
    value = Fraction(text if text[-1] != "." else text[:-1])
    if not decimals:
        return value
    for denominator in (1, 2, 3, 4, 6, 8, 12, 5, 10, 16, 24, 7, 9, 11, 13, 14, 15):
        near = Fraction(round(value * denominator), denominator)
        if abs(near - value) <= Fraction(1, 10**decimals):
            return near
    raise InputError(f"symmetry operation '{operation[:60]}': {text} is not a simple fraction")


def codes_of(operations: list[Operation]) -> NDArray[np.int64]:
    """Return each operation as whole numbers to compare, (O, 4): R as one, t as three."""
    array = np.array([(*r, *t) for r, t in operations], dtype=np.int64)
    return np.column_stack([(array[:, :9] + 4) @ 9 ** np.arange(9), array[:, 9:]])


def what_is_missing(operations: list[Operation]) -> str:
    """Say which product is missing from operations that are no group; an empty text for a group."""
    rotations = np.array([r for r, _ in operations], dtype=np.int64).reshape(-1, 3, 3)
    shifts = np.array([t for _, t in operations], dtype=np.int64)
    known = {tuple(code) for code in codes_of(operations).tolist()}
    weights = 9 ** np.arange(9)
    for number, (rotation, shift) in enumerate(zip(rotations, shifts, strict=True)):
        products = (rotation @ rotations).reshape(-1, 9)
        moved = (shifts @ rotation.T + shift) % UNIT
        if np.abs(products).max() > 4:
            return f"number {number + 1} is of no finite order"
        codes = np.column_stack([(products + 4) @ weights, moved]).tolist()
        for other, code in enumerate(codes):
            if tuple(code) not in known:
                return f"the product of number {number + 1} and {other + 1} is not among them"
    return ""


def with_translations(operations: list[Operation]) -> list[Operation]:
    """Return operations followed by the pure translations among them, as lists that give centrings apart mean it."""
    unit = (1, 0, 0, 0, 1, 0, 0, 0, 1)
    translations = [t for r, t in operations if r == unit]
    if len(translations) > 64:
        return operations
    products = [
        (r, (int(t[0] + s[0]) % UNIT, int(t[1] + s[1]) % UNIT, int(t[2] + s[2]) % UNIT))
        for s in translations
        for r, t in operations
    ]
    return list(dict.fromkeys(products))


def group_of_gemmi(operations: gemmi.GroupOps, number: int, name: str) -> SymmetryGroup:
    """Return a group as gemmi has it."""
    all_operations = list(operations)
    rotations = np.array([op.rot for op in all_operations], dtype=np.int64) // gemmi.Op.DEN
    translations = (np.array([op.tran for op in all_operations], dtype=np.int64) % gemmi.Op.DEN) / gemmi.Op.DEN
    return SymmetryGroup(number, name, rotations, translations)


def _lattice_basis(shifts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return a basis (3, 3) of the lattice spanned by the unit vectors and further vectors, in units of 1 / UNIT."""
    rows = [list(map(int, row)) for row in (*shifts, *(np.eye(3, dtype=np.int64) * UNIT))]
    basis: list[list[int]] = []
    for column in range(3):  # Hermite normal form by Euclid's algorithm
        while True:
            nonzero = [row for row in rows if row[column]]
            if len(nonzero) <= 1:
                break
            smallest = min(nonzero, key=lambda row: abs(row[column]))
            for row in nonzero:
                if row is not smallest:
                    factor = row[column] // smallest[column]
                    row[:] = [a - factor * b for a, b in zip(row, smallest, strict=True)]
        pivot = next(row for row in rows if row[column])
        rows = [row for row in rows if row is not pivot]
        basis.append(pivot)
    return np.array(basis, dtype=np.float64) / UNIT

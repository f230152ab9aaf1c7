"""Verifying a crystal's space group with spglib, and looking for further translations.

A crystal that repeats itself by a translation which its space group does not have (one element on positions a and b
of R-3m) was drawn with another cell than its smallest one. spglib may still give it the same group number; the
strict reading refuses it.

# M atoms of a primitive cell
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from xrdgen.crystals.verify import find_space_group
from xrdgen.reference.crystal import ReferenceCrystal

SYMMETRY, UNDETERMINED = "symmetry", "undetermined"


def refusal(crystal: ReferenceCrystal, symprec: float, *, strict: bool) -> str | None:
    """Return why a crystal does not have its space group, None if it has.

    Args:
        crystal: as drawn.
        symprec: Å.
        strict: whether a further translation counts although the group's number stays as it is.

    Returns:
        `SYMMETRY` (another group, or a smaller cell), `UNDETERMINED` (spglib finds none: atoms on top of each other).

    """
    lattice, positions, numbers = crystal.primitive_cell()
    found = find_space_group(lattice, positions, numbers, symprec)
    if found is None:
        return UNDETERMINED
    if found != crystal.space_group:
        return SYMMETRY
    if strict and has_further_translation(lattice, positions, numbers, symprec):
        return SYMMETRY
    return None


def has_further_translation(
    lattice: NDArray[np.float64], positions: NDArray[np.float64], numbers: NDArray[np.int64], tolerance: float
) -> bool:
    """Return whether a translation inside the primitive cell carries every atom onto one of its kind.

    Args:
        lattice: (3, 3) vectors as rows, Å.
        positions: (M, 3) fractional.
        numbers: (M,) kinds.
        tolerance: Å.

    """
    kinds, counts = np.unique(numbers, return_counts=True)
    rarest = positions[numbers == kinds[counts.argmin()]]
    translations = rarest[1:] - rarest[0]  # a translation carries the first atom of the rarest kind to another of it
    for position, number in zip(positions, numbers, strict=True):
        if not len(translations):
            return False
        difference = (position + translations)[:, None] - positions[numbers == number][None]
        distance = np.linalg.norm((difference - np.rint(difference)) @ lattice, axis=2)
        translations = translations[(distance < tolerance).any(axis=1)]
    return len(translations) > 0

"""Extinction groups: space groups whose reflection conditions are the same, so that absences cannot part them.

A reflection hkl is absent when an operation x' = R x + t of the group maps it onto itself, h R = h, with a phase
h t that is not an integer (International Tables A, chapter 1.6). The conditions of each group are derived from
spglib's operations in the standard setting (unique axis b, hexagonal axes). Groups of one crystal system (trigonal
apart from hexagonal) with the same conditions form an extinction group; orthorhombic and cubic axes may be
permuted, since the choice of axes there is a convention. There are 101.

# H reflections of the test box, O operations
"""

from __future__ import annotations

from functools import cache
from itertools import permutations
from typing import Any

import numpy as np
import spglib
from numpy.typing import NDArray

from xrdcommon.space_groups import N_GROUPS, check_group, crystal_system, first_hall_number

LARGEST_INDEX = 6
"""Conditions are periodic with 2, 3, 4 or 6 in each index, so |h|, |k|, |l| <= 6 tells all of them apart."""

_TWENTY_FOURTHS = 24
_PERMUTED = ("orthorhombic", "cubic")


def box(largest: int = LARGEST_INDEX) -> NDArray[np.int64]:
    """Return all reflections (H, 3) with indices of at most `largest`, l running fastest."""
    index = np.arange(-largest, largest + 1)
    return np.stack(np.meshgrid(index, index, index, indexing="ij"), axis=-1).reshape(-1, 3)


def absent(number: int, hkl: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Tell which reflections hkl (H, 3) a space group in its standard setting forbids.

    Raises:
        InputError: no such space group.

    """
    symmetry: Any = spglib.get_symmetry_from_database(first_hall_number(number))
    rotations = np.asarray(symmetry["rotations"], dtype=np.int64)
    shifts = np.rint(np.asarray(symmetry["translations"]) * _TWENTY_FOURTHS).astype(np.int64)
    mask = np.zeros(len(hkl), dtype=np.bool_)
    for rotation in np.unique(rotations, axis=0):
        fixed = (hkl @ rotation == hkl).all(axis=1)
        if fixed.any():
            same = (rotations == rotation).all(axis=(1, 2))  # differ by centring vectors
            phases = hkl[fixed] @ np.unique(shifts[same], axis=0).T
            mask[fixed] |= (phases % _TWENTY_FOURTHS != 0).any(axis=1)
    return mask


@cache
def extinction_groups() -> tuple[int, ...]:
    """Return for each space group, at index number - 1, the lowest number of its extinction group."""
    hkl = box()
    side = 2 * LARGEST_INDEX + 1
    first: dict[tuple[str, bytes], int] = {}
    lowest: list[int] = []
    for number in range(1, N_GROUPS + 1):
        system = crystal_system(number)
        mask = absent(number, hkl).reshape(side, side, side)
        axes = permutations(range(3)) if system in _PERMUTED else [(0, 1, 2)]
        signature = min(np.packbits(mask.transpose(order)).tobytes() for order in axes)
        lowest.append(first.setdefault((system, signature), number))
    return tuple(lowest)


def extinction_group(number: int) -> int:
    """Return the extinction group of a space group, named by its lowest member.

    Raises:
        InputError: no such space group.

    """
    return extinction_groups()[check_group(number) - 1]

"""Extinction groups: space groups whose reflection conditions are the same, so that absences cannot part them.

A reflection hkl is absent when an operation x' = R x + t of the group maps it onto itself, h R = h, with a phase
h t that is not an integer (International Tables A, chapter 1.6). The conditions of each group are derived from
spglib's operations in the standard setting (unique axis b, hexagonal axes). Groups of one crystal system (trigonal
apart from hexagonal) with the same conditions form an extinction group; orthorhombic and cubic axes may be
permuted, since the choice of axes there is a convention. There are 101.

# H reflections of the test box, O operations
"""

from __future__ import annotations

from collections.abc import Callable
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
    """Return which reflections hkl (H, 3) a space group in its standard setting forbids.

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


@cache
def extinction_symbol(number: int) -> str:
    """Return the extinction symbol of a space group in its standard setting, for example Pn-a, P12_1/c1 or Fd--.

    Of the full Hermann-Mauguin symbol, glide planes stay, and those screw axes whose reflections no glide plane or
    centring forbids; a dash stands for what the reflection conditions do not show (International Tables A, 2016,
    1.6.4).

    Raises:
        InputError: no such space group.

    """
    symmetry: Any = spglib.get_symmetry_from_database(first_hall_number(number))
    record: Any = spglib.get_spacegroup_type(first_hall_number(number))
    centring, *directions = str(record.international_full).split()
    system = crystal_system(number)
    if system == "triclinic":
        return f"{centring}-"
    glides = _absent_by_planes(symmetry)
    shown = []
    for place, direction in enumerate(directions):
        axis, _, plane = direction.rpartition("/") if "/" in direction else (direction, "", "")
        if not axis or direction in ("a", "b", "c", "d", "e", "n", "m"):
            axis, plane = "", direction
        kept = plane if plane in ("a", "b", "c", "d", "e", "n") else ""
        if "_" in axis:
            row = _AXES[system][place] if place < len(_AXES[system]) else (0, 0, 1)
            hkl = np.arange(1, 25)[:, None] * np.array(row)
            if (absent(number, hkl) & ~glides(hkl)).any():
                axis = "2_1" if system == "cubic" and axis == "4_2" else _SAME_CONDITIONS.get(axis, axis)
                kept = f"{axis}/{kept}" if kept else axis
        shown.append(kept or ("1" if direction == "1" and system == "monoclinic" else "-"))
    wanted = 2 if centring == "R" else 3
    return str(centring) + "".join([*shown, "-", "-"][:wanted])


_SAME_CONDITIONS = {"4_3": "4_1", "3_2": "3_1", "6_5": "6_1", "6_4": "6_2"}
"""Screw axes of the other hand: the same reflection conditions, so the same symbol."""

_AXES = {
    "monoclinic": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "orthorhombic": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "tetragonal": ((0, 0, 1), (1, 0, 0), (1, 1, 0)),
    "trigonal": ((0, 0, 1),),
    "hexagonal": ((0, 0, 1),),
    "cubic": ((0, 0, 1),),
}
"""Reflections along the symmetry directions, in the order of the symbol (International Tables A, table 2.1.3.1)."""


def _absent_by_planes(symmetry: Any) -> Callable[[NDArray[np.int64]], NDArray[np.bool_]]:
    """Return a function that tells which reflections (H, 3) centring and glide planes alone forbid."""
    rotations = np.asarray(symmetry["rotations"], dtype=np.int64)
    shifts = np.rint(np.asarray(symmetry["translations"]) * _TWENTY_FOURTHS).astype(np.int64)
    turns = np.rint(np.linalg.det(rotations)) * np.trace(rotations, axis1=1, axis2=2)
    chosen = (turns == -1) & (np.linalg.det(rotations) < 0)  # a reflection has determinant -1 and trace 1
    chosen |= (rotations == np.eye(3, dtype=np.int64)).all(axis=(1, 2))

    def forbidden(hkl: NDArray[np.int64]) -> NDArray[np.bool_]:
        mask = np.zeros(len(hkl), dtype=np.bool_)
        for rotation, shift in zip(rotations[chosen], shifts[chosen], strict=True):
            mask |= (hkl @ rotation == hkl).all(axis=1) & ((hkl @ shift) % _TWENTY_FOURTHS != 0)
        return mask

    return forbidden

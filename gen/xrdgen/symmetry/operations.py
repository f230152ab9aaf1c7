"""Symmetry operations of the 230 space groups in the project's standard setting.

The standard setting is that of International Tables A as pyxtal uses it: unique axis b and cell choice 1 for
monoclinic groups, hexagonal axes for rhombohedral ones, origin choice 2 (inversion at the origin) where there are two.
The operations themselves are spglib's.

# O operations of the group, centring included    C centring translations
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import spglib
from numpy.typing import NDArray
from xrdcommon.errors import InputError
from xrdcommon.space_groups import check_group

TRANSLATION_DENOMINATOR = 24
"""Translations are whole multiples of 1/24 in every standard setting."""

_PREFERRED_CHOICES = ("", "b", "b1", "2", "H")


@dataclass(frozen=True, slots=True)
class SpaceGroupOperations:
    """All operations x' = R x + t of a space group, centring included.

    Attributes:
        number: International Tables number.
        hall_number: spglib's number of the setting, 1 to 530.
        rotations: R, (O, 3, 3) int64.
        translations24: 24 t, (O, 3) int64 in [0, 24).
        centrings24: 24 times the centring translations, (C, 3) int64, the null vector first.

    """

    number: int
    hall_number: int
    rotations: NDArray[np.int64]
    translations24: NDArray[np.int64]
    centrings24: NDArray[np.int64]

    @property
    def order(self) -> int:
        """Number of operations O: the multiplicity of the general position."""
        return len(self.rotations)

    @property
    def translations(self) -> NDArray[np.float64]:
        """Translations t, (O, 3), fractional."""
        return self.translations24 / TRANSLATION_DENOMINATOR


@cache
def _standard_hall_numbers() -> tuple[int, ...]:
    """Return the Hall number of the standard setting of each group, index = number - 1."""
    chosen: dict[int, int] = {}
    for hall_number in range(1, 531):
        record = spglib.get_spacegroup_type(hall_number)
        if record is None:
            raise RuntimeError(f"spglib does not know Hall number {hall_number}")
        if record.number not in chosen or record.choice in _PREFERRED_CHOICES[3:]:
            chosen[record.number] = hall_number
    return tuple(chosen[number] for number in range(1, 231))


def standard_hall_number(number: int) -> int:
    """Return spglib's Hall number of the group's standard setting."""
    return _standard_hall_numbers()[check_group(number) - 1]


def hall_operations(hall_number: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return R (O, 3, 3) and 24 t (O, 3) of any of spglib's 530 settings."""
    database = spglib.get_symmetry_from_database(hall_number)
    if database is None:
        raise InputError(f"Hall number {hall_number}: must be 1 to 530")
    rotations = np.ascontiguousarray(database["rotations"], dtype=np.int64)
    translations24 = (
        np.rint(database["translations"] * TRANSLATION_DENOMINATOR).astype(np.int64) % TRANSLATION_DENOMINATOR
    )
    return rotations, translations24 % TRANSLATION_DENOMINATOR


@cache
def operations(number: int) -> SpaceGroupOperations:
    """Return the operations of a space group in the standard setting.

    Raises:
        InputError: not a space-group number.

    """
    hall_number = standard_hall_number(number)
    rotations, translations24 = hall_operations(hall_number)
    is_translation = (rotations == np.eye(3, dtype=np.int64)).all(axis=(1, 2))
    centrings24 = translations24[is_translation]
    centrings24 = np.ascontiguousarray(centrings24[np.lexsort(centrings24.T[::-1])])
    for array in (rotations, translations24, centrings24):
        array.setflags(write=False)
    return SpaceGroupOperations(number, hall_number, rotations, translations24, centrings24)

"""Changes of origin between the settings of a space group.

A table may give its coordinates in another Hall setting than the project's. Where both settings have the same axes
the change is a shift p of the origin, x' = x + p: every operation (R, t) becomes (R, t + p - R p).
"""

from __future__ import annotations

from functools import cache
from itertools import product

import numpy as np
from numpy.typing import NDArray
from xrdcommon.errors import InputError

from xrdgen.symmetry.operations import TRANSLATION_DENOMINATOR, hall_operations, standard_hall_number

_SHIFTS24 = np.array(list(product(range(0, TRANSLATION_DENOMINATOR, 3), repeat=3)))
"""Candidate shifts in 24ths: multiples of 1/8 suffice for every pair of origin choices (a test)."""


@cache
def origin_shift(group: int, hall_number: int) -> NDArray[np.float64]:
    """Return p (3,) with x_standard = x + p for coordinates in the given Hall setting.

    Raises:
        InputError: the setting has other axes than the group's standard setting.

    """
    standard = standard_hall_number(group)
    if hall_number == standard:
        return np.zeros(3)
    rotations, translations = hall_operations(hall_number)
    wanted_rotations, wanted_translations = hall_operations(standard)
    wanted = {_key(r, t) for r, t in zip(wanted_rotations, wanted_translations, strict=True)}
    if {r.tobytes() for r in rotations} != {r.tobytes() for r in wanted_rotations}:
        raise InputError(f"space group {group}: Hall setting {hall_number} has other axes than the standard {standard}")
    for shift in _SHIFTS24:
        moved = (translations + shift - rotations @ shift) % TRANSLATION_DENOMINATOR
        if all(_key(r, t) in wanted for r, t in zip(rotations, moved, strict=True)):
            result: NDArray[np.float64] = shift / TRANSLATION_DENOMINATOR
            result.setflags(write=False)
            return result
    raise InputError(
        f"space group {group}: no change of origin leads from Hall setting {hall_number} to the standard {standard}"
    )


def _key(rotation: NDArray[np.int64], translation: NDArray[np.int64]) -> bytes:
    """Return an operation as something to look up."""
    return np.concatenate([rotation.ravel(), translation]).astype(np.int64).tobytes()

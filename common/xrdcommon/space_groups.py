"""Facts about the 230 space groups that both stages need: symbols, crystal systems, enantiomorphic pairs.

Symbols come from spglib's database; extinction groups are derived from its operations in `extinction`.
"""

from __future__ import annotations

from functools import cache

import spglib
from spglib import SpaceGroupType

from xrdcommon.errors import InputError

N_GROUPS = 230

CRYSTAL_SYSTEMS = ("triclinic", "monoclinic", "orthorhombic", "tetragonal", "trigonal", "hexagonal", "cubic")

_LAST_GROUP = (2, 15, 74, 142, 167, 194, 230)
"""Last space-group number of each crystal system (International Tables A, table 2.1.1.1)."""

ENANTIOMORPHIC_PAIRS = (
    (76, 78),
    (91, 95),
    (92, 96),
    (144, 145),
    (151, 153),
    (152, 154),
    (169, 170),
    (171, 172),
    (178, 179),
    (180, 181),
    (212, 213),
)
"""Pairs that no powder pattern can tell apart (International Tables A, 3.5)."""

_PARTNER = {a: b for pair in ENANTIOMORPHIC_PAIRS for a, b in (pair, pair[::-1])}


def check_group(number: int) -> int:
    """Return the number if it is a space group.

    Raises:
        InputError: outside 1 to 230.

    """
    if not 1 <= number <= N_GROUPS:
        raise InputError(f"space group {number}: must be 1 to {N_GROUPS}")
    return number


def crystal_system(number: int) -> str:
    """Return the crystal system; trigonal groups (143 to 167) are apart from hexagonal ones."""
    check_group(number)
    return next(system for system, last in zip(CRYSTAL_SYSTEMS, _LAST_GROUP, strict=True) if number <= last)


def enantiomorph(number: int) -> int | None:
    """Return the other member of the enantiomorphic pair, None where there is none."""
    return _PARTNER.get(check_group(number))


def merged_group(number: int) -> int:
    """Return the lower number of the enantiomorphic pair, else the number itself."""
    partner = enantiomorph(number)
    return number if partner is None else min(number, partner)


@cache
def _first_types() -> dict[int, SpaceGroupType]:
    """Return spglib's record of the first Hall setting of every group."""
    types: dict[int, SpaceGroupType] = {}
    for hall_number in range(1, 531):
        record = spglib.get_spacegroup_type(hall_number)
        if record is None:
            raise RuntimeError(f"spglib does not know Hall number {hall_number}")
        types.setdefault(record.number, record)
    return types


def first_hall_number(number: int) -> int:
    """Return the first of spglib's 530 settings of a group: unique axis b, origin choice 1, hexagonal axes."""
    return int(_first_types()[check_group(number)].hall_number)


def symbol(number: int) -> str:
    """Return the short Hermann-Mauguin symbol, for example Fd-3m."""
    return str(_first_types()[check_group(number)].international_short)


def merged_symbol(number: int) -> str:
    """Return the number as shown to people: '152/154' for a member of an enantiomorphic pair, else '227'."""
    partner = enantiomorph(number)
    return str(number) if partner is None else f"{min(number, partner)}/{max(number, partner)}"


def parse_groups(text: str) -> list[int]:
    """Read a list such as '2,14,195-230' of space-group numbers.

    Raises:
        InputError: not numbers, or outside 1 to 230.

    """
    groups: set[int] = set()
    for part in text.split(","):
        low, dash, high = part.strip().partition("-")
        try:
            first = int(low)
            last = int(high) if dash else first
        except ValueError as error:
            raise InputError(f"space groups '{text}': '{part}' is not a number or a range like 195-230") from error
        groups.update(range(check_group(first), check_group(last) + 1))
    return sorted(groups)

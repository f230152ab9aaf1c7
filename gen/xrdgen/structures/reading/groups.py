"""Listed operations and Hall symbols as space groups: checked to be groups, and identified."""

from __future__ import annotations

from functools import lru_cache

import gemmi
import numpy as np
import spglib
from numpy.typing import NDArray
from xrdcommon.errors import InputError

from xrdgen.structures.reading.names import setting_of
from xrdgen.structures.reading.operations import (
    MAX_OPERATIONS,
    UNIT,
    Operation,
    SymmetryGroup,
    group_of_gemmi,
    parse_operation,
    what_is_missing,
    with_translations,
)


@lru_cache(maxsize=4096)
def group_of(texts: tuple[str, ...]) -> SymmetryGroup:
    """Return the group that listed operations form; the identity need not be listed.

    Raises:
        InputError: an operation that cannot be read, or operations that are no group.

    """
    operations = list(dict.fromkeys(parse_operation(text) for text in texts))
    identity: Operation = ((1, 0, 0, 0, 1, 0, 0, 0, 1), (0, 0, 0))
    if identity not in operations:
        operations.insert(0, identity)
    if len(operations) > MAX_OPERATIONS:
        raise InputError(f"{len(operations)} symmetry operations listed, more than {MAX_OPERATIONS}")
    fault = what_is_missing(operations)
    if fault:
        operations = with_translations(operations)
        if len(operations) > MAX_OPERATIONS or what_is_missing(operations):
            raise InputError(f"the {len(texts)} listed symmetry operations form no group: {fault}")
    rotations = np.array([r for r, _ in operations], dtype=np.int64).reshape(-1, 3, 3)
    shifts = np.array([t for _, t in operations], dtype=np.int64)
    number, name = _identified(rotations, shifts)
    return SymmetryGroup(number, name or f"{len(operations)} listed operations", rotations, shifts / UNIT)


@lru_cache(maxsize=1024)
def group_of_hall(symbol: str) -> SymmetryGroup | None:
    """Return the group of a Hall symbol, None where it is none."""
    try:
        operations = gemmi.symops_from_hall(symbol)
    except (RuntimeError, ValueError):
        return None
    group = group_of_gemmi(operations, 0, symbol)
    if group.order > MAX_OPERATIONS or len(group.key) != group.order:
        return None
    number, name = _identified(group.rotations, np.rint(group.translations * UNIT).astype(np.int64))
    return SymmetryGroup(number, name or f"Hall symbol {symbol}", group.rotations, group.translations)


def _identified(rotations: NDArray[np.int64], shifts: NDArray[np.int64]) -> tuple[int, str]:
    """Return number and, of tabulated settings, the symbol of a group.

    Raises:
        InputError: no space group in three dimensions.

    """
    group = SymmetryGroup(0, "", rotations, shifts / UNIT)
    setting = setting_of(group.key)
    if setting is not None:
        return setting
    found = spglib.get_spacegroup_type_from_symmetry(rotations.astype(np.intc), shifts / UNIT, symprec=1e-5)
    if found is None:
        raise InputError(f"the {len(rotations)} symmetry operations are those of no space group")
    return int(found.number), ""

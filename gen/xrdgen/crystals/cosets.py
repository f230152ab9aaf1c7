"""Point-group cosets that the exact symmetry test has to try, in primitive axes.

# G = 230 groups    N coset representatives of all groups
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from xrdcommon.space_groups import N_GROUPS, crystal_system, symbol

from xrdgen.crystals.primitive import primitive_basis
from xrdgen.symmetry.operations import operations

_HOLOHEDRY_GROUP = {
    "triclinic": 2,
    "monoclinic": 10,
    "orthorhombic": 47,
    "tetragonal": 123,
    "trigonal": 191,
    "hexagonal": 191,
    "rhombohedral": 166,
    "cubic": 221,
}
"""A group with the full point symmetry of a lattice, in the axes of the standard setting."""

_NEVER_HIGHER = ("hexagonal", "trigonal", "cubic")
"""Lattices that no choice of their free parameters makes more symmetric (trigonal: primitive hexagonal axes)."""


class CosetTables(NamedTuple):
    """Rotations of the lattice that are not in the point group of the space group.

    Attributes:
        start: (G + 1,) first representative of a group.
        rotation: (N, 3, 3) one of every coset of the point group in the lattice's point group, the group itself left
            out; whole numbers, primitive axes.
        lattice_order: (G,) order of the lattice's point group.
        guarded: (G,) whether special values of the free parameters give the lattice more symmetry.

    """

    start: NDArray[np.int64]
    rotation: NDArray[np.float64]
    lattice_order: NDArray[np.int64]
    guarded: NDArray[np.bool_]


def lattice_system(group: int) -> str:
    """Return the crystal system, with 'rhombohedral' for the seven trigonal groups on a rhombohedral lattice."""
    return "rhombohedral" if symbol(group).startswith("R") else crystal_system(group)


@cache
def coset_tables() -> CosetTables:
    """Return the tables for all groups, made once in a process."""
    start, chosen, orders, guarded = [0], [], [], []
    for group in range(1, N_GROUPS + 1):
        system = lattice_system(group)
        lattice_rotations = np.unique(operations(_HOLOHEDRY_GROUP[system]).rotations, axis=0)
        point_group = np.unique(operations(group).rotations, axis=0)
        basis = primitive_basis(group)
        to_primitive = np.linalg.inv(basis).T
        covered = {rotation.tobytes() for rotation in point_group}
        for rotation in lattice_rotations:
            if rotation.tobytes() in covered:
                continue
            covered |= {np.ascontiguousarray(rotation @ other).tobytes() for other in point_group}
            primitive = to_primitive @ rotation @ basis.T
            if np.abs(primitive - np.rint(primitive)).max() > 1e-9:
                raise ArithmeticError(f"space group {group}: a rotation of its lattice is not whole in primitive axes")
            chosen.append(np.rint(primitive))
        if len(covered) != len(lattice_rotations):
            raise ArithmeticError(f"space group {group}: its point group is not part of that of its lattice")
        start.append(len(chosen))
        orders.append(len(lattice_rotations))
        guarded.append(system not in _NEVER_HIGHER)
    return CosetTables(
        start=np.array(start, dtype=np.int64),
        rotation=np.array(chosen).reshape(-1, 3, 3),
        lattice_order=np.array(orders, dtype=np.int64),
        guarded=np.array(guarded),
    )

"""Wyckoff positions and centrings as pyxtal has them (International Tables A), in plain Python.

# O points of a position's orbit in the conventional cell    M of them in the primitive cell
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float64]

PRIMITIVE_VECTORS = {
    "P": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "A": ((1, 0, 0), (0, 1 / 2, -1 / 2), (0, 1 / 2, 1 / 2)),
    "C": ((1 / 2, 1 / 2, 0), (-1 / 2, 1 / 2, 0), (0, 0, 1)),
    "I": ((-1 / 2, 1 / 2, 1 / 2), (1 / 2, -1 / 2, 1 / 2), (1 / 2, 1 / 2, -1 / 2)),
    "F": ((0, 1 / 2, 1 / 2), (1 / 2, 0, 1 / 2), (1 / 2, 1 / 2, 0)),
    "R": ((2 / 3, 1 / 3, 1 / 3), (-1 / 3, 1 / 3, 1 / 3), (-1 / 3, -2 / 3, 1 / 3)),
}
"""Primitive lattice vectors (rows, conventional axes) by the first letter of the Hermann-Mauguin symbol."""


@dataclass(frozen=True, slots=True)
class Position:
    """A Wyckoff position.

    Attributes:
        letter: index, 0 = a.
        dof: degrees of freedom.
        rotations: (O, 3, 3) W of the points x = W u + w.
        translations: (O, 3) w, fractional.
        primitive: (M,) which of them are left when centring translations are taken out.

    """

    letter: int
    dof: int
    rotations: Vectors
    translations: Vectors
    primitive: NDArray[np.int64]

    @property
    def multiplicity(self) -> int:
        """Points in the conventional cell."""
        return len(self.rotations)

    def first_point(self, u: Vectors) -> Vectors:
        """Return the first point (3,) of the orbit, in [0, 1), for free parameters u (3,)."""
        x = self.rotations[0] @ u + self.translations[0]
        x = x - np.floor(x)
        return np.where(x < 1.0, x, 0.0)

    def orbit(self, u: Vectors) -> Vectors:
        """Return all points (O, 3) of the conventional cell."""
        return np.asarray((self.rotations @ u + self.translations) % 1.0)

    def primitive_orbit(self, u: Vectors) -> Vectors:
        """Return the points (M, 3) of a primitive cell, in conventional axes."""
        return np.asarray(self.rotations[self.primitive] @ u + self.translations[self.primitive])


@dataclass(frozen=True, slots=True)
class GroupPositions:
    """The positions of a space group, in the order a, b, c ..., and its primitive vectors in conventional axes."""

    positions: tuple[Position, ...]
    primitive_vectors: Vectors


@cache
def group_positions(group: int) -> GroupPositions:
    """Return the positions of a group from pyxtal."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pyxtal's imports warn of deprecated parts of other packages
        from pyxtal.symmetry import Group

    source = Group(group)
    affine = [
        (np.array([operation.affine_matrix for operation in position.ops]), int(position.get_dof()))
        for position in reversed(list(source))  # pyxtal begins with the general position
    ]
    general = affine[-1][0]
    centrings24 = _in_24ths(general[(general[:, :3, :3] == np.eye(3)).all(axis=(1, 2))][:, :3, 3])
    positions = [
        Position(
            letter=letter,
            dof=dof,
            rotations=matrices[:, :3, :3],
            translations=_in_24ths(matrices[:, :3, 3]) / 24.0,  # pyxtal writes 1/3 with eight digits in places
            primitive=_without_centring(matrices, centrings24),
        )
        for letter, (matrices, dof) in enumerate(affine)
    ]
    return GroupPositions(tuple(positions), np.array(PRIMITIVE_VECTORS[source.symbol[0]], dtype=np.float64))


def _in_24ths(translations: Vectors) -> NDArray[np.int64]:
    """Return translations in units of 1/24, in [0, 24)."""
    return np.rint(translations * 24.0).astype(np.int64) % 24


def _without_centring(matrices: Vectors, centrings24: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return indices of representatives (O, 4, 4), one of each set that centring translations connect."""
    kept: list[int] = []
    seen: set[tuple[bytes, bytes]] = set()
    for index, matrix in enumerate(matrices):
        rotation = np.rint(matrix[:3, :3]).astype(np.int64).tobytes()
        translation24 = _in_24ths(matrix[:3, 3])
        if (rotation, translation24.tobytes()) not in seen:
            kept.append(index)
            seen |= {(rotation, ((translation24 + centring) % 24).tobytes()) for centring in centrings24}
    return np.array(kept, dtype=np.int64)

"""Wyckoff positions of the 230 space groups as arrays, and which one a point lies on.

Source: pyxtal's tables (International Tables A), read once by `wyckoff_recipe`; standard setting of `operations`.

# W positions of all groups    N representatives of all positions    O operations of one group
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from xrdcommon.errors import InputError

from xrdgen.symmetry.lattice import vectors
from xrdgen.symmetry.operations import TRANSLATION_DENOMINATOR, operations

TABLES_PATH = Path(__file__).parent.parent / "data" / "wyckoff.npz"
LETTERS = "abcdefghijklmnopqrstuvwxyzA"
"""Wyckoff letters; group 47 needs all 27."""

ON_POSITION = 1e-6
"""Fractional residual below which an idealised point lies on a position."""


@dataclass(frozen=True, slots=True)
class WyckoffTables:
    """All Wyckoff positions; those of group g are rows start[g - 1] to start[g], in the order a, b, c ...

    A point of a position is `rotation @ u + translation` with u in [0, 1)^3. The coefficients are whole numbers, so
    that a uniform u gives a point uniform on the position, also on oblique ones such as (x, 2x, z).

    Attributes:
        start: (231,) first row of each group.
        multiplicity: (W,) points in the conventional cell.
        dof: (W,) degrees of freedom, 0 to 3.
        rotation: (W, 3, 3) first representative.
        translation: (W, 3) first representative, fractional.
        op_start: (W + 1,) first representative of each position.
        op_rotation: (N, 3, 3) all representatives, centring included.
        op_translation: (N, 3) fractional, in [0, 1).

    """

    start: NDArray[np.int64]
    multiplicity: NDArray[np.int64]
    dof: NDArray[np.int64]
    rotation: NDArray[np.float64]
    translation: NDArray[np.float64]
    op_start: NDArray[np.int64]
    op_rotation: NDArray[np.float64]
    op_translation: NDArray[np.float64]

    def rows(self, group: int) -> slice:
        """Return the rows of a group's positions."""
        return slice(int(self.start[group - 1]), int(self.start[group]))

    def row(self, group: int, letter_index: int) -> int:
        """Return the row of one position.

        Raises:
            InputError: the group has no such position.

        """
        first, last = int(self.start[group - 1]), int(self.start[group])
        if not 0 <= letter_index < last - first:
            raise InputError(f"space group {group}: no Wyckoff position number {letter_index} (it has {last - first})")
        return first + letter_index


@cache
def tables() -> WyckoffTables:
    """Return the tables, read once from the package's data."""
    with np.load(TABLES_PATH, allow_pickle=False) as stored:
        arrays = {name: stored[name].astype(np.int64) for name in stored.files}
    rotation = arrays["op_rotation"].astype(np.float64)
    translation = arrays["op_translation24"] / TRANSLATION_DENOMINATOR
    first = arrays["op_start"][:-1]
    result = WyckoffTables(
        start=arrays["start"],
        multiplicity=arrays["multiplicity"],
        dof=arrays["dof"],
        rotation=np.ascontiguousarray(rotation[first]),
        translation=np.ascontiguousarray(translation[first]),
        op_start=arrays["op_start"],
        op_rotation=rotation,
        op_translation=translation,
    )
    for name in WyckoffTables.__slots__:
        getattr(result, name).setflags(write=False)
    return result


def letter(index: int) -> str:
    """Return the Wyckoff letter of an index, 0 = a."""
    return LETTERS[index]


def letter_index(text: str) -> int:
    """Return the index of a Wyckoff letter.

    Raises:
        InputError: not a letter.

    """
    index = LETTERS.find(text) if len(text) == 1 else -1
    if index < 0:
        raise InputError(f"Wyckoff letter '{text}': must be one of {LETTERS}")
    return index


def site_symmetry(
    group: int, x: NDArray[np.float64], cell: NDArray[np.float64], tolerance: float
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return the operations that leave a point where it is, and the point moved onto their common fixed space.

    Args:
        group: space-group number.
        x: (3,) fractional coordinates, standard setting.
        cell: (6,) Å, degrees.
        tolerance: distance in Å below which an image counts as the point itself.

    """
    ops = operations(group)
    lattice = vectors(cell)
    rotations, translations = ops.rotations, ops.translations
    point = np.asarray(x, dtype=np.float64)
    for _ in range(3):  # the mean of the images may bring further operations within the tolerance
        images = rotations @ point + translations
        shift = images - point
        shift -= np.rint(shift)
        fixed = np.flatnonzero(np.linalg.norm(shift @ lattice, axis=1) < tolerance)
        moved = point + shift[fixed].mean(axis=0)
        if np.abs(moved - point).max() < 1e-12:
            break
        point = moved
    return fixed, point % 1.0


def locate(
    group: int, x: NDArray[np.float64], cell: NDArray[np.float64], tolerance: float = 1e-3
) -> tuple[int, NDArray[np.float64]]:
    """Return the letter index of the position that a point lies on, and the point idealised onto it.

    Args:
        group: space-group number.
        x: (3,) fractional coordinates, standard setting.
        cell: (6,) Å, degrees.
        tolerance: distance in Å below which two images of the point are one.

    Raises:
        InputError: the images within the tolerance do not make up the site symmetry of any position.

    """
    fixed, point = site_symmetry(group, x, cell, tolerance)
    order = operations(group).order
    table = tables()
    rows = table.rows(group)
    if order % len(fixed) == 0:
        for row in range(rows.start, rows.stop):
            if table.multiplicity[row] * len(fixed) == order and _on_position(row, point):
                return row - rows.start, point
    raise InputError(
        f"space group {group}: point {np.round(x, 5).tolist()} lies on no Wyckoff position within {tolerance} Å"
    )


def _on_position(row: int, point: NDArray[np.float64]) -> bool:
    """Return whether an idealised point lies on any representative of a position.

    x = W u + w + n has a solution u for some whole n if and only if L (x - w) is whole, where the rows of L are a
    primitive basis of the whole-number vectors that annihilate W (then L maps the whole vectors onto all of Z^k).
    """
    table = tables()
    ops = slice(int(table.op_start[row]), int(table.op_start[row + 1]))
    constraints = _constraints(row)
    residual = np.einsum("nij,nj->ni", constraints, point - table.op_translation[ops])
    return bool((np.abs(residual - np.rint(residual)).max(axis=1) < ON_POSITION).any())


@cache
def _constraints(row: int) -> NDArray[np.float64]:
    """Return L of every representative of a position, (multiplicity, 3, 3), padded with null rows."""
    table = tables()
    ops = slice(int(table.op_start[row]), int(table.op_start[row + 1]))
    return np.array([_left_null_basis(matrix, int(table.dof[row])) for matrix in table.op_rotation[ops]])


_SMALL_VECTORS = np.array([v for v in product((0, 1, -1, 2, -2), repeat=3) if any(v)])


def _left_null_basis(matrix: NDArray[np.float64], dof: int) -> NDArray[np.float64]:
    """Return a primitive whole-number basis of the vectors l with l W = 0, as rows padded to (3, 3)."""
    basis = np.zeros((3, 3))
    if dof == 0:
        return np.eye(3)
    if dof == 3:
        return basis
    null = _SMALL_VECTORS[(_SMALL_VECTORS @ matrix == 0).all(axis=1)]
    null = null[np.argsort((null**2).sum(axis=1), kind="stable")]
    if dof == 2:
        basis[0] = null[0]
        return basis
    direction = matrix[:, np.abs(matrix).sum(axis=0) > 0][:, 0]
    direction = direction / np.gcd.reduce(np.rint(direction).astype(np.int64))
    for first in null:
        crossed = np.cross(first, null)
        primitive = (np.abs(np.abs(crossed) - np.abs(direction)) < 0.5).all(axis=1)
        if primitive.any():
            basis[0], basis[1] = first, null[np.flatnonzero(primitive)[0]]
            return basis
    raise ArithmeticError(f"no primitive basis for the line along {direction.tolist()}")

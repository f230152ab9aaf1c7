"""Primitive cells: the orbit of every Wyckoff position without its centring translations.

Verifying the primitive cell costs half to a quarter of the atoms of the conventional one and is the same statement.

# G = 230 groups    W Wyckoff positions    N representatives without centring    M atoms of one primitive cell
"""

from __future__ import annotations

from functools import cache
from itertools import combinations, product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from xrdcommon.space_groups import N_GROUPS

from xrdgen.symmetry import wyckoff
from xrdgen.symmetry.operations import TRANSLATION_DENOMINATOR, operations


class PrimitiveTables(NamedTuple):
    """Representatives of the Wyckoff positions in primitive axes.

    Attributes:
        basis: (G, 3, 3) primitive lattice vectors as rows, in units of the conventional ones.
        wyckoff_start: (G + 1,) first Wyckoff position of a group.
        start: (W + 1,) first representative of a position.
        rotation, translation: (N, 3, 3), (N, 3): x = rotation u + translation, primitive axes.

    """

    basis: NDArray[np.float64]
    wyckoff_start: NDArray[np.int64]
    start: NDArray[np.int64]
    rotation: NDArray[np.float64]
    translation: NDArray[np.float64]


def primitive_basis(group: int) -> NDArray[np.float64]:
    """Return primitive lattice vectors (3, 3) as rows in conventional axes, right-handed, determinant 1 / C."""
    centrings = operations(group).centrings24 / TRANSLATION_DENOMINATOR
    if len(centrings) == 1:
        return np.eye(3)
    shifts = np.array(list(product((0, -1), repeat=3)))
    candidates = np.array([c + s for c in centrings[1:] for s in shifts] + list(np.eye(3)))
    candidates = candidates[np.argsort((candidates**2).sum(axis=1), kind="stable")]
    for triple in combinations(range(len(candidates)), 3):
        basis = candidates[list(triple)]
        determinant = np.linalg.det(basis)
        if abs(abs(determinant) * len(centrings) - 1.0) < 1e-9:
            return np.asarray(basis if determinant > 0 else basis[[1, 0, 2]], dtype=np.float64)
    raise ArithmeticError(f"space group {group}: no primitive basis found")


@cache
def primitive_tables() -> PrimitiveTables:
    """Return the tables for all groups, made once in a process (about 0.3 s)."""
    table = wyckoff.tables()
    bases = np.array([primitive_basis(group) for group in range(1, N_GROUPS + 1)])
    start, rotations, translations = [0], [], []
    for group in range(1, N_GROUPS + 1):
        to_primitive = np.linalg.inv(bases[group - 1]).T
        n_centrings = len(operations(group).centrings24)
        for row in range(table.start[group - 1], table.start[group]):
            ops = slice(int(table.op_start[row]), int(table.op_start[row + 1]))
            rotation = table.op_rotation[ops]
            shift = table.op_translation[ops] @ to_primitive.T
            # two representatives are one modulo the primitive lattice if W is equal and w differs by whole numbers
            whole = np.rint(shift * TRANSLATION_DENOMINATOR).astype(np.int64) % TRANSLATION_DENOMINATOR
            keys = np.concatenate([np.rint(rotation).reshape(-1, 9).astype(np.int64), whole], axis=1)
            kept = np.sort(np.unique(keys, axis=0, return_index=True)[1])
            if len(kept) * n_centrings != table.multiplicity[row]:
                raise ArithmeticError(f"space group {group}: position {row} does not divide by the centring")
            rotations.append(np.einsum("ij,njk->nik", to_primitive, rotation[kept]))
            translations.append(shift[kept])
            start.append(start[-1] + len(kept))
    return PrimitiveTables(
        basis=bases,
        wyckoff_start=table.start,
        start=np.array(start, dtype=np.int64),
        rotation=np.concatenate(rotations),
        translation=np.concatenate(translations),
    )

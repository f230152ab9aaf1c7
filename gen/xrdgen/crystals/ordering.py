"""The arrays behind the soft-sphere ordering of `ordering_kernels`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from xrdgen.crystals.ordering_kernels import OrderingTables
from xrdgen.crystals.primitive import PrimitiveTables, primitive_tables
from xrdgen.elements import element_table

STEPS = {"none": 0, "soft-spheres": 10}
"""Steps of each ordering."""

LONGEST_STEP = 0.3
"""Å an atom may move in one step."""

REACH = 0.7
"""Radius of a soft sphere in covalent radii: what touches is at 0.7 (R_i + R_j)."""


def ordering_tables(ordering: str) -> OrderingTables:
    """Return the tables of an ordering, one of `STEPS`."""
    return OrderingTables(
        steps=STEPS[ordering],
        longest_step=LONGEST_STEP,
        reach=REACH * element_table().covalent_radius,
        to_parameters=_to_parameters(primitive_tables()),
    )


def _to_parameters(primitive: PrimitiveTables) -> NDArray[np.float64]:
    """Return the pseudoinverse of the first representative of every position, (W, 3, 3).

    All are whole thirtieths: rounded, they are the same on every kind of CPU.
    """
    thirtieths = 30.0 * np.linalg.pinv(primitive.rotation[primitive.start[:-1]])
    if np.abs(thirtieths - np.rint(thirtieths)).max() > 1e-9:
        raise ArithmeticError("a Wyckoff position whose pseudoinverse is not in thirtieths")
    inverses: NDArray[np.float64] = np.rint(thirtieths) / 30.0
    return inverses

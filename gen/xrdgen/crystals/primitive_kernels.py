"""Expand a drawn crystal to the atoms of its primitive cell.

# M atoms of the primitive cell
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from xrdgen.crystals.primitive import PrimitiveTables
from xrdgen.crystals.sampler_kernels import CrystalArrays
from xrdgen.jit import kernel


@kernel
def primitive_atoms(
    tables: PrimitiveTables, group: int, crystal: CrystalArrays
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return all atoms of the primitive cell: fractional coordinates (M, 3) and atomic numbers (M,)."""
    first = tables.wyckoff_start[group - 1]
    count = crystal.n_sites[0]
    total = 0
    for i in range(count):
        row = first + crystal.letters[i]
        total += tables.start[row + 1] - tables.start[row]
    positions = np.empty((total, 3))
    numbers = np.empty(total, dtype=np.int64)
    m = 0
    for i in range(count):
        row = first + crystal.letters[i]
        for n in range(tables.start[row], tables.start[row + 1]):
            for j in range(3):
                x = tables.translation[n, j]
                for k in range(3):
                    x += tables.rotation[n, j, k] * crystal.parameters[i, k]
                positions[m, j] = x - np.floor(x)
            numbers[m] = crystal.atomic_numbers[i]
            m += 1
    return positions, numbers

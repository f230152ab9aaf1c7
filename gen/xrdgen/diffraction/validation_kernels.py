"""The check of a crystal at the simulator's border, compiled because it runs once for every pattern.

It returns what is wrong and where; `simulator` turns that into words. The kernels behind it never check anything.

# A atom rows    S sites
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from xrdgen.diffraction.reflection_kernels import exact_cell
from xrdgen.jit import kernel
from xrdgen.symmetry.lattice_kernels import cell_volume

(
    SOUND,
    CELL_NOT_FINITE,
    CELL_WITHOUT_VOLUME,
    CELL_AGAINST_SYMMETRY,
    NO_ATOMS,
    POSITION_NOT_FINITE,
    UNKNOWN_ELEMENT,
    OCCUPANCY_OUT_OF_RANGE,
    SITE_OVERFULL,
    B_ISO_OF_OTHER_LENGTH,
    B_ISO_OUT_OF_RANGE,
) = range(11)
"""Faults of a crystal."""

LENGTH_TOLERANCE = 1e-4
"""Relative difference below which two cell lengths count as equal."""

ANGLE_TOLERANCE = 1e-2
"""Difference in degrees below which a cell angle counts as the one that symmetry asks for."""

OCCUPANCY_TOLERANCE = 1e-6
SITE_TOLERANCE = 1e-2
"""Published occupancies of a mixed site are rounded and may add up to a little more than 1."""

MAX_B_ISO = 100.0
"""Å^2: an atom whose <u^2> is above 1.3 Å^2 is not on a site."""


@kernel
def cell_obeys_symmetry(cell: NDArray[np.float64], space_group: int) -> bool:
    """Whether the cell has the metric of its crystal system, but for rounding."""
    exact = exact_cell(cell, space_group)
    for i in range(3):
        if abs(cell[i] - exact[i]) > LENGTH_TOLERANCE * exact[i] or abs(cell[3 + i] - exact[3 + i]) > ANGLE_TOLERANCE:
            return False
    return True


@kernel
def first_fault(
    space_group: int,
    cell: NDArray[np.float64],
    positions: NDArray[np.float64],
    atomic_numbers: NDArray[np.int64],
    occupancies: NDArray[np.float64],
    sites: NDArray[np.int64],
    b_iso: NDArray[np.float64],
    has_form_factor: NDArray[np.bool_],
) -> tuple[int, int]:
    """Return the first fault of a crystal and the atom row it is in (0 where it is not in one)."""
    for i in range(6):
        if not math.isfinite(cell[i]):
            return CELL_NOT_FINITE, 0
    if min(cell[0], cell[1], cell[2]) <= 0.0 or cell_volume(cell) <= 0.0:
        return CELL_WITHOUT_VOLUME, 0
    if not cell_obeys_symmetry(cell, space_group):
        return CELL_AGAINST_SYMMETRY, 0
    if positions.shape[0] == 0:
        return NO_ATOMS, 0
    if b_iso.size != positions.shape[0]:
        return B_ISO_OF_OTHER_LENGTH, 0
    for a in range(positions.shape[0]):
        for axis in range(3):
            if not math.isfinite(positions[a, axis]):
                return POSITION_NOT_FINITE, a
        if not (0 < atomic_numbers[a] < has_form_factor.size and has_form_factor[atomic_numbers[a]]):
            return UNKNOWN_ELEMENT, a
        if not 0.0 < occupancies[a] <= 1.0 + OCCUPANCY_TOLERANCE:
            return OCCUPANCY_OUT_OF_RANGE, a
        if not 0.0 <= b_iso[a] <= MAX_B_ISO:
            return B_ISO_OUT_OF_RANGE, a
    total = np.zeros(sites.size)
    for a in range(sites.size):
        if not 0 <= sites[a] < sites.size:
            continue
        total[sites[a]] += occupancies[a]
        if total[sites[a]] > 1.0 + SITE_TOLERANCE:
            return SITE_OVERFULL, a
    return SOUND, 0

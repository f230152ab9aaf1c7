"""Kernels on cell parameters: cosines that are exact where symmetry fixes the angle, and the volume.

| symbol | variable | source |
|---|---|---|
| V = abc sqrt(1 - ca^2 - cb^2 - cg^2 + 2 ca cb cg), ca = cos alpha ... | `cell_volume` | Int. Tables C, 1.1 |
"""

from __future__ import annotations

from math import cos, pi, sqrt

import numpy as np
from numpy.typing import NDArray

from xrdgen.jit import kernel


@kernel
def cosine_of_degrees(angle: float) -> float:
    """Cosine of an angle in degrees, exact where symmetry fixes it (90, 120 and, in primitive cells, 60)."""
    if angle == 90.0:
        return 0.0
    if angle == 120.0:
        return -0.5
    if angle == 60.0:
        return 0.5
    return cos(angle * (pi / 180.0))


@kernel
def cell_volume(cell: NDArray[np.float64]) -> float:
    """Return the volume of a cell (6,), Å and degrees; 0 where lengths or angles make none."""
    if min(cell[0], cell[1], cell[2]) <= 0.0 or min(cell[3], cell[4], cell[5]) <= 0.0:
        return 0.0
    if max(cell[3], cell[4], cell[5]) >= 180.0:
        return 0.0
    ca, cb, cg = cosine_of_degrees(cell[3]), cosine_of_degrees(cell[4]), cosine_of_degrees(cell[5])
    squared = 1.0 - ca * ca - cb * cb - cg * cg + 2.0 * ca * cb * cg
    if squared <= 0.0:
        return 0.0
    return float(cell[0] * cell[1] * cell[2] * sqrt(squared))

"""Lattices: cell parameters and vectors.

A cell is (a, b, c, alpha, beta, gamma): Å and degrees, conventional cell of the standard setting.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FREE_PARAMETERS = {
    "triclinic": (0, 1, 2, 3, 4, 5),
    "monoclinic": (0, 1, 2, 4),
    "orthorhombic": (0, 1, 2),
    "tetragonal": (0, 2),
    "trigonal": (0, 2),
    "hexagonal": (0, 2),
    "cubic": (),
}
"""Columns of the cell that are free at unit volume, per crystal system (a = b where b is missing)."""


def vectors(cell: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the lattice vectors (3, 3) as rows, Å: a along x, b in the xy plane.

    Args:
        cell: (6,) a, b, c in Å, alpha, beta, gamma in degrees.

    """
    a, b, c = cell[:3]
    # exact cosines for the angles that symmetry fixes: cos(pi/2) in floating point is not 0
    cos_alpha, cos_beta, cos_gamma = (_cos_degrees(angle) for angle in cell[3:])
    sin_gamma = np.sqrt(1.0 - cos_gamma**2)
    c_y = (cos_alpha - cos_beta * cos_gamma) / sin_gamma
    c_z = np.sqrt(max(0.0, 1.0 - cos_beta**2 - c_y**2))
    return np.array(
        [[a, 0.0, 0.0], [b * cos_gamma, b * sin_gamma, 0.0], [c * cos_beta, c * c_y, c * c_z]],
    )


def volume(cell: NDArray[np.float64]) -> float:
    """Return the volume of a cell (6,) in Å^3."""
    return float(np.prod(np.diag(vectors(cell))))


def _cos_degrees(angle: float) -> float:
    """Cosine of an angle in degrees, exact at 60, 90 and 120."""
    return {60.0: 0.5, 90.0: 0.0, 120.0: -0.5}.get(float(angle), float(np.cos(np.radians(angle))))

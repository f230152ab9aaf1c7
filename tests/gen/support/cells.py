"""Cells for crystals that tests make themselves."""

from __future__ import annotations

import numpy as np
from xrdcommon.space_groups import crystal_system


def random_cell(space_group: int, rng: np.random.Generator, smallest: float = 3.5, largest: float = 7.5) -> np.ndarray:
    """A cell with the metric of the group's crystal system."""
    a, b, c = rng.uniform(smallest, largest, 3)
    alpha, beta, gamma = rng.uniform(75.0, 105.0, 3)
    cells = {
        "triclinic": (a, b, c, alpha, beta, gamma),
        "monoclinic": (a, b, c, 90.0, beta, 90.0),
        "orthorhombic": (a, b, c, 90.0, 90.0, 90.0),
        "tetragonal": (a, a, c, 90.0, 90.0, 90.0),
        "trigonal": (a, a, c, 90.0, 90.0, 120.0),
        "hexagonal": (a, a, c, 90.0, 90.0, 120.0),
        "cubic": (a, a, a, 90.0, 90.0, 90.0),
    }
    return np.array(cells[crystal_system(space_group)])

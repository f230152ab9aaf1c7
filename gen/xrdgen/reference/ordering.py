"""Soft-sphere ordering in plain Python: atoms that overlap are pushed apart on their Wyckoff positions.

Of two atoms closer than the sum of their radii, 0.7 R_covalent, each steps back half of the overlap. All pushes on an
atom add up, cut to the longest step. A site moves as the first atom of its orbit does: the crystal keeps its symmetry.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import product

import numpy as np
from numpy.typing import NDArray

from xrdgen.reference.crystal import ReferenceCrystal, lattice_vectors

STEPS = 10

LONGEST_STEP = 0.3
"""Å an atom may move in one step."""

RADIUS = 0.7
"""Of a soft sphere, in covalent radii."""

COINCIDENT = 1e-9
"""Å; atoms closer than this have no direction in which to part."""


def order_atoms(crystal: ReferenceCrystal) -> ReferenceCrystal:
    """Return a crystal with its atoms moved apart."""
    to_fractional = np.linalg.inv(lattice_vectors(crystal.cell))
    first_atoms = np.cumsum([0] + [len(position.primitive) for position in crystal.positions[:-1]])
    for _ in range(STEPS):
        vectors, points, numbers = crystal.primitive_cell()
        radii = np.array([soft_radius(int(z)) for z in numbers])
        parameters = crystal.parameters.copy()
        for site, position in enumerate(crystal.positions):
            push = push_on(int(first_atoms[site]), points, radii, vectors) if position.dof > 0 else np.zeros(3)
            length = float(np.linalg.norm(push))
            if length > 0.0:
                step = push * min(1.0, LONGEST_STEP / length)
                # x = W u + w: the change of u that moves x by the step, which lies in the position's free space
                parameters[site] += np.linalg.pinv(position.rotations[0]) @ (step @ to_fractional)
        if np.array_equal(parameters, crystal.parameters):
            break
        crystal = replace(crystal, parameters=parameters % 1.0)
    return crystal


def push_on(
    atom: int, points: NDArray[np.float64], radii: NDArray[np.float64], vectors: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the sum of the pushes (3,) in Å of all other atoms, and of their periodic images, on one atom.

    Args:
        atom: which, among M.
        points: (M, 3) fractional.
        radii: (M,) Å.
        vectors: (3, 3) of the cell as rows, Å.

    """
    others = np.arange(len(points)) != atom
    difference = (points - points[atom])[others]
    difference -= np.rint(difference)
    contact = (radii + radii[atom])[others]
    if not len(contact):
        return np.zeros(3)
    plane_distances = 1.0 / np.linalg.norm(np.linalg.inv(vectors), axis=0)
    cells = np.ceil(contact.max() / plane_distances + 0.5).astype(int)
    translations = np.array(list(product(*(range(-n, n + 1) for n in cells))))
    r = (difference[:, None] + translations[None]) @ vectors
    distance = np.linalg.norm(r, axis=2)
    overlap = np.where(distance > COINCIDENT, contact[:, None] - distance, 0.0).clip(min=0.0)
    share = np.divide(0.5 * overlap, distance, out=np.zeros_like(distance), where=overlap > 0.0)
    return np.asarray(-(share[:, :, None] * r).sum(axis=(0, 1)))


@cache
def soft_radius(z: int) -> float:
    """Return the radius of an element's soft sphere in Å, from pyxtal's covalent radius."""
    from pyxtal.database.element import Element

    return float(RADIUS * Element(z).covalent_radius)

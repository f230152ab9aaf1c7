"""A crystal as the reference engine draws it.

# A atoms in the asymmetric unit    M atoms of a cell
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from xrdcommon.fields import N_ELEMENTS

from xrdgen.reference.positions import Position, group_positions

if TYPE_CHECKING:
    from pymatgen.core import Structure

    from xrdgen.crystal import Crystal


@dataclass(frozen=True, slots=True)
class ReferenceCrystal:
    """Space group, cell and the atoms of the asymmetric unit, each on a Wyckoff position.

    Attributes:
        space_group: International Tables number.
        cell: (6,) a, b, c in Å, alpha, beta, gamma in degrees.
        elements: Z of every atom.
        positions: Wyckoff position of every atom.
        parameters: (A, 3) u of every atom: its orbit is W u + w.

    """

    space_group: int
    cell: NDArray[np.float64]
    elements: tuple[int, ...]
    positions: tuple[Position, ...]
    parameters: NDArray[np.float64]

    @property
    def points(self) -> NDArray[np.float64]:
        """Fractional coordinates (A, 3) of the asymmetric unit, in [0, 1)."""
        return np.array([p.first_point(u) for p, u in zip(self.positions, self.parameters, strict=True)])

    @property
    def volume(self) -> float:
        """Volume of the conventional cell, Å^3."""
        return cell_volume(self.cell)

    @property
    def n_sites(self) -> int:
        """Atoms A in the asymmetric unit."""
        return len(self.elements)

    @property
    def composition(self) -> NDArray[np.float64]:
        """Atoms of every element in the conventional cell, (103,), index Z - 1."""
        amounts = np.zeros(N_ELEMENTS)
        for z, position in zip(self.elements, self.positions, strict=True):
            amounts[z - 1] += position.multiplicity
        return amounts

    @property
    def n_atoms(self) -> int:
        """Atoms in the conventional cell."""
        return sum(position.multiplicity for position in self.positions)

    @property
    def v_atomic(self) -> float:
        """Sum of the atomic volumes in the conventional cell, Å^3."""
        return v_atomic(self.elements, self.positions)

    def primitive_cell(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
        """Return a primitive cell: vectors (3, 3) as rows in Å, fractional coordinates (M, 3), Z (M,)."""
        basis = group_positions(self.space_group).primitive_vectors
        orbits = [p.primitive_orbit(u) for p, u in zip(self.positions, self.parameters, strict=True)]
        numbers = np.repeat(self.elements, [len(orbit) for orbit in orbits])
        points = np.concatenate(orbits) @ np.linalg.inv(basis)
        return basis @ lattice_vectors(self.cell), points % 1.0, numbers

    def to_pymatgen(self) -> Structure:
        """Return the conventional cell as a pymatgen Structure."""
        from pymatgen.core import Structure

        orbits = [p.orbit(u) for p, u in zip(self.positions, self.parameters, strict=True)]
        species = np.repeat(self.elements, [len(orbit) for orbit in orbits])
        return Structure(lattice_vectors(self.cell), species.tolist(), np.concatenate(orbits))

    def to_crystal(self) -> Crystal:
        """Return the crystal as the rest of the package has it, to be printed or written as CIF."""
        from xrdgen.crystal import Crystal

        n = len(self.elements)
        return Crystal(
            space_group=self.space_group,
            cell=self.cell,
            positions=self.points,
            atomic_numbers=np.array(self.elements, dtype=np.int64),
            occupancies=np.ones(n),
            letters=np.array([position.letter for position in self.positions], dtype=np.int64),
            sites=np.arange(n, dtype=np.int64),
        )


def v_atomic(elements: tuple[int, ...], positions: tuple[Position, ...]) -> float:
    """Return the sum of the atomic volumes (Å^3) over all points of the atoms' positions."""
    return sum(p.multiplicity * atomic_volume(z) for z, p in zip(elements, positions, strict=True))


@cache
def atomic_volume(z: int) -> float:
    """Return 4/3 pi r^3 in Å^3, r the mean of pyxtal's covalent and van der Waals radii (paper, S1)."""
    from pyxtal.database.element import Element

    element = Element(z)
    return float(4.0 / 3.0 * math.pi * ((element.covalent_radius + element.vdw_radius) / 2.0) ** 3)


def cell_volume(cell: NDArray[np.float64]) -> float:
    """Return V = abc sqrt(1 - ca^2 - cb^2 - cg^2 + 2 ca cb cg), 0 where the parameters (6,) make no cell."""
    if cell[:3].min() <= 0.0 or cell[3:].min() <= 0.0 or cell[3:].max() >= 180.0:
        return 0.0
    cosines = np.cos(np.radians(cell[3:]))
    squared = 1.0 - (cosines**2).sum() + 2.0 * cosines.prod()
    return float(cell[:3].prod() * math.sqrt(squared)) if squared > 0.0 else 0.0


def lattice_vectors(cell: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the lattice vectors (3, 3) as rows, Å, in pymatgen's orientation."""
    from pymatgen.core import Lattice

    return np.asarray(Lattice.from_parameters(*map(float, cell)).matrix)

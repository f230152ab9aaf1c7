"""A crystal by its asymmetric unit, in the project's standard setting.

# A atom rows (a mixed site has one row a species)    S sites    O operations    M positions in the conventional cell
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from xrdcommon.errors import InputError
from xrdcommon.fields import N_ELEMENTS

from xrdgen.elements import element_table, symbol
from xrdgen.symmetry import lattice, wyckoff
from xrdgen.symmetry.operations import operations

if TYPE_CHECKING:
    from pymatgen.core import Structure

SAME_POINT = 1e-6
"""Fractional distance below which two images of an idealised point are one."""


@dataclass(frozen=True, slots=True)
class FullCell:
    """All positions of the conventional cell.

    Attributes:
        lattice: (3, 3) vectors as rows, Å.
        positions: (M', 3) fractional in [0, 1), one row per position and species.
        atomic_numbers: (M',).
        occupancies: (M',).
        sites: (M',) number of the position in the cell; rows that share a mixed position share it.

    """

    lattice: NDArray[np.float64]
    positions: NDArray[np.float64]
    atomic_numbers: NDArray[np.int64]
    occupancies: NDArray[np.float64]
    sites: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Crystal:
    """A crystal: space group, cell and the atoms of the asymmetric unit.

    Every position lies exactly on its Wyckoff position, so that a sum over all O operations weighted with
    multiplicity / O is the sum over the cell.

    Attributes:
        space_group: International Tables number.
        cell: (6,) a, b, c in Å, alpha, beta, gamma in degrees.
        positions: (A, 3) fractional coordinates.
        atomic_numbers: (A,) Z.
        occupancies: (A,) in (0, 1].
        letters: (A,) index of the Wyckoff letter, 0 = a.
        sites: (A,) number of the crystallographic site, from 0; species of a mixed site share it.
        b_iso: (A,) isotropic displacement parameter B = 8 pi^2 <u^2>, Å^2; None where all atoms are at rest.

    """

    space_group: int
    cell: NDArray[np.float64]
    positions: NDArray[np.float64]
    atomic_numbers: NDArray[np.int64]
    occupancies: NDArray[np.float64]
    letters: NDArray[np.int64]
    sites: NDArray[np.int64]
    b_iso: NDArray[np.float64] | None = None

    @property
    def multiplicities(self) -> NDArray[np.int64]:
        """Multiplicity of the Wyckoff position of every row, (A,)."""
        table = wyckoff.tables()
        result: NDArray[np.int64] = table.multiplicity[table.start[self.space_group - 1] + self.letters]
        return result

    def with_b_iso(self, b_iso: float) -> Crystal:
        """Return the crystal with one displacement parameter (Å^2) for all atoms; 0 leaves them at rest."""
        return replace(self, b_iso=None if b_iso == 0.0 else np.full(len(self.positions), b_iso, dtype=np.float64))

    @property
    def n_sites(self) -> int:
        """Number of crystallographic sites S."""
        return len(np.unique(self.sites))

    @property
    def n_atoms(self) -> int:
        """Number of positions in the conventional cell; a mixed site counts once."""
        _, first = np.unique(self.sites, return_index=True)
        return int(self.multiplicities[first].sum())

    @property
    def volume(self) -> float:
        """Volume of the conventional cell, Å^3."""
        return lattice.volume(self.cell)

    @property
    def v_atomic(self) -> float:
        """Sum of the atomic volumes in the cell, weighted by occupancy, Å^3 (paper, S1); NaN if one is unknown."""
        volumes = element_table().atomic_volume[self.atomic_numbers]
        return float((volumes * self.occupancies * self.multiplicities).sum())

    @property
    def composition(self) -> NDArray[np.float64]:
        """Atoms of every element in the conventional cell, (103,), index Z - 1."""
        amounts = self.occupancies * self.multiplicities
        return np.bincount(self.atomic_numbers - 1, weights=amounts, minlength=N_ELEMENTS).astype(np.float64)

    @property
    def formula(self) -> str:
        """Content of the conventional cell, for example 'Na4 Cl4', in the order of the rows."""
        amounts = self.composition
        order = dict.fromkeys(int(z) for z in self.atomic_numbers)
        return " ".join(f"{symbol(z)}{amounts[z - 1]:g}" for z in order)

    def full_cell(self) -> FullCell:
        """Expand the asymmetric unit to the conventional cell.

        Raises:
            InputError: a row does not lie on the Wyckoff position it claims.

        """
        group = operations(self.space_group)
        multiplicities = self.multiplicities
        positions, rows, sites = [], [], []
        site_offsets: dict[int, int] = {}
        n_positions = 0
        for row in range(len(self.positions)):
            orbit = _distinct(group.rotations @ self.positions[row] + group.translations)
            if len(orbit) != multiplicities[row]:
                label = f"{multiplicities[row]}{wyckoff.letter(int(self.letters[row]))}"
                raise InputError(
                    f"space group {self.space_group}: row {row} at {np.round(self.positions[row], 6).tolist()} has "
                    f"{len(orbit)} images, its Wyckoff position {label} has {multiplicities[row]}"
                )
            site = int(self.sites[row])
            if site not in site_offsets:
                site_offsets[site] = n_positions
                n_positions += len(orbit)
            positions.append(orbit)
            rows.append(np.full(len(orbit), row))
            sites.append(site_offsets[site] + np.arange(len(orbit)))
        row_of = np.concatenate(rows)
        return FullCell(
            lattice=lattice.vectors(self.cell),
            positions=np.concatenate(positions),
            atomic_numbers=self.atomic_numbers[row_of],
            occupancies=self.occupancies[row_of],
            sites=np.concatenate(sites),
        )

    def to_pymatgen(self) -> Structure:
        """Return the conventional cell as a pymatgen Structure, mixed and partial occupancies included."""
        from pymatgen.core import Composition, Lattice, PeriodicSite, Structure

        cell = self.full_cell()
        n_positions = int(cell.sites.max()) + 1
        species: list[dict[str, float]] = [{} for _ in range(n_positions)]
        coordinates = np.empty((n_positions, 3))
        for site, z, occupancy, position in zip(
            cell.sites, cell.atomic_numbers, cell.occupancies, cell.positions, strict=True
        ):
            name = symbol(int(z))
            species[site][name] = species[site].get(name, 0.0) + float(occupancy)
            coordinates[site] = position
        vectors = Lattice(cell.lattice)
        structure = Structure(vectors, ["H"] * n_positions, coordinates)
        # put in afterwards: published occupancies may add up to 1.001, which the constructor refuses
        structure.sites = [
            PeriodicSite(Composition(amounts), position, vectors, skip_checks=True)
            for amounts, position in zip(species, coordinates, strict=True)
        ]
        return structure


def _distinct(images: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the distinct points among images (O, 3) modulo lattice translations, in order of appearance."""
    images = images % 1.0
    difference = images[:, None] - images[None]
    difference -= np.rint(difference)
    same = (np.abs(difference) < SAME_POINT).all(axis=2)
    distinct: NDArray[np.float64] = images[same.argmax(axis=1) == np.arange(len(images))]
    return distinct

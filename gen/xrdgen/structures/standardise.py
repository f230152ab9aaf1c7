"""Structures of any origin to crystals in the project's standard setting; spglib finds the symmetry.

# P positions of the structure given    M positions of the conventional cell
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import spglib
from numpy.typing import NDArray
from xrdcommon.errors import InputError

from xrdgen.crystal import Crystal
from xrdgen.elements import atomic_number
from xrdgen.structures.given import crystal_from, place
from xrdgen.structures.rows import idealised_cell
from xrdgen.symmetry.operations import standard_hall_number

if TYPE_CHECKING:
    from pymatgen.core import Structure

DEFAULT_SYMPREC = 0.01
"""Å; pymatgen's and the paper's tolerance for experimental structures."""

OCCUPANCY_DIGITS = 4


def standardise(structure: Structure, symprec: float = DEFAULT_SYMPREC) -> Crystal:
    """Return a structure as a crystal in the standard setting, sites idealised onto their Wyckoff positions.

    Positions are equivalent only if their species and occupancies agree. Oxidation states are dropped; deuterium and
    tritium count as hydrogen.

    Args:
        structure: a pymatgen structure, any cell.
        symprec: tolerance of the symmetry search, Å.

    Raises:
        InputError: spglib finds no symmetry (overlapping atoms), a site that is no element, no atoms.

    """
    if not len(structure):
        raise InputError("no atoms")
    species = [_species_of(site) for site in structure]
    kinds = {kind: number for number, kind in enumerate(sorted(set(species)), start=1)}
    by_number = {number: kind for kind, number in kinds.items()}
    cell_in = (
        np.array(structure.lattice.matrix),
        np.array(structure.frac_coords),
        np.array([kinds[kind] for kind in species]),
    )
    group = int(_dataset(cell_in, symprec, 0).number)
    data = _dataset(cell_in, symprec, standard_hall_number(group))
    if int(data.number) != group:
        raise InputError(f"spglib finds space group {group} and then {data.number} at symprec {symprec} Å")
    cell = idealised_cell(group, cell_parameters(np.array(data.std_lattice)))
    orbits = _orbits_of_standard_cell(data)
    positions = np.array(data.std_positions)
    types = np.array(data.std_types)
    records: list[tuple[NDArray[np.float64], int, float, int, int]] = []
    _, first, counts = np.unique(orbits, return_index=True, return_counts=True)
    for number, at in enumerate(np.argsort(first, kind="stable")):
        row = int(first[at])
        index, point = place(group, positions[row], cell, int(counts[at]))
        for z, occupancy in by_number[int(types[row])]:
            records.append((point, z, occupancy, index, number))
    return crystal_from(group, cell, records)


def cell_parameters(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a, b, c in Å and alpha, beta, gamma in degrees of lattice vectors (3, 3), rows."""
    lengths = np.linalg.norm(vectors, axis=1)
    a, b, c = vectors / lengths[:, None]
    cosines = np.clip([b @ c, a @ c, a @ b], -1.0, 1.0)
    return np.concatenate([lengths, np.degrees(np.arccos(cosines))])


def _species_of(site: Any) -> tuple[tuple[int, float], ...]:
    """Return atomic numbers with occupancies of a site, ascending.

    Raises:
        InputError: a species that is no element, or nothing on the site.

    """
    amounts: dict[int, float] = {}
    for specie, occupancy in site.species.items():
        z = atomic_number(getattr(getattr(specie, "element", specie), "symbol", str(specie)))
        amounts[z] = amounts.get(z, 0.0) + float(occupancy)
    result = tuple((z, round(n, OCCUPANCY_DIGITS)) for z, n in sorted(amounts.items()) if n > 0.0)
    if not result:
        raise InputError(f"site {site.label if hasattr(site, 'label') else site}: occupancy 0")
    return result


def _dataset(cell: tuple[Any, Any, Any], symprec: float, hall_number: int) -> Any:
    """Return spglib's dataset.

    Raises:
        InputError: spglib finds no symmetry; the message says why where spglib does.

    """
    reason = ""
    try:
        dataset = spglib.get_symmetry_dataset(cell, symprec=symprec, hall_number=hall_number)
    except (RuntimeError, ValueError, spglib.error.SpglibError) as error:
        dataset, reason = None, str(error)
    if dataset is None:
        reason = reason or str(spglib.get_error_message())
        raise InputError(f"spglib finds no symmetry at symprec {symprec} Å ({reason})")
    return dataset


def _orbits_of_standard_cell(data: Any) -> NDArray[np.int64]:
    """Return, per position of the standard cell (M,), which orbit it belongs to."""
    primitive_of_input = np.array(data.mapping_to_primitive)
    orbit_of_primitive = np.empty(int(primitive_of_input.max()) + 1, dtype=np.int64)
    orbit_of_primitive[primitive_of_input] = data.crystallographic_orbits
    result: NDArray[np.int64] = orbit_of_primitive[np.array(data.std_mapping_to_primitive)]
    return result

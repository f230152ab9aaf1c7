"""Structures of any origin to crystals in the project's standard setting.

spglib finds the symmetry. Where a file names its space group and its atoms obey it exactly, the only question is
whether they obey more: if moyo, which is much faster, finds no more even at twice the tolerance, spglib is not asked
(it finds the same: a test over structures of AMCSD).

# P positions of the structure given    M positions of the conventional cell    S orbits
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import moyopy
import numpy as np
import spglib
from numpy.typing import NDArray
from xrdcommon.errors import InputError

from xrdgen.crystal import Crystal
from xrdgen.elements import atomic_number
from xrdgen.structures.given import crystal_from, place
from xrdgen.structures.rows import idealised_cell
from xrdgen.structures.settings import origin_shift
from xrdgen.symmetry import wyckoff
from xrdgen.symmetry.lattice import vectors
from xrdgen.symmetry.operations import operations

if TYPE_CHECKING:
    from pymatgen.core import Structure

DEFAULT_SYMPREC = 0.01
"""Å; pymatgen's and the paper's tolerance for experimental structures."""

OCCUPANCY_DIGITS = 4

LOOSER = 2.0
"""Factor of the tolerance at which moyo must find no more symmetry than the file names."""

ON_POSITION = 2e-3
"""Å: how far a point of a standardised cell may be from its Wyckoff position at once."""

Species = tuple[tuple[int, float], ...]
"""Atomic numbers with occupancies of a position, ascending."""


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
    return standardise_cell(np.array(structure.lattice.matrix), np.array(structure.frac_coords), species, symprec)


def standardise_cell(
    lattice: NDArray[np.float64],
    positions: NDArray[np.float64],
    species: list[Species],
    symprec: float = DEFAULT_SYMPREC,
    *,
    group: int | None = None,
    b_iso: list[dict[int, float]] | None = None,
) -> Crystal:
    """Return the atoms of a cell as a crystal in the standard setting.

    Args:
        lattice: (3, 3) vectors as rows, Å.
        positions: (P, 3) fractional.
        species: of each position.
        symprec: tolerance of the symmetry search, Å.
        group: number of a space group that the atoms obey exactly, where one is known.
        b_iso: displacement parameters of each position by atomic number, Å^2; those of an orbit are averaged.

    Raises:
        InputError: spglib finds no symmetry (overlapping atoms).

    """
    kinds = {kind: number for number, kind in enumerate(sorted(set(species)), start=1)}
    by_number = {number: kind for kind, number in kinds.items()}
    numbers = np.array([kinds[kind] for kind in species], dtype=np.int64)
    found = _known(lattice, positions, numbers, symprec, group) if group is not None else None
    if found is None:
        found = _searched(lattice, positions, numbers, symprec)
    number, std_lattice, points, orbits = found
    cell = idealised_cell(number, cell_parameters(std_lattice))
    first, inverse, counts = np.unique(orbits, return_index=True, return_inverse=True, return_counts=True)[1:]
    ratio = abs(float(np.linalg.det(std_lattice)) / float(np.linalg.det(lattice)))
    multiplicities = np.rint(counts * ratio).astype(np.int64)
    letters, placed = _on_positions(number, points[first], cell, multiplicities)
    records: list[tuple[NDArray[np.float64], int, float, int, int]] = []
    b_values: list[float] = []
    for site, at in enumerate(np.argsort(first, kind="stable").tolist()):
        for z, occupancy in by_number[int(numbers[first[at]])]:
            records.append((placed[at], z, occupancy, int(letters[at]), site))
            if b_iso is not None:
                known = [b_iso[row][z] for row in np.flatnonzero(inverse == at) if z in b_iso[row]]
                b_values.append(float(np.mean(known)) if known else np.nan)
    return crystal_from(number, cell, records, np.array(b_values) if b_iso is not None else None)


Found = tuple[int, NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]
"""Number, standard lattice (3, 3), positions (P, 3) in its standard setting, orbit of each position (P,)."""


def _known(
    lattice: NDArray[np.float64],
    positions: NDArray[np.float64],
    numbers: NDArray[np.int64],
    symprec: float,
    group: int,
) -> Found | None:
    """Return the standard setting as moyo has it if it finds the group that is named; None otherwise."""
    cell = moyopy.Cell(lattice.tolist(), positions.tolist(), numbers.tolist())
    try:
        data = moyopy.MoyoDataset(cell, symprec=LOOSER * symprec, setting=moyopy.Setting.standard())
    except ValueError:  # it finds no symmetry; spglib says why
        return None
    if int(data.number) != group:
        return None
    linear, shift = np.array(data.std_linear), np.array(data.std_origin_shift)
    points = (positions - shift) @ np.linalg.inv(linear).T
    return group, np.array(data.std_cell.basis), points, np.array(data.orbits, dtype=np.int64)


def _searched(
    lattice: NDArray[np.float64], positions: NDArray[np.float64], numbers: NDArray[np.int64], symprec: float
) -> Found:
    """Return the standard setting as spglib has it.

    Raises:
        InputError: spglib finds no symmetry.

    """
    data = _dataset((lattice, positions, numbers), symprec)
    number = int(data.number)
    points = positions @ np.array(data.transformation_matrix).T + np.array(data.origin_shift)
    points = points + origin_shift(number, int(data.hall_number))
    return number, np.array(data.std_lattice), points, np.array(data.crystallographic_orbits, dtype=np.int64)


def _on_positions(
    group: int, points: NDArray[np.float64], cell: NDArray[np.float64], multiplicities: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return letter indices (S,) and idealised points (S, 3) of orbits.

    The operations that leave a point where it is, with the lattice translations behind them, are its site-symmetry
    group; there is one Wyckoff position of each, looked up once.

    Args:
        group: space-group number.
        points: (S, 3) fractional, standard setting.
        cell: (6,) Å, degrees.
        multiplicities: (S,) of the orbits.

    Raises:
        InputError: a point on no position of its multiplicity.

    """
    ops = operations(group)
    lattice = vectors(cell)
    points = points % 1.0
    images = (points @ ops.rotations.transpose(0, 2, 1) + ops.translations[:, None]).transpose(1, 0, 2)
    shift = images - points[:, None]
    whole = np.rint(shift)
    shift -= whole
    fixed = np.linalg.norm(shift @ lattice, axis=2) < ON_POSITION
    orders = fixed.sum(axis=1)
    moved = points + (shift * fixed[:, :, None]).sum(axis=1) / orders[:, None]
    letters = np.empty(len(points), dtype=np.int64)
    placed = np.empty((len(points), 3))
    for site in range(len(points)):
        if orders[site] * multiplicities[site] == ops.order:
            held = np.flatnonzero(fixed[site])
            translations = whole[site, held].astype(np.int64)
            letters[site] = _letter(group, held.tobytes(), translations.tobytes(), moved[site].tobytes())
            placed[site] = np.round(moved[site], 14) % 1.0
        else:
            letters[site], placed[site] = place(group, points[site], cell, int(multiplicities[site]))
    return letters, placed


def _letter(group: int, held: bytes, translations: bytes, point: bytes) -> int:
    """Return the letter index of the position with a site-symmetry group; `point` lies on it exactly."""
    key = (group, held, translations)
    letter = _LETTERS.get(key)
    if letter is None:
        x = np.frombuffer(point)
        letter = wyckoff.locate(group, x, np.array([1e3, 1e3, 1e3, 90.0, 90.0, 90.0]), 1e-3)[0]
        if len(_LETTERS) >= _MAX_LETTERS:
            _LETTERS.clear()
        _LETTERS[key] = letter
    return letter


_LETTERS: dict[tuple[int, bytes, bytes], int] = {}
_MAX_LETTERS = 100_000


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


def _dataset(cell: tuple[Any, Any, Any], symprec: float) -> Any:
    """Return spglib's dataset.

    Raises:
        InputError: spglib finds no symmetry; the message says why where spglib does.

    """
    reason = ""
    try:
        dataset = spglib.get_symmetry_dataset(cell, symprec=symprec)
    except (RuntimeError, ValueError, spglib.error.SpglibError) as error:
        dataset, reason = None, str(error)
    if dataset is None:
        reason = reason or str(spglib.get_error_message())
        raise InputError(f"spglib finds no symmetry at symprec {symprec} Å ({reason})")
    return dataset

"""Atoms onto their positions: rounded coordinates made exact, images merged, impossible distances found.

A coordinate with d decimals may be off by one unit of the last (0.333 and 0.666 stand for 1/3 and 2/3). An operation
whose image of a site is no further from it than these units allow, or nearer than `SAME_PLACE`, leaves the site where
it is: the site is moved onto the space that all such operations fix. So (0.333, 0.667, z) becomes (1/3, 2/3, z), and
(0.112, 0.225, z) becomes (x, 2x, z).

# A atom rows    O operations    N positions in the cell    S sites
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from xrdcommon.errors import InputError

from xrdgen.elements import element_table
from xrdgen.structures.reading.atoms import AtomRows
from xrdgen.structures.reading.operations import SymmetryGroup
from xrdgen.structures.reading.remarks import Remark

SAME_PLACE = 0.01
"""Å: images nearer than this are one, however many decimals there are."""
ONE_SITE = 0.05
"""Å: partly occupied atoms nearer than this share a site."""
TOO_CLOSE = 0.5
"""Å: no two atoms are nearer (H-H 0.74); two that are, with more than one atom between them, are refused."""
TOO_CLOSE_HEAVY = 0.8
"""Å: nearer than any two atoms other than hydrogen; said, and doubtful."""
SHARED = 1.02
"""Positions whose occupancies add up to no more than this may be alternatives of one atom, at any distance."""
FULL = 1.01
TWICE = 1.9
"""Occupancies on one site from which on two atoms are in one place."""
EXACT = 1e-7
MAX_IMAGES = 400_000
"""Atoms times operations; more are refused."""
MAX_PAIRS = 40_000_000
"""Distances between listed atoms and all positions (6,300 atoms in P 1); more are refused."""
SECONDS_PER_PAIR = 2.8e-7
_CHUNK = 2_000_000
"""Distances worked on at a time."""


@dataclass(slots=True)
class Site:
    """A site of the asymmetric unit: position, occupancies and displacement parameters (Å^2) by atomic number."""

    label: str
    x: NDArray[np.float64]
    multiplicity: int
    species: dict[int, float] = field(default_factory=dict)
    b_iso: dict[int, float] = field(default_factory=dict)

    @property
    def total(self) -> float:
        """Sum of the occupancies."""
        return sum(self.species.values())


@dataclass(slots=True)
class Placed:
    """The atoms of a file in their cell under one space group.

    Attributes:
        sites: S of them.
        positions: (N, 3) fractional in [0, 1), exact.
        site_of: (N,) number of the site.
        remarks: what was merged or is strange.
        impossible: why no such structure exists, empty where it may.
        overfull: whether that is because several atoms are in one place.
        closest: shortest distance in units of the sum of the covalent radii, infinite for one atom.
        hydrogens: H atoms in the cell that are known but not located.

    """

    sites: list[Site]
    positions: NDArray[np.float64]
    site_of: NDArray[np.int64]
    remarks: list[Remark]
    impossible: str
    overfull: bool
    closest: float
    hydrogens: float

    @property
    def content(self) -> dict[int, float]:
        """Atoms in the cell by atomic number."""
        amounts: dict[int, float] = {}
        for site in self.sites:
            for z, occupancy in site.species.items():
                amounts[z] = amounts.get(z, 0.0) + occupancy * site.multiplicity
        return amounts


def place(atoms: AtomRows, group: SymmetryGroup, lattice: NDArray[np.float64]) -> Placed:
    """Put the atoms of a file onto exact positions under a space group.

    Args:
        atoms: as listed.
        group: of the file's setting.
        lattice: (3, 3) vectors as rows, Å, with the group's symmetry.

    Raises:
        InputError: more than `MAX_IMAGES` or `MAX_PAIRS`.

    """
    if group.order * len(atoms.z) > MAX_IMAGES:
        raise InputError(
            f"{len(atoms.z)} atoms under {group.order} operations, more than {MAX_IMAGES:,} images: too many"
        )
    remarks: list[Remark] = []
    x, fixed = snap(atoms.x, atoms.units, group, lattice)
    x, fixed = _second_look(atoms, x, fixed, group, lattice, remarks)
    multiplicity = group.order // fixed
    if int(multiplicity.sum()) * len(atoms.z) > MAX_PAIRS:
        raise InputError(
            f"{len(atoms.z)} atoms listed, {int(multiplicity.sum())} in the cell: about "
            f"{SECONDS_PER_PAIR * int(multiplicity.sum()) * len(atoms.z):.2g} s to read with all distances, more than "
            f"{SECONDS_PER_PAIR * MAX_PAIRS:.2g}; give the asymmetric unit with its space group"
        )
    positions, row_of = _orbits(x, group)
    sites, site_of_row = _merge(atoms, x, multiplicity, positions, row_of, lattice, remarks)
    first_row = {number: row for row, number in reversed(list(enumerate(site_of_row)))}
    kept = np.isin(row_of, list(first_row.values()))
    positions, row_of = positions[kept], row_of[kept]
    site_of = np.array([site_of_row[row] for row in row_of], dtype=np.int64)
    impossible = ""
    for site in sites:
        if site.total >= TWICE and len(site.species) > 1:
            impossible = f"several atoms in one place ({site.label}), with occupancies that add up to {site.total:.4g}"
        elif site.total > FULL:
            remarks.append(Remark(f"occupancies on site {site.label} add up to {site.total:.4g}", doubtful=True))
    overfull = bool(impossible)
    too_close, closest = _distances(sites, positions, site_of, lattice, remarks)
    impossible = impossible or too_close
    hydrogens = float((atoms.hydrogens * atoms.occupancies * multiplicity).sum())
    return Placed(sites, positions, site_of, remarks, impossible, overfull, closest, hydrogens)


def snap(
    x: NDArray[np.float64], units: NDArray[np.float64], group: SymmetryGroup, lattice: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return points moved onto the positions that they stand for, and the order of their site symmetry.

    Args:
        x: (A, 3) fractional.
        units: (A, 3) how far each coordinate may be off.
        group: its operations.
        lattice: (3, 3) rows, Å.

    Returns:
        (A, 3) points in [0, 1), and (A,) the number of operations that leave each where it is.

    """
    rotations, translations = group.rotations.astype(np.float64), group.translations
    if group.order == 1:
        return x % 1.0, np.ones(len(x), dtype=np.int64)
    bound = np.einsum("oij,aj->aoi", np.abs(rotations), units) + units[:, None] + EXACT
    point = x.copy()
    for _ in range(6):
        shift = point @ rotations.transpose(0, 2, 1) + translations[:, None]  # (O, A, 3)
        shift = shift.transpose(1, 0, 2) - point[:, None]
        shift -= np.rint(shift)
        exact = (np.abs(shift) < EXACT).all(axis=2)
        close = (np.abs(shift) <= bound).all(axis=2) | (np.linalg.norm(shift @ lattice, axis=2) < SAME_PLACE)
        if (exact == close).all():
            break
        point = point + (shift * close[:, :, None]).sum(axis=1) / close.sum(axis=1)[:, None]
    point = np.where(np.abs(point - np.rint(point)) < 1e-12, np.rint(point), point)
    return point % 1.0, exact.sum(axis=1)


def _second_look(
    atoms: AtomRows,
    x: NDArray[np.float64],
    fixed: NDArray[np.int64],
    group: SymmetryGroup,
    lattice: NDArray[np.float64],
    remarks: list[Remark],
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Look again at full sites whose images lie nearer than atoms can: two decimals, or a stated multiplicity.

    A site that two decimals leave beside a special position (0.33 for 1/3) is moved onto it; so is one whose stated
    multiplicity is that of the special position.
    """
    if group.order == 1:
        return x, fixed
    near = _close_images(x, group, lattice)
    roughly = (atoms.written_units > atoms.units).any(axis=1)
    rows = np.flatnonzero((near > fixed) & ((near * atoms.occupancies > SHARED * fixed) | roughly))
    for row in rows.tolist():
        stated = int(atoms.multiplicities[row])
        units = np.maximum(atoms.units[row], np.where(atoms.written_units[row] < 0.05, atoms.written_units[row], 0.0))
        for factor in (1.0, 3.0, 10.0):
            if factor > 1.0 and not stated:
                break
            moved, order = snap(atoms.x[row : row + 1], factor * units[None], group, lattice)
            found = group.order // int(order[0])
            if order[0] > fixed[row] and group.order % int(order[0]) == 0 and (factor == 1.0 or found == stated):
                distance = float(np.linalg.norm((moved[0] - x[row] - np.rint(moved[0] - x[row])) @ lattice))
                if distance < 0.5 * TOO_CLOSE:
                    x[row], fixed[row] = moved[0], order[0]
                    remarks.append(Remark(f"{atoms.labels[row]} moved by {distance:.3f} Å onto its special position"))
                    break
    return x, fixed


def _close_images(x: NDArray[np.float64], group: SymmetryGroup, lattice: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return how many operations leave each point nearer to itself than `TOO_CLOSE`, (A,)."""
    shift = (x @ group.rotations.transpose(0, 2, 1) + group.translations[:, None]).transpose(1, 0, 2) - x[:, None]
    shift -= np.rint(shift)
    near: NDArray[np.int64] = (np.linalg.norm(shift @ lattice, axis=2) < TOO_CLOSE).sum(axis=1)
    return near


def _orbits(x: NDArray[np.float64], group: SymmetryGroup) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return all distinct images of points, (N, 3), and which point each belongs to, (N,); exact points only."""
    if group.order == 1:
        return x, np.arange(len(x))
    images = (x @ group.rotations.transpose(0, 2, 1) + group.translations[:, None]).transpose(1, 0, 2) % 1.0
    images = np.where(images > 1.0 - EXACT, 0.0, images)
    steps = np.rint(images * 2.0**19).astype(np.int64) % 2**19
    codes = (steps[..., 0] << 38) | (steps[..., 1] << 19) | steps[..., 2]
    rows = np.repeat(np.arange(len(x)), group.order)
    order = np.lexsort((codes.ravel(), rows))
    sorted_codes = codes.ravel()[order]
    new = np.ones(len(order), dtype=np.bool_)
    new[1:] = (sorted_codes[1:] != sorted_codes[:-1]) | (rows[1:] != rows[:-1])
    chosen = np.sort(order[new])
    return images.reshape(-1, 3)[chosen], rows[chosen]


def _merge(
    atoms: AtomRows,
    x: NDArray[np.float64],
    multiplicity: NDArray[np.int64],
    positions: NDArray[np.float64],
    row_of: NDArray[np.int64],
    lattice: NDArray[np.float64],
    remarks: list[Remark],
) -> tuple[list[Site], list[int]]:
    """Join rows that share a position, and drop rows that list an atom again; return sites and the site of each row."""
    sites: list[Site] = []
    members: list[list[int]] = []
    site_of: list[int] = []
    again: list[str] = []
    shared = _shared_positions(atoms, x, multiplicity, positions, row_of, lattice)
    for row, label in enumerate(atoms.labels):
        earlier = next((site_of[other] for other in shared.get(row, ()) if other < row), None)
        if earlier is None:
            site_of.append(len(sites))
            sites.append(Site(label, x[row], int(multiplicity[row])))
            members.append([])
            earlier = site_of[row]
        else:
            site_of.append(earlier)
            if _listed_before(atoms, row, members[earlier], sites[earlier]):
                again.append(label)
                continue
        members[earlier].append(row)
        _add(sites[earlier], int(atoms.z[row]), float(atoms.occupancies[row]), float(atoms.b_iso[row]))
    if again:
        names = ", ".join(again[:4]) + (f" and {len(again) - 4} more" if len(again) > 4 else "")
        remarks.append(Remark(f"listed twice or with its symmetry equivalents, counted once: {names}"))
    return sites, site_of


def _add(site: Site, z: int, occupancy: float, b_iso: float) -> None:
    """Add a species to a site; B of one element is the mean by occupancy."""
    before = site.species.get(z, 0.0)
    if not np.isnan(b_iso):
        old = site.b_iso.get(z)
        site.b_iso[z] = b_iso if old is None else (old * before + b_iso * occupancy) / (before + occupancy)
    site.species[z] = before + occupancy


def _listed_before(atoms: AtomRows, row: int, members: list[int], site: Site) -> bool:
    """Return whether a row lists an atom of its site again.

    The same element with the same occupancy at another image is one that the symmetry makes; at the same coordinates
    it is listed twice if both together are more than one atom.
    """
    for other in members:
        if atoms.z[other] != atoms.z[row] or abs(atoms.occupancies[other] - atoms.occupancies[row]) > 1e-6:
            continue
        shift = atoms.x[other] - atoms.x[row]
        same = (np.abs(shift - np.rint(shift)) <= atoms.units[other] + atoms.units[row]).all()
        if not same or site.total + atoms.occupancies[row] > FULL:
            return True
    return False


def _shared_positions(
    atoms: AtomRows,
    x: NDArray[np.float64],
    multiplicity: NDArray[np.int64],
    positions: NDArray[np.float64],
    row_of: NDArray[np.int64],
    lattice: NDArray[np.float64],
) -> dict[int, list[int]]:
    """Return, for rows that share a position with others, those others."""
    shared: dict[int, list[int]] = {}
    largest_unit = atoms.units.max(axis=1)
    for first in range(0, len(x), max(1, _CHUNK // len(positions))):
        rows = np.arange(first, min(len(x), first + max(1, _CHUNK // len(positions))))
        shift = x[rows, None] - positions[None]
        shift -= np.rint(shift)
        bound = atoms.units[rows][:, None] + largest_unit[row_of][None, :, None] + EXACT
        distance = np.linalg.norm(shift @ lattice, axis=2)
        near = ((np.abs(shift) <= bound).all(axis=2) & (distance < TOO_CLOSE)) | (distance < SAME_PLACE)
        partial = atoms.occupancies[rows][:, None] + atoms.occupancies[row_of][None] <= SHARED
        same_orbit_size = multiplicity[rows][:, None] == multiplicity[row_of][None]
        near |= partial & (distance < ONE_SITE)
        near &= same_orbit_size & (rows[:, None] != row_of[None])
        for at, position in np.argwhere(near).tolist():
            shared.setdefault(int(rows[at]), []).append(int(row_of[position]))
    return shared


def _distances(
    sites: list[Site],
    positions: NDArray[np.float64],
    site_of: NDArray[np.int64],
    lattice: NDArray[np.float64],
    remarks: list[Remark],
) -> tuple[str, float]:
    """Return why distances are impossible (or nothing), and the shortest one relative to covalent radii."""
    totals = np.array([site.total for site in sites])
    radii_of = element_table().covalent_radius
    majority = np.array([max(site.species.items(), key=lambda item: item[1])[0] for site in sites])
    radii = np.nan_to_num(radii_of[majority], nan=1.5)
    heavy = majority != 1
    x = np.array([site.x for site in sites])
    spacings = 1.0 / np.linalg.norm(np.linalg.inv(lattice), axis=0)
    reach = 1 if spacings.min() < 4.0 * TOO_CLOSE_HEAVY else 0
    cells = np.array([[i, j, k] for i in _range(reach) for j in _range(reach) for k in _range(reach)], dtype=np.float64)
    closest, worst, where = np.inf, np.inf, (0, 0)
    strange, strange_where = np.inf, (0, 0)
    step = max(1, _CHUNK // (len(positions) * len(cells)))
    for first in range(0, len(sites), step):
        rows = np.arange(first, min(len(sites), first + step))
        shift = x[rows, None] - positions[None]
        shift -= np.rint(shift)
        distance = np.linalg.norm((shift[:, :, None] + cells) @ lattice, axis=3)
        distance[distance < 1e-4] = np.inf  # the site itself
        distance = distance.min(axis=2)
        distance[totals[rows][:, None] + totals[site_of][None] <= SHARED] = np.inf
        relative = distance / (radii[rows][:, None] + radii[site_of][None])
        closest = min(closest, float(relative.min(initial=np.inf)))
        at = np.unravel_index(int(distance.argmin()), distance.shape)
        if distance[at] < worst:
            worst, where = float(distance[at]), (int(rows[at[0]]), int(site_of[at[1]]))
        distance[~(heavy[rows][:, None] & heavy[site_of][None])] = np.inf
        at = np.unravel_index(int(distance.argmin()), distance.shape)
        if distance[at] < strange:
            strange, strange_where = float(distance[at]), (int(rows[at[0]]), int(site_of[at[1]]))
    if worst < TOO_CLOSE:
        one, two = sites[where[0]].label, sites[where[1]].label
        return f"atoms {one} and {two} are {worst:.2f} Å apart", closest
    if strange < TOO_CLOSE_HEAVY:
        one, two = sites[strange_where[0]].label, sites[strange_where[1]].label
        remarks.append(Remark(f"atoms {one} and {two} are {strange:.2f} Å apart", doubtful=True))
    return "", closest


def _range(reach: int) -> range:
    return range(-reach, reach + 1)

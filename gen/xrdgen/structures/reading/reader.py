"""The one reader of CIF structures: a data block in, cell, space group and exact sites out, with remarks.

Where the symmetry of a file is open or contradicts itself, each group that it can mean is tried on the atoms. One is
taken if the others are not the formula sum, or if all give the same structure. An open origin is also decided where
the two give different numbers of atoms, so that one puts atoms onto special positions, and one of them is impossible
(atoms too close or too dense) or has distances of bonds where the other has not. Whatever was decided stands in a
remark; what stays open is refused.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from xrdcommon.errors import InputError

from xrdgen.structures.reading.atoms import AtomRows, read_atoms
from xrdgen.structures.reading.document import Block
from xrdgen.structures.reading.formula import HYDROGEN, Comparison, compare, read_formula
from xrdgen.structures.reading.operations import SymmetryGroup
from xrdgen.structures.reading.positions import Placed, Site, place
from xrdgen.structures.reading.remarks import Remark
from xrdgen.structures.reading.symmetry import MAX_STRAIN, STRAIN_TO_TELL, Choice, Decision, decide, strain
from xrdgen.structures.reading.values import read_number
from xrdgen.symmetry.lattice import vectors

CELL_ITEMS = (
    "_cell_length_a",
    "_cell_length_b",
    "_cell_length_c",
    "_cell_angle_alpha",
    "_cell_angle_beta",
    "_cell_angle_gamma",
)
DENSEST = 4.0
"""Å^3 an atom other than hydrogen: diamond has 5.67, nothing is denser at ambient pressure."""
THINNEST = 250.0
"""Å^3 an atom: above this lengths are not in Å, or most atoms are missing; said, and doubtful."""
BONDED = 0.9
"""Shortest distance in units of the sum of covalent radii from which on an origin gives distances of bonds."""
VOLUME_TOLERANCE = 0.01
STRAIN_TO_DOUBT = 2e-3
"""A cell that misses its symmetry by more is no rounding."""


@dataclass(frozen=True, slots=True)
class CifStructure:
    """A structure as a CIF gives it, every site exactly on its position.

    Attributes:
        lattice: (3, 3) vectors as rows, Å, with the symmetry of the group.
        group: of the file's own setting.
        sites: of the asymmetric unit.
        positions: (N, 3) all positions in the file's cell.
        site_of: (N,) site of each.
        published: space-group number that the file gives, None where it gives none.
        remarks: what was decided, left out or contradicts itself.

    """

    lattice: NDArray[np.float64]
    group: SymmetryGroup
    sites: list[Site]
    positions: NDArray[np.float64]
    site_of: NDArray[np.int64]
    published: int | None
    remarks: tuple[Remark, ...]

    def primitive_cell(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
        """Return vectors (3, 3), fractional positions and sites of the primitive cell that the centrings give."""
        if len(self.group.centrings) == 1:
            return self.lattice, self.positions, self.site_of
        basis = self.group.primitive
        inside = (self.positions @ np.linalg.inv(basis)) % 1.0
        inside[inside > 1.0 - 1e-7] = 0.0
        codes = np.rint(inside * 2.0**19 + 0.37).astype(np.int64) % 2**19
        _, first = np.unique(np.column_stack([self.site_of, codes]), axis=0, return_index=True)
        first.sort()
        return basis @ self.lattice, inside[first], self.site_of[first]


@dataclass(frozen=True, slots=True)
class _Trial:
    """A choice of the group tried on the atoms.

    Attributes:
        choice: the group.
        lattice: (3, 3) rows, Å, with its symmetry.
        placed: the atoms, None where the cell has not the symmetry.
        fault: why it cannot be, empty where it may.
        formula: the comparison with the formula sum, None without one.
        counted: whether the cell holds the formula sum, Z times where the file gives Z.

    """

    choice: Choice
    lattice: NDArray[np.float64]
    placed: Placed | None
    fault: str
    formula: Comparison | None
    counted: bool


def read_structure(block: Block) -> CifStructure:
    """Return the structure of a data block.

    Raises:
        InputError: it cannot be read, contradicts itself, or leaves open which structure it is; the message says what.

    """
    if block.fault:
        raise InputError(block.fault)
    remarks: list[Remark] = []
    if "_atom_site" in block.kinds and not block.column(CELL_ITEMS[0]) and block.column("_atom_site_cartn_x"):
        read_atoms(block, np.ones(6), frozenset())  # says that Cartesian coordinates are not read
    cell, decision = _cell_and_symmetry(block, remarks)
    formula = read_formula(block.value("_chemical_formula_sum"))
    atoms, said = read_atoms(block, cell, frozenset(formula))
    remarks += said
    units = _formula_units(block)
    trials = [_try(choice, cell, atoms, formula, units) for choice in decision.choices]
    trial, decided = _choose(trials, decision)
    if trial.placed is None or trial.placed.impossible:
        raise InputError(trial.fault)
    remarks += [*decision.remarks, *trial.choice.remarks, *decided, *trial.placed.remarks]
    remarks += _about_formula(trial, formula, units)
    remarks += _about_cell(block, cell, trial, atoms)
    return CifStructure(
        lattice=trial.lattice,
        group=trial.choice.group,
        sites=trial.placed.sites,
        positions=trial.placed.positions,
        site_of=trial.placed.site_of,
        published=decision.published,
        remarks=tuple(dict.fromkeys(remarks)),
    )


def _cell_and_symmetry(block: Block, remarks: list[Remark]) -> tuple[NDArray[np.float64], Decision]:
    """Return the cell (6,) and the groups that the file can mean; angles that symmetry fixes may be missing.

    Raises:
        InputError: a cell that is no cell, or whose missing angles symmetry does not fix.

    """
    values = []
    for item in CELL_ITEMS:
        text = block.value(item)
        if text is not None and text.count(",") == 1:
            remarks.append(Remark("decimal commas read as points"))
        values.append(read_number(text or "?", item).value)
    cell = np.array(values)
    for item, value in zip(CELL_ITEMS, values, strict=True):
        if (np.isnan(value) and "length" in item) or (not np.isnan(value) and not 0.0 < value < 1e5):
            text = block.value(item)
            raise InputError(f"{item} is {text or 'missing'}: must be a positive, finite number")
    if np.isnan(cell).any():
        return _with_angles(block, cell, remarks)
    _check_volume(cell)
    return cell, decide(block, cell)


def _check_volume(cell: NDArray[np.float64]) -> None:
    """Refuse angles that close no cell.

    Raises:
        InputError: as said.

    """
    cosines = np.cos(np.radians(cell[3:]))
    determinant = 1.0 - (cosines**2).sum() + 2.0 * cosines.prod()
    if not determinant > 1e-4 or (cell[3:] >= 180.0).any():
        raise InputError("the cell angles " + " ".join(f"{angle:g}" for angle in cell[3:]) + " close no cell")


def _with_angles(
    block: Block, cell: NDArray[np.float64], remarks: list[Remark]
) -> tuple[NDArray[np.float64], Decision]:
    """Fill in missing angles that symmetry fixes at 90 or 120 degrees.

    Raises:
        InputError: symmetry leaves them free.

    """
    missing = np.flatnonzero(np.isnan(cell))
    for gamma in (90.0, 120.0):
        filled = np.where(np.isnan(cell), [0.0, 0.0, 0.0, 90.0, 90.0, gamma], cell)
        try:
            decision = decide(block, filled)
        except InputError as error:
            if gamma == 120.0 and "does not have the symmetry" not in str(error):
                raise
            continue
        turned = filled.copy()
        turned[missing] += np.array([1.0, -1.5, 2.0])[: len(missing)]
        if all(strain(turned, choice.group) > MAX_STRAIN for choice in decision.choices):
            names = ", ".join(CELL_ITEMS[item].removeprefix("_cell_angle_") for item in missing)
            remarks.append(Remark(f"cell angles {names} are missing: as symmetry has them"))
            return filled, decision
    raise InputError(f"{CELL_ITEMS[int(missing[0])]} is missing, and symmetry does not fix it")


def _symmetric(cell: NDArray[np.float64], group: SymmetryGroup) -> NDArray[np.float64]:
    """Return the vectors (3, 3) of the cell with exactly the symmetry of a group."""
    lattice = vectors(cell)
    metric = (group.metric_average @ (lattice @ lattice.T).ravel()).reshape(3, 3)
    lengths = np.sqrt(np.diag(metric))
    cosines = [metric[i, j] / (lengths[i] * lengths[j]) for i, j in ((1, 2), (0, 2), (0, 1))]
    angles = np.degrees(np.arccos(cosines))
    angles = np.where(np.abs(angles - np.rint(angles)) < 1e-9, np.rint(angles), angles)
    return vectors(np.concatenate([lengths, angles]))


def _try(
    choice: Choice,
    cell: NDArray[np.float64],
    atoms: AtomRows,
    formula: dict[int, float],
    units: float | None,
) -> _Trial:
    """Put the atoms under a group and look at what comes out."""
    group = choice.group
    if strain(cell, group) > MAX_STRAIN:
        return _Trial(choice, vectors(cell), None, f"the cell does not have the symmetry of {group.name}", None, False)
    lattice = _symmetric(cell, group)
    placed = place(atoms, group, lattice)
    compared = compare(placed.content, formula, units) if formula else None
    if placed.impossible and not placed.overfull and _counts_every_atom(placed, formula, units):
        placed.remarks.append(Remark(placed.impossible, doubtful=True))
        placed.impossible = ""
    counted = compared is not None and compared.agrees
    if compared is not None and not counted and units is not None:
        without_units = compare(placed.content, formula, None)
        compared = without_units if without_units.agrees else compared
    fault = placed.impossible or _too_dense(placed, lattice)
    return _Trial(choice, lattice, placed, fault, compared, counted)


def _counts_every_atom(placed: Placed, formula: dict[int, float], units: float | None) -> bool:
    """Return whether the file says twice that it means these atoms: its formula sum, with Z or not, is the cell's."""
    return bool(formula) and any(
        compare(placed.content, formula, number).agrees for number in {1.0, 1.0 if units is None else units}
    )


def _too_dense(placed: Placed, lattice: NDArray[np.float64]) -> str:
    """Say so where more atoms are in the cell than any substance has."""
    atoms = sum(n for z, n in placed.content.items() if z != HYDROGEN)
    volume = abs(float(np.linalg.det(lattice)))
    if atoms and volume / atoms < DENSEST:
        return f"{volume / atoms:.2f} Å^3 per atom: denser than any substance"
    return ""


def _choose(trials: list[_Trial], decision: Decision) -> tuple[_Trial, list[Remark]]:
    """Return the trial to take.

    Raises:
        InputError: none is possible, or the question stays open.

    """
    if len(trials) == 1:
        return trials[0], []
    possible = [trial for trial in trials if not trial.fault]
    if not possible:
        raise InputError(f"{decision.question}; {trials[0].fault}")
    agreeing = [trial for trial in possible if trial.counted]
    proof = ""
    if agreeing and len(agreeing) < len(possible):
        possible, proof = agreeing, "the formula sum decides"
    if _one_structure(possible):
        if len(possible) == len(trials):
            return possible[0], []
        if proof:
            return possible[0], [_decided(decision, possible[0], proof, doubtful=not decision.open)]
        if decision.open and _different_numbers(trials):
            proof = "the other origin gives impossible distances"
            return possible[0], [_decided(decision, possible[0], proof, doubtful=False)]
    elif decision.open:
        chosen = _bonded(possible)
        if chosen is not None:
            return chosen, [_decided(decision, chosen, "distances decide", doubtful=not chosen.counted)]
    if decision.open:
        raise InputError(f"{decision.question}, and the atoms do not decide; give the origin or list the operations")
    raise InputError(f"{decision.question}: the file contradicts itself")


def _decided(decision: Decision, trial: _Trial, proof: str, doubtful: bool) -> Remark:
    """Return the remark on a decision."""
    return Remark(f"{decision.question}: read as {trial.choice.group.name}, {proof}", doubtful)


def _one_structure(trials: list[_Trial]) -> bool:
    """Return whether trials are one structure: one group, or the same atoms in the same places."""
    first = trials[0].placed
    for trial in trials[1:]:
        if trial.choice.group.key == trials[0].choice.group.key:
            continue
        other = trial.placed
        if first is None or other is None or len(first.positions) != len(other.positions):
            return False
        if not _same_atoms(first, other):
            return False
    return True


def _same_atoms(one: Placed, two: Placed) -> bool:
    """Return whether two sets of positions hold the same species, each within a hundredth of the cell."""
    if len(one.positions) > 500:
        return False
    kinds = [
        [tuple(sorted((z, round(n, 4)) for z, n in placed.sites[site].species.items())) for site in placed.site_of]
        for placed in (one, two)
    ]
    shift = one.positions[:, None] - two.positions[None]
    nearest = np.abs(shift - np.rint(shift)).max(axis=2)
    partner = nearest.argmin(axis=1)
    same_place = bool((nearest.min(axis=1) < 1e-3).all()) and len(set(partner.tolist())) == len(partner)
    return same_place and all(kinds[0][row] == kinds[1][column] for row, column in enumerate(partner.tolist()))


def _bonded(possible: list[_Trial]) -> _Trial | None:
    """Return the trial of another origin whose distances are those of bonds, where no other's are.

    Only where the origins give different numbers of atoms: then one of them puts atoms onto special positions.
    """
    if not _different_numbers(possible):
        return None
    bonded = [trial for trial in possible if trial.placed is not None and trial.placed.closest >= BONDED]
    return bonded[0] if len(bonded) == 1 else None


def _different_numbers(trials: list[_Trial]) -> bool:
    """Return whether trials put different numbers of atoms into the cell.

    Atoms that are general with either origin say nothing: distances between their images are chance.
    """
    numbers = [len(trial.placed.positions) for trial in trials if trial.placed is not None]
    return len(set(numbers)) == len(numbers)


def _formula_units(block: Block) -> float | None:
    """Return Z of the file, None where it is not given or no number."""
    text = block.value("_cell_formula_units_z")
    if text is None:
        return None
    try:
        value = read_number(text, "_cell_formula_units_Z").value
    except InputError:  # Z only serves to compare; the atoms stand without it
        return None
    return value if value > 0.0 else None


def _about_formula(trial: _Trial, formula: dict[int, float], units: float | None) -> list[Remark]:
    """Say how what was read compares with the formula sum."""
    compared, placed = trial.formula, trial.placed
    if compared is None or placed is None:
        return []
    if not compared.agrees:
        return [Remark(f"not the formula sum of the file: {compared.text}", doubtful=True)]
    if not trial.counted and units is not None and not compare(placed.content, formula, 1.0).agrees:
        return [
            Remark(f"{compared.units:.4g} formula units in the cell, where the file has Z = {units:g}", doubtful=True)
        ]
    if compared.missing_hydrogens:
        return [Remark(f"H atoms of the formula sum are not located: {compared.missing_hydrogens:.4g} a formula unit")]
    return []


def _about_cell(block: Block, cell: NDArray[np.float64], trial: _Trial, atoms: AtomRows) -> list[Remark]:
    """Say what is strange about the cell."""
    remarks = []
    bent = strain(cell, trial.choice.group)
    if bent > STRAIN_TO_TELL:
        told = f"the cell misses its symmetry by {100 * bent:.2g} %: made symmetric"
        remarks.append(Remark(told, doubtful=bent > STRAIN_TO_DOUBT))
    volume = abs(float(np.linalg.det(trial.lattice)))
    if trial.fault:
        remarks.append(Remark(trial.fault, doubtful=True))
    if trial.placed is not None:
        per_atom = volume / max(1e-9, sum(trial.placed.content.values()))
        if per_atom > THINNEST:
            remarks.append(Remark(f"{per_atom:.4g} Å^3 an atom: hardly all atoms, or lengths not in Å", doubtful=True))
    text = block.value("_cell_volume", "_cell_measurement_volume")
    if text is not None:
        try:
            stated = read_number(text, "_cell_volume").value
        except InputError:  # the volume only serves to check
            return remarks
        if stated > 0.0 and abs(stated / volume - 1.0) > VOLUME_TOLERANCE:
            remarks.append(
                Remark(f"the file's cell volume is {stated:g} Å^3, its cell has {volume:.6g}", doubtful=True)
            )
    return remarks

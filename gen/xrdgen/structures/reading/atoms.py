"""The atom rows of a data block: elements, coordinates, occupancies, displacement parameters.

# A atom rows that are kept
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from xrdcommon.errors import InputError

from xrdgen.structures.reading.document import Block
from xrdgen.structures.reading.labels import VACANCY, SiteElement, element_of
from xrdgen.structures.reading.remarks import Remark
from xrdgen.structures.reading.values import MISSING, Number, read_number
from xrdgen.symmetry.lattice import vectors

COORDINATES = ("_atom_site_fract_x", "_atom_site_fract_y", "_atom_site_fract_z")
B_OF_U = 8.0 * math.pi**2
"""B = 8 pi^2 U (International Tables D, 1.9)."""
FEW_DECIMALS = 3
"""Coordinates written with fewer decimals than this (0, 0.5, 0.25) are taken to be as exact as this."""
MAX_OCCUPANCY = 2.0
MAX_COORDINATE = 100.0


@dataclass(frozen=True, slots=True)
class AtomRows:
    """Atoms as listed.

    Attributes:
        labels: of the rows, A of them.
        z: (A,) atomic numbers.
        occupancies: (A,) above 0.
        x: (A, 3) fractional coordinates.
        units: (A, 3) unit of the last decimal of each coordinate.
        written_units: (A, 3) the same from its own decimals alone.
        b_iso: (A,) Å^2, NaN where the file gives none.
        hydrogens: (A,) H atoms of the row's group that are not located.
        multiplicities: (A,) as stated in the file, 0 where not.

    """

    labels: list[str]
    z: NDArray[np.int64]
    occupancies: NDArray[np.float64]
    x: NDArray[np.float64]
    units: NDArray[np.float64]
    written_units: NDArray[np.float64]
    b_iso: NDArray[np.float64]
    hydrogens: NDArray[np.int64]
    multiplicities: NDArray[np.int64]


def read_atoms(block: Block, cell: NDArray[np.float64], formula: frozenset[int]) -> tuple[AtomRows, list[Remark]]:
    """Return the atoms of a block and what there is to say of them.

    Args:
        block: of a CIF.
        cell: (6,) Å, degrees; for anisotropic displacement parameters.
        formula: atomic numbers in the formula sum, empty where there is none.

    Raises:
        InputError: no atom with coordinates, a value that cannot be read, an atom that is no element.

    """
    columns = _joined(block)
    if not all(name in columns for name in COORDINATES):
        raise InputError(_no_coordinates(block))
    n = len(columns[COORDINATES[0]])
    missing = [""] * n
    labels = columns.get("_atom_site_label") or columns.get("_atom_site_id") or missing
    types = columns.get("_atom_site_type_symbol", missing)
    occupancies = columns.get("_atom_site_occupancy", missing)
    flags = columns.get("_atom_site_calc_flag", missing)
    remarks: list[Remark] = []
    left_out: dict[str, list[str]] = {}
    kept: list[int] = []
    numbers: list[tuple[Number, Number, Number]] = []
    shares: list[float] = []
    for row in range(n):
        name = labels[row] or types[row] or f"number {row + 1}"
        place = tuple(read_number(columns[key][row], f"{key} of atom {name}") for key in COORDINATES)
        if flags[row].strip().lower() == "dum":
            left_out.setdefault("dummy", []).append(name)
        elif not all(number.given for number in place):
            if labels[row] not in MISSING or types[row] not in MISSING:
                if name[:1] not in ("H", "D") and any(columns[key][row].strip() == "?" for key in COORDINATES):
                    raise InputError(f"atom {name}: its coordinates are unknown (?)")
                left_out.setdefault("without coordinates", []).append(name)
        else:
            if any(abs(number.value) > MAX_COORDINATE for number in place):
                raise InputError(f"atom {name}: coordinates beyond {MAX_COORDINATE:g} are not fractional")
            share = read_number(occupancies[row], f"_atom_site_occupancy of atom {name}")
            value = share.value if share.given else 1.0
            if not 0.0 <= value <= MAX_OCCUPANCY:
                raise InputError(f"_atom_site_occupancy of atom {name} is {value:g}: must be 0 to 1")
            if value == 0.0:
                left_out.setdefault("of occupancy 0", []).append(name)
                continue
            kept.append(row)
            shares.append(value)
            numbers.append((place[0], place[1], place[2]))
    elements, said = _elements(
        [("" if types[row] in MISSING else types[row], "" if labels[row] in MISSING else labels[row]) for row in kept],
        formula,
    )
    full = [index for index, element in enumerate(elements) if element.z != VACANCY]
    for index, element in enumerate(elements):
        if element.z == VACANCY:
            left_out.setdefault("vacant", []).append(labels[kept[index]] or types[kept[index]])
    remarks += said
    for why, names in left_out.items():
        # hydrogen is often not located; without another atom the structure is not what was meant
        incomplete = why == "without coordinates" and any(name[:1] not in ("H", "D") for name in names)
        remarks.append(Remark(f"left out: {_listed(names)} ({why})", doubtful=incomplete))
    if not full:
        raise InputError("no atoms: none has coordinates and an occupancy")
    rows = [kept[index] for index in full]
    x = np.array([[number.value for number in numbers[index]] for index in full])
    units, written = _units([numbers[index] for index in full])
    return (
        AtomRows(
            labels=[labels[row] if labels[row] not in MISSING else types[row] for row in rows],
            z=np.array([elements[index].z for index in full], dtype=np.int64),
            occupancies=np.array([shares[index] for index in full]),
            x=x,
            units=units,
            written_units=written,
            b_iso=_displacements(block, columns, labels, rows, cell),
            hydrogens=np.array([elements[index].hydrogens for index in full], dtype=np.int64),
            multiplicities=_multiplicities(columns, rows),
        ),
        remarks,
    )


def _joined(block: Block) -> dict[str, list[str]]:
    """Return the columns of the loop with the coordinates, and by label those of further loops of the same atoms."""
    columns = dict(block.rows(COORDINATES[0]))
    labels = columns.get("_atom_site_label", [])
    for loop in block.loops:
        others = loop.get("_atom_site_label")
        if others is None or others is labels or len(set(others)) != len(others):
            continue
        place = {label: row for row, label in enumerate(others)}
        for name, values in loop.items():
            if name not in columns and name.startswith("_atom_site_"):
                columns[name] = [values[place[label]] if label in place else "?" for label in labels]
    return columns


def _no_coordinates(block: Block) -> str:
    """Say why a block has no fractional coordinates."""
    if block.column("_atom_site_cartn_x"):
        if "_entity" in block.kinds or "_entry" in block.kinds or block.column("_atom_site_label_asym_id"):
            return "a macromolecular mmCIF with Cartesian coordinates: not read; give fractional coordinates"
        return "Cartesian coordinates (_atom_site_Cartn_x) only: not read; give fractional coordinates"
    missing = [name for name in COORDINATES if not block.column(name)]
    if not missing:
        return "the coordinates x, y and z of the atoms are not in one loop"
    if len(missing) < len(COORDINATES):
        return f"{missing[0]} is missing"
    return "no atoms with coordinates: no _atom_site_fract_x"


def _listed(names: list[str], most: int = 6) -> str:
    """Return some names in one phrase."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _elements(named: list[tuple[str, str]], formula: frozenset[int]) -> tuple[list[SiteElement], list[Remark]]:
    """Return the elements of pairs of type symbol and label, and what was decided about them."""
    plain: set[int] = set()
    for type_symbol, label in named:
        if not type_symbol and label[:1] in ("C", "H") and not label[1:2].isalpha():
            plain.add(6 if label[0] == "C" else 1)
    known = frozenset(plain)
    elements = [element_of(type_symbol, label, formula, known) for type_symbol, label in named]
    counts = Counter(element.remark for element in elements if element.remark)
    return elements, [Remark(text) for text in counts]


def _units(numbers: list[tuple[Number, Number, Number]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the unit of the last decimal of every coordinate, (A, 3): as it is meant, and as it is written.

    0.5 is as a rule exact: a coordinate of few decimals counts as written with `FEW_DECIMALS`.
    """
    decimals = np.array([[number.decimals for number in triple] for triple in numbers])
    meant = np.maximum(decimals, FEW_DECIMALS)
    return 10.0 ** -meant.astype(np.float64), 10.0 ** -decimals.astype(np.float64)


def _multiplicities(columns: dict[str, list[str]], rows: list[int]) -> NDArray[np.int64]:
    """Return the multiplicities that the file states, 0 where it does not."""
    for name in ("_atom_site_site_symmetry_multiplicity", "_atom_site_symmetry_multiplicity"):
        if name in columns:
            texts = [columns[name][row] for row in rows]
            return np.array([int(text) if text.isdigit() else 0 for text in texts], dtype=np.int64)
    return np.zeros(len(rows), dtype=np.int64)


def _displacements(
    block: Block, columns: dict[str, list[str]], labels: list[str], rows: list[int], cell: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return B of every row in Å^2, NaN where the file gives none; values that are no numbers count as none.

    U_iso or B_iso of the row, else the mean of U_ij or B_ij: U_eq = 1/3 sum_ij U_ij a*_i a*_j a_i . a_j.
    """
    result = np.full(len(rows), math.nan)
    for name, factor in (("_atom_site_b_iso_or_equiv", 1.0), ("_atom_site_u_iso_or_equiv", B_OF_U)):
        if name in columns:
            values = np.array([_number_or_nan(columns[name][row]) for row in rows]) * factor
            result = np.where(np.isnan(values), result, values)
    if not np.isnan(result).any():
        return result
    tensors = block.rows("_atom_site_aniso_label")
    names = tensors.get("_atom_site_aniso_label", [])
    for prefix, factor in (("_atom_site_aniso_b_", 1.0), ("_atom_site_aniso_u_", B_OF_U)):
        if all(f"{prefix}{ij}" in tensors for ij in _COMPONENTS):
            place = {name: row for row, name in enumerate(names)}
            weights = _equivalent_weights(cell)
            for index, row in enumerate(rows):
                at = place.get(labels[row])
                if at is not None and math.isnan(result[index]):
                    components = np.array([_number_or_nan(tensors[f"{prefix}{ij}"][at]) for ij in _COMPONENTS])
                    result[index] = factor * float(weights @ components)
    return result


_COMPONENTS = ("11", "22", "33", "12", "13", "23")


def _equivalent_weights(cell: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the weights of U11, U22, U33, U12, U13, U23 in U_eq."""
    lattice = vectors(cell)
    metric = lattice @ lattice.T
    reciprocal = np.sqrt(np.diag(np.linalg.inv(metric)))
    full = metric * np.outer(reciprocal, reciprocal) / 3.0
    return np.array([full[0, 0], full[1, 1], full[2, 2], 2 * full[0, 1], 2 * full[0, 2], 2 * full[1, 2]])


def _number_or_nan(text: str) -> float:
    """Return a number, NaN where there is none."""
    try:
        return read_number(text, "displacement parameter").value
    except InputError:  # a displacement parameter that cannot be read is none; the structure stands without it
        return math.nan

"""Rows of tables whose space group, Hall setting and asymmetric unit are already known.

Columns needed: id, sg, hall_number, a, b, c, alpha, beta, gamma, sites (JSON list of `species`, `wyckoff`
"<multiplicity><letter>", `x`). A change of origin leads to the standard setting; sites are idealised.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xrdcommon.errors import InputError

from xrdgen.crystal import Crystal
from xrdgen.elements import atomic_number
from xrdgen.structures.rows import idealised_cell, row_of
from xrdgen.structures.settings import origin_shift
from xrdgen.structures.table import CELL_COLUMNS
from xrdgen.symmetry import wyckoff

GIVEN_COLUMNS = ("id", "sg", "hall_number", *CELL_COLUMNS, "sites")

TOLERANCES = (1e-3, 1e-2, 0.05, 0.2)
"""Å; the first at which a site has the multiplicity that the table gives is taken (coordinates are rounded)."""

CITATIONS = {
    "AMCSD": "Downs & Hall-Wallace, The American Mineralogist Crystal Structure Database, Am. Mineral. 88 (2003) 247",
    "MP": "Jain et al., Commentary: The Materials Project, APL Mater. 1 (2013) 011002 (CC-BY 4.0)",
    "openchemistry": "OpenChemistry/crystals: Crystallography Open Database and idealised zeolites (public domain)",
}
"""What to cite for the collections whose tables are known."""


def crystal_of_given(row: Mapping[str, Any]) -> Crystal:
    """Return the crystal of a row, in the standard setting.

    Raises:
        InputError: a site is not on the Wyckoff position that its multiplicity asks for, or the setting is unknown.

    """
    group = int(row["sg"])
    shift = origin_shift(group, int(row["hall_number"]))
    cell = idealised_cell(group, np.array([row[name] for name in CELL_COLUMNS], dtype=np.float64))
    records: list[tuple[NDArray[np.float64], int, float, int, int]] = []
    for number, site in enumerate(json.loads(row["sites"])):
        multiplicity = int(str(site["wyckoff"])[:-1])
        index, point = place(group, np.array(site["x"], dtype=np.float64) + shift, cell, multiplicity)
        for element, occupancy in _merged(site["species"]).items():
            records.append((point, element, occupancy, index, number))
    if not records:
        raise InputError("no sites")
    return crystal_from(group, cell, records)


def crystal_from(
    group: int,
    cell: NDArray[np.float64],
    records: list[tuple[NDArray[np.float64], int, float, int, int]],
    b_iso: NDArray[np.float64] | None = None,
) -> Crystal:
    """Return a crystal from records of position, Z, occupancy, letter index and site number, and B of each (Å^2)."""
    positions, numbers, occupancies, letters, sites = zip(*records, strict=True)
    return Crystal(
        space_group=group,
        cell=cell,
        positions=np.array(positions),
        atomic_numbers=np.array(numbers, dtype=np.int64),
        occupancies=np.array(occupancies, dtype=np.float64),
        letters=np.array(letters, dtype=np.int64),
        sites=np.array(sites, dtype=np.int64),
        b_iso=b_iso,
    )


def place(
    group: int, x: NDArray[np.float64], cell: NDArray[np.float64], multiplicity: int, start: float = 0.0
) -> tuple[int, NDArray[np.float64]]:
    """Return letter index and idealised point of the position of a given multiplicity that a point lies on.

    Args:
        group: space-group number.
        x: (3,) fractional coordinates, standard setting.
        cell: (6,) Å, degrees.
        multiplicity: of the position in the conventional cell.
        start: smallest tolerance to try, Å.

    Raises:
        InputError: at no tolerance does the point have this multiplicity.

    """
    table = wyckoff.tables()
    reason = ""
    for tolerance in TOLERANCES:
        if tolerance < start:
            continue
        try:
            index, point = wyckoff.locate(group, x, cell, tolerance)
        except InputError as error:
            reason = str(error)
            continue
        found = int(table.multiplicity[table.row(group, index)])
        if found == multiplicity:
            return index, np.round(point, 14) % 1.0
        reason = f"point {np.round(x, 5).tolist()} has multiplicity {found}"
    raise InputError(f"space group {group}: no position of multiplicity {multiplicity} ({reason})")


def import_given(row: Mapping[str, Any], source: str) -> dict[str, Any]:
    """Return the row of the structure table for a row of a given table.

    Args:
        row: with the columns `GIVEN_COLUMNS`; source, name, reference, sg_published are kept where present.
        source: name of the collection where the row does not say.

    """
    collection = _text(row, "source") or source
    published = row.get("sg_published")
    return row_of(
        crystal_of_given(row),
        source=collection,
        id=str(row["id"]),
        space_group_published=None if published is None or published != published else int(published),
        name=_text(row, "name"),
        reference=_text(row, "reference"),
        structure_type=_text(row, "structure_type"),
        collection_code=_text(row, "collection_code"),
        citation=_text(row, "citation") or CITATIONS.get(collection),
        symprec=None,
    )


def _text(row: Mapping[str, Any], name: str) -> str | None:
    """Return a text column, None where it is absent or empty."""
    value = row.get(name)
    return value if isinstance(value, str) and value else None


def _merged(species: Mapping[str, float]) -> dict[int, float]:
    """Return occupancies by atomic number; isotopes of hydrogen are one."""
    merged: dict[int, float] = {}
    for element, occupancy in species.items():
        z = atomic_number(element)
        merged[z] = merged.get(z, 0.0) + float(occupancy)
    return merged

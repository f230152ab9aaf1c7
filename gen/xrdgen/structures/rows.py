"""From a crystal to a row of the structure table: formula, flags, labels."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xrdcommon.space_groups import crystal_system

from xrdgen.crystal import Crystal
from xrdgen.elements import symbol
from xrdgen.structures.prototypes import LabelledSite, kind_of, labels
from xrdgen.structures.table import CELL_COLUMNS
from xrdgen.symmetry.operations import standard_hall_number
from xrdgen.symmetry.wyckoff import letter

FULL = 0.01
"""A total occupancy within this of 1 is full (rounding in published tables)."""

DIGITS = 12
"""Decimals of coordinates kept: exact for every purpose, without the noise of the last bits."""


def idealised_cell(group: int, cell: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the cell with the angles and equal lengths that the crystal system demands, exactly."""
    a, b, c, alpha, beta, gamma = (float(value) for value in cell)
    system = crystal_system(group)
    if system == "cubic":
        a = b = c = float(np.cbrt(a * b * c))
    elif system in ("tetragonal", "trigonal", "hexagonal"):
        a = b = float(np.sqrt(a * b))
    if system == "monoclinic":
        alpha = gamma = 90.0
    elif system in ("trigonal", "hexagonal"):
        alpha, beta, gamma = 90.0, 90.0, 120.0
    elif system != "triclinic":
        alpha = beta = gamma = 90.0
    return np.array([a, b, c, alpha, beta, gamma])


def sites_of(crystal: Crystal) -> list[dict[str, Any]]:
    """Return the sites of a crystal as the table stores them, in the order of its rows."""
    multiplicities = crystal.multiplicities
    sites: dict[int, dict[str, Any]] = {}
    for row, number in enumerate(crystal.sites.tolist()):
        site = sites.setdefault(
            number,
            {
                "species": {},
                "letter": letter(int(crystal.letters[row])),
                "multiplicity": int(multiplicities[row]),
                "x": [round(float(x), DIGITS) % 1.0 for x in crystal.positions[row]],
            },
        )
        element = symbol(int(crystal.atomic_numbers[row]))
        total = site["species"].get(element, 0.0) + float(crystal.occupancies[row])
        site["species"][element] = round(total, 9)
        if crystal.b_iso is not None and not np.isnan(crystal.b_iso[row]):
            site.setdefault("b_iso", {})[element] = round(float(crystal.b_iso[row]), 4)
    return list(sites.values())


def row_of(crystal: Crystal, **known: Any) -> dict[str, Any]:
    """Return the row of a crystal.

    Args:
        crystal: in the standard setting.
        known: further columns: source, id, name, structure_type, space_group_published ...

    """
    sites = sites_of(crystal)
    amounts: dict[str, float] = {}
    for site in sites:
        for element, occupancy in site["species"].items():
            amounts[element] = amounts.get(element, 0.0) + occupancy * site["multiplicity"]
    totals = np.array([sum(site["species"].values()) for site in sites])
    names = labels(
        crystal.space_group,
        [
            LabelledSite(kind_of(site["species"]), int(crystal.letters[first]), site["multiplicity"])
            for site, first in zip(sites, _first_rows(crystal), strict=True)
        ],
    )
    return {
        "formula": " ".join(f"{element}{round(amount, 3):g}" for element, amount in sorted(amounts.items())),
        "space_group": crystal.space_group,
        "hall_number": standard_hall_number(crystal.space_group),
        **dict(zip(CELL_COLUMNS, crystal.cell.tolist(), strict=True)),
        "volume": round(crystal.volume, 6),
        "n_atoms": crystal.n_atoms,
        "n_sites": len(sites),
        "n_elements": len(amounts),
        "sites": json.dumps(sites, separators=(",", ":")),
        "prototype": names.prototype,
        "prototype_iso": names.prototype_iso,
        "wyckoff_key": names.wyckoff_key,
        "mixed_occupancy": any(len(site["species"]) > 1 for site in sites),
        "partial_occupancy": bool((totals < 1.0 - FULL).any()),
        "over_occupancy": bool((totals > 1.0 + FULL).any()),
        **known,
    }


def _first_rows(crystal: Crystal) -> list[int]:
    """Return the first row of every site, in the order of the rows."""
    first: dict[int, int] = {}
    for row, number in enumerate(crystal.sites.tolist()):
        first.setdefault(number, row)
    return list(first.values())

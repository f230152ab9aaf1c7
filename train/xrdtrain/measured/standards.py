"""Standards for the profile of an instrument: certified cells, and where their lines are.

# L lines
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import gemmi
import numpy as np
from numpy.typing import NDArray
from xrdcommon.errors import InputError

SAME_D = 1e-7
"""Relative difference below which two reflections are one line (300 and 221 of a cubic cell)."""


@dataclass(frozen=True, slots=True)
class Standard:
    """A certified powder.

    Attributes:
        name: as users write it.
        material: formula.
        srm: number of the standard reference material.
        space_group: number.
        a: Å.
        c: Å; a for cubic cells.

    """

    name: str
    material: str
    srm: str
    space_group: int
    a: float
    c: float

    def __str__(self) -> str:
        """Name it in one phrase."""
        return f"{self.material} (SRM {self.srm})"

    def d_spacings(self, smallest: float) -> NDArray[np.float64]:
        """Return d (L,) in Å, falling, of every line that the space group allows, down to the smallest d."""
        cubic = self.space_group >= 195
        cell = gemmi.UnitCell(self.a, self.a, self.c, 90, 90, 90 if cubic else 120)
        operations = gemmi.find_spacegroup_by_number(self.space_group).operations()
        hkl = gemmi.make_miller_array(cell, gemmi.find_spacegroup_by_number(self.space_group), smallest)
        kept = np.array([list(row) for row in hkl if not operations.is_systematically_absent(list(map(int, row)))])
        # silicon's atoms extinguish what the space group alone leaves: h + k + l = 4 n + 2
        if self.material == "Si":
            kept = kept[kept.sum(axis=1) % 4 != 2]
        d = np.sort(np.array([cell.calculate_d(list(map(int, row))) for row in kept]))[::-1]
        first = np.concatenate([[True], np.abs(np.diff(d)) > SAME_D * d[:-1]])
        result: NDArray[np.float64] = d[first]
        return result


@cache
def standards() -> dict[str, Standard]:
    """Return the standards by name."""
    text = (files("xrdtrain.measured") / "data" / "standards.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(line for line in text.splitlines() if not line.startswith("#"))
    return {
        row["name"]: Standard(
            row["name"], row["material"], row["srm"], int(row["space_group"]), float(row["a"]), float(row["c"])
        )
        for row in rows
    }


def standard_of(name: str) -> Standard:
    """Return a standard by its name, in any case, or by its number (660c).

    Raises:
        InputError: none of that name.

    """
    for one in standards().values():
        if name.strip().lower() in (one.name.lower(), one.srm.lower(), f"srm{one.srm}".lower()):
            return one
    raise InputError(f"--standard {name}: give one of {', '.join(standards())}")

"""Chemical elements: symbols and the radii behind the atomic volume (paper, S1 step 7).

Radii are pyxtal's (covalent: Cordero et al., 2008; van der Waals: Alvarez, 2013 and older sources), in Å, read once
into `data/elements.csv`; a test compares the file with pyxtal. Deuterium and tritium count as hydrogen.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from xrdcommon.errors import InputError

_DATA = Path(__file__).parent / "data" / "elements.csv"
_ISOTOPES = {"D": 1, "T": 1}


@dataclass(frozen=True, slots=True)
class ElementTable:
    """Elements 1 to 103; arrays are indexed by the atomic number Z, index 0 is unused.

    Attributes:
        symbols: chemical symbols, (104,).
        covalent_radius: Å, (104,); NaN where unknown (Z > 96).
        atomic_volume: 4/3 pi ((r_covalent + r_vdW) / 2)^3 in Å^3, (104,); NaN where a radius is unknown (Z > 96).

    """

    symbols: tuple[str, ...]
    covalent_radius: NDArray[np.float64]
    atomic_volume: NDArray[np.float64]


@cache
def element_table() -> ElementTable:
    """Return the table of elements."""
    symbols = [""]
    covalent_radius = [np.nan]
    radius = [np.nan]
    with _DATA.open(newline="") as stream:
        for line in csv.DictReader(stream):
            symbols.append(line["symbol"])
            covalent, van_der_waals = line["covalent_radius"], line["van_der_waals_radius"]
            covalent_radius.append(float(covalent) if covalent else np.nan)
            known = bool(covalent and van_der_waals)
            radius.append((float(covalent) + float(van_der_waals)) / 2 if known else np.nan)
    volumes = 4.0 / 3.0 * np.pi * np.array(radius) ** 3
    covalent_radii = np.array(covalent_radius)
    for array in (covalent_radii, volumes):
        array.setflags(write=False)
    return ElementTable(tuple(symbols), covalent_radii, volumes)


@cache
def _numbers() -> dict[str, int]:
    """Return the atomic number of every symbol."""
    table = {symbol: z for z, symbol in enumerate(element_table().symbols) if symbol}
    return table | _ISOTOPES


def atomic_number(symbol: str) -> int:
    """Return Z of a symbol; D and T are hydrogen.

    Raises:
        InputError: no such element, or beyond lawrencium.

    """
    try:
        return _numbers()[symbol]
    except KeyError:
        raise InputError(f"element '{symbol}': not one of the elements H to Lr") from None


def symbol(z: int) -> str:
    """Return the symbol of an atomic number 1 to 103."""
    symbols = element_table().symbols
    if not 1 <= z < len(symbols):
        raise InputError(f"atomic number {z}: must be 1 to {len(symbols) - 1}")
    return symbols[z]

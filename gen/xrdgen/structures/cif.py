"""Entries of CIF files: one a data block that has atoms."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from xrdcommon.errors import InputError, XrdError
from xrdcommon.space_groups import N_GROUPS

from xrdgen.structures.rows import row_of
from xrdgen.structures.standardise import standardise

if TYPE_CHECKING:
    from pymatgen.core import Structure

_BLOCK = re.compile(r"^data_(\S*)", re.MULTILINE | re.IGNORECASE)
_ICSD_BLOCK = re.compile(r"^(\d+)-ICSD$", re.IGNORECASE)
_NUMBER_KEYS = ("_space_group_IT_number", "_symmetry_Int_Tables_number")
_SYMBOL_KEYS = ("_space_group_name_H-M_alt", "_symmetry_space_group_name_H-M", "_space_group_name_H-M")
_NAME_KEYS = ("_chemical_name_mineral",)

_CELL_KEYS = tuple(
    f"_cell_{item}" for item in (*(f"length_{x}" for x in "abc"), "angle_alpha", "angle_beta", "angle_gamma")
)
_TAKEN_FOR_P1 = "Defaulting to P1"
"""What pymatgen remarks where it knows neither operations nor space group."""

MAX_SECONDS = 60.0
"""A data block that takes longer to read is refused."""
_SECONDS_PER_PAIR = 1.9e-6
"""pymatgen compares every atom row with every other: 17 s for 3000."""

SITE_TOLERANCE = 1e-3
"""Fractional distance below which images of a site are one: (x, 2x, z) with four digits misses itself by 1.5e-4."""

ENTRY_ERRORS = (
    XrdError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    AssertionError,
    ArithmeticError,
    RuntimeError,
    NotImplementedError,
    OSError,
    MemoryError,
    RecursionError,
)
"""What parsers raise on a damaged entry; it is listed with its reason and the others go on."""


@dataclass(frozen=True, slots=True)
class CifEntry:
    """A data block of a CIF: its name and its text."""

    name: str
    text: str

    @property
    def icsd_code(self) -> str | None:
        """Collection code of an ICSD entry (`data_<code>-ICSD`), None otherwise."""
        found = _ICSD_BLOCK.match(self.name)
        return found.group(1) if found else None


def entries(text: str) -> Iterator[CifEntry]:
    """Yield the data blocks of a CIF that list atoms.

    Raises:
        InputError: there is no data block with atoms.

    """
    starts = list(_BLOCK.finditer(text))
    if not starts:
        raise InputError("not a CIF: no line begins with data_")
    n = 0
    for this, following in zip(starts, [*starts[1:], None], strict=True):
        block = text[this.start() : following.start() if following else len(text)]
        if "_atom_site_" in block:
            n += 1
            yield CifEntry(this.group(1), block)
    if not n:
        raise InputError("no atoms: no data block has an _atom_site_ loop")


def import_entry(entry: CifEntry, symprec: float, **known: Any) -> dict[str, Any]:
    """Return the row of the structure table for a data block.

    Args:
        entry: block of a CIF.
        symprec: tolerance of the symmetry search, Å.
        known: further columns (source, id ...); they go before what the CIF says.

    Raises:
        InputError: no structure in the block, or one that cannot be standardised.

    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pymatgen's remarks on rounding and missing items; results are checked
        structure, data = parse_structure(entry.text, site_tolerance=SITE_TOLERANCE)
    crystal = standardise(structure, symprec)
    columns = {
        "space_group_published": published_group(data),
        "name": _first(data, _NAME_KEYS),
        "reference": _reference(data),
        "symprec": symprec,
        "structure_type": None,
        "collection_code": None,
        "citation": None,
    }
    return row_of(crystal, **(columns | known))


def parse_structure(text: str, **options: Any) -> tuple[Structure, dict[str, Any]]:
    """Return the structure of a data block as pymatgen reads it, and the block's items.

    Over-occupied sites are kept, not scaled: who simulates refuses them by name, who imports flags them.

    Args:
        text: the block.
        options: of pymatgen's CifParser.

    Raises:
        InputError: no structure in it, an impossible cell, an unknown space group without operations, or more atoms
            than pymatgen reads in reasonable time.

    """
    from pymatgen.io.cif import CifParser

    rows = _atom_rows(text)
    if not rows:
        raise InputError("no atoms: its _atom_site_ loop is empty")
    seconds = _SECONDS_PER_PAIR * rows**2
    if seconds > MAX_SECONDS:
        raise InputError(
            f"{rows} atom rows: pymatgen would take about {seconds:.2g} s to read them, more than {MAX_SECONDS:.0f}; "
            "give the asymmetric unit with its space group"
        )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        parser = CifParser.from_str(text, **options)
        data: dict[str, Any] = next(iter(parser.as_dict().values()))
        _check_block(data)
        structures = parser.parse_structures(primitive=False, check_occu=False, symmetrized=False)
    for warning in caught:  # for the caller's own filters
        warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    if not structures:
        raise InputError("pymatgen reads no structure from it")
    named = _first(data, (*_SYMBOL_KEYS, *_NUMBER_KEYS))
    if named not in (None, "1", "P1", "P 1") and any(_TAKEN_FOR_P1 in str(warning.message) for warning in caught):
        raise InputError(f"space group '{named}' is unknown and no symmetry operations are given")
    return structures[0], data


def _check_block(data: dict[str, Any]) -> None:
    """Refuse a cell that pymatgen would misread.

    Raises:
        InputError: the message names item and value.

    """
    for key in _CELL_KEYS:
        value = _first(data, (key,))
        number = float("nan") if value is None else float(value.partition("(")[0])
        if not (math.isfinite(number) and number > 0.0):
            raise InputError(f"{key} is {value or 'missing'}: must be a positive, finite number")


def _atom_rows(text: str) -> int:
    """Count the atoms that a block gives a place, without parsing it; one may stand outside of a loop."""
    rows, counting, placed = 0, False, False
    for line in text.splitlines():
        word = line.strip()
        if word.startswith("_atom_site_fract_x"):
            placed = True
            rows += len(word.split()) > 1
        elif word.startswith(("loop_", "_", "data_")):
            counting = word.startswith("_atom_site_") and not word.startswith("_atom_site_aniso_")
            placed = placed and counting
            continue
        elif word and not word.startswith("#"):
            rows += counting and placed
        counting = counting or placed
    return rows


def published_group(data: dict[str, Any]) -> int | None:
    """Return the space-group number that a CIF gives, by number or by Hermann-Mauguin symbol; None where neither."""
    from pymatgen.symmetry.groups import SpaceGroup

    number = _first(data, _NUMBER_KEYS)
    if number is not None and number.isdigit() and 1 <= int(number) <= N_GROUPS:
        return int(number)
    text = _first(data, _SYMBOL_KEYS)
    if text is None:
        return None
    short = re.sub(r"\s+", "", text.split(":")[0])
    for symbol in (short, re.sub(r"([2346])([1-5])(?=$|[/mncabd2346-])", r"\1_\2", short)):
        try:
            return int(SpaceGroup(symbol).int_number)
        except (ValueError, KeyError):
            continue
    return None


def _first(data: dict[str, Any], keys: tuple[str, ...]) -> str | None:
    """Return the first of the items that is given."""
    for key in keys:
        value = data.get(key)
        if isinstance(value, list):
            value = value[0] if value else None
        if isinstance(value, str) and value.strip().strip("'\"") not in ("", "?", "."):
            return value.strip().strip("'\"")
    return None


def _reference(data: dict[str, Any]) -> str | None:
    """Return journal, volume, year and page as far as they are given."""
    keys = ("_journal_name_full", "_journal_volume", "_journal_year", "_journal_page_first")
    parts = [part for key in keys if (part := _first(data, (key,)))]
    return " ".join(parts) or None

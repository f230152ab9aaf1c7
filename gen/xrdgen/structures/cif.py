"""CIF structures in the project's standard setting, and as rows of the structure table.

`xrdgen simulate`, `xrdgen structures import` and everything else read through `read_crystal`; how a file is read is in
`reading`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from xrdcommon.errors import XrdError

from xrdgen.crystal import Crystal
from xrdgen.structures.reading.document import Block
from xrdgen.structures.reading.reader import CifStructure, read_structure
from xrdgen.structures.reading.remarks import Remark, joined
from xrdgen.structures.rows import row_of
from xrdgen.structures.standardise import DEFAULT_SYMPREC, OCCUPANCY_DIGITS, standardise_cell

_ICSD_BLOCK = re.compile(r"^(\d+)-ICSD$", re.IGNORECASE)

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
"""What a damaged entry can raise; it is listed with its reason and the others go on."""


@dataclass(frozen=True, slots=True)
class ReadCrystal:
    """A crystal read from a data block.

    Attributes:
        crystal: in the standard setting; `b_iso` as in the file, NaN where an atom has none, None where none has one.
        published: space-group number that the file gives, None where it gives none.
        remarks: what was decided, left out or contradicts itself.

    """

    crystal: Crystal
    published: int | None
    remarks: tuple[Remark, ...]


def icsd_code(block: Block) -> str | None:
    """Return the collection code of an ICSD entry (`data_<code>-ICSD`), None otherwise."""
    found = _ICSD_BLOCK.match(block.name)
    return found.group(1) if found else None


def read_crystal(block: Block, symprec: float = DEFAULT_SYMPREC) -> ReadCrystal:
    """Return the crystal of a data block.

    Args:
        block: of a CIF.
        symprec: tolerance of the symmetry search, Å.

    Raises:
        InputError: no structure in the block, one that contradicts itself, or one that cannot be standardised.

    """
    structure = read_structure(block)
    crystal = _standard(structure, symprec)
    if crystal.b_iso is not None and np.isnan(crystal.b_iso).all():
        crystal = replace(crystal, b_iso=None)
    return ReadCrystal(crystal, structure.published, structure.remarks)


def _standard(structure: CifStructure, symprec: float) -> Crystal:
    """Return a structure in the standard setting."""
    lattice, positions, site_of = structure.primitive_cell()
    species = [
        tuple((z, round(n, OCCUPANCY_DIGITS)) for z, n in sorted(site.species.items()) if round(n, OCCUPANCY_DIGITS))
        for site in structure.sites
    ]
    b_iso = [site.b_iso for site in structure.sites]
    return standardise_cell(
        lattice,
        positions,
        [species[site] for site in site_of],
        symprec,
        group=structure.group.number,
        b_iso=[b_iso[site] for site in site_of] if any(b_iso) else None,
    )


def import_block(block: Block, symprec: float, **known: Any) -> dict[str, Any]:
    """Return the row of the structure table for a data block.

    Args:
        block: of a CIF.
        symprec: tolerance of the symmetry search, Å.
        known: further columns (source, id ...); they go before what the CIF says.

    Raises:
        InputError: see `read_crystal`.

    """
    read = read_crystal(block, symprec)
    name = block.value("_chemical_name_mineral")
    reference = _reference(block)
    columns = {
        "space_group_published": read.published,
        "name": block.unescaped(name) if name else None,
        "reference": block.unescaped(reference) if reference else None,
        "symprec": symprec,
        "structure_type": None,
        "collection_code": None,
        "citation": None,
        "remarks": joined(read.remarks),
    }
    return row_of(read.crystal, **(columns | known))


def _reference(block: Block) -> str | None:
    """Return journal, volume, year and page as far as they are given."""
    names = ("_journal_name_full", "_journal_volume", "_journal_year", "_journal_page_first")
    parts = [part for name in names if (part := block.value(name))]
    return " ".join(parts) or None

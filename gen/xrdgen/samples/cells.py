"""Unit cells of named crystals: real ones from their tables, synthetic ones drawn again from their identities."""

# M positions in the conventional cell

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from xrdcommon.errors import FormatError, InputError, MissingFileError
from xrdcommon.identity import SampleIdentity
from xrdcommon.spool.spool import Spool
from xrdcommon.unit_cells import UnitCell

from xrdgen.elements import element_table, symbol
from xrdgen.samples.engines import redraw_each
from xrdgen.structures.table import crystal_of, read_table

if TYPE_CHECKING:
    from xrdgen.crystal import Crystal

_IDENTITY = re.compile(r"[0-9a-f]{16}:\d+:\d+:\d+")
SHOWN_RADIUS = 1.5
"""Å, of an element whose radius nobody knows."""


def read_names(path: Path) -> list[str]:
    """Read names: the first column of a CSV, or a name a line; a header `name` and repetitions are passed over.

    Raises:
        MissingFileError: no such file.
        FormatError: not a text file.
        InputError: no name in it.

    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError as error:
        raise MissingFileError(f"{path}: no such file; `xrdtrain report` writes hardest.csv into a run") from error
    except (UnicodeDecodeError, IsADirectoryError) as error:
        raise FormatError(f"{path}: not a text file ({error}); expected a name a line") from error
    names = [row[0].strip() for row in csv.reader(lines) if row]
    found = list(dict.fromkeys(name for name in names if name and name != "name"))
    if not found:
        raise InputError(f"{path}: no name in it; expected names of structures or identities of samples, one a line")
    return found


def unit_cells(names: Iterable[str], spool: Path | None, tables: Sequence[str]) -> tuple[list[UnitCell], list[str]]:
    """Return the unit cells of crystals, and the names that were not found.

    Args:
        names: of structures as fixed sets have them (`source:id`), or identities as they are printed.
        spool: whose samples the identities name, and which need not hold them any more; None: there are none.
        tables: structure tables in which the other names are looked for.

    Raises:
        InputError: an identity that no sample of the spool has.
        XrdError: a spool or table that cannot be read.

    """
    wanted = list(names)
    identities = [name for name in wanted if _IDENTITY.fullmatch(name)]
    cells: dict[str, UnitCell] = {}
    if spool is not None and identities:
        opened = Spool.open(spool)
        drawn = redraw_each(opened, map(SampleIdentity.parse, identities))
        for name, sample in zip(identities, drawn, strict=True):
            cells[name] = unit_cell(name, sample.crystal, opened, sample.pattern.astype(np.float64))
    real = set(wanted) - set(identities)
    for table in tables:
        cells |= _from_table(table, real - set(cells))
    return [cells[name] for name in wanted if name in cells], [name for name in wanted if name not in cells]


def _from_table(path: str, names: set[str]) -> dict[str, UnitCell]:
    """Return the named structures of a table."""
    if not names:
        return {}
    table = read_table(path)
    labels = table["source"].astype(str) + ":" + table["id"].astype(str)
    chosen = table[labels.isin(names)]
    return {f"{row['source']}:{row['id']}": unit_cell(f"{row['source']}:{row['id']}", crystal_of(row))
            for _, row in chosen.iterrows()}  # fmt: skip


def unit_cell(name: str, crystal: Crystal, spool: Spool | None = None, pattern: np.ndarray | None = None) -> UnitCell:
    """Return the conventional cell of a crystal; a mixed site shows its most abundant species."""
    full = crystal.full_cell()
    order = np.lexsort([-full.occupancies, full.sites])
    _, first = np.unique(full.sites[order], return_index=True)
    rows = order[first]
    numbers = full.atomic_numbers[rows]
    radii = element_table().covalent_radius[numbers]
    return UnitCell(
        name=name,
        space_group=crystal.space_group,
        vectors=full.lattice,
        positions=full.positions[rows],
        elements=tuple(symbol(int(z)) for z in numbers),
        radii=np.where(np.isfinite(radii), radii, SHOWN_RADIUS),
        grid=None if spool is None else spool.grid,
        pattern=pattern,
    )

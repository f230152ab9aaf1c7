"""How often each structure type occurs in structure tables: the lists that crystals of given types are drawn by."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from xrdcommon.errors import InputError
from xrdcommon.files import write_bytes

from xrdgen.structures.reading.remarks import doubtful_rows
from xrdgen.structures.table import read_table
from xrdgen.structures.types import parse_type

MAX_VOLUME = 7000.0
"""Å^3; structures of such cells, or larger ones, are not drawn (paper, S1)."""

MAX_SITES = 99


class NamedBy(StrEnum):
    """What names a structure type; the values are columns of a structure table."""

    LABEL = "label"
    WYCKOFF_KEY = "wyckoff-key"


_COLUMNS = {NamedBy.LABEL: "prototype_iso", NamedBy.WYCKOFF_KEY: "wyckoff_key"}


@dataclass(frozen=True, slots=True)
class CountedType:
    """A structure type and what is known of it.

    Attributes:
        type: its label or Wyckoff key.
        count: structures of it.
        space_group: International Tables number.
        n_sites: sites of the asymmetric unit.
        n_elements: elements, by kinds of sites; 0 where they are open.
        name: most frequent name of its structures: the ICSD's structure type, else the mineral.

    """

    type: str
    count: int
    space_group: int
    n_sites: int
    n_elements: int
    name: str


def count_types(
    paths: Iterable[str | Path],
    *,
    by: NamedBy = NamedBy.LABEL,
    groups: Collection[int] = (),
    min_count: int = 1,
) -> tuple[list[CountedType], Counter[str]]:
    """Return the structure types of tables, the most frequent first, and how many structures were left out, and why.

    Args:
        paths: structure tables.
        by: what names a type.
        groups: space groups that count; all where empty.
        min_count: types of fewer structures are left out.

    Raises:
        InputError: no type is left.
        XrdError: a table that cannot be read.

    """
    if min_count < 1:
        raise InputError(f"--min-count {min_count}: must be at least 1")
    names: dict[str, Counter[str]] = {}
    counts: Counter[str] = Counter()
    left_out: Counter[str] = Counter()
    for path in paths:
        table = read_table(path)
        columns = [_COLUMNS[by], "space_group", "n_sites", "volume", "name", "structure_type"]
        rows = table[columns].astype(object).where(table[columns].notna(), None).to_dict("records")
        for row, doubtful in zip(rows, doubtful_rows(table), strict=True):
            reason = "doubtful" if doubtful else _reason(row, groups)
            if reason:
                left_out[reason] += 1
                continue
            kind = str(row[_COLUMNS[by]])
            counts[kind] += 1
            called = row["structure_type"] or row["name"]
            if called and not str(called).startswith("<"):  # AMCSD: "<missing>"
                names.setdefault(kind, Counter())[str(called)] += 1
    found = []
    for kind, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        if count < min_count:
            left_out[f"of a type of fewer than {min_count}"] += count
            continue
        try:
            parsed = parse_type(kind)
        except InputError:  # two sites of the table on one point
            left_out["two sites on one point"] += count
            continue
        called = min(names.get(kind, {"": 1}).items(), key=lambda item: (-item[1], item[0]))[0]
        found.append(CountedType(kind, count, parsed.space_group, len(parsed.letters), parsed.n_elements, called))
    if not found:
        raise InputError(
            f"{', '.join(map(str, paths))}: no structure type is left ({said(left_out) or 'no structures'}); "
            "name other tables or space groups, or lower --min-count"
        )
    return found, left_out


def _reason(row: Mapping[Any, Any], groups: Collection[int]) -> str:
    """Return why a structure does not count; nothing if it does."""
    if groups and int(row["space_group"]) not in groups:
        return "of other space groups"
    if float(row["volume"]) >= MAX_VOLUME:
        return f"of {MAX_VOLUME:g} Å^3 or more"
    return f"of more than {MAX_SITES} sites" if int(row["n_sites"]) > MAX_SITES else ""


def said(left_out: Counter[str]) -> str:
    """Return what was left out as text."""
    return ", ".join(f"{n} {reason}" for reason, n in sorted(left_out.items()))


def write_types(path: Path, types: Iterable[CountedType]) -> None:
    """Write a list that `--structure-types` takes, atomically."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    columns = CountedType.__slots__  # `read_types` knows the header by the first
    writer.writerow(columns)
    writer.writerows([getattr(item, column) for column in columns] for item in types)
    write_bytes(path, text.getvalue().encode())

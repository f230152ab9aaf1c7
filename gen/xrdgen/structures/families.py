"""Structure families: which structures must not be parted by a split.

The unit is the ICSD's structure type where one is given; an ICSD entry without one is a unit of its own. Any other
structure belongs to the connected component of its Wyckoff key and of its mineral name and space group: the first
links a solid solution to its ordered parent, the second the refinements of one mineral.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd


def _given(value: Any) -> str | None:
    """Return a text value, None where the table has none."""
    return value if isinstance(value, str) and value.strip() else None


def family_number(wyckoff_key: Any) -> int:
    """Return the number by which records name a Wyckoff configuration, 1 to 2^64 - 1; 0 where there is none.

    It is the first eight bytes of the SHA-256 of the key, the lowest first.
    """
    key = _given(wyckoff_key)
    return 0 if key is None else int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "little") or 1


def symmetry_keys(row: Mapping[str, Any]) -> list[str]:
    """Return the keys that need no database: Wyckoff key, and mineral name with space group."""
    keys = [f"wyckoff {row['wyckoff_key']}"]
    name = _given(row.get("name"))
    if name is not None:
        keys.append(f"name {' '.join(name.lower().split())} {row['space_group']}")
    return keys


def family_keys(row: Mapping[str, Any]) -> list[str]:
    """Return the keys that link a structure to others of its family."""
    structure_type = _given(row.get("structure_type"))
    if structure_type is not None:
        return [f"type {structure_type}"]
    code = _given(row.get("collection_code"))
    if code is not None:
        return [f"entry {row['source']} {code}"]
    return symmetry_keys(row)


def all_keys(row: Mapping[str, Any]) -> set[str]:
    """Return every key of a structure, those included by which other collections' entries would know it."""
    return {*family_keys(row), *symmetry_keys(row)}


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the columns of a structure table that families need, row by row."""
    columns = [
        "source",
        "id",
        "space_group",
        "wyckoff_key",
        "name",
        "structure_type",
        "collection_code",
        "prototype_iso",
    ]
    frame = table[columns]
    return [
        {str(name): value for name, value in record.items()}
        for record in frame.astype(object).where(frame.notna(), None).to_dict("records")
    ]


def components(keys: Iterable[Iterable[str]]) -> NDArray[np.int64]:
    """Return the number of the connected component of every structure, (N,).

    Components are numbered in the order of their smallest key, whatever the order of the structures.

    Args:
        keys: of every structure; structures that share one are linked.

    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    numbers: dict[str, int] = {}
    rows: list[int] = []
    columns: list[int] = []
    n = 0
    for row, row_keys in enumerate(keys):
        n += 1
        for key in row_keys:
            rows.append(row)
            columns.append(numbers.setdefault(key, len(numbers)))
    size = n + len(numbers)
    graph = coo_array((np.ones(len(rows), dtype=np.int8), (rows, np.array(columns, dtype=np.int64) + n)), (size, size))
    _, labels = connected_components(graph, directed=False)
    smallest: dict[int, str] = {}
    for key, number in numbers.items():
        label = int(labels[n + number])
        smallest[label] = min(smallest.get(label, key), key)
    order = {label: rank for rank, label in enumerate(sorted(smallest, key=lambda label: smallest[label]))}
    return np.array([order[int(label)] for label in labels[:n]], dtype=np.int64)

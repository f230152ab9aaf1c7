"""Format of the fixed sets: version, names, header, identifiers; see `fixed_sets` for the layout."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from xrdcommon.errors import FormatError, InputError, MissingFileError
from xrdcommon.fields import describe, described_dtype
from xrdcommon.files import read_json
from xrdcommon.grid import Grid

FORMAT: Final = 2
"""Version of the layout; a reader refuses a higher one. Since 2 the header names the fields."""

KIND: Final = "fixed set"
ATTRIBUTE: Final = "xrdstream"
ROWS_PER_CHUNK: Final = 64
ROWS_PER_SHARD: Final = 1024
ID_BYTES: Final = 64

TARS_FILE: Final = "fixed-set.json"
"""Header of a set in tar shards."""

NEEDED = ("kind", "format", "grid", "rows", "samples_sha256", "patterns_sha256")
RESERVED = (*NEEDED, "fields")


def array_names(fields: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the arrays of a set with these fields."""
    return ("pattern", *fields, "id")


def encode_ids(ids: Sequence[str]) -> NDArray[np.uint8]:
    """Return names as rows (N, 64) of UTF-8 bytes padded with zeros.

    Raises:
        InputError: a name is empty, longer than 64 bytes, or contains a zero byte.

    """
    table = np.zeros((len(ids), ID_BYTES), dtype=np.uint8)
    for row, name in enumerate(ids):
        content = name.encode()
        if not 0 < len(content) <= ID_BYTES or b"\0" in content:
            raise InputError(f"id {name!r} of row {row}: must have 1 to {ID_BYTES} bytes of UTF-8; shorten it")
        table[row, : len(content)] = np.frombuffer(content, dtype=np.uint8)
    return table


def decode_ids(table: NDArray[np.uint8]) -> list[str]:
    """Return the names in rows (N, 64) written by `encode_ids`."""
    return [row.tobytes().rstrip(b"\0").decode() for row in table]


def samples_hash(samples: NDArray[Any], ids: NDArray[np.uint8]) -> str:
    """Return the SHA-256 over all records, as they are stored, and ids."""
    digest = hashlib.sha256(np.ascontiguousarray(samples).tobytes())
    digest.update(np.ascontiguousarray(ids).tobytes())
    return digest.hexdigest()


def make_header(
    grid: Grid, samples: NDArray[Any], ids: NDArray[np.uint8], patterns_sha256: str, attributes: dict[str, Any]
) -> dict[str, Any]:
    """Return the header of a set: what is reserved, then the attributes of its maker."""
    header: dict[str, Any] = {
        "kind": KIND,
        "format": FORMAT,
        "grid": grid.to_dict(),
        "rows": len(samples),
        "fields": describe(samples.dtype),
        "samples_sha256": samples_hash(samples, ids),
        "patterns_sha256": patterns_sha256,
    }
    return {**header, **attributes}


def is_own(path: Path) -> bool:
    """Return whether a folder is a fixed set and holds nothing else, so that it may be replaced."""
    if not path.is_dir():
        return False
    try:
        content = read_json(path / "zarr.json")
        attributes = content.get("attributes", {}) if isinstance(content, dict) else {}
        header = attributes.get(ATTRIBUTE, {}) if isinstance(attributes, dict) else {}
        if not isinstance(header, dict) or header.get("kind") != KIND:
            return False
        fields = described_dtype(header.get("fields")).names or ()
    except (MissingFileError, FormatError):
        return False
    return {entry.name for entry in path.iterdir()} <= {"zarr.json", *array_names(fields)}


def read_header(path: Path) -> dict[str, Any]:
    """Return the checked attributes of a fixed set in Zarr."""
    content = read_json(path / "zarr.json")
    attributes = content.get("attributes") if isinstance(content, dict) else None
    header = attributes.get(ATTRIBUTE) if isinstance(attributes, dict) else None
    if not isinstance(header, dict) or header.get("kind") != KIND:
        raise FormatError(f"{path}: a Zarr folder but not a fixed set of xrdstream; make one with `xrdgen freeze`")
    return check_header(path, header)


def check_header(path: Path, header: dict[str, Any]) -> dict[str, Any]:
    """Return the header of a set if this version can read it.

    Raises:
        FormatError: another format, or something is missing.

    """
    if header.get("format") not in range(1, FORMAT + 1):
        raise FormatError(
            f"{path}: fixed set of format {header.get('format')}, this version reads formats 1 to {FORMAT}; "
            "install the version that wrote it or make it again"
        )
    missing = [name for name in NEEDED if name not in header]
    if missing:
        raise FormatError(f"{path}: damaged fixed set (no {missing[0]!r} in its header); make it again")
    return header

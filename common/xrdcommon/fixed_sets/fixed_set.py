"""Fixed sets: diffractograms that stay, kept in a folder that any Zarr 3 reader opens.

Layout (Zarr format 3 group)::

    NAME.zarr/zarr.json            group; attributes {"xrdstream": {kind, format, grid, rows, hashes, ...}}
    NAME.zarr/pattern/             (N, P) float16, shards of 1024 rows in chunks of 64, Blosc-Zstandard, CRC32C
    NAME.zarr/<field>/             (N, ...) one array for each field (`fields.SAMPLE_FIELDS` of the writer; the
                                   header names them)
    NAME.zarr/id/                  (N, 64) uint8, UTF-8 name of the structure padded with zeros

A set is written into a folder beside its place and renamed when whole (`fixed_set_writer`). Every chunk carries a
checksum; a chunk that is missing reads as NaN and is refused, never taken for an empty diffractogram. The same set in
tar shards (`tars`) opens here as well; random access at the speed of a training is in `cache`.
"""

# Dimensions: N rows (diffractograms), P grid points, n rows of one block.

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Protocol, cast

import numpy as np
import zarr
from numpy.typing import NDArray

from xrdcommon.errors import FormatError, InputError, MissingFileError
from xrdcommon.fields import PATTERN_DTYPE, described_dtype, known_fields
from xrdcommon.files import canonical_hash
from xrdcommon.fixed_sets.format import TARS_FILE, array_names, decode_ids, encode_ids, read_header, samples_hash
from xrdcommon.fixed_sets.tars import open_tars
from xrdcommon.fixed_sets.writer import FixedSetWriter, check_writable, fixed_set_writer, write_fixed_set
from xrdcommon.grid import Grid

__all__ = [
    "FixedSet",
    "FixedSetWriter",
    "check_writable",
    "encode_ids",
    "fixed_set_writer",
    "is_fixed_set",
    "write_fixed_set",
]


class Patterns(Protocol):
    """Where the patterns of a set are read from."""

    def read(self, rows: slice | NDArray[np.int64]) -> NDArray[np.float16]:
        """Return the patterns (n, P) of a slice or of rising rows; FormatError where they are damaged."""


class ZarrPatterns:
    """Patterns of a Zarr array."""

    def __init__(self, path: Path, array: zarr.Array[Any]) -> None:
        self._path, self._array = path, array

    def read(self, rows: slice | NDArray[np.int64]) -> NDArray[np.float16]:
        """Read rows and refuse what is missing or damaged."""
        first, last = (rows.start, rows.stop - 1) if isinstance(rows, slice) else (rows[0], rows[-1])
        what = f"rows {first} to {last}"
        try:
            values = cast("NDArray[np.float16]", np.asarray(self._array.oindex[rows, slice(None)]))
        except (ValueError, RuntimeError) as error:
            raise FormatError(f"{self._path}: damaged patterns in {what} ({error}); make it again") from error
        # The first column is enough: a chunk spans all points, and NaN is never written.
        if np.isnan(values[:, 0]).any():
            raise FormatError(f"{self._path}: patterns missing in {what}; make it again")
        return values


def is_fixed_set(path: Path) -> bool:
    """Return whether a folder looks like a fixed set, in Zarr or in tar shards."""
    return (path / "zarr.json").is_file() or (path / TARS_FILE).is_file()


class FixedSet:
    """A fixed set opened for reading: records in memory, patterns read as asked for. Never changes a file."""

    def __init__(
        self,
        path: Path,
        attributes: dict[str, Any],
        patterns: Patterns,
        stored: NDArray[Any],
        id_bytes: NDArray[np.uint8],
    ) -> None:
        """Take what was read and checked; `stored` are the records (N,) with the fields of the version that wrote."""
        self.path: Final = path
        self.attributes: Final = attributes
        self.grid: Final = Grid.from_dict(attributes["grid"])
        self.stored: Final = stored
        self.samples: Final = known_fields(stored)
        self.id_bytes: Final = id_bytes
        self._patterns = patterns

    @classmethod
    def open(cls, path: Path) -> FixedSet:
        """Open a fixed set and check its records.

        Raises:
            MissingFileError: nothing is there.
            FormatError: not a fixed set, written by a newer version, or damaged.

        """
        if not path.exists():
            raise MissingFileError(f"{path}: no such fixed set; make one with `xrdgen freeze TABLE --out {path}`")
        if (path / TARS_FILE).is_file():
            return cls(path, *open_tars(path))
        if not (path / "zarr.json").is_file():
            raise FormatError(f"{path}: not a fixed set (no zarr.json); make one with `xrdgen freeze`")
        header = read_header(path)
        try:
            group = zarr.open_group(path, mode="r", zarr_format=3)
            dtype = described_dtype(header.get("fields"))
            fields = dtype.names or ()
            arrays = {name: _array(path, group, name) for name in array_names(fields)}
            rows = int(header["rows"])
            stored = np.zeros(rows, dtype=dtype)
            for name in fields:
                stored[name] = arrays[name][...]
            id_bytes = np.asarray(arrays["id"][...])
            grid = Grid.from_dict(header["grid"])
            shape = arrays["pattern"].shape
            whole = shape == (rows, grid.n_points) and arrays["pattern"].dtype == PATTERN_DTYPE
            if not whole or samples_hash(stored, id_bytes) != header["samples_sha256"]:
                raise FormatError(f"{path}: damaged (records do not match the header); make it again")
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            if isinstance(error, FormatError):
                raise
            raise FormatError(f"{path}: damaged fixed set ({error}); make it again") from error
        return cls(path, header, ZarrPatterns(path, arrays["pattern"]), stored, id_bytes)

    def __len__(self) -> int:
        """Return the number of diffractograms N."""
        return len(self.samples)

    @property
    def ids(self) -> list[str]:
        """Names (N) of the structures."""
        return decode_ids(self.id_bytes)

    @property
    def content_hash(self) -> str:
        """SHA-256 that names patterns, records and grid; the same for equal content."""
        return canonical_hash([self.attributes[name] for name in ("grid", "samples_sha256", "patterns_sha256")])

    def patterns(self, start: int = 0, stop: int | None = None) -> NDArray[np.float16]:
        """Return the patterns (n, P) of rows start to stop (excluded); chunks are of 64 rows.

        Raises:
            FormatError: a chunk is missing or fails its checksum.

        """
        start, stop, _ = slice(start, stop).indices(len(self))
        return self._patterns.read(slice(start, max(start, stop)))

    def take(self, rows: NDArray[np.integer[Any]] | Sequence[int]) -> NDArray[np.float16]:
        """Return the patterns (n, P) of given rows in any order; each chunk needed is read once.

        Raises:
            InputError: a row outside the set.
            FormatError: a chunk is missing or fails its checksum.

        """
        index = np.asarray(rows, dtype=np.int64)
        if index.size == 0:
            return np.empty((0, self.grid.n_points), dtype=np.float16)
        if index.min() < 0 or index.max() >= len(self):
            raise InputError(f"{self.path}: rows {index.min()} to {index.max()} asked for, {len(self)} there")
        unique, inverse = np.unique(index, return_inverse=True)
        return self._patterns.read(unique)[inverse]


def _array(path: Path, group: zarr.Group, name: str) -> zarr.Array[Any]:
    """Return one array of the group."""
    array = group.get(name)
    if not isinstance(array, zarr.Array):
        raise FormatError(f"{path}: array {name!r} is missing; make the set again with `xrdgen freeze`")
    return array

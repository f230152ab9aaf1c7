"""Fixed sets: diffractograms that stay, kept in a folder that any Zarr 3 reader opens.

Layout (Zarr format 3 group)::

    NAME.zarr/zarr.json            group; attributes {"xrdstream": {kind, format, grid, rows, hashes, ...}}
    NAME.zarr/pattern/             (N, P) float16, shards of 1024 rows in chunks of 64, Blosc-Zstandard, CRC32C
    NAME.zarr/<field>/             (N, ...) one array for each field of `fields.SAMPLE_FIELDS`
    NAME.zarr/id/                  (N, 64) uint8, UTF-8 name of the structure padded with zeros

A set is written block by block into a hidden folder beside its place and renamed when whole. Every chunk carries
a checksum; a chunk that is missing reads as NaN and is refused, never taken for an empty diffractogram.
"""

# Dimensions: N rows (diffractograms), P grid points, n rows of one block.

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
import zarr
from numpy.typing import ArrayLike, NDArray
from zarr.codecs import BloscCodec, Crc32cCodec

from xrdcommon.errors import DiskFullError, FormatError, InputError, MissingFileError
from xrdcommon.fields import PATTERN_DTYPE, SAMPLE_DTYPE, SAMPLE_FIELDS
from xrdcommon.files import NO_SPACE, canonical_hash, fsync_dir
from xrdcommon.fixed_set_format import (
    ARRAYS,
    ATTRIBUTE,
    FORMAT,
    KIND,
    RESERVED,
    ROWS_PER_CHUNK,
    ROWS_PER_SHARD,
    decode_ids,
    encode_ids,
    is_own,
    read_header,
    samples_hash,
)
from xrdcommon.grid import Grid


class FixedSetWriter:
    """Takes blocks of diffractograms; made by `fixed_set_writer`."""

    def __init__(self, group: zarr.Group, grid: Grid, attributes: dict[str, Any]) -> None:
        self._group = group
        self._grid = grid
        self._attributes = attributes
        self._array = group.create_array(
            "pattern",
            shape=(0, grid.n_points),
            dtype=PATTERN_DTYPE,
            chunks=(ROWS_PER_CHUNK, grid.n_points),
            shards=(ROWS_PER_SHARD, grid.n_points),
            compressors=(BloscCodec(cname="zstd", clevel=5, shuffle="shuffle"), Crc32cCodec()),
            fill_value=float("nan"),
            dimension_names=("sample", "two_theta"),
            config={"write_empty_chunks": True},
        )
        self._digest = hashlib.sha256()
        self._pending: list[NDArray[np.float16]] = []
        self._n_pending = 0
        self._written = 0
        self._samples: list[NDArray[Any]] = []
        self._ids: list[str] = []

    def append(self, patterns: ArrayLike, samples: NDArray[Any], ids: Sequence[str]) -> None:
        """Add a block.

        Args:
            patterns: (n, P) intensities in [0, 1].
            samples: (n,) records of `SAMPLE_DTYPE`.
            ids: n names.

        Raises:
            InputError: shapes disagree, a value is outside [0, 1] or not finite, an id is too long.
            DiskFullError: no space left.

        """
        block = np.asarray(patterns)
        n = len(samples)
        if block.shape != (n, self._grid.n_points) or len(ids) != n:
            raise InputError(
                f"block of patterns {block.shape}, {n} samples, {len(ids)} ids: "
                f"need the same number of rows and {self._grid.n_points} points"
            )
        if n == 0:
            return
        if not (np.isfinite(block).all() and block.min() >= 0.0 and block.max() <= 1.0):
            raise InputError(f"patterns of rows {len(self._ids)} to {len(self._ids) + n - 1}: not within [0, 1]")
        self._ids.extend(ids)
        self._samples.append(np.array(samples, dtype=SAMPLE_DTYPE))
        self._pending.append(block.astype(PATTERN_DTYPE))
        self._n_pending += n
        while self._n_pending >= ROWS_PER_SHARD:
            rows = np.concatenate(self._pending)
            self._flush(rows[:ROWS_PER_SHARD])
            self._pending = [rows[ROWS_PER_SHARD:]]
            self._n_pending = len(rows) - ROWS_PER_SHARD

    def _flush(self, rows: NDArray[np.float16]) -> None:
        """Write one shard, the last one shorter."""
        start, stop = self._written, self._written + len(rows)
        self._array.resize((stop, self._grid.n_points))
        self._array[start:stop] = rows
        self._digest.update(np.ascontiguousarray(rows).tobytes())
        self._written = stop

    def finish(self) -> None:
        """Write what is left, the records and the attributes.

        Raises:
            InputError: no block was given.

        """
        if self._n_pending:
            self._flush(np.concatenate(self._pending))
        if not self._written:
            raise InputError("a fixed set without diffractograms: nothing to write; give at least one structure")
        samples = np.concatenate(self._samples)
        ids = encode_ids(self._ids)
        for name in ARRAYS[1:]:
            values = ids if name == "id" else np.ascontiguousarray(samples[name])
            array = self._group.create_array(
                name,
                shape=values.shape,
                dtype=values.dtype,
                chunks=(min(len(values), 65536), *values.shape[1:]),
                compressors=(BloscCodec(cname="zstd", clevel=5, shuffle="shuffle"), Crc32cCodec()),
                fill_value=0,
                dimension_names=("sample", *(f"{name}_{axis}" for axis in range(values.ndim - 1))),
                config={"write_empty_chunks": True},
            )
            array[...] = values
        header: dict[str, Any] = {
            "kind": KIND,
            "format": FORMAT,
            "grid": self._grid.to_dict(),
            "rows": self._written,
            "samples_sha256": samples_hash(samples, ids),
            "patterns_sha256": self._digest.hexdigest(),
        }
        self._group.attrs[ATTRIBUTE] = {**header, **self._attributes}


def check_writable(path: Path, *, overwrite: bool) -> None:
    """Refuse a place where a fixed set must not be written; worth asking before a long simulation.

    Raises:
        InputError: something else is there, or a fixed set and `overwrite` is false.

    """
    if not path.exists() and not path.is_symlink():
        return
    if not is_own(path):
        raise InputError(f"{path}: exists and is not a fixed set (or holds other files); give another place")
    if not overwrite:
        raise InputError(f"{path}: there is a fixed set already; give another place or --force to replace it")


def _sync_tree(folder: Path) -> None:
    """Make all files below a folder durable."""
    for parent, _, names in os.walk(folder):
        for name in names:
            descriptor = os.open(Path(parent) / name, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        fsync_dir(Path(parent))


@contextmanager
def fixed_set_writer(
    path: Path, grid: Grid, attributes: dict[str, Any], *, overwrite: bool = False
) -> Iterator[FixedSetWriter]:
    """Open a writer; the set appears under `path` when the block ends without an error, else nothing does.

    Args:
        path: folder to make.
        grid: 2theta grid of the patterns.
        attributes: JSON values stored beside the grid (source, citation, simulation, ...).
        overwrite: replace an existing fixed set; anything else in the way is always refused.

    Raises:
        InputError: the place is taken (see `check_writable`) or an attribute's name is reserved.
        DiskFullError: no space or quota left; an older set stays as it was.

    """
    reserved = sorted(set(RESERVED) & set(attributes))
    if reserved:
        raise InputError(f"attribute {reserved[0]!r} of a fixed set is reserved; use another name")
    canonical_hash(attributes)
    check_writable(path, overwrite=overwrite)
    path.parent.mkdir(parents=True, exist_ok=True)
    token = secrets.token_hex(4)
    temporary = path.with_name(f".{path.name}.{token}.tmp")
    try:
        group = zarr.create_group(temporary, zarr_format=3)
        writer = FixedSetWriter(group, grid, attributes)
        yield writer
        writer.finish()
        _sync_tree(temporary)
        if path.exists():
            old = path.with_name(f".{path.name}.{token}.old")
            path.rename(old)
            temporary.rename(path)
            shutil.rmtree(old)
        else:
            temporary.rename(path)
        fsync_dir(path.parent)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        if error.errno in NO_SPACE:
            raise DiskFullError(f"{path}: no space left or quota reached; free some and try again") from error
        raise
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def write_fixed_set(
    path: Path,
    grid: Grid,
    patterns: Iterable[ArrayLike],
    samples: NDArray[Any],
    ids: Sequence[str],
    attributes: dict[str, Any],
    *,
    overwrite: bool = False,
) -> None:
    """Write a fixed set from blocks of patterns whose records are all known beforehand.

    Args:
        path: folder to make.
        grid: 2theta grid of the patterns.
        patterns: blocks (n, P) in the order of `samples`, of any number of rows each.
        samples: (N,) records of `SAMPLE_DTYPE`.
        ids: N names.
        attributes: JSON values stored with the set.
        overwrite: replace an existing fixed set.

    Raises:
        InputError, DiskFullError: see `fixed_set_writer`; also when the blocks do not add up to N rows.

    """
    with fixed_set_writer(path, grid, attributes, overwrite=overwrite) as writer:
        row = 0
        for block in patterns:
            stop = row + len(np.asarray(block))
            if stop > len(samples):
                break
            writer.append(block, samples[row:stop], ids[row:stop])
            row = stop
        else:
            stop = row
        if stop != len(samples) or len(ids) != len(samples):
            raise InputError(f"{path}: {stop} patterns or more, {len(samples)} samples, {len(ids)} ids; need as many")


class FixedSet:
    """A fixed set opened for reading: records in memory, patterns read as asked for. Never changes a file."""

    def __init__(
        self,
        path: Path,
        attributes: dict[str, Any],
        pattern: zarr.Array[Any],
        samples: NDArray[Any],
        id_bytes: NDArray[np.uint8],
    ) -> None:
        self.path: Final = path
        self.attributes: Final = attributes
        self.grid: Final = Grid.from_dict(attributes["grid"])
        self.samples: Final = samples
        self.id_bytes: Final = id_bytes
        self._pattern = pattern

    @classmethod
    def open(cls, path: Path) -> FixedSet:
        """Open a fixed set and check its records.

        Raises:
            MissingFileError: nothing is there.
            FormatError: not a fixed set, written by a newer version, or damaged.

        """
        if not path.exists():
            raise MissingFileError(f"{path}: no such fixed set; make one with `xrdgen freeze TABLE --out {path}`")
        if not (path / "zarr.json").is_file():
            raise FormatError(f"{path}: not a fixed set (no zarr.json); make one with `xrdgen freeze`")
        header = read_header(path)
        try:
            group = zarr.open_group(path, mode="r", zarr_format=3)
            arrays = {name: _array(path, group, name) for name in ARRAYS}
            rows = int(header["rows"])
            samples = np.zeros(rows, dtype=SAMPLE_DTYPE)
            for field in SAMPLE_FIELDS:
                samples[field.name] = arrays[field.name][...]
            id_bytes = np.asarray(arrays["id"][...])
            grid = Grid.from_dict(header["grid"])
            shape = arrays["pattern"].shape
            whole = shape == (rows, grid.n_points) and arrays["pattern"].dtype == PATTERN_DTYPE
            if not whole or samples_hash(samples, id_bytes) != header["samples_sha256"]:
                raise FormatError(f"{path}: damaged (records do not match the header); make it again")
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            if isinstance(error, FormatError):
                raise
            raise FormatError(f"{path}: damaged fixed set ({error}); make it again") from error
        return cls(path, header, arrays["pattern"], samples, id_bytes)

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
        return self._checked(slice(start, max(start, stop)), f"{start} to {stop - 1}")

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
        return self._checked(unique, f"{unique[0]} to {unique[-1]}")[inverse]

    def _checked(self, rows: slice | NDArray[np.int64], what: str) -> NDArray[np.float16]:
        """Read rows and refuse what is missing or damaged."""
        try:
            values = cast("NDArray[np.float16]", np.asarray(self._pattern.oindex[rows, slice(None)]))
        except (ValueError, RuntimeError) as error:
            raise FormatError(f"{self.path}: damaged patterns in rows {what} ({error}); make it again") from error
        # The first column is enough: a chunk spans all points, and NaN is never written.
        if np.isnan(values[:, 0]).any():
            raise FormatError(f"{self.path}: patterns missing in rows {what}; make it again")
        return values


def _array(path: Path, group: zarr.Group, name: str) -> zarr.Array[Any]:
    """Return one array of the group."""
    array = group.get(name)
    if not isinstance(array, zarr.Array):
        raise FormatError(f"{path}: array {name!r} is missing; make the set again with `xrdgen freeze`")
    return array

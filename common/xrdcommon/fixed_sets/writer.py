"""Writing fixed sets (see `fixed_sets` for the layout): shard by shard by anyone, or block by block by one writer.

One Zarr shard is one file of 1024 rows, so that processes which write different shards never meet: `create` makes the
arrays, `write_shard` fills one shard, `finish_set` writes the records and, last, the header without which nothing is
taken for a fixed set. `publish` moves the whole folder to its place.
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
from typing import Any, Final

import numpy as np
import zarr
from numpy.typing import ArrayLike, NDArray
from zarr.codecs import BloscCodec, Crc32cCodec

from xrdcommon.errors import DiskFullError, InputError
from xrdcommon.fields import PATTERN_DTYPE, SAMPLE_DTYPE
from xrdcommon.files import NO_SPACE, canonical_hash, fsync_dir
from xrdcommon.fixed_sets.format import (
    ATTRIBUTE,
    RESERVED,
    ROWS_PER_CHUNK,
    ROWS_PER_SHARD,
    encode_ids,
    is_own,
    make_header,
)
from xrdcommon.grid import Grid

UNFINISHED: Final = "*.partial"
"""Files that a killed Zarr writer leaves beside its chunks."""


def create(folder: Path, grid: Grid, rows: int) -> zarr.Group:
    """Make the folder of a set of N rows whose shards are to be written; it has no header yet."""
    group = zarr.create_group(folder, zarr_format=3)
    group.create_array(
        "pattern",
        shape=(rows, grid.n_points),
        dtype=PATTERN_DTYPE,
        chunks=(ROWS_PER_CHUNK, grid.n_points),
        shards=(ROWS_PER_SHARD, grid.n_points),
        compressors=_compressors(),
        fill_value=float("nan"),
        dimension_names=("sample", "two_theta"),
        config={"write_empty_chunks": True},
    )
    return group


def _compressors() -> tuple[BloscCodec, Crc32cCodec]:
    """Return how every chunk is packed and checked."""
    return BloscCodec(cname="zstd", clevel=5, shuffle="shuffle"), Crc32cCodec()


def shard_file(folder: Path, number: int) -> Path:
    """Return the file of a shard of patterns."""
    return folder / "pattern" / "c" / str(number) / "0"


def pattern_array(folder: Path, rows: int | None = None) -> zarr.Array[Any]:
    """Open the patterns of a set that is being made, resized to N rows where given."""
    array = zarr.open_array(folder / "pattern", mode="r+", config={"write_empty_chunks": True})
    if rows is not None and array.shape[0] != rows:
        array.resize((rows, array.shape[1]))
    return array


def check_patterns(patterns: NDArray[Any], first: int) -> None:
    """Refuse values that are no intensities.

    Raises:
        InputError: a value is outside [0, 1] or not finite; `first` is the number of the first row.

    """
    if len(patterns) and not (np.isfinite(patterns).all() and patterns.min() >= 0.0 and patterns.max() <= 1.0):
        raise InputError(f"patterns of rows {first} to {first + len(patterns) - 1}: not within [0, 1]")


def write_shard(folder: Path, number: int, patterns: NDArray[np.float16]) -> None:
    """Write one shard (n, P); only the last one of a set has fewer than 1024 rows. Its bytes depend on nothing else.

    Raises:
        DiskFullError: no space or quota left.

    """
    start = number * ROWS_PER_SHARD
    try:
        # what an earlier attempt left would be merged into a last shard
        shard_file(folder, number).unlink(missing_ok=True)
        pattern_array(folder)[start : start + len(patterns)] = patterns
    except OSError as error:
        if error.errno in NO_SPACE:
            raise DiskFullError(f"{folder}: no space left or quota reached; free some and try again") from error
        raise


def finish_set(
    folder: Path, grid: Grid, samples: NDArray[Any], ids: NDArray[np.uint8], patterns_sha256: str, attributes: Any
) -> None:
    """Write the records and the header, and make everything durable; done again, it gives the same files.

    Args:
        folder: with all shards written.
        grid: 2theta grid of the patterns.
        samples: (N,) records, of `SAMPLE_DTYPE` unless a set of another version is copied.
        ids: (N, 64) encoded names.
        patterns_sha256: SHA-256 of the patterns (N, P), float16, row after row.
        attributes: JSON values stored beside the grid.

    """
    group = zarr.open_group(folder, mode="r+", zarr_format=3)
    for name in (*(samples.dtype.names or ()), "id"):
        values = ids if name == "id" else np.ascontiguousarray(samples[name])
        array = group.create_array(
            name,
            shape=values.shape,
            dtype=values.dtype,
            chunks=(min(len(values), 65536), *values.shape[1:]),
            compressors=_compressors(),
            fill_value=0,
            dimension_names=("sample", *(f"{name}_{axis}" for axis in range(values.ndim - 1))),
            overwrite=True,
            config={"write_empty_chunks": True},
        )
        array[...] = values
    for file in folder.rglob(UNFINISHED):
        file.unlink()
    group.attrs[ATTRIBUTE] = make_header(grid, samples, ids, patterns_sha256, attributes)
    sync_tree(folder)


def sync_tree(folder: Path) -> None:
    """Make all files below a folder durable."""
    for parent, _, names in os.walk(folder):
        for name in names:
            descriptor = os.open(Path(parent) / name, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        fsync_dir(Path(parent))


def publish(folder: Path, path: Path) -> None:
    """Move a finished, durable folder to its place, where a fixed set that may be replaced can be."""
    if path.exists():
        old = path.with_name(f".{path.name}.{secrets.token_hex(4)}.old")
        path.rename(old)
        folder.rename(path)
        shutil.rmtree(old)
    else:
        folder.rename(path)
    fsync_dir(path.parent)


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


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Give a name beside `path` for a folder that is removed when the block fails.

    Raises:
        DiskFullError: no space or quota left.

    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        yield temporary
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        if error.errno in NO_SPACE:
            raise DiskFullError(f"{path}: no space left or quota reached; free some and try again") from error
        raise
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


class FixedSetWriter:
    """Takes blocks of diffractograms of any number of rows; made by `fixed_set_writer`."""

    def __init__(self, folder: Path, grid: Grid, attributes: dict[str, Any], dtype: np.dtype[np.void]) -> None:
        create(folder, grid, 0)
        self._dtype = dtype
        self._folder = folder
        self._grid = grid
        self._attributes = attributes
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
            samples: (n,) records, of `SAMPLE_DTYPE` unless the writer was opened with another type.
            ids: n names.

        Raises:
            InputError: shapes or types disagree, a value is outside [0, 1] or not finite, an id is too long.
            DiskFullError: no space left.

        """
        block = np.asarray(patterns)
        n = len(samples)
        if block.shape != (n, self._grid.n_points) or len(ids) != n:
            raise InputError(
                f"block of patterns {block.shape}, {n} samples, {len(ids)} ids: "
                f"need the same number of rows and {self._grid.n_points} points"
            )
        if samples.dtype != self._dtype:
            raise InputError(f"samples of type {samples.dtype}: need {self._dtype}")
        if n == 0:
            return
        check_patterns(block, len(self._ids))
        self._ids.extend(ids)
        self._samples.append(samples.copy())
        self._pending.append(block.astype(PATTERN_DTYPE))
        self._n_pending += n
        while self._n_pending >= ROWS_PER_SHARD:
            rows = np.concatenate(self._pending)
            self._flush(rows[:ROWS_PER_SHARD])
            self._pending = [rows[ROWS_PER_SHARD:]]
            self._n_pending = len(rows) - ROWS_PER_SHARD

    def _flush(self, rows: NDArray[np.float16]) -> None:
        """Write one shard, the last one shorter."""
        pattern_array(self._folder, self._written + len(rows))
        write_shard(self._folder, self._written // ROWS_PER_SHARD, rows)
        self._digest.update(np.ascontiguousarray(rows).tobytes())
        self._written += len(rows)

    def finish(self) -> None:
        """Write what is left, the records and the attributes.

        Raises:
            InputError: no block was given.

        """
        if self._n_pending:
            self._flush(np.concatenate(self._pending))
        if not self._written:
            raise InputError("a fixed set without diffractograms: nothing to write; give at least one structure")
        samples, ids = np.concatenate(self._samples), encode_ids(self._ids)
        finish_set(self._folder, self._grid, samples, ids, self._digest.hexdigest(), self._attributes)


@contextmanager
def fixed_set_writer(
    path: Path,
    grid: Grid,
    attributes: dict[str, Any],
    *,
    overwrite: bool = False,
    dtype: np.dtype[np.void] = SAMPLE_DTYPE,
) -> Iterator[FixedSetWriter]:
    """Open a writer; the set appears under `path` when the block ends without an error, else nothing does.

    Args:
        path: folder to make.
        grid: 2theta grid of the patterns.
        attributes: JSON values stored beside the grid (source, citation, simulation, ...).
        overwrite: replace an existing fixed set; anything else in the way is always refused.
        dtype: of the records, where those of another version are copied.

    Raises:
        InputError: the place is taken (see `check_writable`) or an attribute's name is reserved.
        DiskFullError: no space or quota left; an older set stays as it was.

    """
    reserved = sorted(set(RESERVED) & set(attributes))
    if reserved:
        raise InputError(f"attribute {reserved[0]!r} of a fixed set is reserved; use another name")
    canonical_hash(attributes)
    check_writable(path, overwrite=overwrite)
    with whole_folder(path) as temporary:
        writer = FixedSetWriter(temporary, grid, attributes, dtype)
        yield writer
        writer.finish()
        publish(temporary, path)


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
            raise InputError(
                f"{path}: {stop} patterns or more, {len(samples)} samples, {len(ids)} ids; need as many of each"
            )

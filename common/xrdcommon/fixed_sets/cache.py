"""Random access to a fixed set at the speed of a training: all patterns in one `.npy` file that processes map.

The file is named by the content hash of the set, appears only when whole and checked, and may be shared by any number
of processes and runs. It is never removed: that is its owner's to do.
"""

# N rows, P grid points

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from xrdcommon.console import track
from xrdcommon.errors import DiskFullError, FormatError
from xrdcommon.fields import PATTERN_DTYPE
from xrdcommon.files import atomic_writer
from xrdcommon.fixed_sets.fixed_set import FixedSet
from xrdcommon.fixed_sets.format import ROWS_PER_SHARD

HASH_DIGITS: Final = 32


def cache_file(data: FixedSet, folder: Path) -> Path:
    """Return the file of a set in a cache folder."""
    return folder / f"patterns-{data.content_hash[:HASH_DIGITS]}.npy"


def checked_patterns(data: FixedSet) -> Iterator[NDArray[np.float16]]:
    """Yield all patterns (n, P) of a set in order, a shard at a time.

    Raises:
        FormatError: a shard is missing or damaged, or the patterns are not those of the header.

    """
    digest = hashlib.sha256()
    for start in range(0, len(data), ROWS_PER_SHARD):
        rows = data.patterns(start, start + ROWS_PER_SHARD)
        digest.update(np.ascontiguousarray(rows).data)
        yield rows
    if digest.hexdigest() != data.attributes["patterns_sha256"]:
        raise FormatError(f"{data.path}: patterns are not those of its header; make it again")


def load(data: FixedSet) -> NDArray[np.float16]:
    """Return all patterns (N, P) in memory.

    Raises:
        FormatError: the set is damaged.

    """
    patterns = np.empty((len(data), data.grid.n_points), dtype=PATTERN_DTYPE)
    start = 0
    for rows in track(checked_patterns(data), f"reading {data.path.name}", _shards(data)):
        patterns[start : start + len(rows)] = rows
        start += len(rows)
    return patterns


def open_cache(data: FixedSet, folder: Path) -> NDArray[np.float16]:
    """Map the file of a set, read-only; all processes that map it share its memory.

    Raises:
        FormatError: the file is not there, was cut short, or is of another set.

    """
    path = cache_file(data, folder)
    try:
        patterns: NDArray[np.float16] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError) as error:
        raise FormatError(
            f"{path}: damaged copy of {data.path} ({error}); delete it or give another --cache"
        ) from error
    if patterns.shape != (len(data), data.grid.n_points) or patterns.dtype != PATTERN_DTYPE:
        raise FormatError(f"{path}: not a copy of {data.path} {patterns.shape}; delete it or give another --cache")
    return patterns


def _shards(data: FixedSet) -> int:
    """Return the number of steps of `checked_patterns`."""
    return -(-len(data) // ROWS_PER_SHARD)


def make_cache(data: FixedSet, folder: Path) -> None:
    """Make the file of a set unless it is there.

    Raises:
        DiskFullError: no space or quota left; nothing stays behind.
        FormatError: the set is damaged.

    """
    path = cache_file(data, folder)
    if path.exists():
        return
    try:
        with atomic_writer(path) as stream:
            shape = (len(data), data.grid.n_points)
            header = {"descr": np.lib.format.dtype_to_descr(PATTERN_DTYPE), "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(stream, header)
            for rows in track(checked_patterns(data), f"copying {data.path.name} to {folder}", _shards(data)):
                stream.write(np.ascontiguousarray(rows).data)
    except DiskFullError as error:
        raise DiskFullError(
            f"{path}: no space left or quota reached for {len(data)} patterns; give another --cache"
        ) from error

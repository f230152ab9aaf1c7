"""A fixed set in tar shards: a folder that stock webdataset streams and that opens as a fixed set all the same.

    NAME/fixed-set.json                kind, format, the set's own header, names of the shards in order
    NAME/p000000-000042.n1024. ... .tar    rows 43008 to 44031 (see `shards.format`), names in the JSON members

Records are read when the folder is opened, patterns a shard at a time, its checksum first. That is made for reading in
order; for random access see `cache`.
"""

# N rows of the set, n rows of a shard, P grid points

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from xrdcommon.errors import FormatError, MissingFileError
from xrdcommon.fields import described_dtype
from xrdcommon.files import read_json, write_json
from xrdcommon.fixed_sets.format import TARS_FILE, check_header, encode_ids, samples_hash
from xrdcommon.grid import Grid
from xrdcommon.shards.format import BLOCK_ROWS, ShardName
from xrdcommon.shards.reader import read_shard
from xrdcommon.shards.writer import ShardWriter

KIND: Final = "fixed set in tar shards"
FORMAT: Final = 1


class TarPatterns:
    """Patterns of tar shards; the last shard read stays in memory."""

    def __init__(self, path: Path, shards: list[ShardName], n_points: int) -> None:
        self._path, self._shards, self._n_points = path, shards, n_points
        self._starts = np.cumsum([0, *(shard.rows for shard in shards)])
        self._last: tuple[int, NDArray[np.float16]] | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what is read again."""
        return {**self.__dict__, "_last": None}

    def read(self, rows: slice | NDArray[np.int64]) -> NDArray[np.float16]:
        """Return the patterns (n, P) of a slice or of rising rows.

        Raises:
            FormatError: a shard is missing or damaged.

        """
        index = np.arange(rows.start, rows.stop) if isinstance(rows, slice) else rows
        number = np.searchsorted(self._starts, index, side="right") - 1
        patterns = np.empty((len(index), self._n_points), dtype=np.float16)
        for shard in np.unique(number):
            here = number == shard
            patterns[here] = self._shard(int(shard))[index[here] - self._starts[shard]]
        return patterns

    def _shard(self, number: int) -> NDArray[np.float16]:
        """Return all patterns of a verified shard."""
        if self._last is None or self._last[0] != number:
            with _explained(self._path):
                patterns = read_shard(self._path / str(self._shards[number])).patterns
            if patterns.shape[1] != self._n_points:
                raise FormatError(
                    f"{self._path / str(self._shards[number])}: {patterns.shape[1]} points; make it again"
                )
            self._last = number, patterns
        return self._last[1]


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Say of a shard what to do about it."""
    try:
        yield
    except (FormatError, MissingFileError) as error:
        raise FormatError(f"{path}: damaged set ({error}); convert it again") from error


def open_tars(path: Path) -> tuple[dict[str, Any], TarPatterns, NDArray[Any], NDArray[np.uint8]]:
    """Return header, patterns, records (N,) as stored and names (N, 64) of a set in tar shards.

    Raises:
        FormatError: a newer version, damaged, or a shard is missing.

    """
    content = read_json(path / TARS_FILE)
    if not isinstance(content, dict) or content.get("kind") != KIND:
        raise FormatError(f"{path}: {TARS_FILE} is not one of xrdstream; make a set with `xrdgen convert`")
    if content.get("format") != FORMAT:
        raise FormatError(
            f"{path}: tar shards of format {content.get('format')}, this version reads format {FORMAT}; "
            "install the version that wrote them or convert again"
        )
    try:
        header = check_header(path, content["set"])
        names = [ShardName.parse(name) for name in content["shards"]]
        grid = Grid.from_dict(header["grid"])
        dtype = described_dtype(header.get("fields"))
        blocks = [block for name in names for block in _records(path / str(name), dtype)]
        samples = np.concatenate([block[0] for block in blocks])
        ids = encode_ids([name for block in blocks for name in block[1]])
    except (KeyError, TypeError, ValueError, OSError, tarfile.TarError) as error:
        raise FormatError(f"{path}: damaged set in tar shards ({error}); convert it again") from error
    if len(samples) != header["rows"] or samples_hash(samples, ids) != header["samples_sha256"]:
        raise FormatError(f"{path}: damaged (records do not match the header); convert it again")
    return header, TarPatterns(path, names, grid.n_points), samples, ids


def _records(path: Path, dtype: np.dtype[np.void]) -> Iterator[tuple[NDArray[Any], list[str]]]:
    """Yield records and names of every block of a shard, past the patterns; `open_tars` checks them by their hash."""
    ids: list[str] = []
    with tarfile.open(path, "r:") as archive:
        for member in archive:
            stream = archive.extractfile(member)
            if stream is None or member.name.endswith(".pattern.npy"):
                continue
            if member.name.endswith(".json"):
                ids = json.loads(stream.read())["ids"]
            else:
                samples = np.load(io.BytesIO(stream.read()), allow_pickle=False)
                if samples.dtype != dtype or len(samples) != len(ids):
                    raise FormatError(f"{path}: {len(ids)} names, {len(samples)} records of type {samples.dtype}")
                yield samples, ids


def write_tars(
    folder: Path,
    header: dict[str, Any],
    content_hash: str,
    blocks: Iterator[tuple[NDArray[np.float16], NDArray[Any], list[str]]],
    dtype: np.dtype[np.void],
) -> None:
    """Write a set into a folder that nobody else looks at; its bytes depend on the content alone.

    Args:
        folder: to be made.
        header: of the fixed set.
        content_hash: of the fixed set, in every shard as its configuration.
        blocks: patterns (n, P), records (n,) and names of up to 1024 rows each, one shard of them.
        dtype: of the records.

    """
    folder.mkdir()
    names = []
    for number, (patterns, samples, ids) in enumerate(blocks):
        draft = folder / f"{number}.tmp"
        writer = ShardWriter(draft, run=0, producer=0, shard=number, configuration_hash=content_hash, dtype=dtype)
        try:
            for first in range(0, len(samples), BLOCK_ROWS):
                rows = slice(first, first + BLOCK_ROWS)
                writer.write_block(patterns[rows], samples[rows], ids[rows])
            name, _ = writer.finish()
        except BaseException:
            writer.abort()
            raise
        draft.rename(folder / str(name))
        names.append(str(name))
    write_json(folder / TARS_FILE, {"kind": KIND, "format": FORMAT, "set": header, "shards": names})

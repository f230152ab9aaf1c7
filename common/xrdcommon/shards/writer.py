"""Writing a shard block by block, its checksum computed on the way."""

# B rows of a block, P grid points

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import tarfile
import threading
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xrdcommon.errors import InputError
from xrdcommon.fields import PATTERN_DTYPE, SAMPLE_DTYPE
from xrdcommon.shards.format import (
    BLOCK_ROWS,
    HASH_DIGITS,
    SHARD_FORMAT,
    TAR_RECORD,
    ShardName,
    block_key,
    padding,
)

_BUFFER_BYTES = 1 << 16
"""Holds headers; patterns are larger and go to the file uncopied."""

FLUSH_BYTES = 4 << 20
"""So much is written between two early flushes."""


class EarlyFlush:
    """Brings what a file holds to the disk in a thread, so that the last fsync finds little left to do.

    The last fsync stays: this only begins its work while the next rows are computed. The kernel reports a failed write
    to one fsync alone, so an error met here is kept and raised by `wait`.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._thread: threading.Thread | None = None
        self._error: OSError | None = None

    def begin(self) -> None:
        """Flush what was written so far, unless an earlier flush is still at it."""
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._run, name="shard-flush", daemon=True)
            self._thread.start()

    def wait(self) -> None:
        """Wait until nobody uses the descriptor any more.

        Raises:
            OSError: a flush failed.

        """
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            os.fsync(self._descriptor)
        except OSError as error:
            self._error = error


class ShardWriter:
    """Writes one shard to a path that nobody else looks at; `finish` makes it durable and names it."""

    def __init__(
        self,
        path: Path,
        *,
        run: int,
        producer: int,
        shard: int,
        configuration_hash: str,
        dtype: np.dtype[np.void] = SAMPLE_DTYPE,
    ) -> None:
        """Begin a shard; `dtype` is that of its records, of another version where they are copied."""
        self._stream = path.open("xb", buffering=_BUFFER_BYTES)
        self._flush = EarlyFlush(self._stream.fileno())
        self._flushed = 0
        self._hash = hashlib.sha256()
        self._run = run
        self._producer = producer
        self._shard = shard
        self._configuration = configuration_hash
        self._dtype = dtype
        self._blocks = 0
        self._bytes = 0
        self.rows = 0

    def write_block(self, patterns: NDArray[Any], samples: NDArray[np.void], ids: Sequence[str] = ()) -> None:
        """Append up to 64 rows.

        Args:
            patterns: (B, P) values in [0, 1]; stored as float16.
            samples: (B,) records, of `SAMPLE_DTYPE` unless the shard was begun with another type.
            ids: B names, of the structures of a fixed set; none in a stream.

        Raises:
            InputError: shapes or types that do not fit.
            OSError: the file system refuses (ENOSPC and EDQUOT included); call `abort`.

        """
        n_rows = len(patterns)
        if patterns.ndim != 2 or not 0 < n_rows <= BLOCK_ROWS or samples.shape != (n_rows,):
            raise InputError(f"block of patterns {patterns.shape} and samples {samples.shape}: need 1 to 64 rows")
        if samples.dtype != self._dtype:
            raise InputError(f"samples of type {samples.dtype}: need SAMPLE_DTYPE, {self._dtype}")
        key = block_key(self._producer, self._shard, self._blocks)
        header: dict[str, Any] = {
            "format": SHARD_FORMAT,
            "run": self._run,
            "producer": self._producer,
            "shard": self._shard,
            "first_row": self.rows,
            "rows": n_rows,
            "configuration_hash": self._configuration,
        }
        if ids:
            header["ids"] = list(ids)
        self._member(f"{key}.json", json.dumps(header).encode())
        self._member(f"{key}.pattern.npy", *_npy(patterns.astype(PATTERN_DTYPE, copy=False)))
        self._member(f"{key}.samples.npy", *_npy(samples))
        self._blocks += 1
        self.rows += n_rows
        if self._bytes - self._flushed >= FLUSH_BYTES:
            self._stream.flush()
            self._flush.begin()
            self._flushed = self._bytes

    def finish(self) -> tuple[ShardName, str]:
        """End the tar, make it durable and return its name and full SHA-256."""
        self._write(bytes(2 * TAR_RECORD))
        self._stream.flush()
        self._flush.wait()
        os.fsync(self._stream.fileno())
        self._stream.close()
        digest = self._hash.hexdigest()
        return ShardName(self._shard, self._producer, self.rows, self._bytes, digest[:HASH_DIGITS]), digest

    def abort(self) -> None:
        """Close without finishing, whatever the file system says; the caller removes the file."""
        with contextlib.suppress(OSError):  # of a flush: nobody will look at the file
            self._flush.wait()
        try:
            self._stream.close()
        except OSError:  # what could not be flushed is thrown away with the file
            self._stream.raw.close() if hasattr(self._stream, "raw") else None

    def _member(self, name: str, *parts: bytes | memoryview) -> None:
        size = sum(len(part) for part in parts)
        info = tarfile.TarInfo(name)
        info.size = size
        self._write(info.tobuf(tarfile.USTAR_FORMAT))
        for part in parts:
            self._write(part)
        if fill := padding(size):
            self._write(bytes(fill))

    def _write(self, data: bytes | memoryview) -> None:
        self._hash.update(data)
        self._stream.write(data)
        self._bytes += len(data)


def _npy(array: NDArray[Any]) -> tuple[bytes, memoryview]:
    """Return header and bytes of an `.npy` file, version 1.0, without copying a contiguous array."""
    array = np.ascontiguousarray(array)
    return _npy_header(array.dtype, array.shape), array.view(np.uint8).reshape(-1).data


@cache  # of few shapes: full blocks and last ones
def _npy_header(dtype: np.dtype[Any], shape: tuple[int, ...]) -> bytes:
    """Return the header of an `.npy` file, version 1.0, of a C-contiguous array."""
    description = {"shape": shape, "fortran_order": False, "descr": np.lib.format.dtype_to_descr(dtype)}
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, description)
    return header.getvalue()

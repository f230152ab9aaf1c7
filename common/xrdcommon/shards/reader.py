"""Reading a shard: the checksum of the whole file first, then views into its bytes."""

# B rows of a block, n rows of the shard, P grid points

from __future__ import annotations

import errno
import hashlib
import io
import json
import math
import os
import stat
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xrdcommon.errors import CorruptShardError, FormatError, MissingFileError
from xrdcommon.fields import PATTERN_DTYPE, known_fields
from xrdcommon.shards.format import (
    BLOCK_ROWS,
    HASH_DIGITS,
    SHARD_FORMAT,
    TAR_RECORD,
    ShardName,
    block_key,
    padding,
)

_NPY_PREFIX = 10
"""Bytes before an `.npy` header of version 1.0: magic, version, length of the header."""


_KINDS = {stat.S_IFDIR: "folder", stat.S_IFIFO: "pipe", stat.S_IFSOCK: "socket"}

_UNREADABLE = (
    errno.EACCES,
    errno.EPERM,
    errno.EIO,
    errno.EISDIR,
    errno.ELOOP,
    errno.ENXIO,
    errno.ENODEV,
    errno.EOPNOTSUPP,
)
"""Refusals that concern this file; others (no memory, too many open files) concern the process."""


@dataclass(frozen=True, slots=True)
class Block:
    """Up to 64 rows of a shard, views into the shard's bytes."""

    first_row: int
    patterns: NDArray[np.float16]  # (B, P)
    samples: NDArray[np.void]  # (B,) SAMPLE_DTYPE, copies where the shard holds other fields


@dataclass(frozen=True)
class Shard:
    """A shard in memory, its checksum verified."""

    name: ShardName
    run: int
    configuration_hash: str
    blocks: tuple[Block, ...]

    @cached_property
    def patterns(self) -> NDArray[np.float16]:
        """All patterns (n, P) in [0, 1], copied together on first use."""
        return np.concatenate([block.patterns for block in self.blocks])

    @cached_property
    def samples(self) -> NDArray[np.void]:
        """All records (n,) of `SAMPLE_DTYPE`."""
        return np.concatenate([block.samples for block in self.blocks])

    def __len__(self) -> int:
        """Return the number of rows."""
        return self.name.rows


def read_shard(path: Path, name: ShardName | None = None) -> Shard:
    """Read and verify a shard.

    Args:
        path: the file.
        name: what it must be; taken from the file's name by default.

    Raises:
        MissingFileError: there is no such file.
        CorruptShardError: size, checksum or members are not what the name says, or it is no file that can be read.
        FormatError: whole, but of a version that this one cannot read.

    """
    name = ShardName.parse(path.name) if name is None else name
    content = _content(path, name.bytes)
    digest = hashlib.sha256(content.data).hexdigest()
    if digest[:HASH_DIGITS] != name.sha12:
        raise CorruptShardError(f"{path}: checksum {digest[:HASH_DIGITS]}, expected {name.sha12}")
    return _parse(path, name, content)


def _content(path: Path, size: int) -> NDArray[np.uint8]:
    """Read a whole file of a known size.

    Raises:
        MissingFileError: there is no such file.
        CorruptShardError: of another size, no file (a folder, a pipe, a link that leads nowhere), or refused.

    """
    try:
        # a pipe would wait for a writer for ever
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb", buffering=0) as stream:
            state = os.fstat(stream.fileno())
            if not stat.S_ISREG(state.st_mode):
                raise CorruptShardError(f"{path}: not a file (a {_KINDS.get(stat.S_IFMT(state.st_mode), 'device')})")
            if state.st_size != size:  # before memory is asked for
                raise CorruptShardError(f"{path}: {state.st_size} bytes, {size} expected")
            content = np.empty(size, dtype=np.uint8)
            if (done := _fill(stream, content)) < size:
                raise CorruptShardError(f"{path}: {done} of {size} bytes could be read")
    except FileNotFoundError as error:
        if path.is_symlink():
            raise CorruptShardError(f"{path}: not a file (a link that leads nowhere)") from error
        raise MissingFileError(f"{path}: no such shard") from error
    except OSError as error:
        if error.errno not in _UNREADABLE:
            raise
        raise CorruptShardError(f"{path}: cannot be read ({error.strerror})") from error
    return content


def _fill(stream: io.FileIO, content: NDArray[np.uint8]) -> int:
    """Read until the buffer is full or the file ends; return the bytes read."""
    view = content.data
    done = 0
    while done < len(view) and (n := stream.readinto(view[done:])):
        done += n
    return done


def _parse(path: Path, name: ShardName, content: NDArray[np.uint8]) -> Shard:
    """Turn verified bytes into views; a wrong layout under a right checksum is a fault of the writer."""
    members = _members(path, content)
    blocks = []
    rows = 0
    header: dict[str, Any] = {}
    for number in range(-(-name.rows // BLOCK_ROWS)):
        key = block_key(name.producer, name.shard, number)
        try:
            header = json.loads(members[f"{key}.json"].tobytes())
            patterns = _array(members[f"{key}.pattern.npy"])
            samples = _array(members[f"{key}.samples.npy"])
        except (KeyError, ValueError) as error:
            raise CorruptShardError(f"{path}: block {number}: {error}") from error
        if not isinstance(header, dict):
            raise CorruptShardError(f"{path}: block {number}: its header is not a JSON object")
        if header.get("format") != SHARD_FORMAT:
            raise FormatError(
                f"{path}: shard of format {header.get('format')}, this version reads format {SHARD_FORMAT}; "
                "install the version that wrote it"
            )
        expected = (name.producer, name.shard, rows)
        found = tuple(header.get(field) for field in ("producer", "shard", "first_row"))
        if found != expected or patterns.ndim != 2 or samples.shape != patterns.shape[:1]:
            raise CorruptShardError(f"{path}: block {number} is {found}, expected {expected}")
        if patterns.dtype != PATTERN_DTYPE or samples.dtype.names is None:
            raise CorruptShardError(f"{path}: block {number} holds {patterns.dtype} and {samples.dtype}")
        try:
            blocks.append(Block(rows, patterns, known_fields(samples)))
        except FormatError as error:
            raise FormatError(f"{path}: {error}; install the version that wrote it") from error
        rows += len(patterns)
    if rows != name.rows:
        raise CorruptShardError(f"{path}: {rows} rows, expected {name.rows}")
    try:
        return Shard(name, int(header["run"]), str(header["configuration_hash"]), tuple(blocks))
    except (KeyError, TypeError, ValueError) as error:
        raise CorruptShardError(f"{path}: header without what it was made for ({error!r})") from error


def _members(path: Path, content: NDArray[np.uint8]) -> dict[str, NDArray[np.uint8]]:
    """Return the bytes of every member by name.

    A walk over the headers (name at 0, size in octal at 124, "ustar" at 257; POSIX.1-1988) is eight times as fast as
    tarfile. Damage was excluded by the checksum, so there is nothing here to mend.
    """
    members: dict[str, NDArray[np.uint8]] = {}
    at = 0
    while at + TAR_RECORD <= len(content):
        header = content[at : at + TAR_RECORD].tobytes()
        at += TAR_RECORD
        if header[257:262] != b"ustar":
            if any(header):
                raise CorruptShardError(f"{path}: not a tar (no header at byte {at - TAR_RECORD})")
            break  # the records of zeros that end a tar
        try:
            size = int(header[124:136].rstrip(b" \0"), 8)
            name = header[:100].rstrip(b"\0").decode("ascii")
        except ValueError as error:
            raise CorruptShardError(f"{path}: not a tar (header at byte {at - TAR_RECORD}: {error})") from error
        if at + size > len(content):
            raise CorruptShardError(f"{path}: not a tar (member at byte {at} goes beyond the end)")
        members[name] = content[at : at + size]
        at += size + padding(size)
    return members


def _array(member: NDArray[np.uint8]) -> NDArray[Any]:
    """Return the array of an `.npy` member as a view; pickled objects are refused."""
    prefix = member[:_NPY_PREFIX].tobytes()
    length = _NPY_PREFIX + int.from_bytes(prefix[8:], "little")
    shape, dtype = _npy_header(member[:length].tobytes())
    data = member[length:]
    if data.nbytes != dtype.itemsize * math.prod(shape):
        raise ValueError(f"npy of type {dtype}, shape {shape} in {data.nbytes} bytes")
    return data.view(dtype).reshape(shape)


@lru_cache(maxsize=64)
def _npy_header(header: bytes) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Return shape and type; the blocks of all shards of a spool have the same few headers."""
    stream = io.BytesIO(header)
    if np.lib.format.read_magic(stream) != (1, 0):
        raise ValueError("npy version is not 1.0")
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
    if dtype.hasobject or fortran:
        raise ValueError(f"npy of type {dtype}, {'Fortran' if fortran else 'C'} order")
    return shape, dtype

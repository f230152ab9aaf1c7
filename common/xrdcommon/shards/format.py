"""Format of a stream shard: its name, its members, its version.

A shard is a USTAR tar. Block b (at most 64 rows) of shard 42 of producer 17 has three members:

    000017-000042-000b.json          format, identity, first row, rows, configuration hash; names of a fixed set
    000017-000042-000b.pattern.npy   (n, P) float16 in [0, 1]
    000017-000042-000b.samples.npy   (n,) records; the header names their fields (`fields.SAMPLE_FIELDS` of the writer)

The part before the first dot is webdataset's key, unique over all shards of a spool. Bytes depend on the content
alone: no times, no owners. The name of a finished shard says all that scheduling needs, so that nobody has to
open or `stat` it: `p000017-000042.n1024.b17485824.<first 12 digits of its SHA-256>.tar`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from xrdcommon.errors import FormatError

SHARD_FORMAT = 1
"""Version of the members' layout."""

SPOOL_FILE = "spool.json"
"""Describes the spool that shards lie in, two folders above them."""

BLOCK_ROWS = 64
"""Rows of one member; the last block of a shard may have fewer."""

HASH_DIGITS = 12
"""Hexadecimal digits of the SHA-256 in the name (48 bits against accidents)."""

TAR_RECORD = 512
"""Bytes of a tar header, and what data are padded to."""

_NAME = re.compile(r"p(\d{6,})-(\d{6,})\.n(\d+)\.b(\d+)\.([0-9a-f]{12})\.tar")


@dataclass(frozen=True, slots=True, order=True)
class ShardName:
    """A finished shard: who made it, how many rows and bytes, and the beginning of its checksum."""

    shard: int
    producer: int
    rows: int
    bytes: int
    sha12: str

    def __str__(self) -> str:
        """Return the file name."""
        return f"{stem(self.producer, self.shard)}.n{self.rows}.b{self.bytes}.{self.sha12}.tar"

    @classmethod
    def parse(cls, name: str) -> ShardName:
        """Read a file name.

        Raises:
            FormatError: not the name of a shard.

        """
        found = cls.find(name)
        if found is None:
            raise FormatError(f"{name}: not the name of a shard (p000017-000042.n1024.b17485824.<sha12>.tar)")
        return found

    @classmethod
    def find(cls, name: str) -> ShardName | None:
        """Read a file name; None where it is not that of a shard."""
        match = _NAME.fullmatch(name)
        if match is None:
            return None
        producer, shard, rows, size, sha12 = match.groups()
        return cls(int(shard), int(producer), int(rows), int(size), sha12)

    @staticmethod
    def is_name(name: str) -> bool:
        """Return whether a file name is one of a shard."""
        return _NAME.fullmatch(name) is not None

    @property
    def identity(self) -> tuple[int, int]:
        """Producer and shard number: what is published at most once."""
        return self.producer, self.shard


def stem(producer: int, shard: int) -> str:
    """Return the part of a shard's name that is known before it is made."""
    return f"p{producer:06d}-{shard:06d}"


def block_key(producer: int, shard: int, block: int) -> str:
    """Return webdataset's key of one block."""
    return f"{producer:06d}-{shard:06d}-{block:04d}"


def padding(size: int) -> int:
    """Return the bytes that fill data up to a whole number of tar records."""
    return -size % TAR_RECORD

"""How much lies in a spool, read from the names of the shards alone, and when production should pause."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path

from xrdcommon.errors import InputError
from xrdcommon.shards.format import ShardName
from xrdcommon.spool.layout import Layout
from xrdcommon.spool.usage import feed_of

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "KI": 2**10, "MI": 2**20, "GI": 2**30, "TI": 2**40}


def parse_bytes(text: str) -> int:
    """Read a size such as 20GB, 500MiB or 1e9.

    Raises:
        InputError: not a size, or not positive.

    """
    match = re.fullmatch(r"\s*([0-9.]+(?:[eE][0-9]+)?)\s*([KMGT]?I?)B?\s*", text.upper())
    try:
        size = int(float(match[1]) * _UNITS[match[2]]) if match else 0
    except (ValueError, KeyError, OverflowError):
        size = 0
    if size <= 0:
        raise InputError(f"size '{text}': give a positive number with a unit, for example 20GB")
    return size


def format_bytes(size: float) -> str:
    """Write a size for people."""
    for unit, scale in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= scale:
            return f"{size / scale:.3g} {unit}"
    return f"{size:.0f} B"


@dataclass(frozen=True, slots=True)
class Backlog:
    """Shards that wait to be claimed, and those claimed and not yet deleted.

    Over several feeds a shard is one file however many queues it lies in. It counts once, as ready while it is ready
    anywhere, until the slowest feed has used it.
    """

    shards: int = 0
    bytes: int = 0
    samples: int = 0
    claimed_shards: int = 0
    claimed_bytes: int = 0
    claimed_samples: int = 0

    @property
    def all_shards(self) -> int:
        """Ready and claimed."""
        return self.shards + self.claimed_shards

    @property
    def all_bytes(self) -> int:
        """Ready and claimed."""
        return self.bytes + self.claimed_bytes


KEEP_FREE_SPARE = 1.2
"""Production that waited for space goes on when so many times the space to be kept is free."""


KEEP_FILES = 1000
"""Files (inodes) that production leaves free where it leaves space free: checkpoints and notes are new files."""

FILES_OF_A_SHARD = 5
"""Files that exist at once while a shard is made: draft, its folder, its link, the record, the record's own draft."""


@dataclass(frozen=True, slots=True)
class Watermarks:
    """Production pauses when a high mark would be passed and goes on at the low ones.

    Attributes:
        high_bytes: most bytes of ready, claimed and running shards.
        low_bytes: production resumes at or below.
        high_shards: most shards.
        low_shards: production resumes at or below.
        keep_free: bytes of the file system that production leaves free, for checkpoints; it resumes at 1.2 times.
            Unless it is 0, production leaves `KEEP_FILES` files too.

    """

    high_bytes: int = 20 * 10**9
    low_bytes: int = 16 * 10**9
    high_shards: int = 100_000
    low_shards: int = 80_000
    keep_free: int = 0

    def __post_init__(self) -> None:
        """Refuse marks that are not positive or that cross.

        Raises:
            InputError: the message says which.

        """
        for unit, low, high in (
            ("bytes", self.low_bytes, self.high_bytes),
            ("shards", self.low_shards, self.high_shards),
        ):
            if not 0 <= low <= high or high < 1:
                raise InputError(f"watermarks of {low} and {high} {unit}: need 0 <= low <= high and high >= 1")
        if self.keep_free < 0:
            raise InputError(f"{self.keep_free} bytes to be kept free: must not be negative")

    def full(self, backlog: Backlog, *, more_shards: int, shard_bytes: int) -> bool:
        """Return whether that many more shards would pass a high mark."""
        return (
            backlog.all_shards + more_shards > self.high_shards
            or backlog.all_bytes + more_shards * shard_bytes > self.high_bytes
        )

    def low(self, backlog: Backlog, *, more_shards: int, shard_bytes: int) -> bool:
        """Return whether the spool has been emptied to the low marks."""
        return (
            backlog.all_shards + more_shards <= self.low_shards
            and backlog.all_bytes + more_shards * shard_bytes <= self.low_bytes
        )

    def short_of_space(self, free: int, *, more_shards: int, shard_bytes: int, paused: bool) -> bool:
        """Return whether that many more shards would leave too little of the file system free.

        Args:
            free: bytes that the file system has now.
            more_shards: that are being made or may begin.
            shard_bytes: size of each.
            paused: production waits for space already, and goes on only with some to spare.

        """
        wanted = self.keep_free * KEEP_FREE_SPARE if paused else self.keep_free
        return self.keep_free > 0 and free - more_shards * shard_bytes < wanted

    def short_of_files(self, free: int | None, *, more_shards: int, paused: bool) -> bool:
        """Return whether that many more shards would leave too few files (inodes) of the file system free.

        Args:
            free: files that can still be made; None where the file system sets no limit.
            more_shards: that are being made or may begin.
            paused: production waits already, and goes on only with some to spare.

        """
        wanted = KEEP_FILES * KEEP_FREE_SPARE if paused else KEEP_FILES
        return self.keep_free > 0 and free is not None and free - more_shards * FILES_OF_A_SHARD < wanted


def free_files(folder: Path) -> int | None:
    """Return how many files (inodes) can still be made by this user; None where there is no limit (Btrfs)."""
    state = os.statvfs(folder)
    return state.f_favail if state.f_files else None


def free_bytes(folder: Path) -> int:
    """Return the bytes that the file system of a folder has left for this user."""
    state = os.statvfs(folder)
    return state.f_bavail * state.f_frsize


def names_in(folder: Path) -> list[ShardName]:
    """Return the shards of a folder, sorted by shard number and producer; other files are passed over."""
    try:
        files = os.listdir(folder)
    except FileNotFoundError:
        return []
    names = (name for file in files if (name := ShardName.find(file)) is not None)
    return sorted(names, key=attrgetter("shard", "producer"))  # twice as fast as by all fields


def claim_folders(layout: Layout) -> Iterator[tuple[str, int, Path]]:
    """Yield run id, epoch and path of every folder of claimed shards."""
    for name in sorted(os.listdir(layout.claimed)):
        run_id, dot, epoch = name.rpartition(".")
        if dot and epoch.isdigit() and (layout.claimed / name).is_dir():
            yield run_id, int(epoch), layout.claimed / name


def measure(layout: Layout, feed: str | None = None) -> Backlog:
    """Count ready and claimed shards, of one feed or of all (ready ones first: one moving on counts at least once)."""
    names = layout.feed_names() if feed is None else [feed]
    ready = {name for each in names for name in names_in(layout.feed(each))}
    claimed = {
        name
        for run_id, _, folder in claim_folders(layout)
        if feed is None or feed_of(layout.consumer(run_id)) == feed
        for name in names_in(folder)
    }
    claimed -= ready
    return Backlog(
        len(ready),
        sum(name.bytes for name in ready),
        sum(name.rows for name in ready),
        len(claimed),
        sum(name.bytes for name in claimed),
        sum(name.rows for name in claimed),
    )

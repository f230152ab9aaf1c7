"""Names of everything inside a spool; README.md beside this file explains the states."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from xrdcommon.errors import InputError
from xrdcommon.shards.format import SPOOL_FILE

SPOOL_FORMAT = 2
"""Version of the layout and of the protocol."""

RECORDS_PER_FOLDER = 1000
"""Publication records of one folder, so that none grows without limit."""

CREATING_FILE = "spool.json.creating"

EDITED = "it was changed by hand: put back what it was, or end this training and begin with a new spool"
"""Remedy for a file that is not what the protocol writes."""

MAIN = "main"
"""The feed that every spool has from its first moment."""

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")


def check_name(name: str, what: str = "run id") -> str:
    """Return the name of a training or feed if it can be part of a file name.

    Raises:
        InputError: empty, too long or with other characters than letters, digits, `.`, `_` and `-`.

    """
    if _NAME.fullmatch(name) is None:
        raise InputError(f"{what} '{name}': use 1 to 100 letters, digits, '.', '_' and '-', not '.' or '-' first")
    return name


@dataclass(frozen=True, slots=True)
class Layout:
    """Paths of a spool rooted at `root`."""

    root: Path

    @property
    def spool_file(self) -> Path:
        """What makes a folder a spool: format, uuid, root seed, configuration."""
        return self.root / SPOOL_FILE

    @property
    def feeds(self) -> Path:
        """Queues of published shards, a folder each."""
        return self.root / "ready"

    def feed(self, name: str) -> Path:
        """Published shards that no training of this feed has claimed."""
        return self.feeds / name

    def feed_names(self) -> list[str]:
        """Return the names of all feeds that ever were, sorted."""
        return sorted(
            entry.name for entry in os.scandir(self.feeds) if entry.is_dir() and _NAME.fullmatch(entry.name) is not None
        )

    @property
    def ready(self) -> Path:
        """The queue of the main feed."""
        return self.feed(MAIN)

    @property
    def claimed(self) -> Path:
        """Shards that trainings hold, a folder each: `<run id>.<epoch>`."""
        return self.root / "claimed"

    @property
    def quarantine(self) -> Path:
        """Damaged shards, a folder each feed."""
        return self.root / "quarantine"

    @property
    def quarantine_log(self) -> Path:
        """One JSON line a damaged shard."""
        return self.quarantine / "log.jsonl"

    @property
    def temporary(self) -> Path:
        """Shards being written, a folder each."""
        return self.root / "tmp"

    @property
    def producers(self) -> Path:
        """Streams of shards, a folder each."""
        return self.root / "producers"

    @property
    def consumers(self) -> Path:
        """Trainings, a folder each: leases, what was used."""
        return self.root / "consumers"

    @property
    def control(self) -> Path:
        """Requests to the producers and where to reach them."""
        return self.root / "control"

    @property
    def stop_file(self) -> Path:
        """Asks all producers to finish their shards and stop."""
        return self.control / "stop"

    @property
    def scheduler_file(self) -> Path:
        """Where `xrdgen worker` finds the coordinator."""
        return self.control / "scheduler.json"

    @property
    def folders(self) -> tuple[Path, ...]:
        """All folders that a spool has from its first moment."""
        return (
            *(self.feeds, self.ready, self.claimed, self.quarantine, self.quarantined(MAIN)),
            *(self.temporary, self.producers, self.consumers, self.control),
        )

    def quarantined(self, feed: str) -> Path:
        """Damaged shards of one feed."""
        return self.quarantine / feed

    def stream(self, producer: int) -> Path:
        """Folder of one stream."""
        return self.producers / f"p{producer:06d}"

    def record(self, producer: int, shard: int) -> Path:
        """Proof that a shard was published; written once, never changed."""
        folder = f"{shard // RECORDS_PER_FOLDER:06d}"
        return self.stream(producer) / "published" / folder / f"{shard:06d}.json"

    def consumer(self, run_id: str) -> Path:
        """Folder of one training."""
        return self.consumers / run_id

    def claims(self, run_id: str, epoch: int) -> Path:
        """Shards held by one incarnation of a training."""
        return self.claimed / f"{run_id}.{epoch:06d}"

"""Publication records: one immutable file a shard, the proof that it was made and the guard against a second."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from xrdcommon.errors import MissingFileError
from xrdcommon.files import read_json
from xrdcommon.spool.layout import MAIN, Layout

Rejections = dict[str, dict[str, int]]
"""Space group -> outcome ("accepted" or the reason) -> number of crystals drawn."""

RECHECKED, REFUTED = "rechecked", "recheck"
"""Outcomes: crystals that spglib was asked about again, and those of them that it did not confirm (drawn again)."""


@dataclass(frozen=True, slots=True)
class Record:
    """A published shard.

    Attributes:
        name: its file name.
        rows: number of samples.
        bytes: size of the file.
        sha256: checksum of the whole file.
        token: folder in tmp/ where it was written, to finish a publication that was cut short.
        seconds: time it took to make.
        unix_time: when it was published, by its maker's clock; for people.
        host: where it was made.
        rejections: crystals accepted and rejected on the way, by space group.
        feeds: queues it is delivered to, a file each in the folder `token`.

    """

    name: str
    rows: int
    bytes: int
    sha256: str
    token: str
    seconds: float
    unix_time: float
    host: str
    rejections: Rejections = field(default_factory=dict)
    feeds: list[str] = field(default_factory=lambda: [MAIN])

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return asdict(self)

    @classmethod
    def read(cls, path: Path) -> Record:
        """Read a record.

        Raises:
            MissingFileError: the shard was not published.

        """
        return cls(**read_json(path))


def published(layout: Layout, producer: int) -> dict[int, Path]:
    """Return the records' paths of a stream by shard number."""
    folder = layout.stream(producer) / "published"
    return {int(path.stem): path for path in folder.glob("*/*.json") if path.stem.isdigit()}


def streams(layout: Layout) -> list[int]:
    """Return the numbers of all streams."""
    names = (path.name for path in layout.producers.iterdir())
    return sorted(int(name[1:]) for name in names if name.startswith("p") and name[1:].isdigit())


def rechecks(records: Iterable[Record]) -> tuple[int, int]:
    """Return how many crystals were rechecked and refuted on the way to published shards."""
    counts = [outcomes for record in records for outcomes in record.rejections.values()]
    return sum(n.get(RECHECKED, 0) for n in counts), sum(n.get(REFUTED, 0) for n in counts)


class RecordCache:
    """Reads each record once, however often it is asked (records never change)."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._records: dict[int, dict[int, Record]] = {}

    def refresh(self) -> None:
        """Read what is new."""
        for producer in streams(self._layout):
            known = self._records.setdefault(producer, {})
            for shard, path in published(self._layout, producer).items():
                if shard not in known:
                    with contextlib.suppress(MissingFileError):
                        known[shard] = Record.read(path)

    def of(self, producer: int) -> dict[int, Record]:
        """Return the known records of a stream."""
        return self._records.get(producer, {})

    def __iter__(self) -> Iterator[tuple[int, int, Record]]:
        """Yield producer, shard, record of all that is known."""
        for producer, records in self._records.items():
            for shard, record in records.items():
                yield producer, shard, record

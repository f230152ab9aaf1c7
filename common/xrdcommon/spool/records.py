"""Publication records: one immutable file a shard, the proof that it was made and the guard against a second."""

from __future__ import annotations

import contextlib
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from xrdcommon.errors import FormatError, MissingFileError
from xrdcommon.files import read_json, write_json
from xrdcommon.spool.layout import MAIN, RECORDS_PER_FOLDER, Layout

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


def streams(layout: Layout) -> list[int]:
    """Return the numbers of all streams."""
    names = (path.name for path in layout.producers.iterdir())
    return sorted(int(name[1:]) for name in names if name.startswith("p") and name[1:].isdigit())


def rechecks(rejections: Rejections) -> tuple[int, int]:
    """Return how many crystals were rechecked and refuted on the way to published shards."""
    outcomes = rejections.values()
    return sum(n.get(RECHECKED, 0) for n in outcomes), sum(n.get(REFUTED, 0) for n in outcomes)


class RecordCache:
    """Reads each record once, however often it is asked (records never change).

    Its records have no rejections: 100,000 of them would take gigabytes. They are summed (see `rejections`).

    With `summaries`, a folder of records that is full is read from a summary beside it, `published/000042.json`, which
    is written where there is none (or cannot be, as in a spool of somebody else's). It only saves time: 100,000 records
    are read in less than a second instead of ten. An audit reads the records themselves.
    """

    def __init__(self, layout: Layout, *, summaries: bool = False) -> None:
        self._layout = layout
        self._summaries = summaries
        self._records: dict[int, dict[int, Record]] = {}
        self._full: set[Path] = set()
        self._rejections: _Sums = _sums()

    @property
    def rejections(self) -> Rejections:
        """Crystals accepted and rejected on the way to all known shards, by ascending space group."""
        return {group: dict(self._rejections[group]) for group in sorted(self._rejections, key=int)}

    def refresh(self) -> None:
        """Read what is new."""
        for producer in streams(self._layout):
            known = self._records.setdefault(producer, {})
            for folder in (self._layout.stream(producer) / "published").glob("*"):
                if folder.name.isdigit() and folder not in self._full:
                    self._read_folder(folder, known)

    def _read_folder(self, folder: Path, known: dict[int, Record]) -> None:
        """Read what is new in a folder; one that is full is not looked at again, nothing is ever added to it."""
        files = [file for file in os.listdir(folder) if file.endswith(".json") and file[:-5].isdigit()]
        shards = {int(file[:-5]): folder / file for file in files}
        new = shards.keys() - known.keys()
        full = len(shards) == RECORDS_PER_FOLDER
        sums = _sums()
        if full and self._summaries and len(new) == len(shards) and (summary := _read_summary(folder)):
            known |= summary[0]
            _add(sums, summary[1])
        else:
            for shard in new:
                with contextlib.suppress(MissingFileError):
                    record = Record.read(shards[shard])
                    _add(sums, record.rejections)
                    known[shard] = replace(record, rejections={})
            if full and self._summaries and len(new) == len(shards) and shards.keys() <= known.keys():
                _write_summary(folder, {shard: known[shard] for shard in sorted(shards)}, sums)
        _add(self._rejections, sums)
        if full and shards.keys() <= known.keys():
            self._full.add(folder)

    def of(self, producer: int) -> dict[int, Record]:
        """Return the known records of a stream."""
        return self._records.get(producer, {})

    def __iter__(self) -> Iterator[tuple[int, int, Record]]:
        """Yield producer, shard, record of all that is known."""
        for producer, records in self._records.items():
            for shard, record in records.items():
                yield producer, shard, record


_Sums = defaultdict[str, defaultdict[str, int]]


def _sums() -> _Sums:
    return defaultdict(lambda: defaultdict(int))


def _add(sums: _Sums, rejections: Mapping[str, Mapping[str, int]]) -> None:
    """Add the crystals of a shard, or of many, to a sum."""
    for group, outcomes in rejections.items():
        total = sums[group]
        for outcome, n in outcomes.items():
            total[outcome] += n


def _read_summary(folder: Path) -> tuple[dict[int, Record], Rejections] | None:
    """Return records (by shard number, without rejections) and rejections of a full folder; None: no good summary."""
    try:
        content = read_json(folder.with_suffix(".json"))
        first = int(folder.name) * RECORDS_PER_FOLDER
        records = {int(shard): Record(*values) for shard, values in content["records"].items()}
        if records.keys() != set(range(first, first + RECORDS_PER_FOLDER)):
            return None
        rejections: Rejections = content["rejections"]
    except (MissingFileError, FormatError, KeyError, TypeError, ValueError, AttributeError):
        return None  # the records themselves will do
    return records, rejections


def _write_summary(folder: Path, records: Mapping[int, Record], rejections: Mapping[str, Mapping[str, int]]) -> None:
    """Leave a summary of a full folder for the next reader; it holds what anybody would write, at any time."""
    values = {shard: [getattr(record, name) for name in Record.__slots__] for shard, record in records.items()}
    with contextlib.suppress(OSError):  # somebody else's spool, or a full disk: the next reader reads the records again
        write_json(folder.with_suffix(".json"), {"records": values, "rejections": rejections})

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
from xrdcommon.shards.format import ShardName
from xrdcommon.spool.layout import EDITED, MAIN, RECORDS_PER_FOLDER, Layout, check_name

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
            FormatError: the file is not what its maker wrote.

        """
        content = read_json(path)
        try:
            record = cls(**content)
            record.check()
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise FormatError(f"{path}: not the record of a shard ({error}); {EDITED}") from error
        return record

    def check(self) -> None:
        """Make sure that the fields are of their types and agree with the shard's name.

        Raises:
            ValueError: they do not.

        """
        name = ShardName.parse(self.name)
        numbers = (self.rows, self.bytes)
        if not all(type(number) is int for number in numbers):
            raise ValueError(f"rows {self.rows!r} and bytes {self.bytes!r}: not numbers")
        if numbers != (name.rows, name.bytes):
            raise ValueError(f"{self.rows} rows and {self.bytes} bytes, {self.name} has {name.rows} and {name.bytes}")
        if not isinstance(self.token, str) or not self.token or "/" in self.token or self.token[0] == ".":
            raise ValueError(f"draft {self.token!r}: not a name")
        if not isinstance(self.feeds, list) or not all(isinstance(feed, str) for feed in self.feeds):
            raise ValueError(f"feeds {self.feeds!r}: not a list of names")
        for feed in self.feeds:
            check_name(feed, "feed")
        if not all(
            isinstance(outcomes, dict) and all(type(n) is int for n in outcomes.values())
            for outcomes in self.rejections.values()
        ):
            raise ValueError("rejections: not numbers of crystals by space group and outcome")


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

    def __init__(self, layout: Layout, *, summaries: bool = False, faults: dict[Path, str] | None = None) -> None:
        """Begin with none.

        Args:
            layout: of the spool.
            summaries: read and write them.
            faults: where to note records that are not what their makers wrote, by file; None: they raise FormatError.

        """
        self._layout = layout
        self._faults = faults
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
                try:
                    record = Record.read(shards[shard])
                except MissingFileError:
                    continue
                except FormatError as error:
                    if self._faults is None:
                        raise
                    self._faults[shards[shard]] = str(error)
                    continue
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

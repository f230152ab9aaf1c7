"""What trainings have noted down: which feed they read, what they used, what they gave up."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xrdcommon.errors import FormatError, InputError, MissingFileError
from xrdcommon.files import read_json, write_json
from xrdcommon.shards.format import ShardName
from xrdcommon.spool.journal import read_lines
from xrdcommon.spool.layout import EDITED, MAIN, Layout, check_name

Ranges = list[tuple[int, int]]
"""Rows of a shard, first and last (excluded) of each range."""


@dataclass(frozen=True, slots=True)
class Used:
    """Rows of a shard that a training has passed: those before a cursor, all of them for a wholly used one."""

    name: str
    rows: int
    run_id: str


@dataclass
class Notes:
    """All that one training has noted.

    Attributes:
        run_id: which.
        feed: whose shards it takes.
        used: wholly used shards and their rows.
        partly: number of rows used of the others, which are their first but for those in `scattered`.
        scattered: the rows used of shards that were not used in order.
        discarded: rows given up; where the training has passed them too, they were not used.
        replays: samples that were given to the training and given again, by the incarnations that they were lost with.
        opened: when the latest incarnation began, by its clock; for people.
        times: when each wholly used shard was noted, and its rows; for people.

    """

    run_id: str
    feed: str
    used: dict[str, int] = field(default_factory=dict)
    partly: dict[str, int] = field(default_factory=dict)
    scattered: dict[str, Ranges] = field(default_factory=dict)
    discarded: dict[str, Ranges] = field(default_factory=dict)
    replays: dict[str, int] = field(default_factory=dict)
    opened: float = 0.0
    times: list[tuple[float, int]] = field(default_factory=list)

    def counts(self, name: str) -> tuple[int, int]:
        """Return the rows of a shard that were used and that were given up."""
        given_up = merged(self.discarded.get(name, []))
        passed = self.passed(name)
        return size(passed) - size(common(passed, given_up)), size(given_up)

    def passed(self, name: str) -> Ranges:
        """Return the rows of a shard that the training has passed; those given up are among them."""
        # A crash may leave the note of the part behind that of the whole.
        if name in self.used:
            return [(0, self.used[name])]
        return self.scattered.get(name) or merged([(0, self.partly.get(name, 0))])

    def left(self, name: str, rows: int) -> Ranges:
        """Return the rows of a shard that were neither used nor given up."""
        return complement([*self.passed(name), *self.discarded.get(name, [])], rows)

    @property
    def replayed(self) -> int:
        """Samples given again because a process ended without saying that they are used."""
        return sum(self.replays.values())

    @property
    def names(self) -> set[str]:
        """All shards that the training has noted anything about."""
        return self.used.keys() | self.partly.keys() | self.discarded.keys()

    def take(self, entry: Mapping[str, Any]) -> None:
        """Take note of an entry of the training's file."""
        if "name" in entry:
            if entry["name"] not in self.used:
                self.times.append((entry.get("unix_time", 0.0), entry["rows"]))
            self.used[entry["name"]] = entry["rows"]
        elif "discarded" in entry:
            ranges = self.discarded.setdefault(entry["discarded"], [])
            if (given_up := (entry["first"], entry["last"])) not in ranges:
                ranges.append(given_up)
        elif "replayed" in entry:
            self.replays[entry["of"]] = entry["replayed"]
        elif "opened" in entry:
            self.opened = entry["opened"]


def read_notes(folder: Path) -> Notes:
    """Read what one training has noted in its folder."""
    notes = Notes(folder.name, feed_of(folder))
    # first: what is wholly used meanwhile is found in both, which is seen through
    notes.partly, notes.scattered = read_coverage(folder)
    for entry in _entries(folder / "used.jsonl"):
        notes.take(entry)
    return notes


class NotesCache:
    """Reads of each training's notes only what was appended since the last time."""

    def __init__(self, layout: Layout, faults: dict[Path, str] | None = None) -> None:
        """Begin with none.

        Args:
            layout: of the spool.
            faults: where to note trainings whose files are not what they wrote; None: they raise FormatError.

        """
        self._layout = layout
        self._faults = faults
        self._tails: dict[Path, _Tail] = {}

    def all(self) -> list[Notes]:
        """Return the notes of all trainings as they are now."""
        found = []
        for folder in sorted(path for path in self._layout.consumers.iterdir() if path.is_dir()):
            try:
                found.append(self._tails.setdefault(folder, _Tail(folder)).read())
            except FormatError as error:
                if self._faults is None:
                    raise
                self._faults[folder] = str(error)
        return found


class _Tail:
    """A training's notes and how far its file has been read."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._start()

    def _start(self) -> None:
        self._notes = Notes(self._folder.name, feed_of(self._folder))
        self._offset, self._epoch = 0, 0
        self._last, self._torn = b"", b""

    def read(self) -> Notes:
        """Read on."""
        coverage = read_coverage(self._folder)  # first, see `read_notes`
        file = self._folder / "used.jsonl"
        try:
            with file.open("rb") as stream:
                stream.seek(self._offset - len(self._last))
                content = stream.read()
                # A write that met a full disk is taken back: then what was read may no longer be there.
                if content.startswith(self._last + self._torn):
                    content = content[len(self._last) :]
                else:
                    self._start()
                    stream.seek(0)
                    content = stream.read()
        except FileNotFoundError:
            content = b""
        *whole, self._torn = content.split(b"\n")
        # The last line has no end yet and is read again the next time; taking an entry twice changes nothing.
        for line in (*whole, self._torn):
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            self._take(checked(entry, file))
        if whole:
            self._offset += len(content) - len(self._torn)
            self._last = whole[-1] + b"\n"
        if not self._notes.used and not self._notes.partly:
            self._notes.feed = feed_of(self._folder)
        self._notes.partly, self._notes.scattered = coverage
        return self._notes

    def _take(self, entry: Mapping[str, Any]) -> None:
        self._epoch = max(self._epoch, entry["epoch"])
        if entry["epoch"] == self._epoch:
            self._notes.take(entry)


def feed_of(folder: Path) -> str:
    """Return the feed that the training of a folder reads (one that has just begun and claimed nothing: main).

    Raises:
        FormatError: the file is not what trainings write.

    """
    file = folder / "feed.json"
    try:
        return check_name(str(read_json(file)["feed"]), "feed")
    except MissingFileError:
        return MAIN
    except (InputError, KeyError, TypeError) as error:
        raise FormatError(f"{file}: does not name a feed ({error}); {EDITED}") from error


def read_used(path: Path) -> Iterator[Used]:
    """Yield the wholly used shards of one run's file; entries behind those of a later epoch are void."""
    for entry in _entries(path):
        if "name" in entry:
            yield Used(entry["name"], entry["rows"], path.parent.name)


def coverage_file(folder: Path, epoch: int) -> Path:
    """Return where an incarnation of a training notes the rows used of shards that are not wholly used.

    Each has a file of its own, so that one that wakes up late cannot overwrite its successor's.
    """
    return folder / f"coverage.{epoch:06d}.json"


def coverage_epochs(folder: Path) -> list[int]:
    """Return the epochs that have a file of coverage, rising."""
    names = [name.split(".") for name in os.listdir(folder) if name.startswith("coverage.")]
    return sorted(int(parts[1]) for parts in names if len(parts) == 3 and parts[1].isdigit() and parts[2] == "json")


def read_coverage(folder: Path) -> tuple[dict[str, int], dict[str, Ranges]]:
    """Return how many rows are used of the shards that a training has not wholly used, and which where not the first.

    Raises:
        FormatError: the file is not what trainings write.

    """
    while epochs := coverage_epochs(folder):
        file = coverage_file(folder, epochs[-1])
        try:
            content = read_json(file)
        except MissingFileError:  # a successor has just written its own and deleted this one
            continue
        try:
            partly = {str(name): int(used) for name, used in content["rows"].items()}
            scattered = {str(name): [(int(a), int(b)) for a, b in rows] for name, rows in content["ranges"].items()}
        except KeyError as error:
            if error.args != ("ranges",):
                raise FormatError(f"{file}: {error} is missing; {EDITED}") from error
            scattered = {}  # written before rows could be used in another order
        except (AttributeError, TypeError, ValueError) as error:
            raise FormatError(f"{file}: not a note of rows used ({error}); {EDITED}") from error
        for name, used in partly.items():
            ranges, shard = scattered.get(name, [(0, used)]), ShardName.find(name)
            if shard is None or complement(ranges, shard.rows) == [] or size(merged(ranges)) != used:
                raise FormatError(f"{file}: {used} rows of {name}, not wholly used; {EDITED}")
        return partly, scattered
    return {}, {}


def write_coverage(folder: Path, epoch: int, step: int | None, rows: Mapping[str, Ranges]) -> None:
    """Note the rows used of shards that are not wholly used; used in order, they are a number alone."""
    write_json(
        coverage_file(folder, epoch),
        {
            "epoch": epoch,
            "step": step,
            "rows": {name: size(ranges) for name, ranges in rows.items()},
            "ranges": {name: ranges for name, ranges in rows.items() if not _is_prefix(ranges)},
        },
    )


def _is_prefix(ranges: Ranges) -> bool:
    return len(ranges) <= 1 and all(first == 0 for first, _ in ranges)


def merged(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """Return the same rows in rising ranges that do not touch."""
    result: Ranges = []
    for first, last in sorted(ranges):
        if first >= last:
            continue
        if result and first <= result[-1][1]:
            result[-1] = (result[-1][0], max(result[-1][1], last))
        else:
            result.append((first, last))
    return result


def complement(ranges: Iterable[tuple[int, int]], rows: int) -> Ranges:
    """Return the rows of a shard that are in none of the ranges."""
    at, result = 0, []
    for first, last in [*merged(ranges), (rows, rows)]:
        if at < first:
            result.append((at, min(first, rows)))
        at = max(at, last)
    return result


def common(some: Iterable[tuple[int, int]], others: Iterable[tuple[int, int]]) -> Ranges:
    """Return the rows that are in both."""
    there = merged(others)
    return [(max(a, c), min(b, d)) for a, b in merged(some) for c, d in there if max(a, c) < min(b, d)]


def size(ranges: Ranges) -> int:
    """Return the number of rows in ranges that do not overlap."""
    return sum(last - first for first, last in ranges)


def _entries(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the entries of one run's file but those that an earlier incarnation wrote behind a later one's."""
    latest = 0
    for entry in read_lines(path):
        checked(entry, path)
        latest = max(latest, entry["epoch"])
        if entry["epoch"] == latest:
            yield entry


def checked(entry: Any, path: Path) -> Mapping[str, Any]:
    """Return an entry of a training's file if it is what trainings write.

    Raises:
        FormatError: it is not; the message names the entry.

    """
    try:
        numbers = [entry["epoch"]]
        if "name" in entry:
            numbers.append(entry["rows"])
            if entry["rows"] != ShardName.parse(entry["name"]).rows:
                raise ValueError(f"{entry['rows']} rows")
        elif "discarded" in entry:
            first, last = entry["first"], entry["last"]
            numbers += [first, last]
            if not 0 <= first < last <= ShardName.parse(entry["discarded"]).rows:
                raise ValueError(f"rows {first} to {last}")
        elif "replayed" in entry:
            numbers.append(entry["replayed"])
            str.split(entry["of"])
        elif "opened" in entry:
            float(entry["opened"])
        if not all(type(number) is int for number in numbers):
            raise ValueError("no whole number")
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise FormatError(f"{path}: entry {json.dumps(entry):.120}: {error}; {EDITED}") from error
    return entry  # type: ignore[no-any-return]

"""What trainings have noted down: which feed they read, what they used, what they gave up."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xrdcommon.errors import MissingFileError
from xrdcommon.files import read_json
from xrdcommon.spool.journal import read_lines
from xrdcommon.spool.layout import MAIN, Layout

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
        partly: rows used of the others, from their first.
        discarded: rows given up; where the training has passed them too, they were not used.
        opened: when the latest incarnation began, by its clock; for people.
        times: when each wholly used shard was noted, and its rows; for people.

    """

    run_id: str
    feed: str
    used: dict[str, int] = field(default_factory=dict)
    partly: dict[str, int] = field(default_factory=dict)
    discarded: dict[str, Ranges] = field(default_factory=dict)
    opened: float = 0.0
    times: list[tuple[float, int]] = field(default_factory=list)

    def counts(self, name: str) -> tuple[int, int]:
        """Return the rows of a shard that were used and that were given up."""
        # A crash may leave the note of the part behind that of the whole.
        passed = self.used.get(name, self.partly.get(name, 0))
        given_up, overlap, at = 0, 0, 0
        for first, last in sorted(self.discarded.get(name, [])):
            first = max(first, at)
            if first < last:
                given_up += last - first
                overlap += max(0, min(last, passed) - first)
                at = last
        return passed - overlap, given_up

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
        elif "opened" in entry:
            self.opened = entry["opened"]


def read_notes(folder: Path) -> Notes:
    """Read what one training has noted in its folder."""
    notes = Notes(folder.name, feed_of(folder))
    notes.partly = read_coverage(folder)  # first: what is wholly used meanwhile is found in both, which is seen through
    for entry in _entries(folder / "used.jsonl"):
        notes.take(entry)
    return notes


class NotesCache:
    """Reads of each training's notes only what was appended since the last time."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._tails: dict[Path, _Tail] = {}

    def all(self) -> list[Notes]:
        """Return the notes of all trainings as they are now."""
        return [
            self._tails.setdefault(folder, _Tail(folder)).read() for folder in sorted(self._layout.consumers.iterdir())
        ]


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
        partly = read_coverage(self._folder)  # first, see `read_notes`
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
            with contextlib.suppress(ValueError):
                self._take(json.loads(line))
        if whole:
            self._offset += len(content) - len(self._torn)
            self._last = whole[-1] + b"\n"
        if not self._notes.used and not self._notes.partly:
            self._notes.feed = feed_of(self._folder)
        self._notes.partly = partly
        return self._notes

    def _take(self, entry: Mapping[str, Any]) -> None:
        self._epoch = max(self._epoch, entry["epoch"])
        if entry["epoch"] == self._epoch:
            self._notes.take(entry)


def feed_of(folder: Path) -> str:
    """Return the feed that the training of a folder reads (one that has just begun and claimed nothing: main)."""
    try:
        return str(read_json(folder / "feed.json")["feed"])
    except MissingFileError:
        return MAIN


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


def read_coverage(folder: Path) -> dict[str, int]:
    """Return the rows used of the shards that a training has not wholly used."""
    while epochs := coverage_epochs(folder):
        try:
            rows = read_json(coverage_file(folder, epochs[-1]))["rows"]
        except MissingFileError:  # a successor has just written its own and deleted this one
            continue
        return {name: int(used) for name, used in rows.items()}
    return {}


def _entries(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the entries of one run's file but those that an earlier incarnation wrote behind a later one's."""
    latest = 0
    for entry in read_lines(path):
        latest = max(latest, entry["epoch"])
        if entry["epoch"] == latest:
            yield entry

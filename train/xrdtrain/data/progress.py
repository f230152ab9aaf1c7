"""How far a training may have come beyond its last checkpoint: RUN/progress.<epoch>.json, read after a crash.

Each incarnation of a run (the epoch of its lease on the spool) has a file of its own, so that one that stood still and
wakes up late cannot overwrite its successor's.

Two ways to keep it, after two promises:

- replay: what a crashed process used behind its checkpoint is used again, and counts once in the surviving lineage.
  The note only serves to count it, so it is overwritten in place before every step and never flushed: a few
  microseconds, exact whatever kills the process; lost power may leave an older one.
- discard: no row is used a second time, so what may have been used is given up. The note is written ahead, for a
  window of batches at once, and durable before the first of them is used: lost power does no harm either.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path

from xrdcommon.errors import FormatError, MissingFileError
from xrdcommon.files import read_json, write_bytes

WINDOW = 64
"""Batches that one durable note covers."""

_WIDTH = 240
"""Bytes of a note that is overwritten in place."""


class OnCrash(StrEnum):
    """What to do with the rows used between the last checkpoint and a crash."""

    REPLAY = "replay"
    DISCARD = "discard"


@dataclass(frozen=True, slots=True)
class Crashes:
    """What crashes have cost a run, in samples.

    Attributes:
        replayed: trained on by processes that died before their next checkpoint, and given to the training again.
        discarded: given up instead, never trained on in the surviving lineage.

    """

    replayed: int = 0
    discarded: int = 0


@dataclass(frozen=True, slots=True)
class Note:
    """Content of the file.

    Attributes:
        until: samples of the lineage behind which nothing has been used; None where it cannot be read.
        replayed: see `Crashes`.
        discarded: see `Crashes`.
        giving_up: rows (first, last excluded) of shards that are being discarded, while that lasts.

    """

    until: int | None = 0
    replayed: int = 0
    discarded: int = 0
    giving_up: Mapping[str, tuple[int, int]] | None = None

    @property
    def crashes(self) -> Crashes:
        """The costs so far."""
        return Crashes(self.replayed, self.discarded)


def path_of(run: Path, epoch: int) -> Path:
    """Return the file of an incarnation."""
    return run / f"progress.{epoch:06d}.json"


def notes_before(run: Path, epoch: int) -> list[Path]:
    """Return the files of earlier incarnations, oldest first."""
    return [path for path in sorted(run.glob("progress.*.json")) if path < path_of(run, epoch)]


def read_note(path: Path) -> Note:
    """Read a note; an unreadable one (lost power) says that anything may have been used."""
    try:
        content = read_json(path)
        giving_up = content["giving_up"]
        return Note(
            int(content["until"]),
            int(content["replayed"]),
            int(content["discarded"]),
            None if giving_up is None else {str(name): (int(a), int(b)) for name, (a, b) in giving_up.items()},
        )
    except MissingFileError:
        return Note()
    except (FormatError, KeyError, TypeError, ValueError):
        return Note(until=None)


class Progress:
    """Keeps the note of a running training; rank 0 has one."""

    def __init__(self, run: Path, epoch: int, on_crash: OnCrash, verify: Callable[[], None]) -> None:
        """Read what the last process noted; `settle` comes before the first `using`.

        Args:
            run: folder of the notes.
            epoch: of this incarnation.
            on_crash: which promise they serve.
            verify: raises an error where another process has taken the run over; called before every durable note.

        """
        self._run, self._epoch, self._verify = run, epoch, verify
        self._path, self._ahead = path_of(run, epoch), on_crash is OnCrash.DISCARD
        self._descriptor: int | None = None
        before = notes_before(run, epoch)
        self.note = read_note(before[-1]) if before else Note()

    def settle(self, note: Note) -> None:
        """Begin a note of its own; those of earlier incarnations have been acted upon."""
        self.write(note)
        for path in notes_before(self._run, self._epoch):
            path.unlink(missing_ok=True)

    def write(self, note: Note) -> None:
        """Replace the note durably.

        Raises:
            SpoolError: another process has taken over.
            DiskFullError: no space.

        """
        self._verify()
        self._close()
        write_bytes(self._path, (json.dumps(asdict(note)).ljust(_WIDTH) + "\n").encode())
        self.note = note

    def using(self, until: int, batch: int) -> None:
        """Note, before a batch is used, that the training comes to so many samples.

        Raises:
            SpoolError, DiskFullError: see `write`.

        """
        noted = self.note.until or 0
        if until <= noted:
            return
        if self._ahead:
            self.write(replace(self.note, until=until + (WINDOW - 1) * batch))
            return
        if self._descriptor is None:
            self._descriptor = os.open(self._path, os.O_WRONLY)
        self.note = replace(self.note, until=until)
        os.pwrite(self._descriptor, json.dumps(asdict(self.note)).ljust(_WIDTH).encode(), 0)

    def _close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def close(self) -> None:
        """Close the file."""
        with contextlib.suppress(OSError):
            self._close()

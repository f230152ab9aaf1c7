"""The side of the training: claim, load, and delete what a durable checkpoint covers.

Calls in the order of a training:

    consumer = start_consumer(spool, "my-run")   # takes over what an earlier process of this run held
    consumer.cover(checkpoint.used, step)        # after a resume: repeats the last cover, which may not have ended
    window = consumer.held() + consumer.claim(8)
    shard = consumer.load(window[0])             # None: damaged, now in quarantine
    ... train, write a checkpoint durably ...
    consumer.cover({str(name): rows_used}, step) # notes what is used, then deletes wholly used shards
    consumer.release()                           # at the end

All methods may be called from several threads of the process.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from xrdcommon.errors import InputError, SpoolError
from xrdcommon.files import fsync_dir
from xrdcommon.shards.format import ShardName
from xrdcommon.shards.reader import Shard
from xrdcommon.spool.backlog import claim_folders, names_in
from xrdcommon.spool.claims import Claims
from xrdcommon.spool.feeds import feeds
from xrdcommon.spool.journal import append_lines, create_once, explain_refusals, move, remove
from xrdcommon.spool.layout import MAIN, Layout, check_name
from xrdcommon.spool.lease import PATIENCE, Lease
from xrdcommon.spool.spool import Spool
from xrdcommon.spool.usage import (
    Ranges,
    coverage_epochs,
    coverage_file,
    feed_of,
    merged,
    read_coverage,
    read_notes,
    read_used,
    size,
    write_coverage,
)


class Consumer:
    """One incarnation of a training on a spool; start it with `start_consumer`."""

    def __init__(self, spool: Spool, run_id: str, feed: str, lease: Lease) -> None:
        self._spool = spool
        self._layout: Layout = spool.layout
        self.run_id = run_id
        self.feed = feed
        self._lease = lease
        self.epoch = lease.epoch
        self._folder = self._layout.consumer(run_id)
        self.claims = Claims(spool, run_id, feed, lease.epoch)
        self._claims = self.claims.folder
        self._lock = threading.RLock()
        self._used = self.claims.used
        self._partly: dict[str, Ranges] = {}

    @classmethod
    def start(cls, spool: Spool, run_id: str, feed: str = MAIN, *, patience: float = PATIENCE) -> Consumer:
        """Take the lease of a run, and with it all that its earlier incarnations held."""
        folder = spool.layout.consumer(run_id)
        if not spool.layout.feed(feed).is_dir():
            raise SpoolError(f"{spool.path}: no feed '{feed}'; there are {', '.join(feeds(spool.layout))}")
        with explain_refusals(spool.path):
            folder.mkdir(exist_ok=True)
            lease = Lease.acquire(folder, spool.layout.temporary, patience=patience)
        if lease is None:
            raise SpoolError(
                f"{spool.path}: another running process trains as '{run_id}'; stop it or take another run name"
            )
        consumer = cls(spool, run_id, feed, lease)
        try:
            with explain_refusals(spool.path):
                consumer._take_over()
        except BaseException:
            lease.release()
            raise
        return consumer

    def _take_over(self) -> None:
        """Move the claims of earlier epochs here (their processes lose access), finish what they began."""
        create_once(self._folder / "feed.json", {"feed": self.feed}, self._layout.temporary)
        before = feed_of(self._folder)
        if before != self.feed:
            raise SpoolError(
                f"{self._spool.path}: run '{self.run_id}' reads feed '{before}', not '{self.feed}'; "
                "take another run name for another feed"
            )
        for run_id, epoch, path in claim_folders(self._layout):
            if run_id == self.run_id and epoch < self.epoch:
                if not self._claims.exists():
                    path.rename(self._claims)
                    continue
                for name in names_in(path):
                    move(path / str(name), self._claims / str(name))
                path.rmdir()
        self._claims.mkdir(exist_ok=True)
        fsync_dir(self._layout.claimed)
        # Each incarnation has its own file of coverage: one that wakes up late writes where nobody looks any more.
        partly, scattered = read_coverage(self._folder)
        self._write_coverage({name: scattered.get(name, [(0, n)]) for name, n in partly.items()}, step=None)
        # From this line on entries of earlier epochs are void: a process that wakes up late counts for nothing.
        append_lines(self._used_file, [{"epoch": self.epoch, "opened": time.time(), "pid": os.getpid()}])
        self._used |= {entry.name for entry in read_used(self._used_file)}
        for epoch in coverage_epochs(self._folder):
            if epoch < self.epoch:
                coverage_file(self._folder, epoch).unlink(missing_ok=True)
        self._delete_used()

    def _write_coverage(self, rows: dict[str, Ranges], step: int | None) -> None:
        write_coverage(self._folder, self.epoch, step, rows)
        self._partly = rows

    @property
    def _used_file(self) -> Path:
        return self._folder / "used.jsonl"

    @property
    def _quarantine(self) -> Path:
        return self._layout.quarantined(self.feed)

    def verify(self) -> None:
        """Make sure that this process still owns the run; call it before writing a checkpoint.

        Raises:
            SpoolError: another process took over while this one stood still.

        """
        self._lease.verify()

    def claim(self, n: int) -> list[ShardName]:
        """Take up to n ready shards (see `Claims.claim`)."""
        with self._lock:
            self.verify()
            return self.claims.claim(n)

    def held(self) -> list[ShardName]:
        """Return the shards that this run holds and has not wholly used, sorted by shard number and producer."""
        with self._lock:
            return [name for name in names_in(self._claims) if str(name) not in self._used]

    def rows_used(self, name: ShardName) -> int:
        """Return how many rows of a shard the last `cover` counted as used."""
        with self._lock:
            return name.rows if str(name) in self._used else size(self._partly.get(str(name), []))

    def load(self, name: ShardName) -> Shard | None:
        """Read a claimed shard; None for a damaged one, which goes to quarantine (see `Claims.load`)."""
        return self.claims.load(name)

    def cover(self, used: Mapping[str, int | Ranges], step: int) -> None:
        """Count rows as used and delete wholly used shards; call it only after a durable checkpoint.

        Repeating a call changes nothing, so a resumed training repeats the one of its checkpoint.

        Args:
            used: shard file name -> rows used so far in this lineage of checkpoints: their number where they were used
                in order, else their ranges. All rows: nothing will be used any more, the rest was discarded.
            step: optimiser step (or samples) of the checkpoint, for the records.

        Raises:
            InputError: more rows than the shard has.
            SpoolError: a shard that this run does not hold, or the run was taken over.
            DiskFullError: no space for the record; nothing was deleted.

        """
        with self._lock:
            self.verify()
            names = {file: ShardName.parse(file) for file in used if file not in self._used}
            rows = {file: _ranges(name, used[file]) for file, name in names.items()}
            for file in names:
                in_place = os.path.lexists(self._claims / file) or os.path.lexists(self._quarantine / file)
                if not in_place:
                    raise SpoolError(f"{file}: not held by run '{self.run_id}'; is its checkpoint of another spool?")
            full = [name for file, name in names.items() if size(rows[file]) == name.rows]
            partly = {file: rows[file] for file, name in names.items() if 0 < size(rows[file]) < name.rows}
            append_lines(
                self._used_file,
                (
                    {"epoch": self.epoch, "step": step, "name": str(name), "rows": name.rows, "unix_time": time.time()}
                    for name in full
                ),
            )
            self._used.update(map(str, full))
            self._delete_used()
            coverage = {file: there for file, there in {**self._partly, **partly}.items() if file not in self._used}
            if coverage != self._partly:
                self._write_coverage(coverage, step)

    def discard(self, rows: Mapping[str, tuple[int, int] | Ranges]) -> None:
        """Give rows up for ever: they are neither used nor lost, and the audit counts them as discarded.

        When this returns, the note is durable. Rows that a training passes (see `cover`) although they are noted here
        do not count as used. Repeating a call changes nothing. A shard is not deleted before it is covered.

        Args:
            rows: shard file name -> first and last row (excluded) given up, or several such ranges.

        Raises:
            InputError: rows that the shard does not have.
            SpoolError: a shard that this run does not hold, or the run was taken over.
            DiskFullError: no space for the note.

        """
        with self._lock:
            self.verify()
            held = {str(name): name for name in self.held()}
            lists = {file: [each] if isinstance(each, tuple) else each for file, each in rows.items()}
            for file, ranges in lists.items():
                if file not in held:
                    raise SpoolError(f"{file}: not held by run '{self.run_id}'; nothing of it is given up")
                for first, last in ranges:
                    if not 0 <= first < last <= held[file].rows:
                        raise InputError(f"{file}: rows {first} to {last} given up of {held[file].rows}")
            append_lines(
                self._used_file,
                (
                    {"epoch": self.epoch, "discarded": file, "first": first, "last": last, "unix_time": time.time()}
                    for file, ranges in lists.items()
                    for first, last in ranges
                ),
            )

    def note_replays(self, samples: int, of: str) -> None:
        """Note that samples which had been given to the training are given again; repeating a call changes nothing.

        Args:
            samples: how many.
            of: incarnations that had given them.

        """
        with self._lock:
            self.verify()
            entry = {"epoch": self.epoch, "replayed": samples, "of": of, "unix_time": time.time()}
            append_lines(self._used_file, [entry])

    def _delete_used(self) -> None:
        """Delete what is noted as used, among the claims only and in the spool that was opened only."""
        files = [str(name) for name in names_in(self._claims) if str(name) in self._used]
        if files:
            self._spool.guard()
            for file in files:
                remove(self._claims / file)

    def close(self) -> None:
        """Give up the lease but keep the claims for this run's next process."""
        self._lease.release()

    def release(self) -> None:
        """End normally: untouched shards become ready again, partly used ones stay with this run."""
        ready = self._layout.feed(self.feed)
        with self._lock:
            self.verify()
            touched = read_notes(self._folder).names
            for name in self.held():
                if str(name) not in touched:
                    move(self._claims / str(name), ready / str(name))
            fsync_dir(ready)
            with contextlib.suppress(OSError):  # not empty: partly used shards
                self._claims.rmdir()
            self.close()

    def __enter__(self) -> Consumer:
        """Return itself; leaving the block closes (see `close`)."""
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def start_consumer(spool: Spool, run_id: str, feed: str = MAIN, *, patience: float = PATIENCE) -> Consumer:
    """Start to consume under a name that outlives this process (a training run's).

    Args:
        spool: whose shards.
        run_id: the name.
        feed: the queue; trainings of one feed share its shards.
        patience: seconds to watch a process of this name on another machine that shows no life.

    Raises:
        SpoolError: a living process consumes under this name, or it reads another feed, or there is no such feed.

    """
    return Consumer.start(spool, check_name(run_id), check_name(feed, "feed"), patience=patience)


def _ranges(name: ShardName, used: int | Ranges) -> Ranges:
    """Return the rows used as ranges.

    Raises:
        InputError: rows that the shard does not have.

    """
    ranges = [(0, used)] if isinstance(used, int) else used
    if not all(0 <= first <= last <= name.rows for first, last in ranges):
        raise InputError(f"{name}: {used} rows used of {name.rows}")
    return merged(ranges)

"""Training on a growing spool: shards are claimed, verified, used once, and deleted when a checkpoint covers them.

Rows are taken in the order of the claims, but for those that were discarded after a crash. Samples are independent
draws already, so nothing is shuffled, and the cursor is one shard and one row. The order of the claims is kept in the
run folder (claims.jsonl), so that a process killed at any moment goes on with the same batches. Under DDP rank 0
claims and verifies; its main thread passes the paths on, and every rank reads its part of each batch from the shared
file system.

# B rows of a batch, P grid points
"""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from xrdcommon import console
from xrdcommon.errors import FormatError, InputError
from xrdcommon.files import write_bytes
from xrdcommon.measurement import Measurement
from xrdcommon.shards.format import ShardName
from xrdcommon.shards.reader import Shard, read_shard
from xrdcommon.spool.consumer import Consumer, start_consumer
from xrdcommon.spool.feeds import open_feed
from xrdcommon.spool.journal import append_lines, read_lines
from xrdcommon.spool.layout import MAIN
from xrdcommon.spool.spool import Spool
from xrdcommon.spool.usage import Ranges, read_notes

from xrdtrain.data.batch import Backlog, Batch, Cursor, empty_patterns
from xrdtrain.data.progress import Crashes, Note, OnCrash, Progress
from xrdtrain.data.reader import TICK, Reader
from xrdtrain.distributed import Ranks
from xrdtrain.labels import OUTSIDE, Classes

CLAIMED_AT_ONCE = 2
ROWS_AHEAD = 4096
"""Rows decoded in front of the training: 70 MB at 8501 points."""

LOOK_AGAIN = 0.5
"""Seconds between two looks into an empty spool."""


_Part = tuple[str, Shard | None, Ranges]
"""Name of a shard, the shard, and the rows to use of it (first and last, excluded); None where all were discarded."""


class SpoolSource:
    """Batches of never-reused synthetic diffractograms."""

    is_fixed = False

    def __init__(
        self,
        spool: Spool,
        *,
        run_id: str,
        order_file: Path,
        batch: int,
        ranks: Ranks,
        feed: str = MAIN,
        on_crash: OnCrash = OnCrash.REPLAY,
    ) -> None:
        """Prepare to consume; nothing is claimed before `start`.

        Args:
            spool: the opened spool.
            run_id: name of the training in the spool, the same after a resume.
            order_file: where the order of the claims is kept; progress.<epoch>.json lies beside it.
            batch: samples of one step over all ranks.
            ranks: the processes of the training.
            feed: queue of the spool to take from; trainings of different feeds get every shard each.
            on_crash: what becomes of rows that a process used before it died without a checkpoint of them.

        """
        self._feed, self._on_crash = feed, on_crash
        self._spool, self._run_id, self._order_file = spool, run_id, order_file
        self._batch, self._ranks = batch, ranks
        self.grid = spool.grid
        self.classes = Classes(spool.classes)
        self._consumer: Consumer | None = None
        self._reader: Reader | None = None
        # paths of verified shards: from the leader's reader to its main thread, and to the followers' readers
        self._outbox: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._inbox: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._finished: list[str] = []
        self._current: tuple[str, int] | None = None
        self._samples = 0
        self._progress: Progress | None = None
        self._discarded: dict[str, Ranges] = {}

    @property
    def measurement(self) -> Measurement:
        """2theta grid and wavelength of the patterns."""
        return Measurement.of_simulation(self.grid, self._spool.configuration.get("simulation"))

    @property
    def origin(self) -> dict[str, Any]:
        """Kind and identity of the source."""
        return {
            "kind": "spool",
            "uuid": self._spool.uuid,
            "feed": self._feed,
            "root_seed": self._spool.root_seed,
            "configuration_hash": self._spool.configuration_hash,
        }

    def start(self, cursor: Cursor | None) -> None:
        """Take over what this run held, repeat the last cover, give up what must be, and begin to read ahead."""
        if cursor is not None:
            self._samples = int(cursor.get("step", 0))
            self._finished = [str(name) for name in cursor["finished"]]
            if cursor["current"] is not None:
                self._current = (str(cursor["current"][0]), int(cursor["current"][1]))
        if self._ranks.leads:
            if open_feed(self._spool, self._feed):
                waiting = self._spool.backlog().samples
                console.say(
                    f"feed '{self._feed}' is new: it gets the shards that are published from now on, none of the "
                    f"{waiting:,} samples that wait in other feeds"
                )
            self._consumer = start_consumer(self._spool, self._run_id, self._feed)
            if cursor is not None:
                self._cover(self._samples)
            self._settle(self._consumer)
        begin, pinned = self._current, self._ranks.device.type == "cuda"
        self._finished = []
        self._reader = Reader(lambda stop: self._produce(begin, stop, pinned), max(4, ROWS_AHEAD // self._batch))

    def _settle(self, consumer: Consumer) -> None:
        """Count what a process that died had used behind its checkpoint; give it up for ever where that is asked for.

        The plan is durable before anything is given up, so a crash in the middle repeats the same plan.
        """
        self._progress = Progress(self._order_file.parent, consumer.epoch, self._on_crash, consumer.verify)
        note = self._progress.note
        folder = self._spool.layout.consumer(self._run_id)
        replayed, discarded = 0, 0
        if self._on_crash is OnCrash.DISCARD:
            plan = note.giving_up
            if plan is None:
                self._discarded = read_notes(folder).discarded
                beyond = None if note.until is None else max(0, note.until - self._samples)
                plan = self._plan(consumer, beyond)
            if plan:
                self._progress.write(replace(note, until=note.until or 0, giving_up=plan))
                before = _given_up(folder)
                held = {str(name) for name in consumer.held()}
                consumer.discard({name: rows for name, rows in plan.items() if name in held})
                discarded = _given_up(folder) - before
        elif note.until is not None:
            replayed = max(0, note.until - self._samples)
        self._discarded = read_notes(folder).discarded
        self._progress.settle(Note(self._samples, note.replayed + replayed, note.discarded + discarded))
        if replayed:
            console.say(
                f"the last process ended without a checkpoint: the {replayed:,} samples that it used behind the last "
                "one are used again, and count once"
            )
        if discarded:
            console.say(
                f"the last process ended without a checkpoint: {discarded:,} samples that it may have used behind "
                "the last one are discarded"
            )

    def _plan(self, consumer: Consumer, n: int | None) -> dict[str, tuple[int, int]]:
        """Return the next n rows (None: all) that this run holds, first and last (excluded) of each shard."""
        plan: dict[str, tuple[int, int]] = {}
        logged = set(_read_order(self._order_file))
        for name in self._resumed_order(consumer, self._current):
            if n is not None and n <= 0:
                break
            if str(name) not in logged:
                continue  # claimed just before the end: no batch was made of it
            row = self._current[1] if self._current is not None and self._current[0] == str(name) else 0
            for first, last in kept_rows(row, name.rows, self._discarded.get(str(name), [])):
                last = last if n is None else min(last, first + n)
                n = None if n is None else n - (last - first)
                if first < last:
                    plan[str(name)] = (plan.get(str(name), (first,))[0], last)
        return plan

    def outgoing(self) -> int:
        """Return how many shards the leader has verified and not passed on."""
        return self._outbox.qsize() if self._ranks.leads and self._ranks.world > 1 else 0

    def exchange(self, n: int) -> None:
        """Under DDP pass on what the leader has claimed and verified."""
        shards = [self._outbox.get() for _ in range(n)] if self._ranks.leads else []
        for shard in self._ranks.from_leader(shards):
            if not self._ranks.leads:
                self._inbox.put(shard)

    def next(self, timeout: float) -> Batch | None:
        """Return the next batch (see `Source`), noting first that it is about to be used."""
        assert self._reader is not None
        batch = self._reader.next(timeout)
        if batch is not None and self._progress is not None:
            self._progress.using(self._samples + self._batch, self._batch)
        return batch

    def used(self, batch: Batch) -> None:
        """Move the cursor on."""
        self._samples += self._batch
        self._finished.extend(batch.mark["finished"])
        self._current = batch.mark["current"]

    def cursor(self) -> Cursor:
        """Return the shards finished since the last checkpoint, and shard and row where the next batch begins."""
        return {"finished": list(self._finished), "current": None if self._current is None else list(self._current)}

    def covered(self, step: int) -> None:
        """Count as used and delete what a durable checkpoint covers."""
        self._cover(step)
        if self._progress is not None:
            self._progress.write(replace(self._progress.note, until=step))

    def _cover(self, step: int) -> None:
        """Count as used and delete what is used."""
        if self._consumer is not None:
            used: dict[str, int | Ranges] = {name: ShardName.parse(name).rows for name in self._finished}
            if self._current is not None:
                used[self._current[0]] = self._current[1]
            self._consumer.cover(used, step)
        self._finished = []

    def verify(self) -> None:
        """Make sure, before a checkpoint, that no other process has taken the run over."""
        if self._consumer is not None:
            self._consumer.verify()

    def uncovered(self) -> int:
        """Return how many wholly used shards wait for a checkpoint."""
        return len(self._finished)

    def backlog(self) -> Backlog | None:
        """Return what waits in the feed."""
        found = self._spool.backlog(self._feed)
        return Backlog(found.shards, found.samples)

    def crashes(self) -> Crashes:
        """Return what crashes have cost the run."""
        return Crashes() if self._progress is None else self._progress.note.crashes

    def close(self, *, done: bool) -> None:
        """Stop reading; at the proper end untouched shards go back to the spool."""
        if self._reader is not None:
            self._reader.close()
        if self._progress is not None:
            self._progress.close()
        if self._consumer is not None:
            if done:
                self._consumer.release()
            else:
                self._consumer.close()
            self._consumer = None

    def _produce(self, begin: tuple[str, int] | None, stop: threading.Event, pinned: bool) -> Iterator[Batch]:
        """Cut the sequence of shards into batches; each rank copies its own rows."""
        mine = self._ranks.slice(self._batch)
        own = mine.stop - mine.start
        patterns = labels = samples = None
        filled = 0  # rows of the batch so far
        finished: list[str] = []
        for name, shard, ranges in self._shards(begin, stop):
            known = np.empty(0, dtype=np.int64) if shard is None else self._known(shard)
            for k, (row, end) in enumerate(ranges):
                assert shard is not None
                while row < end:
                    if patterns is None:
                        patterns = empty_patterns(own, self.grid.n_points, pinned=pinned)
                        labels = torch.empty(own, dtype=torch.int64)
                        samples = np.empty(own, dtype=shard.blocks[0].samples.dtype)
                    assert labels is not None
                    assert samples is not None
                    n = min(self._batch - filled, end - row)
                    low, high = max(mine.start, filled), min(mine.stop, filled + n)
                    if low < high:
                        here = slice(low - mine.start, high - mine.start)
                        first, last = row + low - filled, row + high - filled
                        _copy(shard, first, last, patterns[here].numpy(), samples[here])
                        labels[here] = torch.from_numpy(known[first:last])
                    row += n
                    filled += n
                    passed = row == end and k == len(ranges) - 1  # what may follow in the shard was discarded
                    if passed:
                        finished.append(name)
                    if filled == self._batch:
                        current = None if passed else (name, row)
                        yield Batch(patterns, labels, samples, {"finished": finished, "current": current})
                        patterns, filled, finished = None, 0, []
            if not ranges:
                finished.append(name)

    def _known(self, shard: Shard) -> NDArray[np.int64]:
        """Return the class index of every row."""
        groups = shard.samples["space_group"].astype(np.int64)
        labels = self.classes.index(groups)
        if (labels == OUTSIDE).any():
            wrong = int(groups[labels == OUTSIDE][0])
            raise FormatError(f"{shard.name}: space group {wrong} is not among the classes of {self._spool.path}")
        if shard.blocks[0].patterns.shape[1] != self.grid.n_points:
            raise FormatError(f"{shard.name}: patterns of {shard.blocks[0].patterns.shape[1]} points in this spool")
        return labels

    def _shards(self, begin: tuple[str, int] | None, stop: threading.Event) -> Iterator[_Part]:
        """Yield shards for ever, each with the rows to use of it."""
        if self._consumer is None:
            yield from self._followed(stop)
            return
        consumer = self._consumer
        claims = spool_claims(self._spool, consumer)
        window = self._resumed_order(consumer, begin)
        while not stop.is_set():
            if not window:
                window = consumer.claim(CLAIMED_AT_ONCE)
                if not window:
                    stop.wait(LOOK_AGAIN)
                    continue
                append_lines(self._order_file, ({"name": str(name)} for name in window))
            name = window.pop(0)
            row = begin[1] if begin is not None and begin[0] == str(name) else 0
            ranges = kept_rows(row, name.rows, self._discarded.get(str(name), []))
            if not ranges:
                yield str(name), None, []
                continue
            shard = consumer.load(name)
            if shard is None:
                continue  # damaged: in quarantine, logged
            if self._ranks.world > 1:
                self._outbox.put(json.dumps([str(claims / str(name)), ranges]))
            yield str(name), shard, ranges

    def _followed(self, stop: threading.Event) -> Iterator[_Part]:
        """Yield the shards that the leader has verified."""
        while not stop.is_set():
            try:
                path, ranges = json.loads(self._inbox.get(timeout=TICK))
            except queue.Empty:
                continue
            yield Path(path).name, read_shard(Path(path)), ranges

    def _resumed_order(self, consumer: Consumer, begin: tuple[str, int] | None) -> list[ShardName]:
        """Return the shards held, in the order of their claims: the one in use first."""
        held = {str(name): name for name in consumer.held()}
        logged = _read_order(self._order_file) if held else []
        names = [*([begin[0]] if begin else []), *logged, *held]
        order = [held[name] for name in dict.fromkeys(names) if name in held]
        damaged = begin is not None and (self._spool.layout.quarantined(self._feed) / begin[0]).exists()
        if begin is not None and begin[0] not in held and not damaged:
            # a damaged checkpoint covered it, and the one before does not know
            if begin[0] not in read_notes(self._spool.layout.consumer(self._run_id)).used:
                raise InputError(
                    f"{begin[0]}: the shard in use at the checkpoint is no longer held; its spool was changed"
                )
            console.say(f"{begin[0]}: used behind this checkpoint and deleted; going on with the shards that are left")
        write_bytes(self._order_file, "".join(json.dumps({"name": str(name)}) + "\n" for name in order).encode())
        return order


def spool_claims(spool: Spool, consumer: Consumer) -> Path:
    """Return the folder of the shards that a consumer holds."""
    return spool.layout.claims(consumer.run_id, consumer.epoch)


def _read_order(path: Path) -> list[str]:
    """Return logged names; a last line cut short by a kill names a shard that no batch was made of."""
    return [str(entry["name"]) for entry in read_lines(path)]


def kept_rows(first: int, rows: int, discarded: Sequence[tuple[int, int]]) -> Ranges:
    """Return the ranges of a shard's rows from `first` on that were not discarded."""
    kept: Ranges = []
    for low, high in [*sorted(discarded), (rows, rows)]:
        if first < low:
            kept.append((first, low))
        first = max(first, high)
    return kept


def _given_up(folder: Path) -> int:
    """Return how many rows a training has discarded so far."""
    notes = read_notes(folder)
    return sum(notes.counts(name)[1] for name in notes.discarded)


def _copy(shard: Shard, first: int, last: int, patterns: NDArray[np.float16], samples: NDArray[np.void]) -> None:
    """Copy rows first to last (excluded) of a shard from its blocks."""
    for block in shard.blocks:
        low, high = max(first, block.first_row), min(last, block.first_row + len(block.samples))
        if low < high:
            here, there = slice(low - first, high - first), slice(low - block.first_row, high - block.first_row)
            patterns[here] = block.patterns[there]
            samples[here] = block.samples[there]

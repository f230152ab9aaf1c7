"""Training on a growing spool: shards are claimed, verified, used once, and deleted when a checkpoint covers them.

Rows are taken in the order of the claims. Samples are independent draws already, so nothing is shuffled, and the
cursor is one shard and one row. The order of the claims is kept in the run folder (claims.jsonl), so that a process
killed at any moment goes on with the same batches. Under DDP rank 0 claims and verifies; its main thread passes the
paths on, and every rank reads its part of each batch from the shared file system.

# B rows of a batch, P grid points
"""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from xrdcommon import console
from xrdcommon.errors import FormatError, InputError
from xrdcommon.files import write_bytes
from xrdcommon.shards.format import ShardName
from xrdcommon.shards.reader import Shard, read_shard
from xrdcommon.spool.consumer import Consumer
from xrdcommon.spool.layout import MAIN
from xrdcommon.spool.spool import Spool

from xrdtrain.data.batch import Backlog, Batch, Cursor, empty_patterns
from xrdtrain.data.reader import TICK, Reader
from xrdtrain.distributed import Ranks
from xrdtrain.labels import OUTSIDE, Classes

CLAIMED_AT_ONCE = 2
ROWS_AHEAD = 4096
"""Rows decoded in front of the training: 70 MB at 8501 points."""

LOOK_AGAIN = 0.5
"""Seconds between two looks into an empty spool."""


class SpoolSource:
    """Batches of never-reused synthetic diffractograms."""

    is_fixed = False

    def __init__(
        self, spool: Spool, *, run_id: str, order_file: Path, batch: int, ranks: Ranks, feed: str = MAIN
    ) -> None:
        """Prepare to consume; nothing is claimed before `start`.

        Args:
            spool: the opened spool.
            run_id: name of the training in the spool, the same after a resume.
            order_file: where the order of the claims is kept.
            batch: samples of one step over all ranks.
            ranks: the processes of the training.
            feed: queue of the spool to take from; trainings of different feeds get every shard each.

        """
        self._feed = feed
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

    @property
    def physics(self) -> dict[str, Any]:
        """Settings of the simulation that filled the spool."""
        return dict(self._spool.configuration.get("simulation") or {})

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
        """Take over what this run held, repeat the last cover, and begin to read ahead."""
        if cursor is not None:
            self._finished = [str(name) for name in cursor["finished"]]
            if cursor["current"] is not None:
                self._current = (str(cursor["current"][0]), int(cursor["current"][1]))
        if self._ranks.leads:
            if self._spool.open_feed(self._feed):
                waiting = self._spool.backlog().samples
                console.say(
                    f"feed '{self._feed}' is new: it gets the shards that are published from now on, none of the "
                    f"{waiting:,} samples that wait in other feeds"
                )
            self._consumer = self._spool.consumer(self._run_id, self._feed)
            if cursor is not None:
                self.covered(int(cursor.get("step", 0)))
        begin, pinned = self._current, self._ranks.device.type == "cuda"
        self._finished = []
        self._reader = Reader(lambda stop: self._produce(begin, stop, pinned), max(4, ROWS_AHEAD // self._batch))

    def exchange(self) -> None:
        """Under DDP pass on what the leader has claimed and verified."""
        if self._ranks.world == 1:
            return
        waiting = self._outbox.qsize() if self._ranks.leads else 0
        if n := int(self._ranks.largest(waiting)[0]):
            shards = [self._outbox.get() for _ in range(n)] if self._ranks.leads else []
            for shard in self._ranks.from_leader(shards):
                if not self._ranks.leads:
                    self._inbox.put(shard)

    def next(self, timeout: float) -> Batch | None:
        """Return the next batch (see `Source`)."""
        assert self._reader is not None
        return self._reader.next(timeout)

    def used(self, batch: Batch) -> None:
        """Move the cursor on."""
        self._finished.extend(batch.mark["finished"])
        self._current = batch.mark["current"]

    def cursor(self) -> Cursor:
        """Return the shards finished since the last checkpoint, and shard and row where the next batch begins."""
        return {"finished": list(self._finished), "current": None if self._current is None else list(self._current)}

    def covered(self, step: int) -> None:
        """Count as used and delete what a durable checkpoint covers."""
        if self._consumer is not None:
            used = {name: ShardName.parse(name).rows for name in self._finished}
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

    def close(self, *, done: bool) -> None:
        """Stop reading; at the proper end untouched shards go back to the spool."""
        if self._reader is not None:
            self._reader.close()
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
        for shard, row in self._shards(begin, stop):
            known = self._known(shard)
            while row < len(shard):
                if patterns is None:
                    patterns = empty_patterns(own, self.grid.n_points, pinned=pinned)
                    labels = torch.empty(own, dtype=torch.int64)
                    samples = np.empty(own, dtype=shard.blocks[0].samples.dtype)
                assert labels is not None
                assert samples is not None
                n = min(self._batch - filled, len(shard) - row)
                low, high = max(mine.start, filled), min(mine.stop, filled + n)
                if low < high:
                    here = slice(low - mine.start, high - mine.start)
                    first, last = row + low - filled, row + high - filled
                    _copy(shard, first, last, patterns[here].numpy(), samples[here])
                    labels[here] = torch.from_numpy(known[first:last])
                row += n
                filled += n
                if row == len(shard):
                    finished.append(str(shard.name))
                if filled == self._batch:
                    current = None if row == len(shard) else (str(shard.name), row)
                    yield Batch(patterns, labels, samples, {"finished": finished, "current": current})
                    patterns, filled, finished = None, 0, []

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

    def _shards(self, begin: tuple[str, int] | None, stop: threading.Event) -> Iterator[tuple[Shard, int]]:
        """Yield shards for ever, each with the row at which to begin."""
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
                with self._order_file.open("a") as stream:
                    stream.writelines(json.dumps(str(name)) + "\n" for name in window)
            name = window.pop(0)
            row = begin[1] if begin is not None and begin[0] == str(name) else 0
            shard = consumer.load(name)
            if shard is None:
                continue  # damaged: in quarantine, logged
            if self._ranks.world > 1:
                self._outbox.put(json.dumps([str(claims / str(name)), row]))
            yield shard, row

    def _followed(self, stop: threading.Event) -> Iterator[tuple[Shard, int]]:
        """Yield the shards that the leader has verified."""
        while not stop.is_set():
            try:
                path, row = json.loads(self._inbox.get(timeout=TICK))
            except queue.Empty:
                continue
            yield read_shard(Path(path)), int(row)

    def _resumed_order(self, consumer: Consumer, begin: tuple[str, int] | None) -> list[ShardName]:
        """Return the shards held, in the order of their claims: the one in use first."""
        held = {str(name): name for name in consumer.held()}
        logged = _read_order(self._order_file) if held else []
        names = [*([begin[0]] if begin else []), *logged, *held]
        order = [held[name] for name in dict.fromkeys(names) if name in held]
        damaged = begin is not None and (self._spool.layout.quarantined(self._feed) / begin[0]).exists()
        if begin is not None and begin[0] not in held and not damaged:
            raise InputError(f"{begin[0]}: the shard in use at the checkpoint is no longer held; its spool was changed")
        write_bytes(self._order_file, "".join(json.dumps(str(name)) + "\n" for name in order).encode())
        return order


def spool_claims(spool: Spool, consumer: Consumer) -> Path:
    """Return the folder of the shards that a consumer holds."""
    return spool.layout.claims(consumer.run_id, consumer.epoch)


def _read_order(path: Path) -> list[str]:
    """Return logged names; a last line cut short by a kill names a shard that no batch was made of."""
    names: list[str] = []
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            names.append(str(json.loads(line)))
        except ValueError:
            break
    return names


def _copy(shard: Shard, first: int, last: int, patterns: NDArray[np.float16], samples: NDArray[np.void]) -> None:
    """Copy rows first to last (excluded) of a shard from its blocks."""
    for block in shard.blocks:
        low, high = max(first, block.first_row), min(last, block.first_row + len(block.samples))
        if low < high:
            here, there = slice(low - first, high - first), slice(low - block.first_row, high - block.first_row)
            patterns[here] = block.patterns[there]
            samples[here] = block.samples[there]

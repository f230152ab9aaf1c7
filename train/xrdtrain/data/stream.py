"""A spool as a PyTorch data set: each sample to exactly one process, used up when the training says so.

    with open_spool_dataset("spool", "my-network", fields=("space_group", "lattice")) as stream:
        for patterns, groups, lattices in stream.loader(batch_size=128, num_workers=2):
            ...  # a step
            if time_for_a_checkpoint:
                torch.save({"model": model.state_dict(), "stream": stream.state_dict()}, path)
                stream.commit()

What has been given counts as used once `commit` says so, and is deleted then. A process that ends without having said
so may have used it: those samples are not given again (`on_crash="discard"`) and the audit counts them as discarded;
or they are given again ("replay", for a training that goes back to its last checkpoint), and the audit counts them as
replayed.

Every rank of a distributed training is a consumer of its own ("my-network", "my-network.rank1", ...) and claims shards
by itself. So do the workers of a DataLoader, in the name of their rank's process, which holds the lease and notes what
is used.

# P grid points
"""

from __future__ import annotations

import atexit
import copy
import multiprocessing
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import IterableDataset, get_worker_info
from xrdcommon import console
from xrdcommon.errors import InputError, SpoolError
from xrdcommon.grid import Grid
from xrdcommon.shards.format import BLOCK_ROWS, ShardName
from xrdcommon.shards.reader import Shard
from xrdcommon.spool.claims import Claims
from xrdcommon.spool.feeds import open_feed
from xrdcommon.spool.given import Given
from xrdcommon.spool.layout import MAIN, check_name
from xrdcommon.spool.spool import Spool
from xrdcommon.spool.usage import Ranges

from xrdtrain.data.lane import Lane
from xrdtrain.data.progress import OnCrash
from xrdtrain.data.stream_loader import StreamLoader
from xrdtrain.data.targets import DEFAULT, IDENTITY, Sample, Targets, check_targets, to_float32
from xrdtrain.distributed import rank_of_process
from xrdtrain.labels import OUTSIDE, Classes

STATE_FORMAT = 1

LOOK_AGAIN = 0.2
"""Seconds between two looks into an empty spool."""

PATIENCE = 5.0
"""Seconds without data after which the stream says why it waits."""

_open: dict[tuple[str, str], SpoolDataset] = {}
"""Streams of this process by spool and name: opened again (a cell of a notebook), the earlier one is closed."""


class SpoolDataset(IterableDataset[Sample]):
    """Fresh samples of a spool; see `open_spool_dataset`.

    Iterating gives tuples of a pattern (P,) float32 in [0, 1] and the fields asked for. It is a plain iterator and an
    `IterableDataset`: `DataLoader(stream)` works as it is with `num_workers=0`. With worker processes use `loader`,
    which knows what the training was given, or ask for the field `identity` and tell the stream with `note`.

    Attributes:
        grid: 2theta grid of the patterns.
        classes: space groups that occur.
        rank: number of this process in a distributed training.
        world: number of processes.

    """

    def __init__(
        self,
        spool: Spool,
        run: str,
        *,
        fields: Sequence[str] = DEFAULT,
        wait: bool | float = True,
        shuffle: int = 0,
        seed: int = 0,
        feed: str = MAIN,
        on_crash: OnCrash = OnCrash.DISCARD,
        rank: int | None = None,
        world: int | None = None,
    ) -> None:
        self.fields = check_targets(fields)
        self._patience = float("inf") if wait is True else float(wait)
        if not self._patience >= 0:
            raise InputError(f"wait {wait}: True, False or seconds")
        if shuffle < 0 or seed < 0:
            raise InputError(f"shuffle {shuffle}, seed {seed}: must not be negative")
        self.grid: Grid = spool.grid
        self.classes = Classes(spool.classes)
        self.rank, self.world = rank_of_process(rank, world)
        self._spool, self._run, self._shuffle, self._seed = spool, check_name(run), shuffle, seed
        self._on_crash, self._pid = on_crash, os.getpid()
        self._tracked = False
        key = (spool.uuid, f"{self._run}.{self.rank}")
        if key in _open:
            _open[key].close()
        open_feed(spool, feed)
        self._lanes: list[Lane] = []
        try:
            for number in Lane.numbers(spool, self._run, self.rank, self.world):
                self._lanes.append(Lane(spool, self._run, number, feed, on_crash))
        except BaseException:
            for lane in self._lanes:
                lane.abandon()
            raise
        self._key = key
        _open[key] = self

    # --- giving

    def __iter__(self) -> Iterator[Sample]:
        """Give samples; an iteration that was broken off goes on, in this process, with the next one.

        Raises:
            SpoolError: another process took over, the feed was removed, or too many shards are damaged.

        """
        info = get_worker_info()
        if info is not None:
            return self._give([lane.claims.helper() for lane in self._lanes], info.id)
        if not self._tracked:
            self.begin()
        return self._give([lane.claims for lane in self._lanes], None)

    def begin(self) -> None:
        """Begin an iteration; one that was under way ends."""
        self._in_owner("iterating")
        self.settle()
        for lane in self._lanes:
            lane.begin()

    def _give(self, hands: list[Claims], worker: int | None) -> Iterator[Sample]:
        """Give rows of one window of shards after the other."""
        first = self._lanes[0]
        turn = first.turn
        counter = None
        if worker is not None and not self._tracked:  # nobody else can tell what was given
            counter = Given(hands[0].owner, hands[0].epoch, f"{os.getpid()}-{time.time_ns()}")
        try:
            while window := self._window(hands, worker):
                for lane, shard, targets, row in self._order(window):
                    if first.closed or turn != first.turn:
                        raise SpoolError(f"stream '{self._run}': closed, or iterated anew; use the latest iterator")
                    if counter is not None:
                        counter.add(1)
                    elif worker is None and not self._tracked:
                        self._lanes[lane].give(shard.name, row)
                    block = shard.blocks[row // BLOCK_ROWS]
                    yield (to_float32(block.patterns[row - block.first_row]), *targets.of(row))
        finally:
            if counter is not None:
                counter.close()

    def _window(self, hands: list[Claims], worker: int | None) -> list[tuple[int, Shard, Ranges]]:
        """Return the next shards, one or as many as are to be mixed, each with the rows to give; wait for the first."""
        window: list[tuple[int, Shard, Ranges]] = []
        rows = 0
        begin, told = time.monotonic(), False
        while not window or rows < self._shuffle:
            found = self._next_shard(hands)
            if found is not None:
                lane, name, free = found
                shard = hands[lane].load(name)
                if shard is not None:
                    window.append((lane, shard, free))
                    rows += sum(last - first for first, last in free)
                continue
            if worker is not None and not _is_awaited():
                return []
            waited = time.monotonic() - begin
            if window or waited >= self._patience:
                break
            if waited > PATIENCE and not told and not worker and self.rank == 0:
                told = True
                self._say_waiting(hands)
            time.sleep(min(LOOK_AGAIN, self._patience))
        return window

    def _next_shard(self, hands: list[Claims]) -> tuple[int, ShardName, Ranges] | None:
        """Take a shard that this rank holds, else claim one; None where there is none."""
        for number, (lane, hand) in enumerate(zip(self._lanes, hands, strict=True)):
            for name in hand.names():
                free = lane.free(name)
                if free and hand.take(name, lane.turn):
                    return number, name, free
        for name in hands[0].claim(1):
            if hands[0].take(name, self._lanes[0].turn):  # else another hand has seen it first
                return 0, name, [(0, name.rows)]
        return None

    def _order(self, window: list[tuple[int, Shard, Ranges]]) -> Iterator[tuple[int, Shard, Targets, int]]:
        """Yield lane, shard and row in order, or in one that the seed and the first shard decide."""
        targets = [Targets(self.fields, shard.samples, self.classes) for _, shard, _ in window]
        for _, shard, _ in window:
            self._check(shard)
        rows = [np.concatenate([np.arange(first, last) for first, last in free]) for _, _, free in window]
        which = np.repeat(np.arange(len(window)), [len(each) for each in rows])
        places: NDArray[np.int64] = np.stack([which, np.concatenate(rows)], axis=1)
        if self._shuffle:
            name = window[0][1].name
            key = np.array([self._seed, name.producer << 32 | name.shard], dtype=np.uint64)
            np.random.Generator(np.random.Philox(key=key)).shuffle(places)
        for number, row in places.tolist():
            lane, shard, _ = window[number]
            yield lane, shard, targets[number], row

    def _check(self, shard: Shard) -> None:
        groups = shard.samples["space_group"].astype(np.int64)
        if (self.classes.index(groups) == OUTSIDE).any() or shard.blocks[0].patterns.shape[1] != self.grid.n_points:
            raise SpoolError(f"{shard.name}: not of the grid or the space groups of {self._spool.path}")

    def _say_waiting(self, hands: list[Claims]) -> None:
        """Say why nothing comes."""
        held = sum(len(hand.names()) for hand in hands)
        why = (
            f"; {held} shards that were given wait for commit(), and production perhaps for their space" if held else ""
        )
        console.say(f"waiting for data: no shards in {self._spool.path}: is `xrdgen produce` running?{why}")

    def loader(self, batch_size: int | None = 1, num_workers: int = 0, **options: Any) -> StreamLoader:
        """Return a DataLoader of this stream that tells it which batches the training was given.

        Args:
            batch_size: samples of a batch; None for single samples.
            num_workers: processes that read shards; each claims its own.
            options: further ones of `torch.utils.data.DataLoader`.

        Raises:
            InputError: options that make no sense for a stream.

        """
        return StreamLoader(self, batch_size, num_workers, options)

    # --- what the training says

    def note(self, identities: torch.Tensor | NDArray[np.integer], *, count: bool = False) -> None:
        """Tell the stream that the training was given samples, by their field `identity` (N, 3).

        Needed with worker processes and without `loader` only, where nobody else knows.

        Args:
            identities: stream, shard and row of each.
            count: they were given by this process (the loader), not by one that counts itself.

        Raises:
            InputError: samples that this stream does not hold.

        """
        self._in_owner("note")
        rows = np.asarray(identities, dtype=np.int64).reshape(-1, 3)
        for producer, shard in np.unique(rows[:, :2], axis=0).tolist():
            mine = rows[(rows[:, 0] == producer) & (rows[:, 1] == shard), 2]
            found = [(lane, name) for lane in self._lanes if (name := lane.find(producer, shard)) is not None]
            if not found:
                raise InputError(f"sample {producer}:{shard}:{mine[0]}: not held by stream '{self._run}'")
            lane, name = found[0]
            lane.note(name, mine, count=count)

    def state_dict(self) -> dict[str, Any]:
        """Return what the training was given, of this rank; plain values, to be kept in a checkpoint.

        In a distributed training keep those of all ranks (`dist.all_gather_object`, or a file each).
        """
        self._in_owner("state_dict")
        self.settle()
        return {
            "format": STATE_FORMAT,
            "spool": self._spool.uuid,
            "run": self._run,
            "lanes": {str(lane.number): lane.state() for lane in self._lanes},
        }

    def load_state_dict(self, state: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> None:
        """Go on where a checkpoint was written: what it was given counts as used from now on.

        Call it before the first iteration. Samples given behind it are discarded or given again (see `on_crash`).

        Args:
            state: of `state_dict`; in a distributed training those of all ranks.

        Raises:
            InputError: not a state of this stream, or not of all ranks, or the iteration has begun.
            SpoolError: a state of shards that are neither held nor used.

        """
        self._in_owner("load_state_dict")
        states = [state] if isinstance(state, Mapping) else list(state)
        lanes: dict[str, Any] = {}
        for each in states:
            if not isinstance(each, Mapping) or each.get("format") != STATE_FORMAT or "lanes" not in each:
                raise InputError("state of a stream: not one, or of another version of xrdstream")
            if (each["spool"], each["run"]) != (self._spool.uuid, self._run):
                raise InputError(
                    f"state of stream '{each['run']}' of spool {each['spool']}: this one is '{self._run}' of "
                    f"{self._spool.uuid} ({self._spool.path})"
                )
            lanes |= each["lanes"]
        missing = [lane.number for lane in self._lanes if str(lane.number) not in lanes and not lane.is_new]
        if missing:
            raise InputError(
                f"state of ranks {', '.join(lanes)}: rank {missing[0]} is missing; give a list of all ranks' states"
            )
        for lane in self._lanes:
            if str(lane.number) in lanes:
                lane.load(lanes[str(lane.number)])
        self.settle()

    def settle(self) -> None:
        """Decide for good what becomes of samples that an earlier process gave and did not commit."""
        for lane in self._lanes:
            lane.settle()

    def commit(self) -> int:
        """Count as used what the training was given, and delete shards that are used up; return how many samples.

        Call it once a checkpoint with `state_dict` is durable; without checkpoints, whenever you like.

        Raises:
            InputError: worker processes gave samples and nobody told the stream which.
            SpoolError: another process took over.
            DiskFullError: no space for the note; nothing was deleted.

        """
        self._in_owner("commit")
        self.settle()
        return sum(lane.commit() for lane in self._lanes)

    def close(self) -> None:
        """End: what was given and not committed is discarded (or kept, to be given again), the rest is left."""
        if self._lanes[0].closed or os.getpid() != self._pid:
            return
        _open.pop(self._key, None)
        for lane in self._lanes:
            lane.close()

    def _in_owner(self, what: str) -> None:
        if os.getpid() != self._pid:
            raise InputError(f"{what}: only in the process that opened the stream, not in a worker of a DataLoader")
        if self._lanes[0].closed:
            raise InputError(f"{what}: the stream '{self._run}' is closed")

    def tracked(self) -> SpoolDataset:
        """Return this stream as a loader reads it that notes what it passes on: identities as the last field."""
        dataset = copy.copy(self)
        dataset.fields = (*self.fields, IDENTITY)
        dataset._tracked = True
        return dataset

    def __enter__(self) -> SpoolDataset:
        """Return itself; leaving the block closes."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _is_awaited() -> bool:
    """Tell whether the process lives that this worker reads for; one that was killed cannot say good-bye."""
    parent = multiprocessing.parent_process()
    return parent is None or parent.is_alive()


@atexit.register
def _close_all() -> None:
    """End what the program did not end itself."""
    for stream in list(_open.values()):
        stream.close()

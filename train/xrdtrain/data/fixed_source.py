"""Training on a fixed set: epochs in a seeded order, patterns in memory or in a memory-mapped cache.

# N patterns of the classes, B rows of a batch, P grid points
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from xrdcommon.console import track
from xrdcommon.errors import InputError
from xrdcommon.fields import PATTERN_DTYPE
from xrdcommon.fixed_sets import FixedSet
from xrdcommon.grid import Grid

from xrdtrain.data.batch import Backlog, Batch, Cursor, empty_patterns
from xrdtrain.data.progress import Crashes
from xrdtrain.data.reader import Reader
from xrdtrain.distributed import Ranks
from xrdtrain.labels import OUTSIDE, Classes

IN_MEMORY = 1 << 30
"""Bytes of patterns up to which every process keeps its own copy; more go to a file that all map."""

READ_ROWS = 1024
AHEAD = 4


class FixedSource:
    """Batches of a fixed set; it is only ever read."""

    is_fixed = True

    def __init__(
        self, path: Path, *, batch: int, seed: int, ranks: Ranks, cache: Path, classes: Sequence[int] | None = None
    ) -> None:
        """Open the set.

        Args:
            path: the fixed set.
            batch: samples of one step over all ranks.
            seed: of the order.
            ranks: the processes of the training.
            cache: folder for the memory-mapped copy of a large set.
            classes: space groups to learn; all that occur by default.

        Raises:
            InputError: fewer patterns of the classes than one batch.

        """
        self._set = FixedSet.open(path)
        self.grid: Grid = self._set.grid
        labels = self._set.samples["space_group"].astype(np.int64)
        self.classes = Classes(np.unique(labels) if classes is None else classes)
        index = self.classes.index(labels)
        self._rows = np.flatnonzero(index != OUTSIDE)
        self._index = index
        if len(self._rows) < batch:
            raise InputError(
                f"{path}: {len(self._rows)} diffractograms of the classes are fewer than a batch of {batch}; "
                "give a smaller --batch"
            )
        self._batch, self._seed, self._ranks, self._cache = batch, seed, ranks, cache
        self._patterns: NDArray[np.float16] | None = None
        self._reader: Reader | None = None
        self._cursor: Cursor = {"epoch": 0, "position": 0}

    @property
    def physics(self) -> dict[str, Any]:
        """Settings of the simulation as the set gives them."""
        return dict(self._set.attributes.get("simulation") or {})

    @property
    def origin(self) -> dict[str, Any]:
        """Kind and contents of the source."""
        return {"kind": "fixed set", "content_hash": self._set.content_hash, "rows": len(self._set)}

    def start(self, cursor: Cursor | None) -> None:
        """Load the patterns and begin to read ahead."""
        self._patterns = self._load()
        if cursor is not None:
            self._cursor = cursor
        begin, pinned = self._cursor, self._ranks.device.type == "cuda"
        self._reader = Reader(lambda stop: self._produce(begin, stop, pinned), AHEAD)

    def next(self, timeout: float) -> Batch | None:
        """Return the next batch (see `Source`)."""
        assert self._reader is not None
        return self._reader.next(timeout)

    def outgoing(self) -> int:
        """Return 0: every rank reads the same order."""
        return 0

    def exchange(self, n: int) -> None:
        """There is nothing to pass on."""

    def crashes(self) -> Crashes:
        """Return nothing: patterns are used again and again."""
        return Crashes()

    def used(self, batch: Batch) -> None:
        """Move the cursor on."""
        self._cursor = batch.mark

    def verify(self) -> None:
        """A fixed set has no owner."""

    def cursor(self) -> Cursor:
        """Return epoch and position in it after the last batch."""
        return self._cursor

    def covered(self, step: int) -> None:
        """Nothing is deleted from a fixed set."""

    def uncovered(self) -> int:
        """Return 0: nothing waits to be deleted."""
        return 0

    def backlog(self) -> Backlog | None:
        """Return None: nothing waits in a fixed set."""
        return None

    def close(self, *, done: bool) -> None:
        """Stop reading."""
        if self._reader is not None:
            self._reader.close()

    def _load(self) -> NDArray[np.float16]:
        """Return all patterns (N, P), the file's rows in order."""
        shape = (len(self._set), self.grid.n_points)
        starts = range(0, shape[0], READ_ROWS)
        if shape[0] * shape[1] * PATTERN_DTYPE.itemsize <= IN_MEMORY:
            return np.concatenate([self._set.patterns(start, start + READ_ROWS) for start in starts])
        digest = hashlib.sha256(self._set.content_hash.encode()).hexdigest()[:16]
        path = self._cache / f"patterns-{digest}.npy"
        if self._ranks.leads and not path.exists():
            self._cache.mkdir(parents=True, exist_ok=True)
            temporary = path.with_suffix(".tmp")
            copy = np.lib.format.open_memmap(temporary, mode="w+", dtype=PATTERN_DTYPE, shape=shape)
            for start in track(starts, f"copy {self._set.path.name} to {self._cache}"):
                copy[start : start + READ_ROWS] = self._set.patterns(start, start + READ_ROWS)
            copy.flush()
            del copy
            temporary.rename(path)
        self._ranks.from_leader(None)  # wait for the copy
        mapped: NDArray[np.float16] = np.load(path, mmap_mode="r")
        return mapped

    def _produce(self, begin: Cursor, stop: threading.Event, pinned: bool) -> Iterator[Batch]:
        """Go through seeded permutations for ever; the rest of an epoch joins the beginning of the next."""
        assert self._patterns is not None
        epoch, position = int(begin["epoch"]), int(begin["position"])
        order = self._order(epoch)
        while not stop.is_set():
            rows = order[position : position + self._batch]
            position += self._batch
            while position >= len(order):
                position -= len(order)
                epoch += 1
                order = self._order(epoch)
                rows = np.concatenate([rows, order[: self._batch - len(rows)]])
            mine = rows[self._ranks.slice(self._batch)]
            patterns = empty_patterns(len(mine), self.grid.n_points, pinned=pinned)
            np.take(self._patterns, mine, axis=0, out=patterns.numpy())
            yield Batch(
                patterns,
                torch.from_numpy(self._index[mine]),
                self._set.samples[mine],
                {"epoch": epoch, "position": position},
            )

    def _order(self, epoch: int) -> NDArray[np.int64]:
        """Return the rows of the classes in the order of one epoch."""
        return np.random.default_rng([self._seed, epoch]).permutation(self._rows)

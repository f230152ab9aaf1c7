"""Training on a fixed set: epochs in a seeded order, patterns in memory or in a file that all processes map.

# N patterns of the classes, B rows of a batch, P grid points
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from xrdcommon.errors import InputError
from xrdcommon.fields import PATTERN_DTYPE
from xrdcommon.fixed_sets.cache import load, make_cache, open_cache
from xrdcommon.fixed_sets.fixed_set import FixedSet
from xrdcommon.grid import Grid
from xrdcommon.measurement import Measurement

from xrdtrain.data.batch import Backlog, Batch, Cursor, empty_patterns
from xrdtrain.data.progress import Crashes
from xrdtrain.data.reader import Reader
from xrdtrain.distributed import Ranks
from xrdtrain.labels import OUTSIDE, Classes

IN_MEMORY = 1 << 30
"""Bytes of patterns up to which every process keeps its own copy; more go to a file that all map."""

NO_CACHE = "none"
"""As --cache: every process keeps its own copy, however large the set is."""

SHARE_OF_MEMORY = 0.5
"""Of the machine's memory, that such copies may take."""

AHEAD = 4


class FixedSource:
    """Batches of a fixed set; it is only ever read."""

    is_fixed = True

    def __init__(
        self,
        path: Path,
        *,
        batch: int,
        seed: int,
        ranks: Ranks,
        run: Path,
        cache: str | None = None,
        classes: Sequence[int] | None = None,
    ) -> None:
        """Open the set.

        Args:
            path: the fixed set.
            batch: samples of one step over all ranks.
            seed: of the order.
            ranks: the processes of the training.
            run: run folder; a large set is copied to RUN/cache by default.
            cache: another folder for the copy, which other runs may share, or "none".
            classes: space groups to learn; all that occur by default.

        Raises:
            InputError: fewer patterns of the classes than one batch, or more than memory without a cache.

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
        self._batch, self._seed, self._ranks = batch, seed, ranks
        self._cache = _cache_folder(self._set, run, cache, ranks)
        self._patterns: NDArray[np.float16] | None = None
        self._reader: Reader | None = None
        self._cursor: Cursor = {"epoch": 0, "position": 0}

    @property
    def measurement(self) -> Measurement:
        """2theta grid and wavelength of the patterns."""
        return Measurement.of_simulation(self.grid, self._set.attributes.get("simulation"))

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
        if self._cache is None:
            return load(self._set)
        if self._ranks.leads:
            make_cache(self._set, self._cache)
        self._ranks.from_leader(None)  # wait for the copy
        if os.environ.get("LOCAL_RANK", "0") == "0":
            make_cache(self._set, self._cache)  # a folder that another node does not share
        self._ranks.largest(0.0)
        return open_cache(self._set, self._cache)

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
            np.take(self._patterns, mine, axis=0, out=patterns.numpy(), mode="clip")  # "raise" would copy twice
            yield Batch(
                patterns,
                torch.from_numpy(self._index[mine]),
                self._set.samples[mine],
                {"epoch": epoch, "position": position},
            )

    def _order(self, epoch: int) -> NDArray[np.int64]:
        """Return the rows of the classes in the order of one epoch."""
        return np.random.default_rng([self._seed, epoch]).permutation(self._rows)


def _cache_folder(data: FixedSet, run: Path, cache: str | None, ranks: Ranks) -> Path | None:
    """Return where the copy of a set belongs, None for the memory of every process.

    Raises:
        InputError: no cache is wanted and the copies would not fit in memory.

    """
    size = len(data) * data.grid.n_points * PATTERN_DTYPE.itemsize
    if cache is None:
        return None if size <= IN_MEMORY else run / "cache"
    if cache != NO_CACHE:
        return Path(cache)
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    here = int(os.environ.get("LOCAL_WORLD_SIZE", ranks.world))
    if size * here > SHARE_OF_MEMORY * memory:
        raise InputError(
            f"{data.path}: {size * here / 1e9:.3g} GB in memory for {here} processes on a machine of "
            f"{memory / 1e9:.3g} GB; give a folder with --cache DIR"
        )
    return None

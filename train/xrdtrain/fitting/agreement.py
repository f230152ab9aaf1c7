"""Before every step all ranks agree on what comes next, so that none waits in a collective for one that has stopped.

One small reduction over gloo a step carries it all: whether each rank has its batch, signals, rank 0's clock, limits
and producer, and how many shards it has to pass on. A rank that has no data says so here and never keeps the others
in a collective of the gradients.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

from xrdcommon import console
from xrdcommon.errors import InputError
from xrdcommon.signals import StopRequest

from xrdtrain.data.batch import Batch, Source
from xrdtrain.distributed import Ranks
from xrdtrain.fitting.local_producer import Producer
from xrdtrain.runs.config import RunConfig

POLL = 0.5
"""Seconds that a process waits for a batch before it looks for signals and limits again."""

PATIENCE = 5.0
"""Seconds without data after which the training says so, and covers what it used so that production goes on."""

REMIND = 60.0
CHECKPOINT_SECONDS = 600.0


class NoBatch(Enum):
    """Why there is no batch; the same on every rank."""

    STOPPED = auto()
    TIME_UP = auto()
    PRODUCER_DIED = auto()
    NOTHING_LEFT = auto()
    COVER = auto()
    """Used shards wait for a checkpoint, and production perhaps for the space that they take: write one, look again."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """What all ranks know before a step; each value is the largest that one of them gave.

    Attributes:
        stop: a signal came to one of them.
        missing: one of them has no batch yet.
        over: the time is up.
        save: the last checkpoint is long ago.
        ended: the local producer has ended properly.
        died: the local producer died.
        elapsed: seconds spent on the run, by rank 0's clock.
        waited: seconds spent on this batch, by rank 0's clock.
        outgoing: shards that rank 0 has to pass on.
        uncovered: used shards that wait for a checkpoint.

    """

    stop: float = 0.0
    missing: float = 0.0
    over: float = 0.0
    save: float = 0.0
    ended: float = 0.0
    died: float = 0.0
    elapsed: float = 0.0
    waited: float = 0.0
    outgoing: float = 0.0
    uncovered: float = 0.0


class Waiting:
    """Gets the next batch of every rank, or the reason why there is none."""

    def __init__(
        self,
        *,
        config: RunConfig,
        source: Source,
        ranks: Ranks,
        stop: StopRequest,
        producer: Producer | None,
        elapsed: Callable[[], float],
    ) -> None:
        self._config, self._source, self._ranks = config, source, ranks
        self._stop, self._producer, self._elapsed = stop, producer, elapsed
        self.saved = time.monotonic()
        self.agreed = Agreement()
        self._batch: Batch | None = None
        self._begin: float | None = None
        self._told = 0.0
        self._covered = False

    def next(self) -> Batch | NoBatch:
        """Wait for a batch. After `COVER` call it again; the wait goes on."""
        if self._begin is None:
            self._begin, self._told, self._covered = time.monotonic(), 0.0, False
        while True:
            if self._batch is None:
                self._batch = self._source.next(POLL)
            self.agreed = agreed = self._agree(self._batch)
            if agreed.outgoing:
                self._source.exchange(int(agreed.outgoing))
            verdict = self._judge(agreed)
            if verdict is NoBatch.COVER:
                return verdict
            if verdict is not None:
                self._batch = self._begin = None
                return verdict
            if not agreed.missing:
                assert self._batch is not None
                batch, self._batch, self._begin = self._batch, None, None
                return batch

    def _judge(self, agreed: Agreement) -> NoBatch | None:
        """Decide alike on every rank; None: go on."""
        if agreed.stop:
            return NoBatch.STOPPED
        if agreed.died:
            return NoBatch.PRODUCER_DIED
        if agreed.over:
            return NoBatch.TIME_UP
        if not agreed.missing or agreed.waited < PATIENCE:
            return None
        if agreed.ended and self._nothing_left():
            return NoBatch.NOTHING_LEFT
        if self._ranks.leads and (not self._told or agreed.waited - self._told > REMIND):
            self._told = agreed.waited
            self._say(agreed.waited)
        if agreed.uncovered and not self._covered:
            self._covered = True
            return NoBatch.COVER
        return None

    def _agree(self, batch: Batch | None) -> Agreement:
        """Tell the other ranks how this one stands, and learn how all do."""
        flags = [float(bool(self._stop)), float(batch is None)] + 8 * [0.0]
        if self._ranks.leads:
            config, producer, now, elapsed = self._config, self._producer, time.monotonic(), self._elapsed()
            flags[2:] = (
                config.max_time is not None and elapsed >= config.max_time,
                now - self.saved > CHECKPOINT_SECONDS,
                producer is not None and producer.finished,
                producer is not None and producer.died,
                elapsed,
                now - (now if self._begin is None else self._begin),
                self._source.outgoing(),
                self._source.uncovered(),
            )
        return Agreement(*self._ranks.largest(*flags))

    def _nothing_left(self) -> bool:
        """Return whether the spool is empty, on every rank alike."""
        backlog = self._source.backlog() if self._ranks.leads else None
        return bool(self._ranks.from_leader(backlog is not None and backlog.shards == 0))

    def _say(self, seconds: float) -> None:
        """Say why nothing moves."""
        running = (
            "the local producer is starting or too slow"
            if self._producer is not None
            else (f"is `xrdgen produce {self._config.source}` running?")
        )
        console.say(f"no data for {seconds:.0f} s: no shards in {self._config.source}: {running}")


def nothing_came(source: str) -> InputError:
    """Return the error of a training that ended before its first sample."""
    return InputError(
        f"{source}: gave no samples until the time was up, nothing was trained; start `xrdgen produce {source}` and "
        "then this command again"
    )

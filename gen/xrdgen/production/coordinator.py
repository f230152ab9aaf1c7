"""The coordinator: which shards are made, when to pause, what to do when something fails."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Callable

from xrdcommon import console
from xrdcommon.errors import DiskFullError, InputError, Interrupted, XrdError
from xrdcommon.fields import PATTERN_DTYPE, SAMPLE_DTYPE
from xrdcommon.signals import StopRequest
from xrdcommon.spool.backlog import (
    KEEP_FILES,
    KEEP_FREE_SPARE,
    Backlog,
    Watermarks,
    format_bytes,
    free_bytes,
    free_files,
)
from xrdcommon.spool.feeds import feeds
from xrdcommon.spool.producer import Stream
from xrdcommon.spool.spool import Spool

from xrdgen.production.executors import ORDERS_PER_WORKER, Executor
from xrdgen.production.monitoring.announcement import Announcement
from xrdgen.production.plan import ShardPlan
from xrdgen.production.shard_task import Outcome, RowFactory, ShardOrder, ShardReport

POLL = 0.25
"""Seconds between two looks at signals, requests and watermarks."""

LOOK_INTERVAL = 1.0
"""Seconds between two looks at the folders."""

MAX_LOST = 5
"""A shard whose worker was lost so many times ends the production."""

BACK_OFF = (5.0, 300.0)
"""First and longest pause in seconds while the disk is full; each failure doubles it."""

LONELY = 5.0
"""Seconds that a coordinator which is to stop waits for workers when there are none."""

SHARD_OVERHEAD = 1.06
"""Bytes of a shard over those of its rows, at most."""

HEADERS_OF_A_ROW = 48
"""A row's share of the headers of its members, bytes."""


def check_watermark(rows: int, n_points: int, marks: Watermarks) -> int:
    """Return the most bytes that a shard may take.

    Args:
        rows: of a shard.
        n_points: of a row.
        marks: when production is to pause.

    Raises:
        InputError: the high watermark is below one shard.

    """
    row = PATTERN_DTYPE.itemsize * n_points + SAMPLE_DTYPE.itemsize + HEADERS_OF_A_ROW
    size = int((rows * row + 10_240) * SHARD_OVERHEAD)
    if marks.full(Backlog(), more_shards=1, shard_bytes=size):
        raise InputError(
            f"high watermark {format_bytes(marks.high_bytes)}: a shard of {rows} samples needs {format_bytes(size)}; "
            "raise it, or lower --rows-per-shard for a new spool"
        )
    return size


class Coordinator:
    """Keeps an executor busy with the shards of one stream."""

    def __init__(
        self,
        spool: Spool,
        stream: Stream,
        executor: Executor,
        factory: RowFactory,
        *,
        samples: int | None = None,
        marks: Watermarks | None = None,
        stop: StopRequest | None = None,
        back_off: tuple[float, float] = BACK_OFF,
        verify: Callable[[], None] = lambda: None,
    ) -> None:
        """Prepare a production.

        Args:
            spool: where to.
            stream: owned by this process.
            executor: who works.
            factory: makes the rows.
            samples: total of the spool at which to stop; endless by default.
            marks: when to pause.
            stop: request to drain.
            back_off: first and longest pause in seconds while the disk is full.
            verify: called once a second; raises where this process must not go on.

        Raises:
            InputError: the high watermark is below one shard.

        """
        self._spool = spool
        self._stream = stream
        self._executor = executor
        self._verify = verify
        self._factory = factory
        self._marks = Watermarks() if marks is None else marks
        self._stop = StopRequest() if stop is None else stop
        rows = int(spool.configuration["rows_per_shard"])
        self._shard_bytes = check_watermark(rows, spool.grid.n_points, self._marks)
        self._plan = ShardPlan(spool, stream.number, rows, samples)
        self._announcement = Announcement(stream, samples, self._marks)
        self._again: list[ShardOrder] = []
        self._running: set[int] = set()
        self._lost: Counter[int] = Counter()
        self._told = False
        self._paused = False
        self._short = False
        self._free = 0
        self._free_files: int | None = None
        self._back_off_range = back_off
        self._back_off = 0.0
        self._not_before = 0.0
        self._backlog = Backlog()
        self._since_look = 0
        self._looked = -LOOK_INTERVAL
        self._deserted_since: float | None = None
        self._start = time.monotonic()
        self.found = self._plan.found
        self.samples = 0

    def run(self, on_progress: Callable[[int, str], None] = lambda n, note: None) -> None:
        """Produce until the samples are made or a stop is asked for.

        Args:
            on_progress: called with samples published since the last call and a note.

        Raises:
            Interrupted: stopped before the samples were complete; another call goes on.
            XrdError: what a task could not mend.

        """
        try:
            while self._round():
                for order, result in self._executor.results(POLL):
                    on_progress(self._handle(order, result), self._note())
            self._stream.tidy()
        finally:
            self._stream.close()
        if self._stop and (self._again or self._running or not self._plan.complete):
            raise Interrupted(
                f"stopped after {self.samples} samples ({self._stop.reason}); "
                f"`xrdgen produce {self._spool.path}` goes on from here"
            )

    def _round(self) -> bool:
        """Look around and order shards; return whether there is still something to wait for."""
        self._look()
        if self._stop and not self._told:
            self._told = True
            console.say(f"{self._stop.reason}: finishing the shards that are being made (again to stop at once)")
            with contextlib.suppress(OSError):  # a full disk: tasks that have not begun will fail by themselves
                self._stream.skip_file.touch()
        if not self._stop and not self._again and self._plan.complete:
            return bool(self._running)
        if not self._stop:
            self._order()
        if self._stop:
            return bool(self._running) and not self._alone()
        if not self._running and (self._paused or self._short or time.monotonic() < self._not_before):
            time.sleep(POLL)
        return True

    def _alone(self) -> bool:
        """Return whether the shards under way are nobody's any more: whoever made them has gone for good."""
        if not self._executor.deserted():
            self._deserted_since = None
            return False
        if self._deserted_since is None:
            self._deserted_since = time.monotonic()
        return time.monotonic() - self._deserted_since >= LONELY

    def _order(self) -> None:
        """Fill the executor, with one message."""
        orders: list[ShardOrder] = []
        slots = self._executor.slots()
        while len(self._running) < slots and self._may_order():
            order = self._next()
            if order is None:
                break
            try:
                self._stream.prepare(order.shard)
            except DiskFullError as error:
                self._wait_for_space(order, error)
                break
            self._running.add(order.shard)
            orders.append(order)
        if orders:
            self._executor.submit(orders)

    def _next(self) -> ShardOrder | None:
        """Return what failed before, then what was never made."""
        if self._again:
            return self._again.pop(0)
        planned = self._plan.next()
        if planned is None:
            return None
        shard, rows = planned
        return ShardOrder(
            str(self._spool.path),
            self._spool.uuid,
            self._stream.number,
            shard,
            rows,
            str(self._stream.skip_file),
            self._factory,
        )

    def _look(self) -> None:
        """Look at the spool once a second: requests, backlog, whether the stream is still ours."""
        now = time.monotonic()
        if now - self._looked < LOOK_INTERVAL:
            return
        self._looked = now
        self._stream.lease.verify()
        self._verify()
        if self._spool.stop_requested():
            self._stop.request("drain requested")
        self._plan.refresh()
        self._backlog = self._spool.backlog()
        self._free = free_bytes(self._spool.path)
        self._free_files = free_files(self._spool.path)
        self._since_look = 0
        full_disk = "the disk is full" if now < self._not_before else None
        pause = "high watermark reached" if self._paused else "too little space free" if self._short else full_disk
        self._announcement.update(self._executor.slots() // ORDERS_PER_WORKER, pause)

    def _may_order(self) -> bool:
        """Return whether watermarks and disk allow one more shard; say when that changes."""
        if time.monotonic() < self._not_before:
            return False
        more = len(self._running) + self._since_look
        self._watch_space(more)
        if self._paused:
            self._paused = not self._marks.low(self._backlog, more_shards=more, shard_bytes=self._shard_bytes)
            if not self._paused:
                console.say(f"backlog down to {self._describe_backlog()}: production goes on")
        elif self._marks.full(self._backlog, more_shards=more + 1, shard_bytes=self._shard_bytes):
            self._paused = True
            console.say(
                f"high watermark reached ({self._describe_backlog()}, {len(self._running)} being made): production "
                f"pauses until training has used some (resumes at {format_bytes(self._marks.low_bytes)} or "
                f"{self._marks.low_shards} shards){self._slowest()}"
            )
        return not (self._paused or self._short)

    def _watch_space(self, more: int) -> None:
        """Pause while one more shard would leave less of the file system free than is to be kept; say when."""
        more += 1
        few = self._marks.short_of_files(self._free_files, more_shards=more, paused=self._short)
        little = self._marks.short_of_space(
            self._free, more_shards=more, shard_bytes=self._shard_bytes, paused=self._short
        )
        if (short := few or little) != self._short:
            self._short = short
            free, kept = format_bytes(self._free), self._marks.keep_free
            if few:
                console.say(
                    f"only {self._free_files} files (inodes) free where {self._spool.path} lies, {KEEP_FILES} are kept "
                    f"for checkpoints (--keep-free): production pauses (resumes at {KEEP_FILES * KEEP_FREE_SPARE:.0f})"
                )
            elif little:
                console.say(
                    f"only {free} free where {self._spool.path} lies, {format_bytes(kept)} are kept for checkpoints "
                    f"(--keep-free): production pauses (resumes at {format_bytes(kept * KEEP_FREE_SPARE)})"
                )
            else:
                console.say(f"{free} free again: production goes on")

    def _slowest(self) -> str:
        """Name the feed with the most shards, where there are several; a shard stays until all have used it."""
        names = feeds(self._spool.layout)
        if len(names) < 2:
            return ""
        waiting = {feed: self._spool.backlog(feed).all_shards for feed in names}
        slowest = max(waiting, key=lambda feed: waiting[feed])
        return f"; most wait in feed {slowest}: {waiting[slowest]} shards"

    def _handle(self, order: ShardOrder, result: ShardReport | DiskFullError | None) -> int:
        """Take note of a result; return the samples it published."""
        self._running.discard(order.shard)
        if isinstance(result, ShardReport):
            if result.outcome is Outcome.SKIPPED:
                self._again.append(order)
                return 0
            self._back_off = 0.0
            self._since_look += 1
            self._plan.done(order.shard, result.rows)
            self.samples += result.rows
            return result.rows
        if isinstance(result, DiskFullError):
            self._wait_for_space(order, result)
        else:
            self._count_loss(order)
        return 0

    def _count_loss(self, order: ShardOrder) -> None:
        """Order again a shard whose worker was lost, but not for ever."""
        self._again.append(order)
        self._lost[order.shard] += 1
        where = f"shard {order.shard} of stream {order.producer}"
        if self._lost[order.shard] >= MAX_LOST:
            raise XrdError(
                f"{where}: lost its worker {MAX_LOST} times; out of memory? `xrdgen produce --workers 0` shows it"
            )
        console.say(f"{where}: its worker was lost; the shard is made again")

    def _wait_for_space(self, order: ShardOrder, error: DiskFullError) -> None:
        """Order the shard again after a pause that doubles with every failure."""
        self._again.append(order)
        if time.monotonic() >= self._not_before:
            first, longest = self._back_off_range
            self._back_off = min(longest, 2 * self._back_off if self._back_off else first)
            self._not_before = time.monotonic() + self._back_off
            console.say(f"{error}: trying again in {self._back_off:.0f} s; nothing is lost")

    def _note(self) -> str:
        seconds = time.monotonic() - self._start
        return f"{self.samples / seconds:.0f}/s, {self._describe_backlog()}"

    def _describe_backlog(self) -> str:
        return f"backlog {self._backlog.all_shards} shards, {format_bytes(self._backlog.all_bytes)}"

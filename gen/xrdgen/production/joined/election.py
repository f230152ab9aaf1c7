"""One production over many machines: every task runs workers, and one of the tasks coordinates.

All tasks run the same command. Who gets the lease in `control/coordinator/` starts scheduler and coordinator in a
process of its own; when that ends or dies, any task that is left does so. Workers are not the coordinator's children:
they keep their compiled kernels and join the next one.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from enum import Enum, auto

from xrdcommon import console
from xrdcommon.errors import EXIT_RESUMABLE, EXIT_WRONG_INPUT, Interrupted, XrdError
from xrdcommon.signals import StopRequest, stop_on_signals
from xrdcommon.spool.backlog import Watermarks
from xrdcommon.spool.journal import make_folder
from xrdcommon.spool.lease import PATIENCE, State, beat, latest, observe
from xrdcommon.spool.spool import Spool

from xrdgen.production.cluster.rendezvous import check_owner
from xrdgen.production.cluster.worker_pool import (
    HEALTHY,
    WorkerPool,
    back_off,
    describe_end,
    end,
    module_command,
    start,
    tell,
)
from xrdgen.production.joined.coordinator_process import (
    EXIT_AGAIN,
    EXIT_TAKEN,
    Assignment,
    factory_name,
    lease_owner,
)
from xrdgen.production.options import EVERYWHERE
from xrdgen.production.produce import check_amounts, local_workers
from xrdgen.production.shard_task import RowFactory
from xrdgen.samples.compiling import compile_once
from xrdgen.samples.config import ProductionConfig
from xrdgen.samples.engines import rows_of
from xrdgen.samples.rows import CrystalRows

POLL = 0.25
LOOK_INTERVAL = 1.0
"""Seconds between two looks at the lease and the stop file."""

LONGEST_SHARD = 600.0
"""Seconds that a draining task may take for the shards under way."""

COURTESY = 3.0
"""Seconds by which the task whose coordinator died may be the first to start another."""

BACK_OFF = (0.5, 60.0)
MAX_FAILURES = 10


PATIENCE_LOOKS = 10
"""Looks at a silent coordinator, at least, before another takes its place."""


class TaskEnd(Enum):
    """Why a task ends."""

    COMPLETE = auto()
    FAILED = auto()


class Election:
    """Sees to it that somebody coordinates; `look` now and then."""

    def __init__(self, spool: Spool, assignment: Assignment) -> None:
        self._owner = lease_owner(spool.layout)
        make_folder(self._owner)
        self._assignment = assignment
        self._process: subprocess.Popen[bytes] | None = None
        self._started = 0.0
        self._failures = 0
        self._not_before = 0.0
        self._looked = -LOOK_INTERVAL
        self._seen = 0, b""
        self._looks = 0
        self._silent_since = self._vacant_since = time.monotonic()
        self._had_it = True  # nobody has; the first is as good as any

    def look(self) -> TaskEnd | None:
        """Start a coordinator where there is none; tell when production is at its end."""
        now = time.monotonic()
        if self._process is not None:
            code = self._process.poll()
            return None if code is None else self._note_end(code, now)
        if now >= self._not_before and now - self._looked >= LOOK_INTERVAL:
            self._looked = now
            state = observe(self._owner)
            if self._vacant(state, now):
                # One elsewhere has been watched long enough from here.
                silent = latest(self._owner) if state is State.ELSEWHERE else None
                assignment = replace(self._assignment, silent=silent)
                self._process = start(
                    module_command("xrdgen.production.joined.coordinator_process", assignment.to_json())
                )
                self._started = now
        return None

    def _vacant(self, state: State, now: float) -> bool:
        """Return whether this task should try to coordinate."""
        if state is State.ALIVE:
            self._had_it = False
            self._vacant_since = self._silent_since = now
            return False
        if state is State.ELSEWHERE:
            self._had_it = False
            self._vacant_since = now
            seen = latest(self._owner), beat(self._owner)
            self._looks += 1
            if seen != self._seen:
                self._seen, self._silent_since, self._looks = seen, now, 0
            # Of one that stood still itself, a minute may have passed between two looks.
            return now - self._silent_since >= PATIENCE and self._looks >= PATIENCE_LOOKS
        return self._had_it or now - self._vacant_since >= COURTESY

    def _note_end(self, code: int, now: float) -> TaskEnd | None:
        if self._process is not None:
            end(self._process)
        self._process = None
        self._had_it = code != EXIT_TAKEN
        self._vacant_since = self._silent_since = now
        self._not_before = now + LOOK_INTERVAL
        if code == 0:
            return TaskEnd.COMPLETE
        if code == EXIT_WRONG_INPUT:
            return TaskEnd.FAILED
        if code in (EXIT_TAKEN, EXIT_RESUMABLE):
            return None
        self._failures = 1 if now - self._started > HEALTHY else self._failures + 1
        seconds = BACK_OFF[1] if code == EXIT_AGAIN else back_off(self._failures, BACK_OFF)
        self._not_before = now + seconds
        if self._failures >= MAX_FAILURES and code != EXIT_AGAIN:
            return TaskEnd.FAILED
        console.say(f"the coordinator ended ({describe_end(code)}); the next one starts in {seconds:.1f} s")
        return None

    @property
    def running(self) -> bool:
        """Return whether a coordinator of this task is left."""
        return self._process is not None and self._process.poll() is None

    def drain(self) -> None:
        """Let the coordinator finish the shards under way, and another task take over."""
        if self._process is not None:
            tell(self._process)

    def kill(self) -> None:
        """End a coordinator of this task at once."""
        if self._process is not None:
            end(self._process)


def produce_joined(
    spool: Spool,
    *,
    workers: int | None = None,
    samples: int | None = None,
    marks: Watermarks | None = None,
    listen: str = EVERYWHERE,
    factory: RowFactory | None = None,
) -> None:
    """Take part in a production with workers of this machine, until it is complete or drained.

    Args:
        spool: where to.
        workers: processes; as many as there are cores by default.
        samples: total of the spool, over all its streams.
        marks: when to pause; those of the task that coordinates count.
        listen: interface of the scheduler, where this task coordinates.
        factory: makes the rows; by default what the spool's engine asks for.

    Raises:
        Interrupted: this task was asked to end by a signal; others go on, or the same command later.
        XrdError: wrong values, or what could not be mended.

    """
    check_amounts(workers, samples)
    if factory is None:
        factory = rows_of(ProductionConfig.from_dict(spool.configuration).engine)
    marks = Watermarks() if marks is None else marks
    assignment = Assignment(str(spool.path), samples, marks, listen, factory_name(factory))
    if spool.stop_requested():
        console.say(f"{spool.path}: was asked to drain; `xrdgen drain {spool.path} --undo` lets production go on")
        return
    if observe(lease_owner(spool.layout)) in (State.ALIVE, State.ELSEWHERE):
        check_owner(spool.layout.scheduler_file)
    with stop_on_signals() as stop:
        if factory is CrystalRows:
            compile_once(spool, aloud=True)
        election = Election(spool, assignment)
        n_workers = max(1, local_workers(spool, workers))
        console.say(f"{n_workers} workers take part in the production of {spool.path}")
        pool = WorkerPool(spool, spool.layout.scheduler_file, n_workers)
        try:
            outcome = _take_part(spool, election, pool, stop)
            _finish(election, pool)
        except KeyboardInterrupt:
            raise Interrupted("stopped at once; unfinished shards are thrown away and made again") from None
        finally:
            election.kill()
            pool.kill()
        if outcome is TaskEnd.FAILED:
            raise XrdError(f"{spool.path}: the coordinator gave up, for the reason above")
        if stop:
            raise Interrupted(f"stopped by {stop.reason}; the production goes on without this task, or with it again")
    done = "all samples are there" if outcome is TaskEnd.COMPLETE else "drained"
    console.say(f"{spool.path}: {done}; {spool.backlog().samples} samples ready")


def _take_part(spool: Spool, election: Election, pool: WorkerPool, stop: StopRequest) -> TaskEnd | None:
    """Work until the production ends, a signal comes, or the spool is to be drained."""
    looked = -LOOK_INTERVAL
    while not stop:
        if time.monotonic() - looked >= LOOK_INTERVAL:
            looked = time.monotonic()
            if spool.stop_requested():
                break
        outcome = election.look()
        if outcome is not None:
            return outcome
        pool.look()
        time.sleep(POLL)
    console.say(f"{stop.reason or 'drain requested'}: finishing the shards that are being made (again to stop at once)")
    return None


def _finish(election: Election, pool: WorkerPool) -> None:
    """Drain; workers stay until the coordinator of this task has had its last report."""
    election.drain()
    wait_while(lambda: election.running)
    pool.drain()
    wait_while(lambda: pool.running)


def wait_while(running: Callable[[], bool], seconds: float | None = None) -> None:
    """Wait until something has ended, at most so many seconds, the longest shard by default."""
    limit = time.monotonic() + (LONGEST_SHARD if seconds is None else seconds)
    while running() and time.monotonic() < limit:
        time.sleep(POLL)

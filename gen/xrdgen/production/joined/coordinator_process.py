"""A coordinator in a process of its own, for a production over many machines: who gets the lease, coordinates.

    python -m xrdgen.production.joined.coordinator_process ASSIGNMENT         (JSON; `Election` starts it)

A line on standard input, or its end, makes it finish the shards under way and let the next one in. Where the task that
started it was killed with all workers there were, nobody makes those shards: they are left to the next one.
"""

from __future__ import annotations

import json
import sys
import threading
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from xrdcommon import console
from xrdcommon.errors import EXIT_RESUMABLE, EXIT_WRONG_INPUT, DiskFullError, Interrupted, SpoolError, XrdError
from xrdcommon.signals import StopRequest, ignore_signals
from xrdcommon.spool.backlog import Watermarks
from xrdcommon.spool.journal import explain_refusals
from xrdcommon.spool.layout import Layout
from xrdcommon.spool.lease import Lease, State, holder, latest, observe, same_process
from xrdcommon.spool.producer import Stream
from xrdcommon.spool.records import RecordCache, streams
from xrdcommon.spool.spool import Spool

from xrdgen.production.executors import local_cluster
from xrdgen.production.produce import run_stream
from xrdgen.production.shard_task import RowFactory

EXIT_TAKEN = 3
"""Another process coordinates."""

EXIT_AGAIN = 4
"""A full disk: try again later."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """What to coordinate.

    Attributes:
        spool: where to.
        samples: total of the spool at which production ends; None is endless.
        marks: when to pause.
        listen: interface of the scheduler.
        factory: `module:name` of what makes the rows.
        silent: epoch of a coordinator elsewhere that was watched already and showed no life.

    """

    spool: str
    samples: int | None
    marks: Watermarks
    listen: str
    factory: str
    silent: int | None = None

    def to_json(self) -> str:
        """Return what `from_json` reads."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Assignment:
        """Return the assignment that `to_json` wrote."""
        content: dict[str, Any] = json.loads(text)
        return cls(**content | {"marks": Watermarks(**content["marks"])})

    def row_factory(self) -> RowFactory:
        """Return what makes the rows."""
        module, _, name = self.factory.partition(":")
        factory: RowFactory = getattr(import_module(module), name)
        return factory


def factory_name(factory: RowFactory) -> str:
    """Name a function or class of an installed module for an assignment."""
    return f"{factory.__module__}:{factory.__qualname__}"


def lease_owner(layout: Layout) -> Path:
    """Return the folder whose lease the coordinator holds."""
    return layout.control / "coordinator"


def coordinate(assignment: Assignment, stop: StopRequest) -> int:
    """Coordinate if nobody else does; return an exit code."""
    spool = Spool.open(assignment.spool)
    owner = lease_owner(spool.layout)
    try:
        with explain_refusals(spool.path):
            before = holder(owner) if observe(owner) is State.ELSEWHERE else {}
            lease = Lease.acquire(owner, spool.layout.temporary, silent_epoch=assignment.silent)
    except DiskFullError as error:
        console.say(f"coordinator: {error}")
        return EXIT_AGAIN
    if lease is None:
        return EXIT_TAKEN
    stream = None
    try:
        if _complete(spool, assignment.samples):
            return 0
        # What showed no life as coordinator need not be watched for a minute more as the producer of its stream.
        stream = Stream.open(spool, silent=_streams_of(spool.layout, before))
        cluster = local_cluster(0, assignment.listen, spool)
        run_stream(
            spool,
            stream,
            cluster,
            assignment.row_factory(),
            samples=assignment.samples,
            marks=assignment.marks,
            stop=stop,
            verify=lease.verify,
        )
        return 0
    except Interrupted as stopped:
        console.say(f"coordinator: {stopped}")
        return EXIT_RESUMABLE
    except DiskFullError as error:
        console.say(f"coordinator: {error}")
        return EXIT_AGAIN
    except XrdError as error:
        console.say(f"coordinator: {error}")
        leases = [lease] if stream is None else [lease, stream.lease]
        return EXIT_TAKEN if any(map(_overtaken, leases)) else EXIT_WRONG_INPUT
    finally:
        lease.release()


def _streams_of(layout: Layout, process: dict[str, Any]) -> dict[int, int]:
    """Return the streams that a process owned last, with the epochs of its leases."""
    epochs = {number: latest(layout.stream(number)) for number in streams(layout)}
    return {number: epoch for number, epoch in epochs.items() if same_process(process, holder(layout.stream(number)))}


def _complete(spool: Spool, samples: int | None) -> bool:
    """Return whether all samples are published."""
    if samples is None:
        return False
    cache = RecordCache(spool.layout, summaries=True)
    cache.refresh()
    return sum(record.rows for _, _, record in cache) >= samples


def _overtaken(lease: Lease) -> bool:
    try:
        lease.verify()
    except SpoolError:
        return True
    return False


def _listen(stop: StopRequest) -> None:
    """Wait for an order of the process that started this one, or its end."""
    sys.stdin.readline()
    stop.request("the task of the coordinator ends")


def main() -> None:
    """Coordinate until the samples are complete, or told to stop."""
    ignore_signals()
    stop = StopRequest()
    threading.Thread(target=_listen, args=(stop,), daemon=True).start()
    raise SystemExit(coordinate(Assignment.from_json(sys.argv[1]), stop))


if __name__ == "__main__":
    main()

"""Workers that join a running production from another process, task or machine."""

from __future__ import annotations

import contextlib
import socket
import time
from enum import Enum, auto
from pathlib import Path

from xrdcommon import console
from xrdcommon.errors import InputError, Interrupted
from xrdcommon.signals import StopRequest, stop_on_signals
from xrdcommon.spool.spool import Spool

from xrdgen.production.cluster.rendezvous import Address, check_owner, find, read_address, security
from xrdgen.production.cluster.worker_pool import WorkerPool
from xrdgen.production.joined.election import POLL, wait_while

KNOCK_INTERVAL = 1.0
KNOCKS = 3
"""Connections refused in a row, a second apart, after which a producer has vanished."""

AT_ONCE = 5.0
"""Seconds that workers get whose producer has gone."""


class _End(Enum):
    SIGNAL = auto()
    WITHDRAWN = auto()
    VANISHED = auto()


def join(spool: Spool, workers: int, scheduler_file: Path | None = None, wait: float = 60.0) -> None:
    """Start worker processes and keep them until the production ends or a signal comes.

    A signal lets each worker finish the shard it is making; what it had not begun goes to the others.

    Args:
        spool: its producer is joined.
        workers: processes, one shard at a time each.
        scheduler_file: of the cluster; the producer's own by default.
        wait: seconds to wait for a producer.

    Raises:
        InputError: no producer listens.
        SpoolError: the producer is another user's, or the certificate of the spool is not ours to read.
        Interrupted: stopped by a signal, or the producer vanished (killed, or its machine unreachable).

    """
    if workers < 1:
        raise InputError(f"workers {workers}: must be at least 1")
    file = scheduler_file or spool.layout.scheduler_file
    address = _wait_for_address(file, spool, wait)
    check_owner(file)
    if address.protected:
        security(spool.layout)  # refused here, in one line
    console.say(f"{workers} workers join the production of {spool.path} at {address.address}")
    with stop_on_signals() as stop:
        pool = WorkerPool(spool, file, workers)
        try:
            end = _watch(file, address, pool, stop)
            if end is _End.SIGNAL:
                console.say(f"{stop.reason}: workers finish the shards they are making")
            pool.drain()
            wait_while(lambda: pool.running, AT_ONCE if end is _End.VANISHED else None)
        except KeyboardInterrupt:
            raise Interrupted("workers stopped at once; their shards are made again") from None
        finally:
            pool.kill()
    if end is _End.VANISHED:
        raise Interrupted(
            f"{address.address}: the producer vanished without ending the production; "
            "start `xrdgen worker` beside the next"
        )
    if end is _End.SIGNAL:
        raise Interrupted(f"workers stopped by {stop.reason}; the production goes on without them")
    console.say("the production has ended")


def _wait_for_address(file: Path, spool: Spool, wait: float) -> Address:
    """Wait for the producer's address."""
    end = time.monotonic() + wait
    while not file.exists():
        if time.monotonic() >= end:
            raise InputError(
                f"{file}: no producer listens; start `xrdgen produce {spool.path} --listen INTERFACE` first"
            )
        time.sleep(0.5)
    return read_address(file)


def _watch(file: Path, address: Address, pool: WorkerPool, stop: StopRequest) -> _End:
    """Keep workers running until the producer ends properly, vanishes, or a signal comes."""
    refused = 0
    knocked = time.monotonic()
    while not stop:
        if time.monotonic() - knocked >= KNOCK_INTERVAL:
            knocked = time.monotonic()
            found = find(file)
            if found is None:
                return _End.WITHDRAWN
            refused = refused + 1 if _refuses(found) else 0
            if refused >= KNOCKS:
                return _End.VANISHED
        pool.look()
        time.sleep(POLL)
    return _End.SIGNAL


def _refuses(address: Address) -> bool:
    """Return whether nobody listens there any more; a slow network is no answer."""
    with contextlib.suppress(TimeoutError, OSError):
        try:
            socket.create_connection(address.endpoint, timeout=5.0).close()
        except ConnectionRefusedError:
            return True
    return False

"""A worker process that outlives coordinators: it joins whichever the spool names, and the next when that one ends.

    python -m xrdgen.production.cluster.worker_process SPOOL SCHEDULER_FILE

A line on standard input (or Ctrl-C's absence: signals are ignored) tells it to finish its shard and end; when standard
input closes, whoever started it is gone and it ends at once. Compiled kernels stay warm from one coordinator to the
next, and a shard under way is finished and published when its coordinator dies, unless the next one has adopted the
stream by then and makes it again.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import Any

from xrdcommon.errors import InputError
from xrdcommon.signals import ignore_signals
from xrdcommon.spool.spool import Spool

from xrdgen.production import shard_task
from xrdgen.production.cluster.rendezvous import Address, check_owner, find, security
from xrdgen.production.cluster.worker_setup import configure, silence

LOOK_INTERVAL = 0.5
"""Seconds between two looks at the spool for another coordinator."""

CONNECTING = 30.0
"""Seconds that a coordinator gets to answer."""

HAND_OVER = 5.0
"""Seconds in which a coordinator should have fetched the last report of a worker that leaves."""


def main() -> None:
    """Work until told to stop."""
    ignore_signals()
    silence()
    configure()
    asyncio.run(_work(Spool.open(sys.argv[1]), Path(sys.argv[2])))


async def _work(spool: Spool, file: Path) -> None:
    """Join one coordinator after the other."""
    drain = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), _listen, drain)
    while not drain.is_set():
        address = _find(file)
        if address is not None:
            await _join(spool, file, address, drain)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(drain.wait(), LOOK_INTERVAL)


def _listen(drain: asyncio.Event) -> None:
    """Take an order from whoever started this process; end with it."""
    if not os.read(sys.stdin.fileno(), 4096):
        os._exit(1)  # a shard under way is thrown away; Python would wait for its thread
    drain.set()


def _find(file: Path) -> Address | None:
    with contextlib.suppress(InputError):  # half a file from a foreign tool, or one of another user; look again
        check_owner(file)
        return find(file)
    return None


async def _join(spool: Spool, file: Path, address: Address, drain: asyncio.Event) -> None:
    """Work for one coordinator until it ends, another takes its place, or this process shall stop."""
    distributed: Any = import_module("distributed")
    shard_task.abandon.clear()
    # An executor of our own: closing waits for its thread, so that two shards are never made at once.
    executor = ThreadPoolExecutor(1, thread_name_prefix="shard")
    worker = distributed.Worker(
        address.address,
        nthreads=1,
        memory_limit=0,
        executor=executor,
        # Workers listen too: not farther than their scheduler.
        host="127.0.0.1" if address.local else None,
        dashboard_address="127.0.0.1:0",
        security=security(spool.layout) if address.protected else None,
        death_timeout=CONNECTING,
    )
    starting = asyncio.ensure_future(_start(worker))
    replaced = asyncio.ensure_future(_replaced(file, address))
    drained = asyncio.ensure_future(drain.wait())
    helpers = [replaced, drained]
    await asyncio.wait([starting, replaced, drained], return_when=asyncio.FIRST_COMPLETED)
    if starting.done() and starting.result():
        finished = asyncio.ensure_future(worker.finished())
        await asyncio.wait([finished, replaced, drained], return_when=asyncio.FIRST_COMPLETED)
        if drained.done() and not finished.done():
            await asyncio.wait([asyncio.ensure_future(_leave(worker)), replaced], return_when=asyncio.FIRST_COMPLETED)
        closing = asyncio.ensure_future(worker.close(reason="leaving"))
        while not finished.done() or not closing.done():
            # The next coordinator has adopted the stream and thrown away what this thread still writes.
            if replaced.done() and _find(file) is not None:
                shard_task.abandon.set()
            await asyncio.wait([finished, closing], timeout=LOOK_INTERVAL, return_when=asyncio.ALL_COMPLETED)
    else:
        starting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await starting
        with contextlib.suppress(TimeoutError, OSError, asyncio.CancelledError):
            await asyncio.wait_for(worker.close(nanny=False), CONNECTING)
    for helper in helpers:
        helper.cancel()
    executor.shutdown(wait=False)


async def _start(worker: Any) -> bool:
    """Connect; return whether that worked."""
    try:
        await worker
    except (OSError, TimeoutError, RuntimeError, ValueError):
        return False
    return True


async def _replaced(file: Path, address: Address) -> None:
    """Return when the coordinator has withdrawn its address or another has put its own there."""
    while _find(file) == address:
        await asyncio.sleep(LOOK_INTERVAL)


async def _leave(worker: Any) -> None:
    """Finish the shard under way, hand its report over, and let the others have what was not begun."""
    core: Any = import_module("distributed.core")
    worker.status = core.Status.paused
    while worker.state.executing:
        await asyncio.sleep(0.05)
    end = asyncio.get_running_loop().time() + HAND_OVER
    while worker.data and asyncio.get_running_loop().time() < end:
        await asyncio.sleep(0.05)
    with contextlib.suppress(OSError, TimeoutError):
        await asyncio.wait_for(worker.close_gracefully(), HAND_OVER)


if __name__ == "__main__":
    main()

"""Workers that join a running production from another process, task or machine."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from importlib import import_module
from pathlib import Path
from typing import Any

from xrdcommon import console
from xrdcommon.errors import InputError, Interrupted, MissingFileError
from xrdcommon.files import read_json
from xrdcommon.spool.spool import Spool

from xrdgen.production.worker_setup import SIGNALS

LONGEST_SHARD = 600.0
"""Seconds that a draining worker may take for the shard it is making."""

AT_ONCE = 2.0
"""Seconds that a worker gets whose producer has gone: its shard will be made again."""


def join(spool: Spool, workers: int, scheduler_file: Path | None = None, wait: float = 60.0) -> None:
    """Start worker processes and keep them until the production ends or a signal comes.

    A signal lets each worker finish the shard it is making; what it had not begun goes to the others.

    Args:
        spool: its producer is joined.
        workers: processes, one thread each.
        scheduler_file: of the cluster; the producer's own by default.
        wait: seconds to wait for a producer.

    Raises:
        InputError: no producer listens.
        Interrupted: stopped by a signal.

    """
    if workers < 1:
        raise InputError(f"workers {workers}: must be at least 1")
    file = scheduler_file or spool.layout.scheduler_file
    address = _address(file, spool, wait)
    console.say(f"{workers} workers join the production of {spool.path} at {address}")
    reason = asyncio.run(_work(file, address, workers))
    if reason:
        raise Interrupted(f"workers stopped by {reason}; the production goes on without them")
    console.say("the production has ended")


def _address(file: Path, spool: Spool, wait: float) -> str:
    """Wait for the producer's address."""
    end = time.monotonic() + wait
    while not file.exists():
        if time.monotonic() >= end:
            raise InputError(
                f"{file}: no producer listens; start `xrdgen produce {spool.path} --listen INTERFACE` first"
            )
        time.sleep(0.5)
    return str(read_json(file)["address"])


async def _gone(file: Path, address: str) -> None:
    """Return when the producer has withdrawn its address or another has put its own there."""
    while True:
        await asyncio.sleep(1.0)
        try:
            if read_json(file)["address"] != address:
                return
        except MissingFileError:
            return


async def _work(file: Path, address: str, workers: int) -> str:
    """Run nannies until the production ends or a signal comes; return the signal's name, empty for none."""
    dask_config: Any = import_module("dask.config")
    distributed: Any = import_module("distributed")
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    dask_config.set(
        {
            "distributed.worker.preload": ["xrdgen.production.worker_setup"],
            "distributed.worker.profile.enabled": False,
        }
    )
    loop = asyncio.get_running_loop()
    stopped: asyncio.Future[str] = loop.create_future()

    def stop(number: int) -> None:
        if not stopped.done():
            stopped.set_result(signal.Signals(number).name)

    for number in SIGNALS:
        loop.add_signal_handler(number, stop, number)
    nannies = [
        distributed.Nanny(address, nthreads=1, memory_limit=0, dashboard_address=None, death_timeout=60)
        for _ in range(workers)
    ]
    finished = asyncio.ensure_future(_live(nannies, address))
    gone = asyncio.ensure_future(_gone(file, address))
    ends: list[asyncio.Future[Any]] = [finished, gone, stopped]
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    gone.cancel()
    if finished.done():
        finished.result()
    else:
        finished.cancel()
        seconds = AT_ONCE
        if stopped.done():
            console.say(f"{stopped.result()}: workers finish the shards they are making")
            seconds = LONGEST_SHARD
        # A nanny that never reached its producer may refuse to close or hang; its process ends with this one.
        closing = (asyncio.wait_for(nanny.close(timeout=seconds), seconds + AT_ONCE) for nanny in nannies)
        await asyncio.gather(finished, *closing, return_exceptions=True)
    return stopped.result() if stopped.done() else ""


async def _live(nannies: list[Any], address: str) -> None:
    """Start nannies and return when all have ended.

    Raises:
        InputError: nobody answers at the address.

    """
    try:
        await asyncio.gather(*nannies)
    except (OSError, TimeoutError, RuntimeError) as error:
        raise InputError(f"{address}: the producer does not answer ({error}); is it still running?") from error
    await asyncio.gather(*(nanny.finished() for nanny in nannies))

"""Workers that join a running production from another process, task or machine."""

from __future__ import annotations

import asyncio
import contextlib
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

from xrdgen.production.executors import scheduler_address
from xrdgen.production.worker_setup import SIGNALS

LONGEST_SHARD = 600.0
"""Seconds that a draining worker may take for the shard it is making."""

AT_ONCE = 2.0
"""Seconds that a worker gets whose producer has gone: its shard will be made again."""

VANISHED = "vanished"

KNOCKS = 3
"""Connections refused in a row, a second apart, after which a producer that a worker is starting for has vanished."""


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
        Interrupted: stopped by a signal, or the producer vanished (killed, or its machine unreachable).

    """
    if workers < 1:
        raise InputError(f"workers {workers}: must be at least 1")
    file = scheduler_file or spool.layout.scheduler_file
    address = _address(file, spool, wait)
    console.say(f"{workers} workers join the production of {spool.path} at {address}")
    reason = asyncio.run(_work(file, address, workers))
    if reason == VANISHED:
        raise Interrupted(
            f"{address}: the producer vanished without ending the production; start `xrdgen worker` beside the next"
        )
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
    return scheduler_address(file)


async def _gone(file: Path, address: str) -> None:
    """Return when the producer has withdrawn its address or another has put its own there."""
    while not _withdrawn(file, address):
        await asyncio.sleep(1.0)


def _withdrawn(file: Path, address: str) -> bool:
    """Tell whether a producer's address is no longer there."""
    try:
        return bool(read_json(file)["address"] != address)
    except MissingFileError:
        return True


async def _vanished(address: str, started: asyncio.Event) -> None:
    """Return when nobody listens at the address any more although the workers have not started."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    refused = 0
    while not started.is_set() and refused < KNOCKS:
        await asyncio.sleep(1.0)
        try:
            _, writer = await asyncio.wait_for(asyncio.open_connection(host.strip("[]"), int(port)), 10.0)
            writer.close()
            refused = 0
        except ConnectionRefusedError:
            refused += 1
        except (OSError, TimeoutError):  # a slow network: the workers' own limits decide
            refused = 0
    if started.is_set():
        await asyncio.Event().wait()  # from now on workers notice themselves


async def _work(file: Path, address: str, workers: int) -> str:
    """Run nannies until the production ends; return a signal's name, `VANISHED`, or nothing for its proper end."""
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
        distributed.Nanny(
            address,
            nthreads=1,
            memory_limit=0,
            dashboard_address=None,
            death_timeout=60,
            silence_logs=logging.CRITICAL,
        )
        for _ in range(workers)
    ]
    started = asyncio.Event()
    finished = asyncio.ensure_future(_live(nannies, started))
    gone = asyncio.ensure_future(_gone(file, address))
    vanished = asyncio.ensure_future(_vanished(address, started))
    ends: list[asyncio.Future[Any]] = [finished, gone, vanished, stopped]
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    gone.cancel()
    vanished.cancel()
    try:
        if finished.done():
            # A production that ends withdraws its address first; workers whose producer was killed just lose it.
            return "" if finished.result() and _withdrawn(file, address) else VANISHED
        seconds = AT_ONCE
        if stopped.done():
            console.say(f"{stopped.result()}: workers finish the shards they are making")
            seconds = LONGEST_SHARD if started.is_set() else AT_ONCE
        finished.cancel()
        # A nanny that never reached its producer may refuse to close, or wait for its process for ever: so do not we.
        closing = [asyncio.ensure_future(nanny.close(timeout=seconds)) for nanny in nannies]
        await asyncio.wait([finished, *closing], timeout=seconds + AT_ONCE)
        for task in [finished, *closing]:
            if not task.done():
                task.cancel()
            elif not task.cancelled():
                task.exception()  # looked at; what cannot be closed is killed
    finally:
        _kill_children()
    if stopped.done():
        return stopped.result()
    return VANISHED if vanished.done() and not vanished.cancelled() else ""


def _kill_children() -> None:
    """End worker processes that outlived their nannies; Python would wait for them before it ends."""
    psutil: Any = import_module("psutil")
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if not any("resource_tracker" in word for word in child.cmdline()):
                child.kill()


async def _live(nannies: list[Any], started: asyncio.Event) -> bool:
    """Start nannies and return when all have ended; False where they could not reach the producer."""
    try:
        await asyncio.gather(*nannies)
    except (OSError, TimeoutError, RuntimeError):
        return False
    started.set()
    await asyncio.gather(*(nanny.finished() for nanny in nannies))
    return True

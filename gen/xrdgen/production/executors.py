"""Who makes the shards: this process alone, or the workers of a Dask cluster. Both call `make_shard`."""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from xrdcommon.errors import DiskFullError, FormatError, InputError, Interrupted
from xrdcommon.files import read_json, write_json

from xrdgen.production.shard_task import ShardOrder, ShardReport, make_shard

# distributed is imported when it is needed: half a second, and it has no types that hold.

Result = tuple[ShardOrder, ShardReport | DiskFullError | None]
"""An order and what came of it: a report, a full disk, or None where its worker was lost."""

ORDERS_PER_WORKER = 2
"""Orders in flight for each worker, so that none waits for the coordinator."""

_NTHREADS_INTERVAL = 2.0


class Executor(Protocol):
    """Takes orders and gives results."""

    def slots(self) -> int:
        """Return how many orders should be in flight now."""

    def submit(self, order: ShardOrder) -> None:
        """Take an order."""

    def results(self, timeout: float) -> Iterator[Result]:
        """Yield what is done, waiting up to `timeout` seconds for the first."""


class SerialExecutor:
    """Makes shards in this process, one after the other."""

    def __init__(self) -> None:
        self._orders: list[ShardOrder] = []

    def slots(self) -> int:
        """Return one."""
        return 1

    def submit(self, order: ShardOrder) -> None:
        """Take an order."""
        self._orders.append(order)

    def results(self, timeout: float) -> Iterator[Result]:
        """Make the shard and yield its report."""
        if not self._orders:
            time.sleep(timeout)
        while self._orders:
            order = self._orders.pop(0)
            try:
                yield order, make_shard(order)
            except DiskFullError as error:
                yield order, error


class DaskExecutor:
    """Sends orders to the workers of a cluster, however many there are at the moment."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._done: queue.SimpleQueue[tuple[ShardOrder, Any]] = queue.SimpleQueue()
        self._slots = ORDERS_PER_WORKER
        self._looked = -_NTHREADS_INTERVAL

    def slots(self) -> int:
        """Return two a worker thread that is connected now, at least two."""
        if time.monotonic() - self._looked >= _NTHREADS_INTERVAL:
            try:
                threads = sum(self._client.nthreads().values())
            except (OSError, TimeoutError) as error:
                raise Interrupted(
                    f"the scheduler does not answer any more ({error}); start `xrdgen produce` again"
                ) from error
            self._slots = ORDERS_PER_WORKER * max(1, threads)
            self._looked = time.monotonic()
        return self._slots

    def submit(self, order: ShardOrder) -> None:
        """Send an order; shards with lower numbers go first."""
        # pure=False: a repeated order is a new task; retries=0: repeating is the coordinator's decision.
        future = self._client.submit(make_shard, order, pure=False, retries=0, priority=-order.shard)
        future.add_done_callback(lambda done: self._done.put((order, done)))

    def results(self, timeout: float) -> Iterator[Result]:
        """Yield what the workers have reported."""
        try:
            order, future = self._done.get(timeout=timeout)
        except queue.Empty:
            return
        yield order, _outcome(future)
        while not self._done.empty():
            order, future = self._done.get()
            yield order, _outcome(future)


def _outcome(future: Any) -> ShardReport | DiskFullError | None:
    """Return a task's report; a lost worker gives None, an error of the task is raised."""
    distributed: Any = import_module("distributed")
    if future.status == "finished":
        report: ShardReport = future.result(timeout=30)
        return report
    error = future.exception(timeout=30) if future.status == "error" else None
    if isinstance(error, DiskFullError):
        return error
    closed: Any = import_module("distributed.comm").CommClosedError
    if error is None or isinstance(error, distributed.KilledWorker | closed):
        return None
    raise error


@contextmanager
def local_cluster(workers: int, listen: str, address_file: Path) -> Iterator[DaskExecutor]:
    """Start worker processes on this machine and a scheduler that more of them can join.

    Args:
        workers: processes, one thread each.
        listen: interface of the scheduler; 127.0.0.1 is this machine alone.
        address_file: where `xrdgen worker` finds the scheduler while it runs.

    Raises:
        InputError: the scheduler cannot listen there.

    """
    dask_config: Any = import_module("dask.config")
    distributed: Any = import_module("distributed")
    _silence()
    with dask_config.set(
        {
            "distributed.worker.preload": ["xrdgen.production.worker_setup"],
            "distributed.worker.profile.enabled": False,
            # Workers hold one block of rows; a machine's memory is not theirs to police.
            "distributed.worker.memory.target": False,
            "distributed.worker.memory.spill": False,
            "distributed.worker.memory.pause": False,
        }
    ):
        try:
            cluster = distributed.LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                processes=True,
                host=listen,
                dashboard_address="127.0.0.1:0",  # the scheduler's status pages: this machine alone, any free port
                worker_dashboard_address=None,
                scheduler_kwargs={"dashboard": False},
                silence_logs=logging.CRITICAL,
                memory_limit=0,
            )
        except (OSError, RuntimeError) as error:
            raise InputError(
                f"cannot start a cluster on '{listen}' ({error}); name an interface of this machine"
            ) from error
        with cluster, distributed.Client(cluster, set_as_default=False) as client:
            write_json(address_file, {"address": cluster.scheduler_address})
            try:
                yield DaskExecutor(client)
            except BaseException:
                # Not a drain: whoever still makes a shard is stopped at once, instead of being waited for.
                for nanny in cluster.workers.values():
                    with contextlib.suppress(ProcessLookupError, TypeError):
                        os.kill(nanny.pid, signal.SIGKILL)
                raise
            finally:
                address_file.unlink(missing_ok=True)


def scheduler_address(file: Path) -> str:
    """Return the address that a scheduler file names.

    Raises:
        InputError: no such file.
        FormatError: not a scheduler file.

    """
    if not file.is_file():
        raise InputError(f"{file}: no such scheduler file; start `dask scheduler --scheduler-file` first")
    content = read_json(file)
    address = content.get("address") if isinstance(content, dict) else None
    if not isinstance(address, str) or "://" not in address:
        raise FormatError(f"{file}: no scheduler file (no address in it); name the one that `dask scheduler` wrote")
    return address


@contextmanager
def running_cluster(scheduler_file: Path) -> Iterator[DaskExecutor]:
    """Join a Dask cluster that was started otherwise.

    Raises:
        InputError: no such file, or nobody answers at its address within 30 s.

    """
    distributed: Any = import_module("distributed")
    scheduler_address(scheduler_file)
    _silence()
    try:
        client = distributed.Client(scheduler_file=str(scheduler_file), set_as_default=False, timeout=30)
    except (OSError, TimeoutError, ValueError, KeyError) as error:
        raise InputError(f"{scheduler_file}: no scheduler answers there ({error}); is it still running?") from error
    with client:
        yield DaskExecutor(client)


def _silence() -> None:
    """Leave to our own messages what Dask would say about workers that come and go."""
    for name in ("distributed", "distributed.nanny", "distributed.scheduler", "distributed.worker", "distributed.core"):
        logging.getLogger(name).setLevel(logging.CRITICAL)

"""Who makes the shards: this process alone, or the workers of a Dask cluster. Both call `make_shard`."""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from xrdcommon.errors import DiskFullError, InputError, Interrupted
from xrdcommon.spool.layout import Layout

from xrdgen.production.cluster.rendezvous import is_local, publish, read_address, security, withdraw
from xrdgen.production.cluster.worker_setup import CONFIGURATION, silence
from xrdgen.production.shard_task import Outcome, ShardOrder, ShardReport, make_shard

# distributed is imported when it is needed: half a second, and it has no types that hold.

Result = tuple[ShardOrder, ShardReport | DiskFullError | None]
"""An order and what came of it: a report, a full disk, or None where its worker was lost."""

ORDERS_PER_WORKER = 2
"""Orders in flight for each worker, so that none waits for the coordinator."""

TOPIC = "xrdgen-reports"
"""Of the events by which workers report."""

ShardTask = Callable[[ShardOrder], ShardReport]

_NTHREADS_INTERVAL = 2.0


class Executor(Protocol):
    """Takes orders and gives results."""

    def slots(self) -> int:
        """Return how many orders should be in flight now."""

    def submit(self, orders: Sequence[ShardOrder]) -> None:
        """Take orders, the most urgent first."""

    def results(self, timeout: float) -> Iterator[Result]:
        """Yield what is done, waiting up to `timeout` seconds for the first."""


class SerialExecutor:
    """Makes shards in this process, one after the other."""

    def __init__(self) -> None:
        self._orders: list[ShardOrder] = []

    def slots(self) -> int:
        """Return one."""
        return 1

    def submit(self, orders: Sequence[ShardOrder]) -> None:
        """Take orders."""
        self._orders += orders

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

    def __init__(self, client: Any, task: ShardTask = make_shard) -> None:
        """Use a cluster.

        Args:
            client: of the cluster.
            task: what a worker does with an order.

        """
        self._client = client
        self._task = task
        self._done: queue.SimpleQueue[tuple[ShardOrder, Any]] = queue.SimpleQueue()
        self._reports: dict[tuple[int, int], ShardReport | None] = {}
        client.subscribe_topic(TOPIC, self._take)
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

    def submit(self, orders: Sequence[ShardOrder]) -> None:
        """Send orders in one message; what is sent first is made first."""
        # pure=False: a repeated order is a new task; retries=0: repeating is the coordinator's decision.
        priority = -min(order.shard for order in orders)
        self._reports |= {(order.producer, order.shard): None for order in orders}
        futures = self._client.map(report_shard, orders, task=self._task, pure=False, retries=0, priority=priority)
        for order, future in zip(orders, futures, strict=True):
            future.add_done_callback(lambda done, order=order: self._done.put((order, done)))

    def results(self, timeout: float) -> Iterator[Result]:
        """Yield what the workers have reported."""
        with contextlib.suppress(queue.Empty):
            order, future = self._done.get(timeout=timeout)
            while True:
                report = self._reports.pop((order.producer, order.shard), None)
                yield order, report if future.status == "finished" else _failure(future)
                order, future = self._done.get_nowait()

    def _take(self, event: tuple[float, dict[str, Any]]) -> None:
        """Keep a worker's report until its task is known to have ended (runs in the client's own thread)."""
        report = event[1]
        key = report["stream"], report["shard"]
        if key in self._reports:
            self._reports[key] = ShardReport(
                report["shard"], Outcome(report["outcome"]), report["rows"], report["bytes"], report["seconds"]
            )


def report_shard(order: ShardOrder, task: ShardTask) -> None:
    """Make a shard and report it: what a worker does with an order.

    The report travels ahead of the task's end on the worker's open stream to the scheduler. The result of a task would
    have to be fetched: by a connection to every worker, 256 of which took the scheduler longer than the shards.
    """
    distributed: Any = import_module("distributed")
    report = task(order)
    message = {"stream": order.producer, "shard": order.shard, "outcome": str(report.outcome)}
    message |= {"rows": report.rows, "bytes": report.bytes, "seconds": report.seconds}
    distributed.get_worker().log_event(TOPIC, message)


def _failure(future: Any) -> DiskFullError | None:
    """Return a full disk, or None for a worker that was lost; another error of the task is raised."""
    distributed: Any = import_module("distributed")
    error = future.exception(timeout=30) if future.status == "error" else None
    if isinstance(error, DiskFullError):
        return error
    closed: Any = import_module("distributed.comm").CommClosedError
    if error is None or isinstance(error, distributed.KilledWorker | closed):
        return None
    raise error


@contextmanager
def local_cluster(workers: int, listen: str, layout: Layout, task: ShardTask = make_shard) -> Iterator[DaskExecutor]:
    """Start worker processes on this machine and a scheduler that more of them can join.

    Args:
        workers: processes, one thread each; may be 0.
        listen: interface of the scheduler; 127.0.0.1 is this machine alone, with another one TLS guards it.
        layout: of the spool; `xrdgen worker` finds there where the scheduler is, and the certificate.
        task: what a worker does with an order.

    Raises:
        InputError: the scheduler cannot listen there.

    """
    dask_config: Any = import_module("dask.config")
    distributed: Any = import_module("distributed")
    silence()
    guard = None if is_local(listen) else security(layout, create=True)
    with dask_config.set(CONFIGURATION | {"distributed.worker.preload": ["xrdgen.production.cluster.worker_setup"]}):
        try:
            cluster = distributed.LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                processes=True,
                host=listen,
                protocol="tcp://" if guard is None else "tls://",
                security=guard,
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
            published = publish(layout.scheduler_file, cluster.scheduler_address)
            try:
                yield DaskExecutor(client, task)
            except BaseException:
                # Not a drain: whoever still makes a shard is stopped at once, instead of being waited for.
                for nanny in cluster.workers.values():
                    with contextlib.suppress(ProcessLookupError, TypeError):
                        os.kill(nanny.pid, signal.SIGKILL)
                raise
            finally:
                withdraw(layout.scheduler_file, published)


@contextmanager
def running_cluster(scheduler_file: Path) -> Iterator[DaskExecutor]:
    """Join a Dask cluster that was started otherwise.

    Raises:
        InputError: no such file, or nobody answers at its address within 30 s.

    """
    distributed: Any = import_module("distributed")
    read_address(scheduler_file)
    silence()
    try:
        client = distributed.Client(scheduler_file=str(scheduler_file), set_as_default=False, timeout=30)
    except (OSError, TimeoutError, ValueError, KeyError) as error:
        raise InputError(f"{scheduler_file}: no scheduler answers there ({error}); is it still running?") from error
    with client:
        yield DaskExecutor(client)

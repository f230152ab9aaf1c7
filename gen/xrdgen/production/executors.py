"""Who makes the shards: this process alone, or the workers of a Dask cluster. Both call `make_shard`."""

from __future__ import annotations

import contextlib
import logging
import queue
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from xrdcommon.errors import DiskFullError, InputError, Interrupted, XrdError
from xrdcommon.spool.spool import Spool

from xrdgen.production.cluster.rendezvous import publish, read_address, security, withdraw
from xrdgen.production.cluster.worker_pool import WorkerPool
from xrdgen.production.cluster.worker_setup import configure, scratch, silence
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

    def deserted(self) -> bool:
        """Return whether nobody works, and nobody will be started by this executor."""

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

    def deserted(self) -> bool:
        """Never: this process works."""
        return False

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

    def __init__(self, client: Any, task: ShardTask = make_shard, pool: WorkerPool | None = None) -> None:
        """Use a cluster.

        Args:
            client: of the cluster.
            task: what a worker does with an order.
            pool: processes that are to be kept running, where there are any of our own.

        """
        self._client = client
        self._task = task
        self._pool = pool
        self._done: queue.SimpleQueue[tuple[ShardOrder, Any]] = queue.SimpleQueue()
        self._reports: dict[tuple[int, int], ShardReport | None] = {}
        client.subscribe_topic(TOPIC, self._take)
        self._threads = 0
        self._looked = -_NTHREADS_INTERVAL

    def slots(self) -> int:
        """Return two a worker thread that is connected now, at least two.

        Raises:
            XrdError: our own workers end as soon as they are started, again and again.
            Interrupted: the scheduler has gone.

        """
        if self._pool is not None:
            self._pool.look()
            if how := self._pool.hopeless:
                raise XrdError(
                    f"worker processes end soon after they start, again and again (the last: {how}); out of memory? "
                    "`xrdgen produce --workers 0` shows it"
                )
        if time.monotonic() - self._looked >= _NTHREADS_INTERVAL:
            try:
                threads = sum(self._client.nthreads().values())
            except (OSError, TimeoutError) as error:
                raise Interrupted(f"the scheduler no longer answers ({error}); start `xrdgen produce` again") from error
            self._threads = threads
            self._looked = time.monotonic()
        return ORDERS_PER_WORKER * max(1, self._threads)

    def deserted(self) -> bool:
        """Return whether no worker is connected and none of our own will be."""
        self.slots()
        return self._pool is None and not self._threads

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
    try:
        error = future.exception(timeout=30) if future.status == "error" else None
    except (TimeoutError, OSError):  # a scheduler that does not answer: the shard is made again, if not published
        return None
    if isinstance(error, DiskFullError):
        return error
    closed: Any = import_module("distributed.comm").CommClosedError
    if error is None or isinstance(error, distributed.KilledWorker | closed):
        return None
    raise error


@contextmanager
def local_cluster(workers: int, listen: str, spool: Spool, task: ShardTask = make_shard) -> Iterator[DaskExecutor]:
    """Start a scheduler, and worker processes on this machine; more of them can join.

    Whoever cannot show the spool's certificate is turned away, on the loopback as on a network.

    Args:
        workers: processes, one thread each; may be 0.
        listen: interface of the scheduler; 127.0.0.1 is this machine alone.
        spool: they work for; `xrdgen worker` finds there where the scheduler is, and the certificate.
        task: what a worker does with an order.

    Raises:
        InputError: the scheduler cannot listen there.
        SpoolError: the certificate is not safe to use.
        XrdError: the scheduler does not start.

    """
    distributed: Any = import_module("distributed")
    silence()
    layout = spool.layout
    guard = security(layout, create=True)
    with configure():
        try:
            cluster = distributed.LocalCluster(
                n_workers=0,  # those that Dask starts itself would open more ports, and fail all together
                host=listen,
                protocol="tls://",
                security=guard,
                dashboard_address="127.0.0.1:0",
                scheduler_kwargs={"dashboard": False},
                silence_logs=logging.CRITICAL,
            )
        except (OSError, RuntimeError) as error:
            cause: BaseException = error
            while cause.__cause__ is not None:
                cause = cause.__cause__
            if isinstance(cause, OSError):
                raise InputError(
                    f"--listen {listen}: no scheduler can listen there ({cause}); name an interface of this machine"
                ) from error
            raise XrdError(f"the scheduler did not start: {cause}") from error
        with cluster, _client(cluster) as client:
            published = publish(layout.scheduler_file, cluster.scheduler_address)
            try:
                with _own_workers(spool, cluster.scheduler_address, workers) as pool:
                    yield DaskExecutor(client, task, pool)
            finally:
                withdraw(layout.scheduler_file, published)


def _client(cluster: Any) -> Any:
    """Return a client of a cluster of this process."""
    distributed: Any = import_module("distributed")
    try:
        return distributed.Client(cluster, set_as_default=False)
    except (OSError, TimeoutError) as error:
        raise XrdError(
            f"the scheduler of this process does not answer: {error}; start the same command again"
        ) from error


@contextmanager
def _own_workers(spool: Spool, address: str, workers: int) -> Iterator[WorkerPool | None]:
    """Run worker processes that end with the block.

    They find the scheduler in a file of their own: the spool's is of the producer that started last.
    """
    if not workers:
        yield None
        return
    with tempfile.TemporaryDirectory(dir=scratch()) as folder:
        file = Path(folder) / "scheduler.json"
        publish(file, address)
        pool = WorkerPool(spool, file, workers)
        try:
            yield pool
        finally:
            pool.kill()


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

"""What the coordinator costs its workers: idle time of 256 of them, and the price of a restart.

    python tests/benchmarks/bench_cluster.py [--json] [--workers N] [--task SECONDS] [--seconds S] [--skip-restart]

Idle: N Dask workers in 16 processes (256 real ones need 29 GB), whose shards are sleeps of half a second; coordinator,
executor, scheduler and client are those of a production, in another process, with TLS between them. A worker is idle
from the end of a shard to the beginning of its next one; the share is over a window of steady state. All share the
cores of this machine, so the figure is an upper bound: on two cores the workers' own Dask takes one of them.

Restart: the coordinator of a joined production with two workers (`xrdgen produce --join`, sleeping rows) is killed with
SIGKILL. Seconds lost are those in which the steady rate would have made what is missing once production runs again.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

from xrdcommon import console
from xrdcommon.errors import Interrupted
from xrdcommon.signals import StopRequest
from xrdcommon.spool.layout import Layout
from xrdcommon.spool.producer import Stream
from xrdcommon.spool.spool import Spool
from xrdgen.production.cluster.rendezvous import read_address, security
from xrdgen.production.cluster.worker_setup import configure, silence
from xrdgen.production.coordinator import Coordinator
from xrdgen.production.executors import ORDERS_PER_WORKER, local_cluster
from xrdgen.production.shard_task import Outcome, ShardOrder, ShardReport

sys.path.insert(0, str(Path(__file__).parents[1] / "gen" / "production" / "support"))
toy: Any = import_module("toy_production")

SETTLING = 5.0
"""Seconds between the first shard of the last worker and the window."""

KILLS = 3

HOSTS = 16
"""Processes that the workers share; in one alone, 256 threads would wait for its interpreter, not for orders."""


class Sleeper:
    """Notes who worked when, in the process of the workers."""

    def __init__(self) -> None:
        self.seconds = float(os.environ.get("SLEEPER_SECONDS", "0.5"))
        self.spans: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)


sleeper = Sleeper()


def sleep_shard(order: ShardOrder) -> ShardReport:
    """Stand for `make_shard`: sleep."""
    if Path(order.skip_file).exists():
        return ShardReport(order.shard, Outcome.SKIPPED)
    distributed: Any = import_module("distributed")
    start = time.monotonic()
    time.sleep(sleeper.seconds)
    sleeper.spans[distributed.get_worker().address].append((start, time.monotonic()))
    return ShardReport(order.shard, Outcome.PUBLISHED, order.rows)


async def serve(address: str, spool: Path, n_workers: int, out: Path) -> None:
    """Run workers in this process until their scheduler ends; write who worked when."""
    distributed: Any = import_module("distributed")
    workers = [
        distributed.Worker(
            address,
            nthreads=1,
            memory_limit=0,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            security=security(Layout(spool)),
            executor=ThreadPoolExecutor(1),
        )
        for _ in range(n_workers)
    ]
    await asyncio.gather(*workers)
    await asyncio.gather(*(worker.finished() for worker in workers))
    out.write_text(json.dumps(list(sleeper.spans.values())))


def idle_share(n_workers: int, task_seconds: float, seconds: float) -> dict[str, float]:
    """Let sleeping workers take orders from a coordinator; return the shares of time in which they had none."""
    with tempfile.TemporaryDirectory() as folder:
        spool = Spool.create(Path(folder) / "spool", toy.configuration(), 7)
        out = Path(folder) / "spans"
        out.mkdir()
        stop = StopRequest()
        window = [0.0, 0.0]
        stream = Stream.open(spool)
        with local_cluster(0, "127.0.0.1", spool, sleep_shard) as executor:
            address = read_address(spool.layout.scheduler_file).address
            command = [
                sys.executable,
                __file__,
                "--serve",
                address,
                "--spool",
                str(spool.path),
                "--workers",
                str(n_workers // HOSTS),
            ]
            hosts = [
                subprocess.Popen(
                    [*command, "--out", str(out / str(number))],
                    env=os.environ | {"PYTHONPATH": str(Path(__file__).parent), "SLEEPER_SECONDS": str(task_seconds)},
                )
                for number in range(HOSTS)
            ]
            coordinator = Coordinator(spool, stream, executor, toy.ToyRows, stop=stop)
            _until(lambda: executor.slots() == ORDERS_PER_WORKER * n_workers)

            def watch() -> None:
                time.sleep(SETTLING)
                window[0], cpu = time.monotonic(), time.process_time()
                time.sleep(seconds)
                window[1] = time.monotonic()
                window.append((time.process_time() - cpu) / (window[1] - window[0]))
                stop.request("measured")

            threading.Thread(target=watch, daemon=True).start()
            with contextlib.suppress(Interrupted):
                coordinator.run()
        for host in hosts:
            host.wait(60)
        results = [json.loads(file.read_text()) for file in out.iterdir()]
    begin, end, cores = window
    shares, gaps = [], []
    for spans in chain.from_iterable(results):
        inside = sum(max(0.0, min(last, end) - max(first, begin)) for first, last in spans)
        shares.append(1.0 - inside / (end - begin))
        gaps += [after[0] - before[1] for before, after in pairwise(spans) if begin <= before[1] and after[0] <= end]
    return {
        "workers": float(len(shares)),
        "shards_per_second": len(gaps) / (end - begin),
        "idle_mean": statistics.mean(shares),
        "idle_worst": max(shares),
        "gap_median_ms": 1000 * statistics.median(gaps),
        "gap_worst_ms": 1000 * max(gaps),
        "cores_of_coordinator": cores,
        "load_average": os.getloadavg()[0],
    }


def restart_cost() -> dict[str, float]:
    """Kill the coordinator of two joined workers; return the seconds of production that each kill cost."""
    folder = Path(tempfile.mkdtemp())
    spool = folder / "spool"
    program = [sys.executable, toy.__file__, str(spool), "--workers", "2", "--join"]
    task = subprocess.Popen(
        program,
        env=os.environ | {"PYTHONPATH": str(Path(toy.__file__).parent), "TOY_SECONDS_PER_BLOCK": "0.1"},
        stderr=subprocess.DEVNULL,
    )
    lost, silent = [], []
    try:
        _until(lambda: _count(spool) >= 4)
        for _ in range(KILLS):
            first, since = _count(spool), time.monotonic()
            _until(lambda: time.monotonic() - since >= 8.0)  # noqa: B023
            rate = (_count(spool) - first) / (time.monotonic() - since)
            before, killed = _count(spool), time.monotonic()
            os.kill(json.loads((spool / "control" / "scheduler.json").read_text())["pid"], signal.SIGKILL)
            # Shards that were under way may still arrive; then nothing does until the next coordinator orders.
            address = (spool / "control" / "scheduler.json").read_text()
            _until(lambda: (spool / "control" / "scheduler.json").read_text() != address)  # noqa: B023
            again = _count(spool)
            _until(lambda: _count(spool) >= again + 4)  # noqa: B023
            seconds = time.monotonic() - killed
            lost.append(seconds - (_count(spool) - before) / rate)
            silent.append(seconds)
        task.send_signal(signal.SIGTERM)
        task.wait(60)
    finally:
        task.kill()
        task.wait()
        shutil.rmtree(folder, ignore_errors=True)
    return {"kills": float(KILLS), "lost_mean_s": statistics.mean(lost), "lost_worst_s": max(lost)}


def _count(spool: Path) -> int:
    return len(list(spool.glob("producers/*/published/*/*.json")))


def _until(condition: Any) -> None:
    end = time.monotonic() + 120
    while not condition():
        if time.monotonic() > end:
            raise SystemExit("bench_cluster: error: waited 120 s for a production that does not go on")
        time.sleep(0.02)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--workers", type=int, default=256)
    parser.add_argument("--task", type=float, default=0.5)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--skip-restart", action="store_true")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--spool", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    silence()
    if arguments.serve:
        configure()
        asyncio.run(serve(arguments.serve, arguments.spool, arguments.workers, arguments.out))
        return
    result: dict[str, Any] = {"idle": idle_share(arguments.workers, arguments.task, arguments.seconds)}
    if not arguments.skip_restart:
        result["restart"] = restart_cost()
    if arguments.json:
        console.emit_json(result)
        return
    idle = result["idle"]
    console.emit(
        f"{idle['workers']:.0f} workers, shards of {arguments.task} s ({idle['shards_per_second']:.0f} a second): idle "
        f"{idle['idle_mean']:.1%} on average, {idle['idle_worst']:.1%} the worst; between two shards "
        f"{idle['gap_median_ms']:.1f} ms (median), {idle['gap_worst_ms']:.0f} ms (worst); "
        f"coordinator, scheduler and client take {idle['cores_of_coordinator']:.2f} cores"
    )
    if "restart" in result:
        restart = result["restart"]
        console.emit(
            f"coordinator killed {KILLS} times: {restart['lost_mean_s']:.1f} s of production lost on average, "
            f"{restart['lost_worst_s']:.1f} s the worst"
        )


if __name__ == "__main__":
    # Not this copy of the module: what lives in __main__ is pickled by value, and would note its spans elsewhere.
    import bench_cluster

    bench_cluster.main()

"""Diffractograms a second from the first crystal to shards on disk, with the installed command, in one run.

    python tests/benchmarks/bench_production.py [--json] [--quick] [--seconds S] [--rounds R]

Rounds alternate between what is compared, since the speed of a shared machine drifts:

    one, two worker(s)      `xrdgen produce --workers 1` and `2` in a new spool
    serial, two serial      one and two independent `xrdgen produce --workers 0`, each in its own spool
    kernel, two kernels     one and two independent processes that fill rows and write nothing

Two over one of the kernels is what the machine loses (memory, clock, hyperthreads), of the serial productions what
its disk loses besides, of the workers what the software loses besides. Rates are those of the steady state, from the
first publication in a window to the last; CPU seconds are those of all processes of a production. A window in which
other processes used more than a tenth of the machine is measured again.
"""

from __future__ import annotations

import argparse
import json
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import psutil
from clock import alternate, load_average
from xrdcommon import console
from xrdcommon.identity import SampleIdentity
from xrdcommon.spool.producer import Draft, Stream
from xrdcommon.spool.records import Rejections
from xrdcommon.spool.spool import Spool
from xrdgen.diffraction.imperfections import PRESETS
from xrdgen.production.produce import Asked, open_spool
from xrdgen.production.shard_task import ShardOrder, make_shard
from xrdgen.samples.rows import CrystalRows

COMMAND = Path(sys.executable).parent / "xrdgen"
ROWS = 4096
BLOCK = 64
RETRIES = 2
LEAST, LONGEST = 4, 10
"""Shards that a window needs, and how many times its length it may grow until they are there."""

QUIET = 0.1
"""Share of the machine's cores that others may use in a window."""


@dataclass(frozen=True, slots=True)
class Window:
    """What was seen in a window of steady state.

    Attributes:
        per_second: diffractograms a second of wall time, over all processes.
        per_cpu_second: and a second of CPU time.
        others: share of the machine that other processes used.
        memory: largest resident memory of a worker, MB; 0 where there is none.
        warm_start: seconds from the command to its first shard's first row.

    """

    per_second: float
    per_cpu_second: float
    others: float
    memory: float = 0.0
    warm_start: float = 0.0


class Machine:
    """CPU time of the machine, and of some processes with all their descendants, since it was made."""

    def __init__(self, pids: list[int]) -> None:
        self._pids = pids
        self._wall, self._busy, self._ours = time.time(), self._busy_now(), self._ours_now()

    @staticmethod
    def _busy_now() -> float:
        times = psutil.cpu_times()
        return float(sum(times) - times.idle - getattr(times, "iowait", 0.0) - getattr(times, "guest", 0.0))

    def _ours_now(self) -> float:
        total = 0.0
        for process in family(self._pids):
            try:
                times = process.cpu_times()
            except psutil.NoSuchProcess:
                continue
            total += times.user + times.system
        return total

    def read(self) -> tuple[float, float]:
        """Return CPU seconds of the processes, and the share of the machine that others used."""
        wall, ours = time.time() - self._wall, self._ours_now() - self._ours
        others = self._busy_now() - self._busy - ours
        return ours, max(0.0, others) / (wall * (psutil.cpu_count() or 1))


def family(pids: list[int]) -> list[psutil.Process]:
    """The processes and all their descendants."""
    found = []
    for pid in pids:
        try:
            process = psutil.Process(pid)
            found += [process, *process.children(recursive=True)]
        except psutil.NoSuchProcess:
            continue
    return found


def peak_memory(pid: int) -> float:
    """Largest resident memory that the busiest descendant of a process ever had, MB."""
    descendants = psutil.Process(pid).children(recursive=True)
    if not descendants:
        return 0.0
    busiest = max(descendants, key=lambda process: process.cpu_times().user)
    status = Path(f"/proc/{busiest.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024.0


def publications(spool: Path) -> list[dict[str, Any]]:
    """Records of the published shards, in the order of time."""
    records = [json.loads(path.read_bytes()) for path in spool.glob("producers/*/published/*/*.json")]
    return sorted(records, key=lambda record: record["unix_time"])


def produce(productions: int, workers: int, seconds: float, options: list[str]) -> Window:
    """Watch so many productions at once, each with so many workers and its own spool."""
    with tempfile.TemporaryDirectory() as folder:
        spools = [Path(folder) / f"spool{number}" for number in range(productions)]
        begin = time.time()
        arguments = ["--workers", str(workers), "--rows-per-shard", str(ROWS), *options]
        log = Path(folder) / "log"
        with log.open("w") as stderr:
            commands = [[str(COMMAND), "produce", str(spool), "--seed", "1", *arguments] for spool in spools]
            processes = [subprocess.Popen(command, stderr=stderr) for command in commands]
        try:
            while any(len(publications(spool)) < 2 * max(1, workers) for spool in spools):
                if any(process.poll() is not None for process in processes):
                    raise SystemExit(f"xrdgen produce --workers {workers} ended by itself: {log.read_text()[-2000:]}")
                time.sleep(0.1)
            before = [len(publications(spool)) for spool in spools]
            started, machine = time.time(), Machine([process.pid for process in processes])
            time.sleep(seconds)
            while time.time() < started + LONGEST * seconds and any(  # a crowded machine
                len(publications(spool)) < n + LEAST for spool, n in zip(spools, before, strict=True)
            ):
                time.sleep(0.2)
            (cpu, others), ended = machine.read(), time.time()
            memory = peak_memory(processes[0].pid)
        finally:
            for process in processes:
                process.send_signal(signal.SIGTERM)
            for process in processes:
                process.wait(timeout=120)
        per_second, rows = 0.0, 0
        for spool in spools:
            inside = [record for record in publications(spool) if started <= record["unix_time"] <= ended]
            if len(inside) < LEAST:
                raise SystemExit(f"fewer than {LEAST} shards in {LONGEST * seconds:g} s; give more --seconds")
            rows += sum(record["rows"] for record in inside)
            span = inside[-1]["unix_time"] - inside[0]["unix_time"]
            per_second += sum(record["rows"] for record in inside[1:]) / span
        first = publications(spools[0])[0]
        return Window(per_second, rows / cpu, others, memory, first["unix_time"] - first["seconds"] - begin)


def fill_rows(spool: Path, seconds: float) -> None:
    """The loop of a kernel process: fill rows from the word on standard input for so long; print rows and seconds."""
    source = CrystalRows(Spool.open(spool))
    patterns = np.empty((BLOCK, Spool.open(spool).grid.n_points), dtype=np.float32)
    samples = _samples(BLOCK)
    source.fill(SampleIdentity(1, 0, 0, 0), patterns, samples)
    print("ready", flush=True)
    sys.stdin.readline()
    wall, cpu, rows = time.perf_counter(), time.process_time(), 0
    while time.perf_counter() - wall < seconds:
        source.fill(SampleIdentity(1, 0, 1, rows), patterns, samples)
        rows += BLOCK
    print(json.dumps([rows, time.perf_counter() - wall, time.process_time() - cpu]), flush=True)


def kernels(processes: int, spool: Path, seconds: float) -> Window:
    """Watch so many independent processes that fill rows and write nothing."""
    command = [sys.executable, __file__, "--fill-rows", str(spool), "--seconds", str(seconds)]
    children = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(processes)
    ]
    for child in children:
        assert child.stdout is not None
        child.stdout.readline()
    machine = Machine([child.pid for child in children])
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    time.sleep(seconds)
    _, others = machine.read()
    results = [json.loads(child.communicate()[0]) for child in children]
    rows, cpu = sum(result[0] for result in results), sum(result[2] for result in results)
    return Window(sum(rows / wall for rows, wall, _ in results), rows / cpu, others)


class SameRows:
    """Rows that cost next to nothing: always those of one block."""

    def __init__(self, spool: Spool) -> None:
        self._patterns = np.empty((BLOCK, spool.grid.n_points), dtype=np.float32)
        self._samples = _samples(BLOCK)
        CrystalRows(spool).fill(SampleIdentity(1, 0, 0, 0), self._patterns, self._samples)

    def fill(self, first: SampleIdentity, patterns: np.ndarray, samples: np.ndarray) -> None:
        """Copy them."""
        patterns[:], samples[:] = self._patterns[: len(patterns)], self._samples[: len(samples)]

    def take_rejections(self) -> Rejections:
        """There are none."""
        return {}


def _samples(rows: int) -> np.ndarray:
    from xrdcommon.fields import SAMPLE_DTYPE

    return np.zeros(rows, dtype=SAMPLE_DTYPE)


def publishing(spool: Spool, rounds: int) -> dict[str, float]:
    """CPU microseconds a row: all that makes a shard, and writing it; wall-time share of publishing alone.

    Writing is the cast, the tar, its checksum and its publication; publishing is what `Draft.publish` waits for: the
    file and its folders on disk, the record, the rename.
    """
    stream = Stream.open(spool)
    sources = {"all": CrystalRows(spool), "writing": SameRows(spool)}
    factories = {name: (lambda _, source=source: source) for name, source in sources.items()}
    shards = iter(range(10_000))

    def make(name: str) -> float:
        shard = next(shards)
        stream.prepare(shard)
        skip = str(stream.skip_file)
        order = ShardOrder(str(spool.path), spool.uuid, stream.number, shard, ROWS, skip, factories[name])
        begin = time.process_time()
        report = make_shard(order)
        seconds = time.process_time() - begin
        assert report.rows == ROWS
        return seconds / ROWS

    original, waits = Draft.publish, []

    def timed(draft: Draft, rejections: Rejections) -> Any:
        begin = time.perf_counter()
        try:
            return original(draft, rejections)
        finally:
            waits.append(time.perf_counter() - begin)

    for name in sources:
        make(name)
    medians = alternate({name: partial(make, name) for name in sources}, rounds)
    with patch.object(Draft, "publish", timed):
        begin = time.perf_counter()
        for _ in range(rounds):
            make("all")
        share = sum(waits) / (time.perf_counter() - begin)
    stream.close()
    return {**{name: 1e6 * seconds for name, seconds in medians.items()}, "wait": share}


def presets(folder: Path, rounds: int, rows: int) -> dict[str, float]:
    """CPU microseconds a row of each preset from the first crystal to a shard on disk; shards take turns."""
    makers = {}
    for preset in PRESETS:
        spool = open_spool(folder / preset, Asked(seed=1, rows_per_shard=rows, preset=preset))
        makers[preset] = partial(_make_shards, spool, Stream.open(spool), CrystalRows(spool), iter(range(10_000)))
    for make in makers.values():
        make()
    return {name: 1e6 * seconds for name, seconds in alternate(makers, rounds).items()}


def _make_shards(spool: Spool, stream: Stream, source: CrystalRows, numbers: Iterator[int]) -> float:
    """Make the next shard; return CPU seconds a row."""
    shard = next(numbers)
    stream.prepare(shard)
    rows = int(spool.configuration["rows_per_shard"])
    skip = str(stream.skip_file)
    order = ShardOrder(str(spool.path), spool.uuid, stream.number, shard, rows, skip, lambda _: source)
    begin = time.process_time()
    report = make_shard(order)
    seconds = time.process_time() - begin
    assert report.rows == rows
    return seconds / rows


def quiet(measure: Any) -> Window:
    """The window in which others disturbed least, of one or, where they did, some more."""
    windows = []
    for _ in range(1 + RETRIES):
        windows.append(measure())
        if windows[-1].others < QUIET:
            break
    return min(windows, key=lambda window: window.others)


def measure(*, quick: bool, seconds: float, rounds: int, options: list[str]) -> dict[str, Any]:
    """Measure everything; medians over rounds."""
    with tempfile.TemporaryDirectory() as folder, console.progress("windows", 6 * rounds) as advance:
        spool = open_spool(Path(folder) / "spool", Asked(seed=1, rows_per_shard=ROWS))
        publication = publishing(spool, 5 if quick else 9)
        by_preset = presets(Path(folder) / "presets", 5 if quick else 9, 512 if quick else 2048)
        configurations = {
            "one worker": partial(produce, 1, 1, seconds, options),
            "two workers": partial(produce, 1, 2, seconds, options),
            "serial": partial(produce, 1, 0, seconds, options),
            "two serial": partial(produce, 2, 0, seconds, options),
            "kernel": partial(kernels, 1, spool.path, seconds),
            "two kernels": partial(kernels, 2, spool.path, seconds),
        }
        windows: dict[str, list[Window]] = {name: [] for name in configurations}
        for _ in range(rounds):
            for name, configuration in configurations.items():
                windows[name].append(configuration() if quick else quiet(configuration))
                advance(1)
    pairs = {
        "workers": ("one worker", "two workers"),
        "serial": ("serial", "two serial"),
        "kernels": ("kernel", "two kernels"),
    }
    return {
        "rows_per_shard": ROWS,
        "preset_microseconds": by_preset,
        "per_second": {name: statistics.median(w.per_second for w in seen) for name, seen in windows.items()},
        "per_cpu_second": {name: statistics.median(w.per_cpu_second for w in seen) for name, seen in windows.items()},
        "two_over_one": {
            name: statistics.median(b.per_second / a.per_second for a, b in zip(windows[x], windows[y], strict=True))
            for name, (x, y) in pairs.items()
        },
        "writing_microseconds": publication["writing"],
        "writing_share": publication["writing"] / publication["all"],
        "publishing_share": publication["wait"],
        "worker_memory_mb": max(w.memory for w in windows["one worker"] + windows["two workers"]),
        "warm_start_seconds": statistics.median(w.warm_start for w in windows["one worker"]),
        "others": max(w.others for seen in windows.values() for w in seen),
    }


def show_presets(*, quick: bool, as_json: bool) -> None:
    """Measure and print the presets alone."""
    with tempfile.TemporaryDirectory() as folder:
        found = presets(Path(folder), 5 if quick else 15, 512 if quick else 2048)
    if as_json:
        console.emit_json(found)
        return
    for line in preset_lines(found):
        console.emit(line)


def preset_lines(microseconds: dict[str, float]) -> list[str]:
    """A line a preset."""
    return [
        f"  {name:<12} {1e6 / value:8,.0f} a CPU second to disk, {value / microseconds['pure']:.2f} x the time of pure"
        for name, value in microseconds.items()
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--presets", action="store_true", help="only the presets beside each other, by CPU time")
    parser.add_argument("--quick", action="store_true", help="one round of short windows, none repeated")
    parser.add_argument("--seconds", type=float, help="of a window")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--verification", default="exact")
    parser.add_argument("--fill-rows", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    seconds = arguments.seconds or (3.0 if arguments.quick else 8.0)
    if arguments.fill_rows:
        fill_rows(arguments.fill_rows, seconds)
        return
    if arguments.presets:
        show_presets(quick=arguments.quick, as_json=arguments.json)
        return
    rounds = arguments.rounds or (1 if arguments.quick else 2)
    options = ["--verification", arguments.verification]
    report = measure(quick=arguments.quick, seconds=seconds, rounds=rounds, options=options)
    if arguments.json:
        console.emit_json(report)
        return
    console.emit(f"diffractograms a second, crystals verified by {arguments.verification}, {load_average()}:")
    for name, rate in report["per_second"].items():
        console.emit(f"  {name:<12} {rate:8.0f}, {report['per_cpu_second'][name]:8.0f} a CPU second")
    for name, ratio in report["two_over_one"].items():
        console.emit(f"  two {name} over one {ratio:.2f} x")
    for line in preset_lines(report["preset_microseconds"]):
        console.emit(line)
    share = 100.0 * report["writing_share"]
    console.emit(f"  writing {report['writing_microseconds']:.1f} us a row, {share:.0f} % of a worker's CPU time")
    console.emit(f"  publishing {100.0 * report['publishing_share']:.1f} % of a worker's time")
    console.emit(f"  a worker: {report['worker_memory_mb']:.0f} MB, starts in {report['warm_start_seconds']:.1f} s")
    console.emit(f"  others used up to {100.0 * report['others']:.0f} % of the machine")


if __name__ == "__main__":
    main()

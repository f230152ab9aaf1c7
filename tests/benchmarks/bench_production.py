"""Diffractograms a second of one and of two real workers, from the first crystal to shards on disk, in one run.

    python tests/benchmarks/bench_production.py [--json] [--seconds S] [--verification spglib|exact]

Each round starts the installed command in a new spool. The rate is that of the steady state, from the first publication
to the last: start-up and compilation are left out. Rounds with one and with two workers alternate, since the speed of
a shared machine drifts.
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
from pathlib import Path

from xrdcommon import console

COMMAND = Path(sys.executable).parent / "xrdgen"
ROWS_PER_SHARD = 256


def publications(spool: Path) -> list[tuple[float, int]]:
    """Return (time, rows) of every published shard, in the order of time."""
    records = [json.loads(path.read_bytes()) for path in spool.glob("producers/*/published/*/*.json")]
    return sorted((record["unix_time"], record["rows"]) for record in records)


def rate(workers: int, seconds: float, verification: str) -> float:
    """Return diffractograms a second of so many workers in steady state."""
    with tempfile.TemporaryDirectory() as folder:
        spool = Path(folder) / "spool"
        options = ["--workers", str(workers), "--rows-per-shard", str(ROWS_PER_SHARD), "--verification", verification]
        process = subprocess.Popen(
            [str(COMMAND), "produce", str(spool), "--seed", "1", *options], stderr=subprocess.DEVNULL
        )
        try:
            while len(publications(spool)) < workers and process.poll() is None:
                time.sleep(0.2)
            time.sleep(seconds)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=120)
        times = publications(spool)[workers - 1 :]
        return sum(rows for _, rows in times[1:]) / (times[-1][0] - times[0][0])


def main() -> dict[str, float]:
    """Measure and print; return the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--verification", default="spglib")
    arguments = parser.parse_args()
    one, two = [], []
    for _ in range(arguments.rounds):
        one.append(rate(1, arguments.seconds, arguments.verification))
        two.append(rate(2, arguments.seconds, arguments.verification))
    figures = {
        "one_worker_per_second": statistics.median(one),
        "two_workers_per_second": statistics.median(two),
        "two_over_one": statistics.median(b / a for a, b in zip(one, two, strict=True)),
    }
    if arguments.json:
        console.emit_json(figures)
    else:
        console.emit(f"end to end to shards on disk, crystals verified by {arguments.verification}:")
        console.emit(f"  one worker  {figures['one_worker_per_second']:8.0f} diffractograms a second")
        console.emit(f"  two workers {figures['two_workers_per_second']:8.0f} diffractograms a second")
        console.emit(f"  two against one {figures['two_over_one']:.2f} x")
    return figures


if __name__ == "__main__":
    main()

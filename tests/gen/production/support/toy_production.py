"""A production with quick, deterministic rows, importable by worker processes and runnable as a program."""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from xrdcommon import console
from xrdcommon.errors import EXIT_RESUMABLE, Interrupted
from xrdcommon.grid import Grid
from xrdcommon.identity import Purpose, SampleIdentity, generator
from xrdcommon.spool.backlog import Watermarks
from xrdcommon.spool.records import Rejections
from xrdcommon.spool.spool import Spool
from xrdgen.production.joined.election import produce_joined
from xrdgen.production.produce import produce

GRID = Grid(5.0, 90.0, 0.5)


def configuration(rows_per_shard: int = 200) -> dict[str, object]:
    """Return the configuration of a toy spool."""
    return {
        "grid": GRID.to_dict(),
        "classes": [2, 14, 225],
        "rows_per_shard": rows_per_shard,
        "generator": {"space_groups": "natural"},
    }


class ToyRows:
    """Rows of random numbers that depend on their identity alone."""

    def __init__(self, spool: Spool) -> None:
        self._delay = float(os.environ.get("TOY_SECONDS_PER_BLOCK", "0"))
        self._count = 0
        _leave_trace(spool)

    def fill(self, first: SampleIdentity, patterns: NDArray[np.float32], samples: NDArray[np.void]) -> None:
        """Fill rows from the streams of their identities."""
        time.sleep(self._delay)
        for row in range(len(patterns)):
            identity = SampleIdentity(first.run, first.producer, first.shard, first.index + row)
            random = generator(identity, Purpose.CRYSTAL)
            patterns[row] = random.random(patterns.shape[1])
            samples[row]["space_group"] = (2, 14, 225)[int(random.integers(3))]
            for name in ("run", "producer", "shard", "index"):
                samples[row][name] = getattr(identity, name)
        self._count += len(patterns)

    def take_rejections(self) -> Rejections:
        """Count every row as accepted in group 2."""
        counts: Rejections = {"2": {"accepted": self._count}} if self._count else {}
        self._count = 0
        return counts


def _leave_trace(spool: Spool) -> None:
    """Tell a test which processes work."""
    if folder := os.environ.get("TOY_PIDS"):
        (Path(folder) / str(os.getpid())).touch()


def main() -> None:
    """Produce until the samples are made."""
    parser = argparse.ArgumentParser()
    parser.add_argument("spool", type=Path)
    parser.add_argument("--samples", type=int)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--high", default=10**9, type=int)
    parser.add_argument("--rows", default=200, type=int)
    parser.add_argument("--join", action="store_true")
    parser.add_argument("--listen", default="127.0.0.1")
    arguments = parser.parse_args()
    spool = Spool.create(arguments.spool, configuration(arguments.rows), 7)
    marks = Watermarks(arguments.high, arguments.high // 2)
    try:
        run = produce_joined if arguments.join else produce
        run(
            spool,
            workers=arguments.workers,
            samples=arguments.samples,
            marks=marks,
            factory=ToyRows,
            listen=arguments.listen,
        )
    except Interrupted as stop:
        console.say(str(stop))
        raise SystemExit(EXIT_RESUMABLE) from None


if __name__ == "__main__":
    # Not this copy of the module: what lives in __main__ is pickled by value, and workers would start afresh each time.
    import toy_production

    toy_production.main()

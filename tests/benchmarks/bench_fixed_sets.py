"""Fixed sets: random batches from each form and cache, and what writing and converting cost, in one run.

    python tests/benchmarks/bench_fixed_sets.py [--json] [--rows N] [--rounds R]

Random batches of 128 are those of `xrdtrain fit`, seeded permutations through the reader's thread, float16. The set has
8501 points; it is read from the page cache by one process bound to one core. Patterns are sharp peaks of few sizes, so
that they pack about as real ones do.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from xrdcommon import console
from xrdcommon.fields import SAMPLE_DTYPE
from xrdcommon.fixed_sets.cache import make_cache
from xrdcommon.fixed_sets.convert import convert
from xrdcommon.fixed_sets.fixed_set import FixedSet, write_fixed_set
from xrdcommon.grid import Grid
from xrdtrain.data.fixed_source import FixedSource
from xrdtrain.distributed import Ranks

BATCH = 128
CPU = torch.device("cpu")
FEW = 64
"""Rows of a random batch straight from a set: it is slow."""


def peaks(rows: int) -> NDArray[np.float32]:
    """Return patterns (n, P) of 40 Gaussian peaks each."""
    random, points = np.random.default_rng(1), np.arange(Grid().n_points, dtype=np.float32)
    patterns = np.zeros((rows, len(points)), dtype=np.float32)
    for pattern in patterns:
        for place, height in zip(random.uniform(0, len(points), 40), random.exponential(0.2, 40), strict=True):
            near = slice(max(0, int(place) - 60), int(place) + 60)
            pattern[near] += height * np.exp(-0.5 * ((points[near] - place) / 9.0) ** 2)
        pattern /= pattern.max()
    return patterns


Rates = tuple[float, float]
"""Rows a second, and a second of CPU time: what others on the machine cannot spoil."""


def rate(rows: int, work: Callable[[], object]) -> Rates:
    """Return rows a second of some work, by both clocks."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return rows / (time.perf_counter() - wall), rows / (time.process_time() - cpu)


def random_batches(path: Path, folder: Path, cache: str | None, rows: int) -> Rates:
    """Return samples per second of a training's random batches, the copy made beforehand."""
    source = FixedSource(path, batch=BATCH, seed=1, ranks=Ranks(0, 1, CPU), run=folder / "run", cache=cache)
    source.start(None)

    def read() -> None:
        for _ in range(rows // BATCH):
            batch = source.next(60.0)
            assert batch is not None
            source.used(batch)

    read()
    found = rate(rows // BATCH * BATCH, read)
    source.close(done=True)
    return found


def main() -> dict[str, float]:
    """Measure and print; return the figures (samples a second)."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rows", type=int, default=16 * 1024)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    os.sched_setaffinity(0, [max(os.sched_getaffinity(0))])
    rows = arguments.rows
    samples = np.zeros(rows, dtype=SAMPLE_DTYPE)
    samples["space_group"] = np.random.default_rng(2).choice((2, 14, 225), rows)
    block = peaks(1024)
    found: dict[str, list[Rates]] = {}

    def note(name: str, value: Rates) -> None:
        found.setdefault(name, []).append(value)

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        zarr_set, ids = folder / "set.zarr", [f"s{row}" for row in range(rows)]
        blocks = [block[: min(1024, rows - first)] for first in range(0, rows, 1024)]
        note("write_zarr", rate(rows, lambda: write_fixed_set(zarr_set, Grid(), blocks, samples, ids, {})))
        note("zarr_to_tars", rate(rows, lambda: convert(zarr_set, folder / "tars")))
        note("tars_to_zarr", rate(rows, lambda: convert(folder / "tars", folder / "back.zarr")))
        data = FixedSet.open(zarr_set)
        note("make_cache", rate(rows, lambda: make_cache(data, folder / "cache")))
        random = np.random.default_rng(3)
        for _ in range(arguments.rounds):
            few = random.integers(0, rows, FEW)
            note("random_zarr", rate(FEW, lambda few=few: data.take(few)))  # type: ignore[misc]
            note("random_cache", random_batches(zarr_set, folder, str(folder / "cache"), rows))
            note("random_memory", random_batches(zarr_set, folder, "none", rows))
        kilobytes = sum(path.stat().st_size for path in zarr_set.rglob("*") if path.is_file()) / rows / 1000
    figures: dict[str, float] = {}
    for name, rates in found.items():
        figures[f"{name}_per_second"] = statistics.median(wall for wall, _ in rates)
        figures[f"{name}_per_cpu_second"] = statistics.median(cpu for _, cpu in rates)
    figures["kilobytes_a_sample"] = kilobytes
    if arguments.json:
        console.emit_json(figures)
        return figures
    console.emit(
        f"fixed set of {rows} diffractograms of {Grid().n_points} points, one core, samples a second and a CPU second:"
    )
    labels = {
        "write_zarr": "written to Zarr",
        "zarr_to_tars": "Zarr to tar shards",
        "tars_to_zarr": "tar shards to Zarr",
        "make_cache": "Zarr to the cache, checked",
        "random_zarr": "random rows from Zarr itself",
        "random_cache": "random batches from the cache",
        "random_memory": "random batches from memory",
    }
    for name, label in labels.items():
        console.emit(f"  {label:<31} {figures[f'{name}_per_second']:10.0f} {figures[f'{name}_per_cpu_second']:10.0f}")
    console.emit(f"  in Zarr a sample takes {kilobytes:.1f} kB")
    return figures


if __name__ == "__main__":
    main()

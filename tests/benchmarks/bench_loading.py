"""Samples a second from a spool to float32 tensors, beside stock webdataset with one sample a record, in one run.

    python tests/benchmarks/bench_loading.py [--json] [--samples N] [--rounds R]

Both read the same samples from the page cache, one process bound to one core. Ours is the path of `xrdtrain fit`:
claim, verify the checksum, cut batches in the reader's thread, cast to float32 in the main one. Stock webdataset reads
tar files in which every sample has a record of its own, as its users make them, decodes and batches them; its float32
comes from the same cast. Its tar files are not checked. Rounds alternate, since the speed of a shared machine drifts.
"""

from __future__ import annotations

import argparse
import io
import os
import statistics
import tarfile
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from xrdcommon import console
from xrdcommon.fields import PATTERN_DTYPE, SAMPLE_DTYPE
from xrdcommon.grid import Grid
from xrdcommon.shards import BLOCK_ROWS, read_shard
from xrdcommon.spool.producer import Draft, Stream
from xrdcommon.spool.spool import Spool
from xrdtrain.data.spool_source import SpoolSource
from xrdtrain.distributed import Ranks
from xrdtrain.inputs.spec import InputSpec
from xrdtrain.inputs.transform import Preparation

ROWS_PER_SHARD = 1024
BATCH = 128
CPU = torch.device("cpu")
CLASSES = (2, 14, 225)

Rates = tuple[float, float]
"""Samples a second, and a second of CPU time: what others on the machine cannot spoil."""


def blocks(shard: int) -> Iterator[tuple[NDArray[np.float16], NDArray[np.void]]]:
    """Yield the blocks of a shard: values cost the same whatever they are."""
    random = np.random.default_rng(shard)
    for first in range(0, ROWS_PER_SHARD, BLOCK_ROWS):
        samples = np.zeros(BLOCK_ROWS, dtype=SAMPLE_DTYPE)
        samples["space_group"] = random.choice(CLASSES, BLOCK_ROWS)
        samples["index"] = np.arange(first, first + BLOCK_ROWS)
        yield random.random((BLOCK_ROWS, Grid().n_points), dtype=np.float32).astype(PATTERN_DTYPE), samples


def fill(spool: Spool, shards: int) -> None:
    """Publish shards."""
    stream = Stream.open(spool)
    for shard in range(shards):
        stream.prepare(shard)
        with Draft(spool, stream.number, shard) as draft:
            for patterns, samples in blocks(shard):
                draft.writer.write_block(patterns, samples)
            draft.publish({})
    stream.close()


def write_records(folder: Path, spool: Spool) -> list[str]:
    """Write the samples of a spool one a record, and return the paths."""
    paths = []
    for path in sorted(spool.layout.ready.iterdir()):
        shard = read_shard(path)
        paths.append(str(folder / path.name))
        with tarfile.open(paths[-1], "w") as archive:
            for row in range(len(shard)):
                for name, value in (("pattern", shard.patterns[row]), ("sample", shard.samples[row : row + 1])):
                    content = io.BytesIO()
                    np.save(content, value)
                    info = tarfile.TarInfo(f"{path.stem[:14]}-{row:06d}.{name}.npy")
                    info.size = content.tell()
                    content.seek(0)
                    archive.addfile(info, content)
    return paths


class Clock:
    """Wall and CPU seconds since it was made."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def rates(self, n: int) -> Rates:
        """Return samples a second by both clocks."""
        return n / (time.perf_counter() - self._wall), n / (time.process_time() - self._cpu)


def ours(spool: Spool, samples: int, folder: Path, run: int, *, cast: bool) -> Rates:
    """Measure the training's own path; without the cast the tensors stay float16, as for CUDA."""
    source = SpoolSource(
        spool, run_id=f"run{run}", order_file=folder / f"claims{run}.jsonl", batch=BATCH, ranks=Ranks(0, 1, CPU)
    )
    prepare = Preparation(InputSpec(source.measurement), source.grid)
    clock = Clock()
    source.start(None)
    done = 0
    while done < samples:
        batch = source.next(60.0)
        assert batch is not None
        if cast:
            assert prepare(batch.patterns, CPU, batch.samples).dtype == torch.float32
        source.used(batch)
        done += len(batch.labels)
    rates = clock.rates(done)
    source.close(done=True)  # nothing was covered by a checkpoint: all shards go back and are read again
    return rates


def stock(paths: list[str]) -> Rates:
    """Measure stock webdataset, a record a sample."""
    import webdataset

    done = 0
    clock = Clock()
    data = webdataset.WebDataset(paths, shardshuffle=False).decode().to_tuple("pattern.npy", "sample.npy")
    for patterns, records in data.batched(BATCH):
        x = torch.as_tensor(np.asarray(patterns)).to(torch.float32)
        y = torch.as_tensor(np.concatenate(records)["space_group"].astype(np.int64))
        done += len(x)
        assert len(y) == len(x)
    return clock.rates(done)


def main() -> dict[str, float]:
    """Measure and print; return the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--samples", type=int, default=8 * ROWS_PER_SHARD)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", ResourceWarning)  # webdataset leaves its files to the garbage collector
    torch.set_num_threads(1)
    os.sched_setaffinity(0, [max(os.sched_getaffinity(0))])
    shards = max(1, arguments.samples // ROWS_PER_SHARD)
    float32, float16, records = [], [], []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        spool = Spool.create(folder / "spool", {"grid": Grid().to_dict(), "classes": list(CLASSES)}, 1)
        fill(spool, shards)
        paths = write_records(folder, spool)
        ours(spool, shards * ROWS_PER_SHARD, folder, 0, cast=True)  # everything has been read once
        for number in range(arguments.rounds):
            float32.append(ours(spool, shards * ROWS_PER_SHARD, folder, 2 * number + 1, cast=True))
            float16.append(ours(spool, shards * ROWS_PER_SHARD, folder, 2 * number + 2, cast=False))
            records.append(stock(paths))
    figures: dict[str, float] = {}
    for name, rates in (("float32", float32), ("float16", float16), ("webdataset", records)):
        figures[f"{name}_per_second"] = statistics.median(wall for wall, _ in rates)
        figures[f"{name}_per_cpu_second"] = statistics.median(cpu for _, cpu in rates)
    figures["over_webdataset"] = statistics.median(a[1] / b[1] for a, b in zip(float32, records, strict=True))
    if arguments.json:
        console.emit_json(figures)
        return figures
    console.emit(f"spool to tensors in a training process, one core, {shards * ROWS_PER_SHARD} samples:")
    labels = {
        "float32": "to float32 on the CPU",
        "float16": "to float16, cast by the device",
        "webdataset": "webdataset, a sample a record",
    }
    for name, label in labels.items():
        wall, cpu = figures[f"{name}_per_second"], figures[f"{name}_per_cpu_second"]
        console.emit(f"  {label:<31} {wall:8.0f} samples a second, {cpu:8.0f} a CPU second")
    console.emit(f"  float32 against webdataset      {figures['over_webdataset']:8.1f} x (CPU seconds)")
    return figures


if __name__ == "__main__":
    main()

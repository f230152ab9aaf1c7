"""A spool with as many records as years of production leave, made without producing: `python many_shards.py FOLDER`.

Records and notes have the form and size of real ones; shard files are empty (their names say all that status reads).
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
from xrdcommon.grid import Grid
from xrdcommon.shards.format import ShardName
from xrdcommon.spool.layout import MAIN
from xrdcommon.spool.records import Record, Rejections
from xrdcommon.spool.spool import Spool

ROWS = 1024
CONFIGURATION = {"grid": Grid(5.0, 90.0, 0.01).to_dict(), "classes": [2, 14, 225], "rows_per_shard": ROWS}


def rejections(random: np.random.Generator) -> Rejections:
    """Return counts as of one shard: some 90 groups with a few crystals each, one or two outcomes a group."""
    counts: Rejections = {}
    for group in sorted(random.choice(np.arange(1, 231), 90, replace=False)):
        counts[str(group)] = {"accepted": int(random.integers(1, 30))}
        if random.random() < 0.3:
            counts[str(group)]["atomic_volume"] = int(random.integers(1, 4))
    counts["14"] = {"accepted": 100, "symmetry": 3, "rechecked": 2}
    return counts


def fill(path: Path, shards: int, *, ready: int, streams: int = 4, used_by: str = "run") -> Spool:
    """Make a spool whose last `ready` shards wait and whose others were used by one training."""
    spool = Spool.create(path, CONFIGURATION, 7)
    layout = spool.layout
    random = np.random.default_rng(1)
    templates = [rejections(random) for _ in range(64)]
    begin = time.time() - 40.0 * shards / streams
    for stream in range(streams):
        for folder in range((shards // streams) // 1000 + 1):
            layout.record(stream, 1000 * folder).parent.mkdir(parents=True, exist_ok=True)
    run = layout.consumer(used_by)
    run.mkdir(exist_ok=True)
    with (run / "used.jsonl").open("w") as notes:
        notes.write(json.dumps({"epoch": 1, "opened": begin, "pid": 1}) + "\n")
        for index in range(shards):
            shard, stream = divmod(index, streams)
            digest = random.bytes(32).hex()
            name = ShardName(shard, stream, ROWS, 17_957_888, digest[:12])
            at = begin + 40.0 * shard
            record = Record(
                name=str(name),
                rows=ROWS,
                bytes=name.bytes,
                sha256=digest,
                token=f"p{stream:06d}-{shard:06d}.{digest[12:24]}",
                seconds=39.5,
                unix_time=at,
                host=f"node{stream:03d}",
                rejections=templates[index % len(templates)],
                feeds=[MAIN],
            )
            layout.record(stream, shard).write_text(json.dumps(record.to_dict()) + "\n")
            if index >= shards - ready:
                (layout.feed(MAIN) / str(name)).touch()
            else:
                entry = {"epoch": 1, "step": index, "name": str(name), "rows": ROWS, "unix_time": at + 600.0}
                notes.write(json.dumps(entry) + "\n")
    return spool


def main() -> None:
    """Make one."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--shards", type=int, default=100_000)
    parser.add_argument("--ready", type=int, default=1_000)
    arguments = parser.parse_args()
    fill(arguments.folder, arguments.shards, ready=arguments.ready)


if __name__ == "__main__":
    main()

"""A training without a network: takes batches from the real source, and writes into its checkpoint what it consumed.

Everything about the spool is the package's own (`SpoolSource` and `Consumer` with lease, claims, cover, quarantine).
The checkpoint names, for every file of consumed identities, how many of them belong to the lineage; what a process
consumed after its last checkpoint falls out when the next one goes on. `tests.soak.count` reads these files.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from xrdcommon import console
from xrdcommon.errors import DiskFullError, XrdError
from xrdcommon.files import atomic_writer
from xrdcommon.spool.spool import Spool

# Before torch is imported: one thread, several of these run beside producers.
os.environ["OMP_NUM_THREADS"] = "1"

import torch
from xrdtrain.data.progress import OnCrash
from xrdtrain.data.spool_source import SpoolSource
from xrdtrain.distributed import Ranks

IDENTITY = np.dtype([("producer", "<u4"), ("shard", "<u4"), ("row", "<u4")])
KEPT = 2
EXIT_STOPPED = 75


def newest_checkpoint(run: Path) -> dict[str, Any] | None:
    """Return the checkpoint with most samples; each was written whole or not at all."""
    files = sorted(run.glob("checkpoint-*.json"))
    return json.loads(files[-1].read_text()) if files else None


class Training:
    """One process of a run."""

    def __init__(self, spool: Path, run: Path, feed: str, batch: int, on_crash: OnCrash) -> None:
        run.mkdir(parents=True, exist_ok=True)
        self._run = run
        before = newest_checkpoint(run)
        self.samples = int(before["samples"]) if before else 0
        self._segments: list[list[Any]] = list(before["segments"]) if before else []
        self.source = SpoolSource(
            Spool.open(spool),
            run_id=run.name,
            order_file=run / "claims.jsonl",
            batch=batch,
            ranks=Ranks(0, 1, torch.device("cpu")),
            feed=feed,
            on_crash=on_crash,
        )
        self.source.start(before["cursor"] if before else None)
        # A file for each process: one that wakes up late writes where no lineage looks.
        self._name = f"consumed.{time.time_ns()}.{os.getpid()}.bin"
        self._descriptor = os.open(run / self._name, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        self._rows = 0
        self.saved_at = self.samples

    def use(self, batch: Any) -> None:
        """Consume a batch: its identities survive a SIGKILL, and count once a checkpoint names them."""
        consumed = np.empty(len(batch.samples), dtype=IDENTITY)
        for name, field in (("producer", "producer"), ("shard", "shard"), ("row", "index")):
            consumed[name] = batch.samples[field]
        content = consumed.tobytes()
        while content:
            content = content[os.write(self._descriptor, content) :]
        self._rows += len(consumed)
        self.samples += len(consumed)
        self.source.used(batch)

    def checkpoint(self) -> None:
        """Write what was consumed durably, then let the spool delete it: as `xrdtrain.fitting.trainer` does."""
        cursor = {**self.source.cursor(), "step": self.samples}
        self.source.verify()
        os.fsync(self._descriptor)
        segments = [*self._segments, [self._name, self._rows]]
        state = {"samples": self.samples, "segments": segments, "cursor": cursor}
        with atomic_writer(self._run / f"checkpoint-{self.samples:012d}.json") as stream:
            stream.write(json.dumps(state).encode())
        for old in sorted(self._run.glob("checkpoint-*.json"))[:-KEPT]:
            old.unlink(missing_ok=True)
        self.source.covered(self.samples)
        self.saved_at = self.samples


def main() -> int:
    """Train until a signal comes, or until the feed is empty."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("spool", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument("--feed", default="main")
    parser.add_argument("--batch", type=int, default=96)
    parser.add_argument("--every", type=int, default=2000, help="samples between two checkpoints")
    parser.add_argument("--rate", type=float, default=20_000.0, help="most samples a second")
    parser.add_argument("--on-crash", default="replay", choices=[str(each) for each in OnCrash])
    parser.add_argument("--until-empty", action="store_true", help="end when nothing waits in the feed")
    asked = parser.parse_args()
    stopped: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
        signal.signal(number, lambda n, _: stopped.append(n))
    training = Training(asked.spool, asked.run, asked.feed, asked.batch, OnCrash(asked.on_crash))
    empty_since: float | None = None
    while not stopped:
        batch = training.source.next(0.2)
        now = time.monotonic()
        if batch is not None:
            empty_since = None
            training.use(batch)
            time.sleep(asked.batch / asked.rate)
        elif empty_since is None:
            empty_since = now
        elif now - empty_since > 1.0 and training.source.uncovered():
            training.checkpoint()
        elif asked.until_empty and now - empty_since > 2.0:
            waiting = training.source.backlog()
            if waiting is not None and not waiting.shards:
                break
        if training.samples - training.saved_at >= asked.every:
            training.checkpoint()
    training.checkpoint()
    training.source.close(done=False)
    return EXIT_STOPPED if stopped else 0


if __name__ == "__main__":
    try:
        code = main()
    except XrdError as error:
        console.say(f"training: error: {error}")
        code = 2
    except OSError as error:
        if not isinstance(error, DiskFullError) and error.errno not in (28, 122):
            raise
        console.say(f"training: no space: {error}")
        code = 3
    sys.stderr.flush()
    os._exit(code)  # the reader's thread may be in the middle of a shard

"""A training on the Python stream, with worker processes; writes into its checkpoint what it was given.

As `tests.soak.training`, but on `open_spool_dataset` with `state_dict`, `load_state_dict` and `commit`.
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
from xrdcommon.errors import DiskFullError, Interrupted, XrdError
from xrdcommon.files import atomic_writer

# Before torch is imported: one thread, several of these run beside producers.
os.environ["OMP_NUM_THREADS"] = "1"

from xrdcommon.spool.spool import Spool
from xrdtrain.api import open_spool_dataset

from tests.soak.training import EXIT_STOPPED, IDENTITY, KEPT, newest_checkpoint


class Training:
    """One process of a run, and the workers that read for it."""

    def __init__(self, asked: argparse.Namespace) -> None:
        self._run: Path = asked.run
        self._run.mkdir(parents=True, exist_ok=True)
        before = newest_checkpoint(self._run)
        self.samples = int(before["samples"]) if before else 0
        self._segments: list[list[Any]] = list(before["segments"]) if before else []
        self.stream = open_spool_dataset(
            asked.spool,
            self._run.name,
            fields=("identity",),
            wait=0.5,
            shuffle=asked.shuffle,
            feed=asked.feed,
            on_crash=asked.on_crash,
        )
        if before:
            self.stream.load_state_dict(before["stream"])
        self._name = f"consumed.{time.time_ns()}.{os.getpid()}.bin"
        self._descriptor = os.open(self._run / self._name, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        self._rows = 0
        self.saved_at = self.samples

    def use(self, identities: np.ndarray) -> None:
        """Consume a batch: its identities survive a SIGKILL, and count once a checkpoint names them."""
        consumed = np.empty(len(identities), dtype=IDENTITY)
        for column, field in enumerate(("producer", "shard", "row")):
            consumed[field] = identities[:, column]
        content = consumed.tobytes()
        while content:
            content = content[os.write(self._descriptor, content) :]
        self._rows += len(consumed)
        self.samples += len(consumed)

    def checkpoint(self) -> None:
        """Write what was consumed durably, then say that it is used."""
        os.fsync(self._descriptor)
        segments = [*self._segments, [self._name, self._rows]]
        state = {"samples": self.samples, "segments": segments, "stream": self.stream.state_dict()}
        with atomic_writer(self._run / f"checkpoint-{self.samples:012d}.json") as stream:
            stream.write(json.dumps(state).encode())
        for old in sorted(self._run.glob("checkpoint-*.json"))[:-KEPT]:
            old.unlink(missing_ok=True)
        self.stream.commit()
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
    parser.add_argument("--on-crash", default="replay")
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--shuffle", type=int, default=0)
    parser.add_argument("--until-empty", action="store_true", help="end when nothing waits in the feed")
    asked = parser.parse_args()
    stopped: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
        signal.signal(number, lambda n, _: stopped.append(n))
    training = Training(asked)
    spool = Spool.open(asked.spool)
    empty_since: float | None = None
    while not stopped:
        loader = training.stream.loader(batch_size=asked.batch, num_workers=asked.workers)
        for _, identities in loader:
            training.use(identities.numpy())
            empty_since = None
            if training.samples - training.saved_at >= asked.every:
                training.checkpoint()
            if stopped:
                break
            time.sleep(asked.batch / asked.rate)
        now = time.monotonic()
        empty_since = now if empty_since is None else empty_since
        if training.samples > training.saved_at:
            training.checkpoint()
        if asked.until_empty and now - empty_since > 2.0 and not spool.backlog(asked.feed).shards:
            break
    training.checkpoint()
    training.stream.close()
    return EXIT_STOPPED if stopped else 0


if __name__ == "__main__":
    try:
        code = main()
    except Interrupted as error:
        console.say(f"stream: {error}")
        code = EXIT_STOPPED
    except XrdError as error:
        console.say(f"stream: error: {error}")
        code = 3 if isinstance(error, DiskFullError) else 2
    except OSError as error:
        if error.errno not in (28, 122):
            raise
        console.say(f"stream: no space: {error}")
        code = 3
    sys.stderr.flush()
    os._exit(code)

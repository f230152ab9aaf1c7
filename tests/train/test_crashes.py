"""Trainings killed at random moments, with one process and two: what was used is compared with what they wrote down."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from xrdcommon.errors import DiskFullError
from xrdcommon.spool.audit import audit
from xrdcommon.spool.spool import Spool
from xrdtrain.fitting.fit import FitRequest, fit
from xrdtrain.inference.classifier import Precision
from xrdtrain.runs import checkpoint

ROWS, BATCH = 160, 8
OPTIONS = ("--model", "resnet-10-small", "--test", "none", "--precision", "fp32", "--batch", BATCH)
SCRIPT = Path(__file__).parent / "support" / "logged_fit.py"
Row = tuple[int, int]
"""Shard and row of a sample."""


class Training:
    """One start of `xrdtrain fit` with one process a rank; each rank's messages are in a file."""

    def __init__(self, folder: Path, world: int, *arguments: object) -> None:
        self.folder, self.number = folder, len(list(folder.glob("said-*.0")))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        common = {"WORLD_SIZE": world, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": 1}
        command = [sys.executable, str(SCRIPT), str(folder / f"used-{self.number}"), "fit", *map(str, arguments)]
        self.ranks = []
        for rank in range(world):
            variables = {**common, "RANK": rank, "LOCAL_RANK": rank} if world > 1 else {"OMP_NUM_THREADS": 1}
            with (folder / f"said-{self.number}.{rank}").open("wb") as said:
                environment = {**os.environ, **{name: str(value) for name, value in variables.items()}}
                self.ranks.append(subprocess.Popen(command, env=environment, stdout=said, stderr=said))

    def said(self, rank: int = 0) -> str:
        """What a rank has said so far."""
        return (self.folder / f"said-{self.number}.{rank}").read_text()

    def used(self) -> list[tuple[int, Row]]:
        """Rows that the ranks were about to train on: samples of the lineage before their batch, and the row."""
        found = []
        for path in sorted(self.folder.glob(f"used-{self.number}.*")):
            for line in path.read_text().splitlines():
                before, shard, row = map(int, line.split())
                found.append((before, (shard, row)))
        return found

    def wait_for(self, condition: Callable[[], Any], seconds: float = 120.0) -> None:
        """Wait until something happens while all ranks run."""
        limit = time.monotonic() + seconds
        while not condition():
            assert all(rank.poll() is None for rank in self.ranks), [self.said(k) for k in range(len(self.ranks))]
            assert time.monotonic() < limit, self.said()
            time.sleep(0.005)

    def kill(self) -> None:
        """SIGKILL all."""
        for rank in self.ranks:
            rank.send_signal(signal.SIGKILL)
        self.end()

    def end(self, seconds: float = 120.0) -> list[int]:
        """Wait until all have ended; return their exit codes."""
        return [rank.wait(seconds) for rank in self.ranks]


@contextmanager
def training(folder: Path, world: int, *arguments: object) -> Iterator[Training]:
    """Start a training; whatever is left of it at the end is killed."""
    started = Training(folder, world, *arguments)
    try:
        yield started
    finally:
        started.kill()


def lineage(run: Path) -> list[Row]:
    """Rows that the surviving network was trained on, by its own record."""
    with np.load(run / "evaluation" / "synthetic.npz") as predictions:
        samples = predictions["samples"]
        return list(zip(samples["shard"].tolist(), samples["index"].tolist(), strict=True))


def checkpointed(run: Path) -> int:
    """Samples of the last checkpoint."""
    found = checkpoint.checkpoints(run / "checkpoints")
    return int(found[-1].stem.split("-")[1]) if found else 0


def last_record(run: Path) -> dict[str, Any]:
    """Last line of metrics.jsonl."""
    record: dict[str, Any] = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
    return record


@pytest.mark.slow
def test_discard_uses_no_row_twice(tmp_path: Path, make_spool: Any) -> None:
    """At most once, by the list of every row that any process, dead or alive, was about to train on."""
    spool, run, draw = make_spool(shards=24, rows=ROWS), tmp_path / "run", random.Random(4)
    arguments = (spool.path, "--run", run, *OPTIONS, "--samples", 480, "--checkpoint-every", 96)
    touched: list[Row] = []
    lost: set[Row] = set()
    for kills in range(3):
        with training(tmp_path, 1, *arguments, *(("--on-crash", "discard") if kills == 0 else ())) as process:
            rows = BATCH * (1 if kills == 0 else draw.randrange(1, 26))  # the first dies before any checkpoint
            process.wait_for(lambda rows=rows, process=process: len(process.used()) >= rows)
            process.kill()
            used = process.used()
            touched += [row for _, row in used]
            lost |= {row for before, row in used if before >= checkpointed(run)}
    with training(tmp_path, 1, *arguments) as process:
        assert process.end() == [0], process.said()
        assert "samples that it may have used behind the last one are discarded" in process.said()
        touched += [row for _, row in process.used()]
    assert len(touched) == len(set(touched))
    survived = lineage(run)
    assert len(survived) == len(set(survived)) == 480
    assert lost
    assert set(touched) == set(survived) | lost
    found = audit(Spool.open(spool.path))
    assert found.ok
    assert found.used == 480
    assert len(lost) <= found.discarded <= 3 * 64 * BATCH
    record = last_record(run)
    assert (record["discarded"], record["replayed"]) == (found.discarded, 0)


@pytest.mark.slow
def test_replay_with_one_two_and_one_process(tmp_path: Path, make_spool: Any) -> None:
    """The same batches whatever was killed and however many processes there are; what is replayed is counted."""
    spool, run, draw = make_spool(shards=5, rows=ROWS), tmp_path / "run", random.Random(5)
    arguments = (spool.path, "--run", run, *OPTIONS, "--samples", 600, "--checkpoint-every", 120)
    seen: dict[int, set[frozenset[Row]]] = defaultdict(set)
    replayed = kills = 0
    for world, end in ((1, signal.SIGKILL), (2, signal.SIGTERM), (1, None)):
        begin = checkpointed(run)
        with training(tmp_path, world, *arguments) as process:
            if end is not None:
                rows = BATCH * draw.randrange(4, 18)
                process.wait_for(lambda rows=rows, process=process: len(process.used()) >= rows)
                for rank in process.ranks:
                    rank.send_signal(end)
            codes = process.end()
            assert codes == [{signal.SIGKILL: -9, signal.SIGTERM: 75, None: 0}[end]] * world, process.said()
            used = process.used()
        assert min(before for before, _ in used) == begin  # exactly where the checkpoint was
        batches = defaultdict(set)
        for before, row in used:
            batches[before].add(row)
        for before, batch in batches.items():
            if len(batch) == BATCH or before < max(batches):  # one rank may have died before it wrote its part
                seen[before].add(frozenset(batch))
        if end is signal.SIGKILL:
            kills += 1
            replayed += max(batches) + BATCH - checkpointed(run)
    for before, found in seen.items():
        expected = frozenset(divmod(row, ROWS) for row in range(before, before + BATCH))
        assert found == {expected}
    assert sorted(seen) == list(range(0, 600, BATCH))
    survived = lineage(run)  # of two processes the first writes its part
    assert len(survived) == len(set(survived))
    assert set(survived) <= {divmod(row, ROWS) for row in range(600)}
    result = audit(Spool.open(spool.path))
    assert result.ok
    assert (result.used, result.used_twice, result.discarded) == (600, 0, 0)
    assert abs(last_record(run)["replayed"] - replayed) <= kills * BATCH  # noted just before the step, as is the list
    assert last_record(run)["discarded"] == 0


@pytest.mark.slow
def test_two_processes_starve_and_lose_each_other(tmp_path: Path, make_spool: Any, fill_spool: Any) -> None:
    """Both wait without a word to each other's gradients, go on when data comes, and end when the other dies."""
    spool, run = make_spool(shards=2, rows=ROWS), tmp_path / "run"
    arguments = (spool.path, "--run", run, *OPTIONS, "--samples", 1600, "--checkpoint-every", 80)
    with training(tmp_path, 2, *arguments) as pair:
        pair.wait_for(lambda: "no data for" in pair.said())
        assert len(pair.used()) == 2 * ROWS
        pair.wait_for(lambda: checkpointed(run) == 2 * ROWS)  # covered: production may be waiting for the space
        fill_spool(spool, 2, 2, ROWS)
        pair.wait_for(lambda: len(pair.used()) >= 2 * ROWS + 10 * BATCH)
        assert both_stop_when_one_is_killed(pair, victim=1)
    fill_spool(spool, 4, 6, ROWS)
    with training(tmp_path, 2, *arguments) as pair:
        pair.wait_for(lambda: len(pair.used()) >= 10 * BATCH)
        assert both_stop_when_one_is_killed(pair, victim=0)
    found = audit(Spool.open(spool.path))
    assert found.ok
    assert found.used == checkpointed(run)


def both_stop_when_one_is_killed(pair: Training, victim: int) -> bool:
    """Kill one rank; the other says what happened and can be started again."""
    pair.ranks[victim].send_signal(signal.SIGKILL)
    codes = pair.end(60.0)
    assert codes[1 - victim] == 75, pair.said(1 - victim)
    assert "another process of this training has died or cannot be reached" in pair.said(1 - victim)
    assert "Traceback" not in pair.said(1 - victim)
    return True


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 MB."""
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small file system needs root and the right to mount")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def fill_disk(path: Path) -> None:
    """Write a file until not a byte is free."""
    with path.open("wb", buffering=0) as stream:
        try:
            while True:
                stream.write(bytes(4096))
        except OSError:
            pass
    assert os.statvfs(path.parent).f_bavail == 0


def test_checkpoint_on_a_full_disk(
    tmp_path: Path, make_spool: Any, fill_spool: Any, small_disk: Path, capsys: Any
) -> None:
    """The space kept in the run folder is given up for a checkpoint, and kept again."""
    spool, run = make_spool(shards=1, rows=ROWS), small_disk / "run"
    folder, ballast = run / "checkpoints", run / "ballast"
    options: dict[str, Any] = {"tests": ("none",), "precision": Precision.FP32, "batch": 64, "model": "resnet-10-small"}

    def fill_up_and_feed() -> None:
        """While the training waits for data after its second checkpoint."""
        while checkpointed(run) < 128 or not ballast.exists() or len(checkpoint.checkpoints(folder)) > 2:
            time.sleep(0.01)
        time.sleep(1.0)
        fill_disk(small_disk / "filler")
        fill_spool(spool, 1, 2, ROWS)

    with ThreadPoolExecutor(1) as pool:
        filling = pool.submit(fill_up_and_feed)
        fit(FitRequest(source=spool.path, run=run, samples=256, eval_every=64, **options))
        filling.result()
    assert "using the space that was kept for a checkpoint" in capsys.readouterr().err
    assert checkpointed(run) == 256
    assert [json.loads(line)["samples"] for line in (run / "metrics.jsonl").read_text().splitlines()] == [
        64,
        128,
        192,
        256,
    ]
    ballast.unlink(missing_ok=True)
    (small_disk / "filler").unlink()
    fill_disk(small_disk / "filler")
    with pytest.raises(DiskFullError, match="no space left on the device or quota reached"):
        checkpoint.save(folder, 999, {"model": {"weights": torch.zeros(1 << 20)}})
    assert checkpointed(run) == 256
    (small_disk / "filler").unlink()
    fit(FitRequest(source=spool.path, run=run, samples=320, eval_every=64, **options))
    size = checkpoint.checkpoints(folder)[-1].stat().st_size
    assert ballast.stat().st_size > size
    assert ballast.stat().st_blocks * 512 > size  # not a sparse file
    found = audit(Spool.open(spool.path))
    assert found.ok
    assert found.used == 320

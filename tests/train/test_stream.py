"""The Python stream: each sample once, whatever number of workers and ranks, whatever is killed; and what it gives."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset
from xrdcommon.errors import InputError, Interrupted, SpoolError
from xrdcommon.spool.audit import audit
from xrdcommon.spool.spool import Spool
from xrdtrain.api import open_fixed_set, open_spool_dataset

SCRIPT = Path(__file__).parent / "support" / "stream_training.py"
ROWS = 160
Row = tuple[int, int]


def rows_of(identities: torch.Tensor) -> list[Row]:
    """Shard and row of every sample of a batch."""
    return [(shard, row) for _, shard, row in identities.tolist()]


def take(source: Any, n: int) -> list[Row]:
    """Take n samples, `identity` being the last field."""
    return [tuple(next(source)[-1].tolist()[1:]) for _ in range(n)]


def counts(spool: Spool) -> dict[str, int]:
    """The audit's counts that are not 0; it must be ok."""
    found = audit(spool)
    assert found.ok, found
    names = ("used", "used_twice", "ready", "claimed", "discarded", "replayed", "lost", "quarantined")
    return {name: n for name in names if (n := getattr(found, name))}


def test_what_a_sample_is(make_spool: Any, make_fixed_set: Any) -> None:
    """Space-group numbers as in a fixed set, and whatever else is asked for."""
    spool = make_spool(shards=2, rows=ROWS)
    fields = ("space_group", "class_index", "lattice", "volume", "crystallite_size", "identity")
    with open_spool_dataset(spool.path, "run", fields=fields, wait=False) as stream:
        assert isinstance(stream, IterableDataset)
        pattern, group, index, lattice, volume, size, identity = next(iter(stream))
        assert (pattern.dtype, tuple(pattern.shape)) == (torch.float32, (stream.grid.n_points,))
        assert group == stream.classes.tolist()[index]
        assert lattice.shape == (6,)
        assert (float(volume) > 50, float(size) > 20, identity.tolist()) == (True, True, [0, 0, 0])
        patterns, groups, *_ = next(iter(stream.loader(batch_size=32)))
        assert (patterns.shape[0], groups.dtype) == (32, torch.int64)
    fixed = open_fixed_set(make_fixed_set(), fields=("space_group", "class_index", "lattice"))
    pattern, group, index, lattice = fixed[1]
    assert (group, index, lattice.shape) == (14, 1, (6,))
    assert open_fixed_set(fixed.data.path)[1][1] == 14
    with pytest.raises(InputError, match="field 'colour': not known; choose among space_group, crystallite_size"):
        open_spool_dataset(spool.path, "run", fields=("colour",))
    with pytest.raises(InputError, match=r"give a sequence of names, for example \('lattice',\)"):
        open_spool_dataset(spool.path, "run", fields="lattice")


def test_stopped_and_taken_again(make_spool: Any) -> None:
    """Nobody gets the same samples again without the audit saying so."""
    spool = make_spool(shards=4, rows=ROWS)
    with open_spool_dataset(spool.path, "run", fields=("identity",), wait=False) as stream:
        first = take(iter(stream), 100)
        assert counts(spool) == {"ready": 3 * ROWS, "claimed": ROWS}
    assert counts(spool) == {"ready": 3 * ROWS, "claimed": ROWS - 100, "discarded": 100}
    with open_spool_dataset(spool.path, "run", fields=("identity",), wait=False) as stream:
        second = take(iter(stream), 100)
        assert not set(first) & set(second)
        assert stream.commit() == 100
        assert stream.commit() == 0
    assert counts(spool) == {"used": 100, "ready": 2 * ROWS, "claimed": 2 * ROWS - 200, "discarded": 100}
    # A training that goes back to its checkpoint gets them again, and they count once.
    for again in range(3):
        with open_spool_dataset(spool.path, "back", fields=("identity",), wait=False, on_crash="replay") as stream:
            rows = take(iter(stream), 100)
            assert not set(rows) & {*first, *second}
            assert counts(spool).get("replayed", 0) == 100 * again
            if again == 2:
                assert stream.commit() == 100
    assert counts(spool)["replayed"] == 200
    assert counts(spool)["used"] == 200
    with pytest.raises(InputError, match="on_crash 'keep': discard or replay"):
        open_spool_dataset(spool.path, "run", on_crash="keep")


@pytest.mark.parametrize("policy", ["discard", "replay"])
def test_the_state_goes_on_exactly(make_spool: Any, policy: str) -> None:
    spool = make_spool(shards=4, rows=ROWS)
    options: dict[str, Any] = {"fields": ("identity",), "wait": False, "on_crash": policy}
    stream = open_spool_dataset(spool.path, "run", **options)
    source = iter(stream)
    kept = take(source, 50)
    state = pickle.loads(pickle.dumps(stream.state_dict()))  # a checkpoint; the commit does not come any more
    lost = take(source, 30)
    stream._lanes[0].abandon()  # as a crash leaves it
    del sys.modules["xrdtrain.data.stream"]._open[stream._key]
    stream = open_spool_dataset(spool.path, "run", **options)
    with pytest.raises(InputError, match="this one is"):
        stream.load_state_dict({**state, "run": "other"})
    with pytest.raises(InputError, match="not one, or of another version"):
        stream.load_state_dict({"model": 1})
    stream.load_state_dict(state)
    assert audit(spool).used == 50
    source = iter(stream)
    rest = take(source, 60)
    if policy == "replay":
        assert rest[:30] == lost
        assert counts(spool)["replayed"] == 30
    else:
        assert not set(rest) & {*kept, *lost}
        assert counts(spool)["discarded"] == ROWS - 50  # of the shard that had been begun
    with pytest.raises(InputError, match="before the first sample"):
        stream.load_state_dict(state)
    assert stream.state_dict()["lanes"]["0"]["samples"] == 110
    stream.close()


def test_mixed_order(make_spool: Any) -> None:
    """Seeded, over several shards, and counted row by row."""
    orders = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        spool = make_spool(name, shards=4, rows=ROWS)
        options: dict[str, Any] = {"fields": ("identity",), "wait": False, "shuffle": 2 * ROWS, "seed": seed}
        with open_spool_dataset(spool.path, "run", **options) as stream:
            first = take(iter(stream), 200)
            assert {shard for shard, _ in first[:40]} == {0, 1}
            stream.commit()
            assert counts(spool) == {"used": 200, "claimed": 120, "ready": 320}
            orders.append(first)
        with open_spool_dataset(spool.path, "run", **options) as stream:
            rest = [tuple(identity.tolist()[1:]) for _, identity in stream]
            stream.commit()
        assert sorted(first + rest) == [(shard, row) for shard in range(4) for row in range(ROWS)]
        assert counts(spool) == {"used": 640}
    assert orders[0] == orders[1]
    assert orders[0] != orders[2]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_loader_knows_what_was_given(make_spool: Any, workers: int) -> None:
    """What worker processes read ahead is not used; it comes again, in this process and in the next."""
    spool = make_spool(shards=6, rows=ROWS)
    seen: list[Row] = []
    for _ in range(2):
        with open_spool_dataset(spool.path, "run", fields=("space_group", "identity"), wait=False) as stream:
            loader = stream.loader(batch_size=32, num_workers=workers)
            for _ in range(2):
                for number, (patterns, _, identities) in enumerate(loader):
                    assert patterns.shape == (32, stream.grid.n_points)
                    seen += rows_of(identities)
                    if number == 4:
                        break
                stream.commit()
                assert counts(spool)["used"] == len(seen)
    with open_spool_dataset(spool.path, "run", fields=("identity",), wait=False) as stream:
        seen += [
            row for _, identities in stream.loader(batch_size=30, num_workers=workers) for row in rows_of(identities)
        ]
        stream.commit()
    assert Counter(seen) == Counter((shard, row) for shard in range(6) for row in range(ROWS))
    assert counts(spool) == {"used": 6 * ROWS}


def test_a_plain_dataloader_with_workers(make_spool: Any) -> None:
    """Each sample to one worker; which were used must be told, and what nobody told of is never given again."""
    spool = make_spool(shards=6, rows=ROWS)
    with open_spool_dataset(spool.path, "run", fields=("identity",), wait=False) as stream:
        given = [rows_of(identities) for _, identities in DataLoader(stream, batch_size=20, num_workers=2)]
        assert Counter(row for batch in given for row in batch) == Counter(
            (shard, row) for shard in range(6) for row in range(ROWS)
        )
        with pytest.raises(InputError, match="worker processes gave samples and the stream was not told"):
            stream.commit()
        for batch in given[:10]:
            stream.note(np.array([(0, *row) for row in batch]))
        with pytest.raises(InputError, match="sample 0:77:3: not held"):
            stream.note(np.array([(0, 77, 3)]))
        assert stream.commit() == 200
    assert counts(spool) == {"used": 200, "discarded": 6 * ROWS - 200}


def test_waiting_and_ending(make_spool: Any, fill_spool: Any, capsys: pytest.CaptureFixture[str]) -> None:
    from threading import Timer

    import xrdtrain.data.stream as module

    spool = make_spool(shards=1, rows=ROWS)
    with open_spool_dataset(spool.path, "run", wait=0.3) as stream:
        begin = time.monotonic()
        assert len(list(stream)) == ROWS
        assert 0.3 <= time.monotonic() - begin < 5
    with open_spool_dataset(spool.path, "run") as stream:
        later = Timer(module.PATIENCE + 1.0, fill_spool, (spool, 1, 1, ROWS))
        later.start()
        next(iter(stream))
        later.join()
    assert "waiting for data: no shards in" in capsys.readouterr().err


def test_opened_again_and_out_of_order(make_spool: Any) -> None:
    """A cell of a notebook that is run again; an iterator of yesterday; another process of the same name."""
    spool = make_spool(shards=2, rows=ROWS)
    old = open_spool_dataset(spool.path, "run", fields=("identity",), wait=False)
    source = iter(old)
    first = take(source, 10)
    new = open_spool_dataset(spool.path, "run", fields=("identity",), wait=False)
    with pytest.raises(SpoolError, match="use the latest iterator"):
        next(source)
    with pytest.raises(InputError, match="the stream 'run' is closed"):
        old.commit()
    source = iter(new)
    second = take(source, 10)
    third = take(iter(new), 10)  # goes on where the one before was broken off
    with pytest.raises(SpoolError, match="use the latest iterator"):
        next(source)
    assert [row for _, row in first + second + third] == list(range(30))
    script = "import sys; from xrdtrain.api import open_spool_dataset as o; o(sys.argv[1], 'run')"
    other = subprocess.run([sys.executable, "-c", script, spool.path], capture_output=True, text=True, check=False)
    assert "another running process trains as 'run'" in other.stderr
    new.close()
    assert counts(spool)["discarded"] == 30


def test_ranks_come_and_go(make_spool: Any) -> None:
    """Two ranks share a feed; one alone takes both parts over, and needs both states."""
    spool = make_spool(shards=8, rows=ROWS)
    options: dict[str, Any] = {"fields": ("identity",), "wait": False}
    pair = [open_spool_dataset(spool.path, "run", rank=rank, world=2, **options) for rank in range(2)]
    sources = [iter(stream) for stream in pair]
    seen = [row for _ in range(3) for source in sources for row in take(source, 70)]
    assert len(set(seen)) == 420
    states = [stream.state_dict() for stream in pair]
    for stream in pair:
        stream.commit()
        stream.close()
    with open_spool_dataset(spool.path, "run", **options) as alone:
        with pytest.raises(InputError, match="rank 1 is missing; give a list"):
            alone.load_state_dict(states[0])
        alone.load_state_dict(states)
        seen += [tuple(identity.tolist()[1:]) for _, identity in alone]
        alone.commit()
    assert Counter(seen) == Counter((shard, row) for shard in range(8) for row in range(ROWS))
    assert counts(spool) == {"used": 8 * ROWS}
    with pytest.raises(InputError, match="rank 2 of 2"):
        open_spool_dataset(spool.path, "run", rank=2, world=2)


class Training:
    """A process that trains on a stream; see support/stream_training.py."""

    def __init__(self, folder: Path, spool: Path, *arguments: object, **variables: object) -> None:
        command = [sys.executable, str(SCRIPT), str(spool), str(folder), *map(str, arguments)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", **{name: str(value) for name, value in variables.items()}}
        self.log = folder / f"said.{len(list(folder.glob('said.*')))}"
        with self.log.open("wb") as said:
            self.process = subprocess.Popen(command, env=environment, stdout=said, stderr=said)

    def kill_after(self, done: Any) -> None:
        """SIGKILL once something has happened."""
        limit = time.monotonic() + 120
        while not done():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < limit, self.log.read_text()
            time.sleep(0.002)
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


def touched(folder: Path) -> list[Row]:
    """All rows that any process was given, whatever became of it."""
    return [
        (s, r) for path in sorted(folder.glob("given.*")) for s, r in np.fromfile(path, "<i8").reshape(-1, 2).tolist()
    ]


def lineage(folder: Path) -> list[Row]:
    """The rows of the surviving lineage of checkpoints."""
    return [tuple(row) for row in torch.load(folder / "checkpoint.pt", weights_only=True)["rows"]]


@pytest.mark.slow
@pytest.mark.parametrize(("policy", "workers"), [("discard", 0), ("discard", 2), ("replay", 0), ("replay", 2)])
def test_killed_at_any_moment(tmp_path: Path, make_spool: Any, policy: str, workers: int) -> None:
    """SIGKILL: no row twice in the lineage, none at all twice where that is promised, none lost, replays counted."""
    spool, draw = make_spool(shards=40, rows=ROWS), random.Random(f"{policy}{workers}")
    arguments = ("--on-crash", policy, "--workers", workers, "--shuffle", 300 if workers else 0)
    for _ in range(3):
        before = len(touched(tmp_path))
        more = draw.randrange(20, 700)
        # slowly: on a busy machine it must not have used up the spool before anybody looks
        training = Training(tmp_path, spool.path, *arguments, "--pace", 0.02)
        training.kill_after(lambda n=before + more: len(touched(tmp_path)) >= n)
        found = audit(spool)
        assert found.ok, found
    last = Training(tmp_path, spool.path, *arguments, "--until-empty")
    assert last.process.wait(120) == 0, last.log.read_text()
    assert "Traceback" not in last.log.read_text()
    survived, every = lineage(tmp_path), touched(tmp_path)
    assert len(survived) == len(set(survived))
    found = audit(spool)
    assert found.ok, found
    assert (found.used, found.used_twice, found.lost, found.claimed, found.ready) == (len(survived), 0, 0, 0, 0)
    if policy == "discard":
        assert len(every) == len(set(every))
        assert found.discarded == 40 * ROWS - len(survived) >= len(set(every) - set(survived)) > 0
    else:
        assert len(survived) == 40 * ROWS
        again = len(every) - len(set(every))
        assert found.replayed > 0
        assert abs(found.replayed - again) <= 3 * 16  # a batch each time: noted, and killed before the list had it


def test_what_cannot_be_read_does_not_stop_it(make_spool: Any) -> None:
    spool = make_spool(shards=6, rows=ROWS)
    files = sorted(spool.layout.ready.iterdir())
    for place in (files[1], files[3]):
        place.unlink()
    os.mkfifo(files[1])
    files[3].symlink_to("nowhere")
    with open_spool_dataset(spool.path, "run", wait=False) as stream:
        assert sum(1 for _ in stream) == 4 * ROWS
        stream.commit()
    assert counts(spool) == {"used": 4 * ROWS, "quarantined": 2 * ROWS}


def test_what_a_worker_says(make_spool: Any) -> None:
    """In one line, without the worker's traceback."""
    spool = make_spool(shards=5, rows=ROWS)
    for path in spool.layout.ready.iterdir():
        path.write_bytes(b"damaged")
    with open_spool_dataset(spool.path, "run", wait=False) as stream, pytest.raises(SpoolError) as caught:
        list(stream.loader(batch_size=16, num_workers=1))
    assert "shards are damaged; check the disk or network" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_whoever_dies(tmp_path: Path, make_spool: Any) -> None:
    """A worker's death is said in one line; workers end with the process that they read for."""
    spool = make_spool(shards=3, rows=ROWS)
    with open_spool_dataset(spool.path, "run", fields=("identity",), wait=True) as stream:
        others = set(multiprocessing.active_children())
        batches = iter(stream.loader(batch_size=16, num_workers=1))
        next(batches)
        (worker,) = set(multiprocessing.active_children()) - others
        os.kill(worker.pid or 0, signal.SIGKILL)
        with pytest.raises(Interrupted, match="a worker process of the stream died"):
            list(batches)
        stream.commit()
    assert audit(spool).used > 0
    training = Training(tmp_path, spool.path, "--workers", 2)
    limit = time.monotonic() + 90
    while len(children := psutil.Process(training.process.pid).children()) < 2 or not touched(tmp_path):
        assert time.monotonic() < limit, training.log.read_text()
        time.sleep(0.05)
    training.process.kill()
    training.process.wait()
    _, alive = psutil.wait_procs(children, timeout=30)
    assert alive == []


def test_the_readme_is_true(tmp_path: Path, make_spool: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its lines run as they stand, and what they do is what the audit finds."""
    spool = make_spool(shards=6, rows=ROWS)
    text = (Path(__file__).resolve().parents[2] / "common" / "guide" / "own-network.md").read_text()
    (lines,) = [part for part in text.split("```python\n") if part.partition("```")[0].count("open_spool_dataset") == 2]
    monkeypatch.chdir(tmp_path)
    exec(lines.partition("```")[0].replace("wait=5.0", "wait=False"), {})
    assert counts(spool) == {"used": 6 * ROWS}
    state = torch.load("checkpoint.pt", weights_only=True)
    with open_spool_dataset("spool", "my-network", wait=False) as stream:
        stream.load_state_dict(state["stream"])
        assert list(stream) == []

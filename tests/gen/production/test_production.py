"""Production with real processes: the same bytes whatever is killed, drained, or works in parallel."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from xrdcommon.errors import InputError, SpoolError
from xrdcommon.shards import read_shard
from xrdcommon.spool.audit import audit
from xrdcommon.spool.backlog import Watermarks
from xrdcommon.spool.consumer import start_consumer
from xrdcommon.spool.journal import read_lines
from xrdcommon.spool.spool import Spool

SUPPORT = Path(__file__).parent / "support"

SAMPLES = 3100  # 15 shards of 200 and one of 100

StartToy = Callable[..., "subprocess.Popen[str]"]


def ready(spool: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (spool / "ready" / "main").iterdir()}


def identities(spool: Path) -> list[tuple[int, int, int, int]]:
    """Count independently: every row of every shard, from the files themselves."""
    samples = np.concatenate([read_shard(path).samples for path in (spool / "ready" / "main").iterdir()])
    return sorted(zip(*(samples[name].tolist() for name in ("run", "producer", "shard", "index")), strict=True))


def check_complete(path: Path, total: int = SAMPLES) -> None:
    result = audit(Spool.open(path))
    assert result.ok, result
    assert (result.produced, result.ready) == (total, total)
    found = identities(path)
    assert len(found) == len(set(found)) == total
    assert not list((path / "tmp").iterdir())


def wait_for(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.01)


def n_ready(spool: Path) -> int:
    return len(list((spool / "ready" / "main").iterdir())) if (spool / "ready" / "main").exists() else 0


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A spool made in one go by one process."""
    path = tmp_path_factory.mktemp("uninterrupted") / "spool"
    program = Path(__file__).parent / "support" / "toy_production.py"
    subprocess.run([sys.executable, program, path, "--samples", str(SAMPLES)], check=True, stderr=subprocess.DEVNULL)
    check_complete(path)
    return path


@pytest.mark.slow
def test_killed_again_and_again_gives_the_same_bytes(tmp_path: Path, uninterrupted: Path, start_toy: StartToy) -> None:
    path = tmp_path / "spool"
    chance = random.Random(20)
    kills = 0
    while kills < 8:
        before = n_ready(path)
        producer = start_toy(path, "--samples", SAMPLES, TOY_SECONDS_PER_BLOCK=0.04)
        wait_for(lambda: n_ready(path) > before or producer.poll() is not None)  # noqa: B023
        time.sleep(chance.uniform(0.0, 0.1))
        producer.kill()
        _, text = producer.communicate()
        assert producer.returncode == -signal.SIGKILL, text
        kills += 1
        result = audit(Spool.open(path))
        assert result.ok, result
    producer = start_toy(path, "--samples", SAMPLES)
    _, text = producer.communicate()
    assert producer.returncode == 0, text
    check_complete(path)
    assert ready(path) == ready(uninterrupted)


@pytest.mark.slow
def test_dask_workers_make_the_same_bytes(tmp_path: Path, uninterrupted: Path, start_toy: StartToy) -> None:
    """Two workers, one of them killed on the way; nothing but our own lines on the terminal."""
    path = tmp_path / "spool"
    pids = tmp_path / "pids"
    pids.mkdir()
    producer = start_toy(path, "--samples", SAMPLES, "--workers", 2, TOY_SECONDS_PER_BLOCK=0.15, TOY_PIDS=pids)
    wait_for(lambda: n_ready(path) >= 3)
    workers = [int(file.name) for file in pids.iterdir()]
    assert len(workers) == min(2, len(os.sched_getaffinity(0)))
    os.kill(workers[0], signal.SIGKILL)
    _, text = producer.communicate(timeout=60)
    assert producer.returncode == 0, text
    assert len(list(pids.iterdir())) > len(workers)  # it was replaced
    check_complete(path)
    assert ready(path) == ready(uninterrupted)
    others = [line for line in text.splitlines() if not line.startswith(("samples:", str(path)))]
    assert others == ["a worker process ended (signal 9); started again in 0.5 s"]


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1])
def test_draining_finishes_shards(tmp_path: Path, start_toy: StartToy, workers: int) -> None:
    path = tmp_path / "spool"
    producer = start_toy(path, "--workers", workers, TOY_SECONDS_PER_BLOCK=0.05)
    wait_for(lambda: n_ready(path) >= 2)
    producer.send_signal(signal.SIGTERM)
    _, text = producer.communicate(timeout=30)
    assert producer.returncode == 75, text
    assert "SIGTERM: finishing the shards" in text
    assert "goes on from here" in text
    check_complete(path, total=200 * n_ready(path))
    # A request by file; the next production clears it.
    spool = Spool.open(path)
    spool.request_stop()
    before = n_ready(path)
    producer = start_toy(path, "--workers", workers)
    wait_for(lambda: n_ready(path) > before)
    spool.request_stop()
    _, text = producer.communicate(timeout=30)
    assert producer.returncode == 75, text
    assert "request to drain is cleared" in text
    check_complete(path, total=200 * n_ready(path))


def test_ctrl_c_twice_stops_at_once(tmp_path: Path, start_toy: StartToy) -> None:
    path = tmp_path / "spool"
    producer = start_toy(path, "--workers", 1, TOY_SECONDS_PER_BLOCK=3)
    wait_for(lambda: any(path.glob("tmp/p*")))
    producer.send_signal(signal.SIGINT)
    time.sleep(1.3)  # what comes earlier is the same request
    start = time.monotonic()
    producer.send_signal(signal.SIGINT)
    _, text = producer.communicate(timeout=30)
    assert producer.returncode == 75, text
    assert "stopped at once after 0 samples" in text
    assert time.monotonic() - start < 6.0
    check = audit(Spool.open(path))
    assert (check.ok, check.produced) == (True, 0)
    assert "Traceback" not in text


def test_production_pauses_and_resumes(tmp_path: Path, start_toy: StartToy) -> None:
    path = tmp_path / "spool"
    producer = start_toy(path, "--samples", 2000, "--high", 1_300_000, TOY_SECONDS_PER_BLOCK=0.001)
    try:
        wait_for(lambda: n_ready(path) >= 3)
        time.sleep(1.0)
        paused = n_ready(path)
        spool = Spool.open(path)
        assert 3 <= paused < 10
        assert spool.backlog().bytes <= 1_300_000
        total = 0
        with start_consumer(spool, "run") as consumer:
            while total < 2000:
                for name in consumer.claim(10):
                    consumer.cover({str(name): name.rows}, step=0)
                    total += name.rows
                assert spool.backlog().all_bytes <= 1_300_000
                time.sleep(0.02)
        _, text = producer.communicate(timeout=30)
    finally:
        producer.kill()
    assert producer.returncode == 0
    assert "high watermark reached" in text
    assert "production goes on" in text
    result = audit(Spool.open(path))
    assert (result.ok, result.used) == (True, 2000)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MB; skipped where it cannot be mounted."""
    path = tmp_path / "disk"
    path.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(path)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("cannot mount a small tmpfs here (needs root)")
    yield path
    subprocess.run(["umount", "-l", str(path)], check=True)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1])
def test_a_full_disk_pauses_and_loses_nothing(
    small_disk: Path, workers: int, capsys: pytest.CaptureFixture[str]
) -> None:
    from toy_production import ToyRows, configuration
    from xrdcommon.spool.producer import Stream
    from xrdgen.production.coordinator import Coordinator
    from xrdgen.production.executors import SerialExecutor, local_cluster

    spool = Spool.create(small_disk / "spool", configuration(), 7)
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(1_200_000))
    state = {"full": False}

    def on_progress(n: int, note: str) -> None:
        if "no space" in capsys.readouterr().err:
            state["full"] = True
            assert audit(spool).ok
            ballast.unlink(missing_ok=True)

    def run(executor: SerialExecutor) -> None:
        stream = Stream.open(spool)
        Coordinator(spool, stream, executor, ToyRows, samples=1200, back_off=(0.2, 1.0)).run(on_progress)

    if workers:
        with local_cluster(1, "127.0.0.1", spool) as executor:
            run(executor)
    else:
        run(SerialExecutor())
    assert state["full"]
    check_complete(spool.path, total=1200)


def test_a_worker_joins_and_leaves(tmp_path: Path, start_toy: StartToy, uninterrupted: Path) -> None:
    """`xrdgen worker` from another process: it makes shards, SIGTERM lets it finish the one it has."""
    path, pids = tmp_path / "spool", tmp_path / "pids"
    pids.mkdir()
    environment = {"TOY_PIDS": str(pids), "TOY_SECONDS_PER_BLOCK": "0.2"}
    producer = start_toy(path, "--samples", SAMPLES, "--workers", 1, **environment)
    wait_for((path / "control" / "scheduler.json").exists)
    command = [str(Path(sys.executable).parent / "xrdgen"), "worker", str(path), "--workers", "1"]
    support = str(Path(__file__).parent / "support")
    joined = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env=os.environ | environment | {"PYTHONPATH": support}
    )
    with joined:
        wait_for(lambda: len(list(pids.iterdir())) == 2 or producer.poll() is not None)
        joined.send_signal(signal.SIGTERM)
        _, text = joined.communicate(timeout=30)
    assert joined.returncode == 75, text
    assert "workers finish the shards" in text
    assert "Traceback" not in text
    assert len(list(pids.iterdir())) == 2
    _, text = producer.communicate(timeout=60)
    assert producer.returncode == 0, text
    assert ready(path) == ready(uninterrupted)


def test_a_worker_does_not_wait_for_a_producer_that_vanished(tmp_path: Path, start_toy: StartToy) -> None:
    """Killed, the producer leaves its address behind; the worker that starts meanwhile must not hang."""
    path, pids = tmp_path / "spool", tmp_path / "pids"
    pids.mkdir()
    producer = start_toy(path, "--workers", 1, TOY_SECONDS_PER_BLOCK=0.1)
    wait_for((path / "control" / "scheduler.json").exists)
    command = [str(Path(sys.executable).parent / "xrdgen"), "worker", str(path), "--workers", "1"]
    environment = {"TOY_PIDS": str(pids), "PYTHONPATH": str(SUPPORT)}
    joined = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ | environment)
    with joined:
        assert joined.stderr is not None
        first = joined.stderr.readline()
        producer.kill()
        try:
            _, text = joined.communicate(timeout=45)
        finally:
            joined.kill()
    assert "1 workers join" in first
    assert joined.returncode == 75, text
    assert "the producer vanished without ending the production" in text
    assert not list(pids.iterdir())  # no shard was begun


@pytest.mark.slow
def test_production_and_training_killed_at_random(tmp_path: Path, start_toy: StartToy) -> None:
    """Used once each, by the audit and by the identities in the surviving lineage of checkpoints."""
    from toy_production import configuration

    path, checkpoint = tmp_path / "spool", tmp_path / "checkpoint.json"
    Spool.create(path, configuration(), 7)
    training = [sys.executable, str(SUPPORT / "toy_training.py"), str(path), str(checkpoint), "--samples", str(SAMPLES)]
    chance = random.Random(5)
    kills = 0
    processes: list[subprocess.Popen[str] | None] = [None, None]
    end = time.monotonic() + 60
    while not all(process is not None and process.returncode == 0 for process in processes):
        assert time.monotonic() < end
        for number in range(2):
            process = processes[number]
            if process is None or process.poll() not in (None, 0):
                processes[number] = (
                    start_toy(path, "--samples", SAMPLES, TOY_SECONDS_PER_BLOCK=0.04)
                    if number == 0
                    else subprocess.Popen(training, stderr=subprocess.PIPE, text=True)
                )
        time.sleep(chance.uniform(0.4, 0.8))
        victim = processes[chance.randrange(2)]
        if kills < 10 and victim is not None and victim.poll() is None:
            victim.kill()
            _, text = victim.communicate()
            assert "Traceback" not in text
            kills += 1
            assert audit(Spool.open(path)).ok
    for process in processes:
        assert process is not None
        process.communicate()
    assert kills >= 4
    consumed = json.loads(checkpoint.read_text())["consumed"]
    assert len(consumed) == len(set(consumed)) == SAMPLES
    result = audit(Spool.open(path))
    assert (result.ok, result.produced, result.used, result.lost) == (True, SAMPLES, SAMPLES, 0)
    assert not list(path.rglob("*.tar"))


def test_samples_are_the_total_of_the_spool(tmp_path: Path) -> None:
    from toy_production import ToyRows, configuration
    from xrdgen.production.produce import produce

    spool = Spool.create(tmp_path / "spool", configuration(), 7)
    for samples, shards in ((250, 2), (250, 2), (700, 5), (100, 5)):
        produce(spool, workers=0, samples=samples, factory=ToyRows)
        assert n_ready(spool.path) == shards
    check_complete(spool.path, total=700)
    rows = sorted((name.shard, name.rows) for name in map(_name, spool.layout.ready.iterdir()))
    assert rows == [(0, 200), (1, 50), (2, 200), (3, 200), (4, 50)]


def test_a_full_spool_does_not_keep_a_finished_production(tmp_path: Path) -> None:
    from toy_production import ToyRows, configuration
    from xrdgen.production.produce import produce

    spool = Spool.create(tmp_path / "spool", configuration(), 7)
    marks = Watermarks(high_shards=3, low_shards=0)
    produce(spool, workers=0, samples=600, factory=ToyRows, marks=marks)
    produce(spool, workers=0, samples=600, factory=ToyRows, marks=marks)
    check_complete(spool.path, total=600)


def _name(path: Path):
    from xrdcommon.shards import ShardName

    return ShardName.parse(path.name)


def test_two_producers_make_different_samples(tmp_path: Path, start_toy: StartToy) -> None:
    path = tmp_path / "spool"
    producers = [start_toy(path, "--samples", 4000, TOY_SECONDS_PER_BLOCK=0.01) for _ in range(2)]
    for producer in producers:
        _, text = producer.communicate(timeout=60)
        assert producer.returncode == 0, text
    found = identities(path)
    assert len(found) == len(set(found)) >= 4000
    assert {identity[1] for identity in found} == {0, 1}
    assert audit(Spool.open(path)).ok


def test_wrong_numbers_are_refused(tmp_path: Path) -> None:
    from toy_production import ToyRows, configuration
    from xrdgen.production.produce import produce

    spool = Spool.create(tmp_path / "spool", configuration(), 7)
    with pytest.raises(InputError, match="samples -5: must be at least 1"):
        produce(spool, workers=0, samples=-5, factory=ToyRows)
    with pytest.raises(InputError, match="workers -1"):
        produce(spool, workers=-1, samples=5, factory=ToyRows)
    with pytest.raises(InputError, match="a shard of 200 samples needs"):
        produce(spool, workers=0, samples=5, factory=ToyRows, marks=Watermarks(1000, 500))
    with pytest.raises(InputError, match="no such scheduler file"):
        produce(spool, scheduler_file=tmp_path / "nowhere.json", factory=ToyRows)
    produce(spool, workers=0, samples=5, factory=ToyRows)  # every refusal has let the stream go
    assert {path.name for path in spool.layout.producers.iterdir()} == {"p000000"}


def test_a_broken_disk_does_not_reach_training(tmp_path: Path, uninterrupted: Path) -> None:
    path = shutil.copytree(uninterrupted, tmp_path / "spool")
    victim = sorted((path / "ready" / "main").iterdir())[0]
    os.truncate(victim, victim.stat().st_size - 600)
    spool = Spool.open(path)
    with start_consumer(spool, "run") as consumer:
        names = consumer.claim(100)
        loaded = [consumer.load(name) for name in names]
    assert sum(shard is None for shard in loaded) == 1
    assert [entry["name"] for entry in read_lines(spool.layout.quarantine_log)] == [victim.name]
    result = audit(spool)
    assert (result.ok, result.quarantined, result.claimed) == (True, 200, SAMPLES - 200)


def test_the_uuid_is_checked_by_workers(tmp_path: Path) -> None:
    from toy_production import ToyRows, configuration
    from xrdgen.production.shard_task import ShardOrder, make_shard

    spool = Spool.create(tmp_path / "spool", configuration(), 7)
    order = ShardOrder(str(spool.path), "another", 0, 0, 10, str(tmp_path / "skip"), ToyRows)
    with pytest.raises(SpoolError, match="another spool"):
        make_shard(order)

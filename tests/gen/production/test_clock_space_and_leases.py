"""Production when the clock jumps, when space runs short, and when its lease is taken while it stands still."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from xrdcommon.errors import InputError
from xrdcommon.spool.audit import audit
from xrdcommon.spool.backlog import KEEP_FILES, Watermarks, free_bytes, free_files
from xrdcommon.spool.consumer import start_consumer
from xrdcommon.spool.feeds import open_feed
from xrdcommon.spool.producer import Stream
from xrdcommon.spool.records import RecordCache
from xrdcommon.spool.spool import Spool

SUPPORT = Path(__file__).parent / "support"


def wait_for(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)


def toy_spool(path: Path) -> Spool:
    from toy_production import configuration

    return Spool.create(path, configuration(), 7)


def produce_beside(spool: Spool, samples: int, marks: Watermarks) -> threading.Thread:
    from toy_production import ToyRows
    from xrdgen.production.produce import produce

    thread = threading.Thread(
        target=lambda: produce(spool, workers=0, samples=samples, marks=marks, factory=ToyRows), daemon=True
    )
    thread.start()
    return thread


def test_no_decision_reads_the_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock jumps by years, to and fro, at every look, while a training uses what is produced beside it."""
    years, looks = 365.25 * 86_400, [0]
    begin = time.time()

    def jumping() -> float:
        looks[0] += 1
        # by the golden ratio: whatever is the number of looks between two of a reader, it sees both directions
        return begin + years * (-20 if 0.6180339887 * looks[0] % 1.0 < 0.5 else 30) + looks[0]

    monkeypatch.setattr(time, "time", jumping)
    from xrdgen.production.monitoring.status import Observer

    spool = toy_spool(tmp_path / "spool")
    open_feed(spool, "b")
    observer = Observer(spool)
    thread = produce_beside(spool, 2000, Watermarks(high_shards=4, low_shards=2))
    used: dict[str, list[str]] = {"main": [], "b": []}
    while min(map(len, used.values())) < 10:
        for feed, names in used.items():
            with start_consumer(spool, f"run-{feed}", feed) as consumer:  # taken over from itself each time
                claimed = consumer.claim(1)
                consumer.cover({str(name): name.rows for name in claimed}, step=1)
                names += map(str, claimed)
        assert audit(spool).ok
        state = observer.look()
        assert (state["ok"], state["samples_lost"]) == (True, 0)
        assert spool.backlog().all_shards <= 4
        assert thread.is_alive() or spool.backlog().all_shards or min(map(len, used.values())) == 10
    thread.join(30)
    assert not thread.is_alive()
    assert all(len(names) == len(set(names)) == 10 for names in used.values())
    cache = RecordCache(spool.layout)
    cache.refresh()
    times = [record.unix_time for _, _, record in cache]
    assert max(times) - min(times) > 10 * years  # the jumps were seen, by people alone
    result = audit(spool)
    assert (result.ok, result.used, result.made) == (True, 4000, 2000)
    assert looks[0] > 30


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MB."""
    path = tmp_path / "disk"
    path.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=3m", "none", str(path)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("cannot mount a small tmpfs here (needs root)")
    yield path
    subprocess.run(["umount", "--lazy", str(path)], check=True)


def test_space_is_kept_free(small_disk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = 1_500_000
    spool = toy_spool(small_disk / "spool")
    said: list[str] = []

    def heard(text: str) -> bool:
        said.append(capsys.readouterr().err)
        return text in "".join(said)

    thread = produce_beside(spool, 6000, Watermarks(keep_free=kept))
    wait_for(lambda: heard("production pauses (resumes at 1.8 MB)"))
    before = spool.backlog()
    assert 0 < before.shards < 30
    assert free_bytes(small_disk) >= kept
    time.sleep(1.5)
    assert spool.backlog() == before  # it does pause
    assert free_bytes(small_disk) >= kept
    with start_consumer(spool, "run") as consumer:
        while audit(spool).used < 6000:
            names = consumer.claim(3)
            consumer.cover({str(name): name.rows for name in names}, step=1)
            assert free_bytes(small_disk) >= kept
            time.sleep(0 if names else 0.05)
    thread.join(30)
    assert not thread.is_alive()
    assert heard("free again: production goes on")
    assert "no space" not in "".join(said)
    result = audit(spool)
    assert (result.ok, result.used) == (True, 6000)


def test_space_is_looked_at_with_what_is_being_made() -> None:
    marks = Watermarks(keep_free=1000)
    assert not marks.short_of_space(1300, more_shards=3, shard_bytes=100, paused=False)
    assert marks.short_of_space(1299, more_shards=3, shard_bytes=100, paused=False)
    assert marks.short_of_space(1499, more_shards=3, shard_bytes=100, paused=True)
    assert not marks.short_of_space(1500, more_shards=3, shard_bytes=100, paused=True)
    assert not Watermarks().short_of_space(0, more_shards=9, shard_bytes=9, paused=True)
    with pytest.raises(InputError, match="must not be negative"):
        Watermarks(keep_free=-1)


@pytest.mark.slow
def test_keep_free_of_the_command(tmp_path: Path) -> None:
    path = tmp_path / "spool"
    command = [str(Path(sys.executable).parent / "xrdgen"), "produce", str(path), "--workers", "0", "--samples", "64"]
    command += ["--step", "0.02", "--seed", "1"]
    with subprocess.Popen([*command, "--keep-free", "900TB"], stderr=subprocess.PIPE, text=True) as producer:
        assert producer.stderr is not None
        line = next(line for line in producer.stderr if "--keep-free" in line)
        assert "900 TB are kept for checkpoints" in line
        producer.send_signal(signal.SIGTERM)
        assert producer.wait(30) == 75
    assert (audit(Spool.open(path)).ok, audit(Spool.open(path)).produced) == (True, 0)
    wrong = subprocess.run([*command, "--keep-free", "lots"], capture_output=True, text=True, check=False)
    assert (wrong.returncode, wrong.stderr.count("\n")) == (2, 1)
    assert "size 'lots'" in wrong.stderr
    free = "0" if shutil.disk_usage(tmp_path).free < 2e9 else "1GB"
    assert subprocess.run([*command, "--keep-free", free], stderr=subprocess.DEVNULL, check=False).returncode == 0
    assert audit(Spool.open(path)).ready == 64


FROZEN = """
import sys
from xrdcommon.spool import lease
lease._machine = lambda: "another machine"
lease.BEAT_INTERVAL = 0.05
import toy_production
toy_production.main()
"""


def test_a_production_frozen_past_its_lease_stops(tmp_path: Path) -> None:
    path = tmp_path / "spool"
    modules = os.pathsep.join([str(SUPPORT), os.environ.get("PYTHONPATH", "")])
    frozen = subprocess.Popen(
        [sys.executable, "-c", FROZEN, str(path)],
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": modules, "TOY_SECONDS_PER_BLOCK": "0.05"},
    )
    try:
        wait_for(lambda: len(list(path.glob("ready/main/*"))) >= 2)
        frozen.send_signal(signal.SIGSTOP)
        spool = Spool.open(path)
        heir = Stream.open(spool, patience=1.5)  # longer than the time between two looks at a lease
        assert heir.number == 0
        found = audit(spool).produced
        heir.close()
        produce_beside(spool, found + 600, Watermarks()).join(30)
        frozen.send_signal(signal.SIGCONT)
        _, text = frozen.communicate(timeout=30)
    finally:
        frozen.kill()
    assert frozen.returncode not in (0, 75)
    assert "another process has taken over while this one stood still" in text
    result = audit(spool)
    assert (result.ok, result.produced, result.ready) == (True, found + 600, found + 600)
    names = [path.name[:14] for path in spool.layout.ready.iterdir()]
    assert len(names) == len(set(names))


@pytest.fixture
def few_files(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for 1,600 files."""
    path = tmp_path / "files"
    path.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64m,nr_inodes=1600", "none", str(path)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("cannot mount a small tmpfs here (needs root)")
    yield path
    subprocess.run(["umount", "--lazy", str(path)], check=True)


def test_files_are_kept_free(few_files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Production leaves inodes too, so that the training that could free some can write its checkpoint."""
    from toy_production import configuration

    spool = Spool.create(few_files / "spool", configuration(50), 7)
    said: list[str] = []

    def heard(text: str) -> bool:
        said.append(capsys.readouterr().err)
        return text in "".join(said)

    total = 320 * 50
    thread = produce_beside(spool, total, Watermarks(keep_free=1))
    wait_for(lambda: heard("are kept for checkpoints (--keep-free): production pauses (resumes at 1200)"))

    def stands_still() -> bool:
        before = spool.backlog()
        time.sleep(1.5)
        return spool.backlog() == before

    wait_for(stands_still)
    assert 0 < spool.backlog().samples < total
    with start_consumer(spool, "run") as consumer:
        while audit(spool).used < total:
            names = consumer.claim(20)
            consumer.cover({str(name): name.rows for name in names}, step=1)
            assert (free_files(few_files) or 0) >= KEEP_FILES
            time.sleep(0 if names else 0.05)
    thread.join(30)
    assert not thread.is_alive()
    assert heard("free again: production goes on")
    assert "no space" not in "".join(said)
    assert audit(spool).ok
    assert not Watermarks(keep_free=1).short_of_files(None, more_shards=9, paused=True)
    assert not Watermarks().short_of_files(0, more_shards=9, paused=True)

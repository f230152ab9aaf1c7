"""Workers of a production on one machine: killed while they start, unable to start, and of another user."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from xrdcommon.errors import SpoolError, XrdError
from xrdcommon.spool.audit import audit
from xrdcommon.spool.spool import Spool

StartToy = Callable[..., "subprocess.Popen[str]"]
Command = Callable[..., "subprocess.CompletedProcess[str]"]
NOBODY = 65534
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to another user")


def wait_for(condition: Callable[[], object], seconds: float = 90.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.01)


def toy_spool(path: Path) -> Spool:
    from toy_production import configuration

    return Spool.create(path, configuration(), 7)


def test_children_killed_while_they_start_are_started_again(tmp_path: Path, start_toy: StartToy) -> None:
    path = tmp_path / "spool"
    producer = start_toy(path, "--samples", 1000, "--workers", 1)
    killed: set[int] = set()

    def killed_two() -> bool:
        assert producer.poll() is None, producer.communicate()
        for child in psutil.Process(producer.pid).children():
            with contextlib.suppress(psutil.Error):
                if child.pid not in killed and "xrdgen.production.cluster.worker_process" in child.cmdline():
                    child.kill()
                    killed.add(child.pid)
        return len(killed) == 2

    wait_for(killed_two)
    _, text = producer.communicate(timeout=120)
    assert producer.returncode == 0, text
    assert text.count("a worker process ended (signal 9); started again") == 2
    assert "Traceback" not in text
    assert audit(Spool.open(path)).produced == 1000


def test_workers_that_cannot_start_end_the_production(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They would be started again for ever: the production ends with how they ended, not with a guess."""
    from xrdgen.production.cluster import worker_pool
    from xrdgen.production.executors import local_cluster

    monkeypatch.setattr(worker_pool, "MAX_FAILURES", 2)
    monkeypatch.setattr(worker_pool, "BACK_OFF", (0.05, 0.1))
    spool = toy_spool(tmp_path / "spool")
    monkeypatch.setenv("PYTHONHOME", str(tmp_path))  # workers find no library

    def run() -> None:
        with local_cluster(1, "127.0.0.1", spool) as executor:
            wait_for(lambda: executor.slots() < 0)

    with pytest.raises(XrdError, match=r"worker processes end soon after they start, .* \(the last: exit code 1\)"):
        run()
    assert not spool.layout.scheduler_file.exists()


def test_an_interface_that_is_not_there_is_named(tmp_path: Path, run_command: Command) -> None:
    options = ("--workers", 1, "--samples", 16, "--rows-per-shard", 16, "--listen", "192.0.2.77")
    result = run_command("xrdgen", "produce", tmp_path / "spool", *options, timeout=300)
    assert result.returncode == 2
    assert "--listen 192.0.2.77: no scheduler can listen there" in result.stderr.splitlines()[-1]
    assert "Traceback" not in result.stderr


def test_two_local_productions_keep_their_own_workers(tmp_path: Path, start_toy: StartToy) -> None:
    """The address in the spool is of the one that started last; the first one's workers stay with it."""
    path = tmp_path / "spool"
    first = start_toy(path, "--workers", 1, "--samples", 4000, TOY_SECONDS_PER_BLOCK=0.1)
    wait_for(lambda: any(path.glob("ready/main/p000000-*")))
    second = start_toy(path, "--workers", 1, "--samples", 4000, TOY_SECONDS_PER_BLOCK=0.1)
    wait_for(lambda: any(path.glob("ready/main/p000001-*")))
    before = len(list(path.glob("ready/main/p000000-*")))
    wait_for(lambda: len(list(path.glob("ready/main/p000000-*"))) > before + 2 or first.poll() is not None)
    for producer in (first, second):
        _, text = producer.communicate(timeout=120)
        assert producer.returncode == 0, text
        assert "worker process ended" not in text
    assert audit(Spool.open(path)).ok


def test_an_error_that_cannot_be_fetched_is_a_lost_worker(tmp_path: Path) -> None:
    """The scheduler stands still when it is asked why a task failed: the shard is made again."""
    from toy_production import ToyRows
    from xrdgen.production.executors import local_cluster
    from xrdgen.production.shard_task import ShardOrder

    class Unanswered:
        status = "error"

        def exception(self, timeout: float) -> None:
            raise TimeoutError

    spool = toy_spool(tmp_path / "spool")
    order = ShardOrder(str(spool.path), spool.uuid, 0, 0, 200, str(tmp_path / "skip"), ToyRows)
    with local_cluster(0, "127.0.0.1", spool) as executor:
        executor._done.put((order, Unanswered()))
        assert list(executor.results(1.0)) == [(order, None)]


def test_a_coordinator_that_starts_reads_summaries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not the records of a spool one by one: 20,000 of them take many seconds, on a network many more."""
    import many_shards
    from xrdcommon.spool.producer import Stream
    from xrdcommon.spool.records import Record, RecordCache
    from xrdgen.production.coordinator import Coordinator
    from xrdgen.production.executors import SerialExecutor
    from xrdgen.production.joined.coordinator_process import _complete

    spool = many_shards.fill(tmp_path / "spool", 2100, ready=50, streams=1)
    RecordCache(spool.layout, summaries=True).refresh()
    read = Record.read
    count = [0]

    def counted(path: Path) -> Record:
        count[0] += 1
        return read(path)

    monkeypatch.setattr(Record, "read", counted)
    assert not _complete(spool, 10**9)
    stream = Stream.open(spool)
    found = Coordinator(spool, stream, SerialExecutor(), RowsNever, samples=10**9).found
    stream.close()
    assert found == 2100 * many_shards.ROWS
    assert count[0] == 200  # the hundred of the last folder, twice


class RowsNever:
    """Rows that nobody asks for."""


@root_only
def test_the_key_of_another_user_is_not_used(tmp_path: Path) -> None:
    from xrdgen.production.cluster.rendezvous import key_file, security

    layout = toy_spool(tmp_path / "spool").layout
    security(layout, create=True)
    theirs = key_file(layout)
    os.chown(theirs, NOBODY, NOBODY)  # who made it can read it, and would get in
    security(layout, create=True)
    ours = key_file(layout)
    assert (theirs.name, ours.name) == ("tls.pem", "tls-0.pem")
    assert stat.S_IMODE(ours.stat().st_mode) == 0o600
    assert ours.read_bytes() != theirs.read_bytes()
    os.chown(ours, NOBODY, NOBODY)
    with pytest.raises(SpoolError, match="made by nobody, who could run code as you with it"):
        security(layout, create=True)


@root_only
@pytest.mark.parametrize("command", ["worker", "join"])
def test_workers_do_not_join_the_production_of_another_user(tmp_path: Path, command: str) -> None:
    from xrdgen.production.cluster.rendezvous import publish
    from xrdgen.production.joined.joining import join

    spool = toy_spool(tmp_path / "spool")
    publish(spool.layout.scheduler_file, "tcp://127.0.0.1:1")
    os.chown(spool.layout.scheduler_file, NOBODY, NOBODY)
    if command == "worker":
        with pytest.raises(SpoolError, match=r"the production there is of another user \(nobody\)"):
            join(spool, 1)
        return
    from toy_production import ToyRows
    from xrdcommon.spool.lease import Lease
    from xrdgen.production.joined.coordinator_process import lease_owner
    from xrdgen.production.joined.election import produce_joined

    owner = lease_owner(spool.layout)
    owner.mkdir()
    lease = Lease.acquire(owner, spool.layout.temporary)
    assert lease is not None
    with pytest.raises(SpoolError, match=r"the production there is of another user \(nobody\)"):
        produce_joined(spool, workers=1, samples=1, factory=ToyRows)
    lease.release()


def test_nothing_is_put_where_others_may_write(tmp_path: Path, start_toy: StartToy) -> None:
    """Dask would look for modules in a folder that anybody may have made; ours is closed, or made anew."""
    temporary = tmp_path / "tmp"
    trap = temporary / "dask-scratch-space"
    trap.mkdir(parents=True)
    trap.chmod(0o777)
    taken = temporary / f"xrdgen-{os.getuid()}"
    taken.mkdir()
    taken.chmod(0o777)
    producer = start_toy(tmp_path / "spool", "--samples", 400, "--workers", 1, TMPDIR=temporary)
    _, text = producer.communicate(timeout=60)
    assert producer.returncode == 0, text
    assert [list(folder.iterdir()) for folder in (trap, taken)] == [[], []]
    others = [path for path in temporary.iterdir() if path not in (trap, taken)]
    assert others
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o700 for path in others if path.is_dir())
    shutil.rmtree(taken)
    assert start_toy(tmp_path / "spool", "--samples", 800, "--workers", 1, TMPDIR=temporary).wait(60) == 0
    assert stat.S_IMODE(taken.stat().st_mode) == 0o700

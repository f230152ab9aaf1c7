"""One production over many tasks, with real processes: coordinators and workers die, tasks drain, others go on."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest
from xrdcommon.errors import SpoolError
from xrdcommon.shards import read_shard
from xrdcommon.spool.audit import audit
from xrdcommon.spool.lease import State, observe
from xrdcommon.spool.spool import Spool
from xrdgen.production.joined.coordinator_process import lease_owner
from xrdgen.production.monitoring.status import Observer

StartToy = Callable[..., "subprocess.Popen[str]"]


def ready(spool: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (spool / "ready").rglob("*.tar")}


def check(path: Path, total: int | None = None) -> int:
    """Every sample once, counted from the files themselves and by the audit; return the number."""
    result = audit(Spool.open(path))
    assert result.ok, result
    samples = np.concatenate([read_shard(file).samples for file in (path / "ready").rglob("*.tar")])
    found = list(zip(*(samples[name].tolist() for name in ("run", "producer", "shard", "index")), strict=True))
    assert len(found) == len(set(found)) == result.produced == (len(found) if total is None else total)
    return len(found)


def wait_for(condition: Callable[[], object], seconds: float = 90.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)


def coordinator(spool: Path) -> int | None:
    """Return the process that has put its address there."""
    with contextlib.suppress(FileNotFoundError):
        return int(json.loads((spool / "control" / "scheduler.json").read_text())["pid"])
    return None


def children(task: subprocess.Popen[str], name: str) -> list[psutil.Process]:
    found = []
    for process in psutil.Process(task.pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if any(word.startswith("xrdgen.production.") and word.endswith(f".{name}") for word in process.cmdline()):
                found.append(process)
    return found


def owner_of(spool: Path, tasks: list[subprocess.Popen[str]]) -> subprocess.Popen[str]:
    """Return the task whose coordinator has put its address there."""
    pid = coordinator(spool)
    return next(task for task in tasks if any(p.pid == pid for p in children(task, "coordinator_process")))


@pytest.mark.slow
def test_tasks_go_on_when_coordinator_worker_and_task_die(tmp_path: Path, start_toy: StartToy) -> None:
    """Three coordinators, killed workers and a killed task: the bytes of a production that nothing befell."""
    path, expected = tmp_path / "spool", tmp_path / "expected"
    samples = ("--samples", 6000)
    assert start_toy(expected, *samples).wait(60) == 0
    options = (*samples, "--workers", 1, "--join")
    tasks = [start_toy(path, *options, TOY_SECONDS_PER_BLOCK=0.15) for _ in range(2)]
    for kill in range(2):
        before = len(ready(path))
        wait_for(lambda: len(ready(path)) >= before + 2)  # noqa: B023
        pid = coordinator(path)
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: coordinator(path) not in (pid, None))  # noqa: B023
        if kill == 0:
            workers = children(tasks[0], "worker_process")
            workers[0].kill()
            wait_for(lambda: set(children(tasks[0], "worker_process")) - set(workers))  # noqa: B023
    owner = owner_of(path, tasks)
    tasks.remove(owner)
    owner.kill()  # its coordinator hands over, its worker ends
    _, text = tasks[0].communicate(timeout=120)
    assert tasks[0].returncode == 0, text
    assert "all samples are there" in text
    assert "Traceback" not in text
    check(path, 6000)
    assert ready(path) == ready(expected)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGTERM])
def test_a_task_drains_and_another_takes_over(tmp_path: Path, start_toy: StartToy, number: int) -> None:
    """The signal comes twice, as queue systems send it; the stop file ends what is left."""
    path = tmp_path / "spool"
    tasks = [start_toy(path, "--workers", 1, "--join", TOY_SECONDS_PER_BLOCK=0.1) for _ in range(2)]
    wait_for(lambda: len(ready(path)) >= 2)
    pid = coordinator(path)
    owner = owner_of(path, tasks)
    owner.send_signal(number)
    owner.send_signal(number)
    _, text = owner.communicate(timeout=90)
    assert owner.returncode == 75, text
    assert f"stopped by {signal.Signals(number).name}" in text
    assert "Traceback" not in text
    wait_for(lambda: coordinator(path) not in (pid, None))
    before = len(ready(path))
    wait_for(lambda: len(ready(path)) > before)
    Spool.open(path).request_stop()
    other = next(task for task in tasks if task is not owner)
    _, text = other.communicate(timeout=90)
    assert other.returncode == 0, text
    assert "drained" in text
    check(path)
    late = start_toy(path, "--workers", 1, "--join")
    _, text = late.communicate(timeout=60)
    assert late.returncode == 0
    assert "was asked to drain" in text
    assert not list((path / "tmp").iterdir())


@pytest.mark.slow
def test_a_killed_task_takes_its_coordinator_along(tmp_path: Path, start_toy: StartToy) -> None:
    """Nobody is left to make the shards under way: the coordinator does not wait for them, nor hold its lease."""
    path = tmp_path / "spool"
    task = start_toy(path, "--workers", 1, "--join", TOY_SECONDS_PER_BLOCK=0.3)
    wait_for(lambda: ready(path))
    pid = coordinator(path)
    assert pid is not None
    task.kill()
    wait_for(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE, 40.0)
    spool = Spool.open(path)
    assert observe(lease_owner(spool.layout)) is State.FREE
    assert Observer(spool).look()["producers"] == 0
    check(path)


@pytest.mark.slow
def test_the_loss_of_the_coordinators_machine_is_waited_for_once(tmp_path: Path, start_toy: StartToy) -> None:
    """Coordinator and stream are one process, watched once: a minute, here 20 s, and not twice that and more."""
    if subprocess.run(["unshare", "--uts", "hostname", "lost"], capture_output=True, check=False).returncode:
        pytest.skip("cannot give a process another host name here (needs root)")
    from toy_production import configuration

    path = tmp_path / "spool"
    Spool.create(path, configuration(), 7)
    program = [sys.executable, configuration.__code__.co_filename, str(path), "--workers", "1", "--join"]
    short = {"SOAK_PATIENCE": "20", "TOY_SECONDS_PER_BLOCK": "0.2"}
    folders = [str(Path(__file__).parents[2] / "soak" / "patience"), str(Path(__file__).parent / "support")]
    environment = os.environ | short | {"PYTHONPATH": os.pathsep.join(folders)}
    lost = subprocess.Popen(
        ["unshare", "--uts", "sh", "-c", 'hostname lost; exec "$@"', "sh", *program],
        env=environment,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        wait_for(lambda: ready(path))
        task = start_toy(path, "--workers", 1, "--join", **short, PYTHONPATH=os.pathsep.join(folders))
        wait_for(lambda: children(task, "worker_process"))
        time.sleep(6.0)  # a beat was seen, a worker is connected
        assert not children(task, "coordinator_process")
    finally:
        processes = [psutil.Process(lost.pid), *psutil.Process(lost.pid).children(recursive=True)]
        for process in processes:
            process.kill()
        lost.wait()
    begin = time.monotonic()
    pid = coordinator(path)
    wait_for(lambda: coordinator(path) != pid)
    before = set(ready(path))
    wait_for(lambda: set(ready(path)) - before)
    assert 15.0 < time.monotonic() - begin < 40.0
    task.send_signal(signal.SIGTERM)
    task.communicate(timeout=60)
    check(path)


@pytest.mark.slow
def test_only_who_reads_the_key_can_join(tmp_path: Path, start_toy: StartToy) -> None:
    """Beyond localhost scheduler and worker speak TLS and refuse who cannot show the spool's certificate."""
    path = tmp_path / "spool"
    task = start_toy(path, "--workers", 1, "--join", "--listen", "0.0.0.0", TOY_SECONDS_PER_BLOCK=0.1)
    wait_for(lambda: len(ready(path)) >= 1)
    key = path / "control" / "tls.pem"
    assert key.stat().st_mode & 0o777 == 0o600
    address = json.loads((path / "control" / "scheduler.json").read_text())["address"]
    assert address.startswith("tls://")
    _, port = address.removeprefix("tls://").rsplit(":", 1)
    worker = children(task, "worker_process")[0]
    # Every port that is open beyond this machine belongs to the scheduler, or to a worker that its scheduler calls.
    for process in (*children(task, "coordinator_process"), worker):
        listening = [c for c in process.net_connections("inet") if c.status == psutil.CONN_LISTEN]
        open_ports = [c.laddr.port for c in listening if c.laddr.ip not in ("127.0.0.1", "::1")]
        assert open_ports, listening
        for open_port in open_ports:
            assert not _answers(open_port, None)
            strange = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            strange.check_hostname, strange.verify_mode = False, ssl.CERT_NONE
            assert not _answers(open_port, strange)  # no certificate of its own
            strange.load_cert_chain(_foreign_key(tmp_path))
            assert not _answers(open_port, strange)  # another spool's
            known = ssl.create_default_context(cafile=key)
            known.check_hostname = False
            known.load_cert_chain(key)
            assert _answers(open_port, known)
    assert int(port) > 0
    task.send_signal(signal.SIGTERM)
    _, text = task.communicate(timeout=90)
    assert task.returncode == 75, text
    check(path)


def _foreign_key(folder: Path) -> Path:
    from xrdcommon.spool.layout import Layout
    from xrdgen.production.cluster.rendezvous import key_file, security

    layout = Layout(folder / "foreign")
    layout.control.mkdir(parents=True, exist_ok=True)
    security(layout, create=True)
    return key_file(layout)


def _answers(port: int, context: ssl.SSLContext | None) -> bool:
    """Return whether a Dask server greets whoever connects: it speaks first."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as plain:
            if context is None:
                plain.sendall(bytes(64))
                return plain.recv(8)[:1] not in (b"", b"\x15")  # an alert of TLS is no greeting
            with context.wrap_socket(plain) as connection:
                return bool(connection.recv(8))
    except (OSError, TimeoutError):
        return False


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    from xrdcommon.spool.layout import Layout
    from xrdgen.production.cluster.rendezvous import security

    (tmp_path / "foreign" / "control").mkdir(parents=True)
    with pytest.raises(SpoolError, match="no certificate"):
        security(Layout(tmp_path / "foreign"))
    _foreign_key(tmp_path).chmod(0o640)
    with pytest.raises(SpoolError, match="others can read this key"):
        security(Layout(tmp_path / "foreign"))


def test_a_second_signal_within_a_second_is_the_same_request() -> None:
    from xrdcommon.signals import SAME, stop_on_signals

    with stop_on_signals() as stop:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)
        assert stop.reason == "SIGTERM"
        time.sleep(SAME + 0.05)
        signal.raise_signal(signal.SIGUSR1)  # never at once
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
    with stop_on_signals(at_once=(signal.SIGINT,)):
        signal.raise_signal(signal.SIGINT)
        time.sleep(SAME + 0.05)
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)

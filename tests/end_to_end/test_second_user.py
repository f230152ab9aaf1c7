"""Another user of the machine gets into no production: not `produce`, not `fit --produce`, not `--join`.

Whoever reaches a Dask scheduler or worker can run code as its user. The same trial gets into a cluster that Dask starts
by itself, so it does find open doors.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

pytestmark = [
    pytest.mark.end_to_end,
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user"),
]

BIN = Path(sys.executable).parent
TRIAL = Path(__file__).parent / "support" / "second_user.py"
SMALL = ("--rows-per-shard", "16", "--step", "0.05", "--seed", "3")
COMMANDS = {
    "produce": (BIN / "xrdgen", "produce", "SPOOL", "--workers", "1", *SMALL),
    "join": (BIN / "xrdgen", "produce", "SPOOL", "--workers", "1", "--join", *SMALL),
    "fit": (
        *(BIN / "xrdtrain", "fit", "SPOOL", "--run", "RUN", "--produce", "1", "--produce-options", " ".join(SMALL)),
        *("--model", "resnet-10-small", "--test", "none", "--batch", "16", "--samples", "1000000"),
    ),
}

Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that every user may enter; those of pytest are closed to others, which would prove nothing."""
    folder = Path(tempfile.mkdtemp(prefix="xrd-second-user-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def start(place: Path) -> Iterator[Start]:
    """Start a command; its group is ended with the test."""
    started: list[subprocess.Popen[bytes]] = []

    def begin(*command: object, **environment: str) -> subprocess.Popen[bytes]:
        with (place / "log").open("ab") as log:
            process = subprocess.Popen(
                [str(word) for word in command], stdout=log, stderr=log, env=os.environ | environment
            )
        started.append(process)
        return process

    yield begin
    for process in started:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_for(condition: Callable[[], object], seconds: float = 240.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.1)


def listening(process: subprocess.Popen[bytes]) -> list[tuple[str, int]]:
    """Return address and port of all that a process and its children listen on."""
    top = psutil.Process(process.pid)
    return [
        (connection.laddr.ip, connection.laddr.port)
        for one in (top, *top.children(recursive=True))
        for connection in one.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]


def attack(spool: Path, ports: list[int], attic: Path) -> list[str]:
    """Return what another user got."""
    attic.mkdir(mode=0o777)
    attic.chmod(0o777)
    done = subprocess.run(
        [sys.executable, TRIAL, spool, *map(str, ports)],
        capture_output=True,
        text=True,
        env=os.environ | {"ATTIC": str(attic)},
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    got: list[str] = json.loads(done.stdout.splitlines()[-1])
    return got


@pytest.mark.parametrize("command", COMMANDS)
def test_a_second_user_gets_nowhere(place: Path, start: Start, command: str) -> None:
    spool, temporary = place / "spool", place / "tmp"
    # Where Dask would look for modules: a folder that the other user made before.
    trap = temporary / "dask-scratch-space"
    trap.mkdir(parents=True)
    os.chown(trap, 65534, 65534)
    trap.chmod(0o777)
    paths = {"SPOOL": spool, "RUN": place / "run"}
    words = [paths.get(str(word), word) for word in COMMANDS[command]]
    process = start(*words, TMPDIR=str(temporary))
    ready = spool / "ready" / "main"
    claimed = spool / "claimed"

    def works() -> bool:
        assert process.poll() is None, (place / "log").read_text()
        return any(claimed.glob("*/*.tar")) if command == "fit" else any(ready.glob("*.tar"))

    wait_for(works)
    found = listening(process)
    beyond = {port for address, port in found if address not in ("127.0.0.1", "::1")}
    assert (len(beyond) >= 2) == (command == "join"), found
    assert len(found) >= 4, found  # scheduler and worker, each with a server of pages
    assert attack(spool, [port for _, port in found], place / "attic") == []
    assert list(trap.iterdir()) == []
    assert process.poll() is None


def test_the_trial_finds_an_open_door(place: Path, start: Start) -> None:
    out = place / "address"
    program = (
        "import distributed, pathlib, sys, time\n"
        "if __name__ == '__main__':\n"
        "    cluster = distributed.LocalCluster(n_workers=1, dashboard_address='127.0.0.1:0')\n"
        "    pathlib.Path(sys.argv[1]).write_text(cluster.scheduler_address)\n"
        "    time.sleep(600)\n"
    )
    file = place / "open_door.py"
    file.write_text(program)
    process = start(sys.executable, file, out)
    wait_for(lambda: out.exists() and out.read_text())
    got = attack(place, [port for _, port in listening(process)], place / "attic")
    text = "\n".join(got)
    assert "ran code in the scheduler and in 1 workers" in text
    assert "ran code in a worker" in text
    assert "/health: 200" in text

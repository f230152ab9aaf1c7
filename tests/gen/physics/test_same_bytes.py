"""`xrdgen produce`: the same seed gives the same shards on any number of workers and after SIGKILL.

`tests/gen/production` shows this with toy rows, and with real crystals for two workers left alone; here are real
crystals on one worker, and killed with all its processes and started again.
"""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

Command = Callable[..., "subprocess.CompletedProcess[str]"]

pytestmark = [pytest.mark.slow]

ROWS = 16
SHARDS = 24
OPTIONS = ("--samples", ROWS * SHARDS, "--rows-per-shard", ROWS, "--step", 0.05, "--seed", 11)
OPTIONS = (*OPTIONS, "--verification", "spglib")  # the slow way: 4 ms a crystal leave time to be killed in


def hashes(spool: Path) -> dict[str, str]:
    """Return the SHA-256 of every shard."""
    shards = sorted((spool / "ready" / "main").iterdir())
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in shards}


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory, run_command: Command) -> dict[str, str]:
    """The shards of a production in one process that nothing disturbs."""
    spool = tmp_path_factory.mktemp("reference") / "spool"
    done = run_command("xrdgen", "produce", spool, "--workers", 0, *OPTIONS, timeout=300)
    assert done.returncode == 0, done.stderr
    found = hashes(spool)
    assert len(found) == len(set(found.values())) == SHARDS
    return found


def test_one_worker(tmp_path: Path, reference: dict[str, str], run_command: Command) -> None:
    done = run_command("xrdgen", "produce", tmp_path / "spool", "--workers", 1, *OPTIONS, timeout=300)
    assert done.returncode == 0, done.stderr
    assert hashes(tmp_path / "spool") == reference


@pytest.mark.parametrize("workers", [0, 2])
def test_killed_and_started_again(
    workers: int, tmp_path: Path, reference: dict[str, str], run_command: Command
) -> None:
    spool = tmp_path / "spool"
    program = [str(Path(sys.executable).parent / "xrdgen"), "produce", str(spool), "--workers", str(workers)]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen([*program, *map(str, OPTIONS)], stdout=log, stderr=log, start_new_session=True)
        try:
            end = time.monotonic() + 200.0
            while not (ready := list(spool.glob("ready/main/*"))):
                assert process.poll() is None, (tmp_path / "log").read_text()
                assert time.monotonic() < end
                time.sleep(0.002)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    ready = list(spool.glob("ready/main/*"))
    assert 0 < len(ready) < SHARDS, "it was killed too late"
    assert process.returncode == -signal.SIGKILL
    done = run_command("xrdgen", "produce", spool, "--workers", workers, *OPTIONS, timeout=300)
    assert done.returncode == 0, done.stderr
    assert hashes(spool) == reference
    assert not list((spool / "tmp").iterdir())

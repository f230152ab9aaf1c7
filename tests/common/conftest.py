"""Makers of shards for the tests of the spool, in this process and in others that are killed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from xrdcommon.spool.producer import Stream
from xrdcommon.spool.spool import Spool

SUPPORT = Path(__file__).parent / "support"
sys.path.insert(0, str(SUPPORT))

Run = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    """An empty spool."""
    from spool_shards import CONFIGURATION

    return Spool.create(tmp_path / "spool", CONFIGURATION, 7)


@pytest.fixture
def stream(spool: Spool) -> Iterator[Stream]:
    """A stream of it, owned by this process."""
    stream = Stream.open(spool)
    yield stream
    stream.close()


@pytest.fixture
def run_script() -> Iterator[Run]:
    """Start lines of Python as another process, arguments in `sys.argv`; what is left of them is ended."""
    started: list[subprocess.Popen[str]] = []

    def run(script: str, *arguments: object) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", script, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join([str(SUPPORT), os.environ.get("PYTHONPATH", "")])},
        )
        started.append(process)
        return process

    yield run
    for process in started:
        with process:
            process.kill()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MB."""
    path = tmp_path / "disk"
    path.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(path)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("cannot mount a small tmpfs here (needs root)")
    yield path
    subprocess.run(["umount", str(path)], check=True)

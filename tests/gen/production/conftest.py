"""Toy productions: quick rows, real processes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

SUPPORT = Path(__file__).parent / "support"

StartToy = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process, and workers that it starts, import the toy production."""
    monkeypatch.syspath_prepend(str(SUPPORT))
    monkeypatch.setenv("PYTHONPATH", str(SUPPORT))


@pytest.fixture
def start_toy() -> Iterator[StartToy]:
    """Start a toy production as a program; what a failing test leaves running is ended."""
    started: list[subprocess.Popen[str]] = []

    def start(spool: Path, *options: object, **environment: object) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, str(SUPPORT / "toy_production.py"), str(spool), *map(str, options)],
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": str(SUPPORT)} | {key: str(value) for key, value in environment.items()},
        )
        started.append(process)
        return process

    yield start
    for process in started:
        with process:
            process.kill()

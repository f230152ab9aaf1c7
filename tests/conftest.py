"""Fixtures that all tests share."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
SHARED_DATA = REPOSITORY.parent / "shared" / "data"
SHARED_BENCH = REPOSITORY.parent / "shared" / "bench"

# A background job of a shell ignores SIGINT, and so would every command that the tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real structures beside the checkout; the test is skipped where there is none."""
    if not (SHARED_DATA / "amcsd.parquet").exists():
        pytest.skip(f"no {SHARED_DATA}: real data are not beside this checkout")
    return SHARED_DATA


@pytest.fixture(scope="session")
def shared_bench() -> Path:
    """The crystals to measure on; the test is skipped where there are none."""
    if not (SHARED_BENCH / "crystals.json.gz").exists():
        pytest.skip(f"no {SHARED_BENCH}: benchmark crystals are not beside this checkout")
    return SHARED_BENCH


@pytest.fixture(scope="session")
def run_command() -> Command:
    """Run an installed command as a user would and return what it printed."""

    def run(
        name: str, *arguments: object, timeout: float = 120.0, **options: object
    ) -> subprocess.CompletedProcess[str]:
        command = [str(Path(sys.executable).parent / name), *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False, **options)  # type: ignore[call-overload,no-any-return]

    return run

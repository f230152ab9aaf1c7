"""Kernels are compiled by one process a machine, and a cold production is told so."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

COMMAND = Path(sys.executable).parent / "xrdgen"


@pytest.mark.slow
def test_a_cold_machine_compiles_once_and_says_so(tmp_path: Path) -> None:
    """Two productions begin at the same time with an empty cache."""
    cache = {name: str(tmp_path / name) for name in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME", "TMPDIR")}
    for folder in cache.values():
        Path(folder).mkdir()

    def produce(name: str) -> subprocess.Popen[str]:
        command = [str(COMMAND), "produce", str(tmp_path / name), "--workers", "0", "--samples", "8", "--step", "0.05"]
        return subprocess.Popen(command, env={**os.environ, **cache}, stderr=subprocess.PIPE, text=True)

    started: list[Callable[..., tuple[str, str]]] = [produce(name).communicate for name in ("one", "two")]
    said = [communicate(timeout=500)[1] for communicate in started]
    assert sum("compiling the kernels" in text for text in said) == 1, said
    assert all("8 samples made now" in text for text in said), said
    notes = list((tmp_path / "NUMBA_CACHE_DIR" / "kernels").glob("row_kernels-*.built"))
    assert len(notes) == 1

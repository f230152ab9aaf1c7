"""Compiled kernels are never older than their sources."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from xrdgen import jit

SHOW = "from xrdgen.jit import cache_folder; print(cache_folder())"


def folder(**environment: str) -> Path:
    result = subprocess.run(
        [sys.executable, "-c", SHOW], env=os.environ | environment, capture_output=True, text=True, check=True
    )
    return Path(result.stdout.strip())


def test_cache_is_named_by_the_sources_of_all_kernels(tmp_path: Path) -> None:
    assert folder(NUMBA_CACHE_DIR=str(tmp_path)).parent == tmp_path
    package = Path(jit.__file__).parent
    before = jit._sources_hash()
    probe = package / "probe_for_test_kernels.py"
    try:
        probe.write_text("# a changed source\n")
        assert jit._sources_hash() != before
    finally:
        probe.unlink()
    assert jit._sources_hash() == before


def test_unwritable_home_is_no_obstacle(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("no folder can be made below a file")
    chosen = folder(NUMBA_CACHE_DIR=str(blocked / "a"), XDG_CACHE_HOME=str(blocked), TMPDIR=str(tmp_path))
    assert chosen.is_relative_to(tmp_path)

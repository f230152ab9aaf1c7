"""Producers that start at the same moment on a new folder share one spool."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from xrdcommon.errors import SpoolError
from xrdcommon.grid import Grid
from xrdcommon.spool.spool import Spool

CONFIGURATION = {"grid": Grid().to_dict(), "classes": [2, 14]}


def test_the_first_of_many_makes_the_spool(tmp_path: Path) -> None:
    barrier = Barrier(16)

    def start(_: int) -> Spool:
        barrier.wait()
        return Spool.create(tmp_path / "spool", CONFIGURATION)

    with ThreadPoolExecutor(16) as pool:
        spools = list(pool.map(start, range(16)))
    assert len({(spool.uuid, spool.root_seed) for spool in spools}) == 1


def test_a_seed_that_was_chosen_is_kept(tmp_path: Path) -> None:
    assert Spool.create(tmp_path / "spool", CONFIGURATION, 7).root_seed == 7
    assert Spool.create(tmp_path / "spool", CONFIGURATION).root_seed == 7
    with pytest.raises(SpoolError, match="seed is 7 there, 8 asked for"):
        Spool.create(tmp_path / "spool", CONFIGURATION, 8)

"""Real structures for small studies, and the command that carries these out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from xrdgen.structures.table import read_table, write_table

from tests.end_to_end.support.small_study import Carry, SmallStudy, small

GROUPS = (14, 62, 166, 225)
EACH = 45


def write_some(path: Path, numbers: Mapping[int, int]) -> Path:
    """Write so many small real structures of each space group."""
    table = read_table("embedded:amcsd")
    fitting = table[(table["n_atoms"] <= 60) & ~table["over_occupancy"]]
    chosen = [fitting[fitting["space_group"] == group].sample(n, random_state=1) for group, n in numbers.items()]
    write_table(path, pd.concat(chosen, ignore_index=True))
    return path


@pytest.fixture(scope="session")
def structures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As many structures of each of four space groups."""
    return write_some(tmp_path_factory.mktemp("structures") / "small structures.parquet", dict.fromkeys(GROUPS, EACH))


@pytest.fixture
def carry_out(run_command: Any, structures: Path, tmp_path: Path) -> Carry:
    """Carry a study out with `xrdtrain study NAME --out study --json`; it must succeed."""

    def carry(name: str | Path, *, table: Path = structures, **values: object) -> SmallStudy:
        done = run_command(
            "xrdtrain", "study", name, "--out", "study", "--json", *small(structures=table, **values),
            cwd=tmp_path, timeout=600.0,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return SmallStudy(tmp_path / "study", json.loads(done.stdout), done.stderr)

    return carry

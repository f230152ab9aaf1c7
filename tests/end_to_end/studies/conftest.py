"""The command that carries small studies out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.support.small_study import Carry, SmallStudy, small


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

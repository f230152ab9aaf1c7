"""The soak in its short form, and its count on spools in which something is wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from xrdcommon.fields import SAMPLE_DTYPE
from xrdcommon.grid import Grid
from xrdcommon.spool.audit import audit
from xrdcommon.spool.consumer import start_consumer
from xrdcommon.spool.producer import Draft, Stream
from xrdcommon.spool.spool import Spool

REPOSITORY = Path(__file__).resolve().parents[2]
GRID = Grid(5.0, 90.0, 5.0)


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> object:
    monkeypatch.syspath_prepend(str(REPOSITORY))
    from tests.soak import count

    return count


@pytest.fixture
def consumed(tmp_path: Path) -> tuple[Spool, Path]:
    """Three shards of 100 rows; a training has used one and a half, claimed the others."""
    spool = Spool.create(tmp_path / "spool", {"grid": GRID.to_dict(), "classes": [1, 2]}, 7)
    stream = Stream.open(spool)
    for shard in range(3):
        stream.prepare(shard)
        with Draft(spool, stream.number, shard) as draft:
            for n in (64, 36):
                draft.writer.write_block(np.full((n, GRID.n_points), 0.5), np.zeros(n, dtype=SAMPLE_DTYPE))
            assert draft.publish({}) is not None
    stream.close()
    names = sorted(path.name for path in spool.layout.ready.iterdir())
    with start_consumer(spool, "run") as consumer:
        consumer.claim(2)
        consumer.cover({names[0]: 100, names[1]: 50}, 150)
    write_lineage(tmp_path / "run", [(0, row) for row in range(100)] + [(1, row) for row in range(50)], 150)
    return spool, tmp_path / "run"


def write_lineage(run: Path, rows: list[tuple[int, int]], covered: int) -> None:
    run.mkdir(exist_ok=True)
    content = np.array([(0, shard, row) for shard, row in rows], dtype="<u4")
    content.tofile(run / "consumed.1.bin")
    state = {"samples": covered, "segments": [["consumed.1.bin", covered]], "cursor": None}
    (run / "checkpoint-1.json").write_text(json.dumps(state))


def test_the_count_agrees_with_the_audit(consumed: tuple[Spool, Path], counting) -> None:  # type: ignore[no-untyped-def]
    spool, run = consumed
    own = counting.count(spool.path, [run], [])
    assert own.faults == []
    assert (own.produced, own.used, own.claimed, own.ready, own.replayed) == (300, 150, 50, 100, 0)
    assert counting.disagreements(own, audit(spool).to_dict(), settled=True) == []
    assert counting.torn(spool.path, set()) == []


def test_the_count_finds_faults(consumed: tuple[Spool, Path], counting) -> None:  # type: ignore[no-untyped-def]
    spool, run = consumed
    rows = [(0, row) for row in range(100)] + [(1, row) for row in range(50)]
    write_lineage(run, [*rows, (0, 7)], 151)
    own = counting.count(spool.path, [run], [])
    assert own.used_twice == 1
    assert counting.disagreements(own, audit(spool).to_dict(), settled=False) != []
    write_lineage(run, [*rows, (1, 50), (1, 51)], 150)
    assert counting.count(spool.path, [run], []).replayed == 2
    write_lineage(run, [*rows, (2, 3)], 151)
    assert "it could be claimed again" in counting.count(spool.path, [run], []).faults[0]
    write_lineage(run, [*rows, (5, 3)], 151)
    assert "never delivered" in counting.count(spool.path, [run], []).faults[0]
    write_lineage(run, rows[:140], 140)
    own = counting.count(spool.path, [run], [])
    assert counting.disagreements(own, audit(spool).to_dict(), settled=False) != []
    write_lineage(run, rows, 150)
    (waiting,) = spool.layout.ready.glob("*.tar")
    (spool.layout.claimed / waiting.name).write_bytes(waiting.read_bytes()[:-1])
    waiting.write_bytes(waiting.read_bytes()[:-1])
    assert "not those of its record" in counting.torn(spool.path, set())[0]
    waiting.unlink()
    own = counting.count(spool.path, [run], [])
    assert (own.lost, own.ready) == (100, 0)


@pytest.mark.slow
def test_nothing_is_used_twice_or_lost_under_fire(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.soak", "--short", "--seed", "296", "--minutes", "0.1", "--round", "13"]
    command += ["--events", "0.9", "--work", str(tmp_path / "soak"), "--json", str(tmp_path / "result.json")]
    result = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=600)
    assert result.returncode == 0, result.stdout + result.stderr
    found = json.loads((tmp_path / "result.json").read_text())
    assert found["kills"] > 0
    assert found["produced"] > 0
    assert found["used"] > 0.8 * found["produced"]
    assert found["used_twice"] == found["lost"] == found["ready"] == 0

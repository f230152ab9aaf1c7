"""A training that is taken over while it stands still, and goes on afterwards."""

from __future__ import annotations

import json
import time
from collections import Counter
from pathlib import Path

import pytest
import torch
from xrdcommon.errors import SpoolError
from xrdcommon.spool import lease
from xrdcommon.spool.spool import Spool
from xrdtrain.data.progress import WINDOW, OnCrash
from xrdtrain.data.spool_source import SpoolSource
from xrdtrain.distributed import Ranks

BATCH = 4


def test_it_uses_no_more_than_it_had_noted(make_spool, tmp_path: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    """Its successor has discarded all that; more, or another note in its place, would let rows be used twice."""
    spool: Spool = make_spool(shards=24, rows=64)
    used: Counter[tuple[int, int]] = Counter()

    def start() -> SpoolSource:
        source = SpoolSource(
            spool,
            run_id="run",
            order_file=tmp_path / "claims.jsonl",
            batch=BATCH,
            ranks=Ranks(0, 1, torch.device("cpu")),
            on_crash=OnCrash.DISCARD,
        )
        source.start(None)
        return source

    def use(source: SpoolSource, batches: int) -> None:
        for _ in range(batches):
            batch = source.next(10.0)
            assert batch is not None
            used.update(zip(batch.samples["shard"].tolist(), batch.samples["index"].tolist(), strict=True))
            source.used(batch)

    old = start()
    use(old, 10)
    while old._reader is None or old._reader._queue.qsize() < 24 * 64 // BATCH - 10:  # it has read all there is
        time.sleep(0.01)
    with monkeypatch.context() as patch:  # its machine seems to be lost
        patch.setattr(lease, "observe", lambda _: lease.State.DEAD)
        new = start()
    use(new, WINDOW + 6)
    (note,) = tmp_path.glob("progress.*.json")
    noted = json.loads(note.read_text())
    use(old, WINDOW - 10)
    with pytest.raises(SpoolError, match="another process has taken over"):
        use(old, 1)
    assert max(tmp_path.glob("progress.*.json")) == note
    assert json.loads(note.read_text()) == noted
    with monkeypatch.context() as patch:
        patch.setattr(lease, "observe", lambda _: lease.State.DEAD)
        last = start()
    use(last, 20)
    assert max(used.values()) == 1
    for source in (old, new, last):
        source.close(done=False)

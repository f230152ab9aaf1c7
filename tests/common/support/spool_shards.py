"""Small shards of known rows."""

from __future__ import annotations

import numpy as np
from xrdcommon.fields import SAMPLE_DTYPE
from xrdcommon.grid import Grid
from xrdcommon.shards import BLOCK_ROWS
from xrdcommon.spool.audit import audit
from xrdcommon.spool.producer import Draft, Stream
from xrdcommon.spool.records import Record
from xrdcommon.spool.spool import Spool

GRID = Grid(5.0, 90.0, 5.0)
CONFIGURATION = {"grid": GRID.to_dict(), "classes": [1, 2], "rows_per_shard": 100, "generator": {"preset": "paper"}}


def fill(draft: Draft, shard: int, rows: int = 100) -> None:
    """Write rows numbered from 0."""
    for first in range(0, rows, BLOCK_ROWS):
        n = min(BLOCK_ROWS, rows - first)
        samples = np.zeros(n, dtype=SAMPLE_DTYPE)
        samples["shard"] = shard
        samples["index"] = np.arange(first, first + n)
        draft.writer.write_block(np.full((n, GRID.n_points), 0.5), samples)


def publish(stream: Stream, shard: int, rows: int = 100, **outcomes: int) -> Record | None:
    """Make and publish a shard."""
    stream.prepare(shard)
    with Draft(stream.spool, stream.number, shard) as draft:
        fill(draft, shard, rows)
        return draft.publish({"2": {"accepted": rows, **outcomes}})


def counts(spool: Spool, feed: str | None = None) -> dict[str, int]:
    """Audit a spool and return the counts, of all feeds or of one, that are not 0."""
    result = audit(spool)
    assert result.ok, result
    names = ("produced", "used", "ready", "claimed", "quarantined", "discarded")
    return {name: n for name in names if (n := getattr(result if feed is None else result.feeds[feed], name))}

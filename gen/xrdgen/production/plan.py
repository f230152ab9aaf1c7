"""Which shards of a stream are to be made, and how long the last one is."""

from __future__ import annotations

import time

from xrdcommon.spool.records import RecordCache, streams
from xrdcommon.spool.spool import Spool

REFRESH_INTERVAL = 10.0
"""Seconds between two counts of what other producers have published."""


class ShardPlan:
    """Goes through the numbers of a stream that are not published, up to a total of samples over all streams.

    The rows of a shard follow from what is published, so a production that was killed and started again orders the
    same shards with the same rows as one that was not.
    """

    def __init__(self, spool: Spool, stream: int, rows_per_shard: int, samples: int | None) -> None:
        self._layout = spool.layout
        self._stream = stream
        self._rows_per_shard = rows_per_shard
        self._samples = samples
        self._number = 0
        self._cache = RecordCache(spool.layout, summaries=True)
        self._cache.refresh()
        self._rows = {shard: record.rows for shard, record in self._cache.of(stream).items()}
        self.found = sum(record.rows for _, _, record in self._cache)
        self._own = sum(self._rows.values())
        self._others = self.found - self._own
        self._refreshed = time.monotonic()

    @property
    def total(self) -> int:
        """Samples published or ordered in this stream, and published in all others."""
        return self._own + self._others

    def refresh(self) -> None:
        """Count now and then what other producers have published."""
        if self._samples is None or time.monotonic() - self._refreshed < REFRESH_INTERVAL:
            return
        self._refreshed = time.monotonic()
        if len(streams(self._layout)) > 1:
            self._cache.refresh()
            self._others = sum(record.rows for stream, _, record in self._cache if stream != self._stream)

    def next(self) -> tuple[int, int] | None:
        """Return number and rows of the next shard, None when the samples are complete."""
        rows = self._rows_per_shard
        if self._samples is not None:
            rows = min(rows, self._samples - self.total)
        if rows <= 0:
            return None
        while self._number in self._rows:
            self._number += 1
        self.done(self._number, rows)
        return self._number, rows

    def done(self, shard: int, rows: int) -> None:
        """Take note of a shard (one found published may have other rows than ordered)."""
        self._own += rows - self._rows.get(shard, 0)
        self._rows[shard] = rows

    @property
    def complete(self) -> bool:
        """Return whether all samples are ordered."""
        return self._samples is not None and self.total >= self._samples

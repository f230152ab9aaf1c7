"""The one function that Dask maps over a production: make a shard. It runs the same way without Dask."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np
from xrdcommon.errors import SpoolError
from xrdcommon.fields import empty_samples
from xrdcommon.identity import SampleIdentity
from xrdcommon.shards.format import BLOCK_ROWS
from xrdcommon.spool.producer import Draft, finish_shard
from xrdcommon.spool.spool import Spool

from xrdgen.samples.compiling import compile_once
from xrdgen.samples.rows import CrystalRows, RowSource
from xrdgen.samples.storage import StoredPatterns

RowFactory = Callable[[Spool], RowSource]
"""Makes the rows of a spool; pickled by reference, so it lives in an installed module."""


@dataclass(frozen=True, slots=True)
class ShardOrder:
    """A shard to be made.

    Attributes:
        spool: path, as the worker sees it.
        uuid: of the spool.
        producer: stream number.
        shard: number in the stream.
        rows: samples.
        skip_file: do not begin while it exists.
        factory: makes the rows.

    """

    spool: str
    uuid: str
    producer: int
    shard: int
    rows: int
    skip_file: str
    factory: RowFactory


class Outcome(StrEnum):
    """What became of an order."""

    PUBLISHED = "published"
    PRESENT = "present"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class ShardReport:
    """What a worker tells the coordinator; `rows` and `bytes` of the published shard."""

    shard: int
    outcome: Outcome
    rows: int = 0
    bytes: int = 0
    seconds: float = 0.0


_sources: dict[tuple[str, RowFactory], RowSource] = {}
"""Generator, simulator and compiled kernels of the configuration in use, kept between tasks of a process."""


abandon = threading.Event()
"""Set where the shard under way is known to be of no use: the stream has another owner, who makes it again."""


class _AbandonedError(Exception):
    """The shard under way is of no use any more."""


def make_shard(order: ShardOrder) -> ShardReport:
    """Make and publish one shard, unless it was published before.

    Raises:
        SpoolError: the folder is another spool.
        DiskFullError: no space; nothing is left behind.

    """
    if Path(order.skip_file).exists():
        return ShardReport(order.shard, Outcome.SKIPPED)
    spool = Spool.open(order.spool)
    if spool.uuid != order.uuid:
        raise SpoolError(f"{spool.path}: another spool ({spool.uuid}) than the one in production ({order.uuid})")
    record = finish_shard(spool, order.producer, order.shard)
    if record is None:
        source = _source(spool, order.factory)
        try:
            with Draft(spool, order.producer, order.shard) as draft:
                _write(draft, spool, order, source)
                record = draft.publish(source.take_rejections())
        except _AbandonedError:
            return ShardReport(order.shard, Outcome.SKIPPED)
        if record is not None:
            return ShardReport(order.shard, Outcome.PUBLISHED, record.rows, record.bytes, record.seconds)
        record = finish_shard(spool, order.producer, order.shard)
    if record is None:  # the stream has another owner now, who cleaned up under our hands
        return ShardReport(order.shard, Outcome.SKIPPED)
    return ShardReport(order.shard, Outcome.PRESENT, record.rows, record.bytes)


def _source(spool: Spool, factory: RowFactory) -> RowSource:
    key = (spool.configuration_hash, factory)
    if key not in _sources:
        _sources.clear()
        if factory is CrystalRows:
            compile_once(spool)
        _sources[key] = factory(spool)
    source = _sources[key]
    source.take_rejections()  # of a shard that was given up
    return source


def _write(draft: Draft, spool: Spool, order: ShardOrder, source: RowSource) -> None:
    patterns = np.empty((BLOCK_ROWS, spool.grid.n_points), dtype=np.float32)
    stored = StoredPatterns(*patterns.shape)
    for first in range(0, order.rows, BLOCK_ROWS):
        if abandon.is_set():
            raise _AbandonedError
        n = min(BLOCK_ROWS, order.rows - first)
        samples = empty_samples(n)
        source.fill(SampleIdentity(spool.root_seed, order.producer, order.shard, first), patterns[:n], samples)
        draft.writer.write_block(stored.convert(patterns[:n]), samples)

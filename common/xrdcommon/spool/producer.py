"""The side of production: streams of shards, and their publication at most once.

A stream is a numbered folder. Its shard k is a pure function of (root seed, stream number, k), so whoever makes
it makes the same bytes; the record, created by an exclusive hard link, decides whose file is published.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import socket
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import MappingProxyType, TracebackType

from xrdcommon.errors import DiskFullError, MissingFileError, SpoolError
from xrdcommon.files import NO_SPACE, fsync_dir
from xrdcommon.shards.format import stem
from xrdcommon.shards.writer import ShardWriter
from xrdcommon.spool.feeds import feeds
from xrdcommon.spool.journal import create_once, explain_refusals, make_folder, move
from xrdcommon.spool.lease import PATIENCE, Lease, State, observe, silent_epoch
from xrdcommon.spool.records import Record, Rejections, streams
from xrdcommon.spool.spool import Spool

_SHARD_FILE = "shard.tar"
_TAKEN = "-taken"


class Draft:
    """A shard being written, for one maker alone; leaving the block unpublished throws it away.

    Raises (from any method):
        DiskFullError: no space or quota left; what was written has been removed.

    """

    def __init__(self, spool: Spool, producer: int, shard: int) -> None:
        self._spool = spool
        self._producer = producer
        self._shard = shard
        self._token = f"{stem(producer, shard)}.{secrets.token_hex(6)}"
        self._folder = spool.layout.temporary / self._token
        self._start = time.monotonic()
        self.writer: ShardWriter

    def __enter__(self) -> Draft:
        """Make the folder and open the shard's writer."""
        try:
            self._folder.mkdir()
            self.writer = ShardWriter(
                self._folder / _SHARD_FILE,
                run=self._spool.root_seed,
                producer=self._producer,
                shard=self._shard,
                configuration_hash=self._spool.configuration_hash,
            )
        except OSError as error:
            self._remove()
            self._raise_if_full(error)
            raise
        return self

    def publish(self, rejections: Rejections) -> Record | None:
        """Make the shard visible in every feed; return None where another maker has published it before.

        Returns:
            The record of the publication.

        """
        name, digest = self.writer.finish()
        layout = self._spool.layout
        delivered = feeds(layout)
        if not delivered:
            raise SpoolError(f"{self._spool.path}: no feed to deliver to; the folders in ready/ are gone")
        record = Record(
            name=str(name),
            rows=name.rows,
            bytes=name.bytes,
            sha256=digest,
            token=self._token,
            seconds=round(time.monotonic() - self._start, 3),
            unix_time=time.time(),
            host=socket.gethostname(),
            rejections=rejections,
            feeds=delivered,
        )
        try:
            files = [self._folder / _feed_file(feed) for feed in delivered]
            (self._folder / _SHARD_FILE).rename(files[0])
            for file in files[1:]:
                os.link(files[0], file)
            # The file and its name must survive a power cut before the record can say where to find them.
            fsync_dir(self._folder)
            fsync_dir(layout.temporary)
            path = layout.record(self._producer, self._shard)
            if not create_once(path, record.to_dict(), self._folder):
                return None
        except FileNotFoundError:  # the stream's owner has cleaned up behind us: we are late
            return None
        finish(self._spool, record)
        return record

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if hasattr(self, "writer"):
            self.writer.abort()
        # A record may exist although its file could not be moved (an error just then): keep the file.
        if error is None or not self._has_record():
            self._remove()
        if isinstance(error, OSError):
            self._raise_if_full(error)

    def _has_record(self) -> bool:
        try:
            return Record.read(self._spool.layout.record(self._producer, self._shard)).token == self._token
        except MissingFileError:
            return False

    def _remove(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    def _raise_if_full(self, error: OSError) -> None:
        if error.errno in NO_SPACE:
            raise DiskFullError(f"{self._spool.path}: no space left on the device or quota reached") from error


def finish(spool: Spool, record: Record) -> bool:
    """Move a recorded shard to its feeds; may be repeated by anybody at any time.

    The folder of the draft holds a file for each feed, and a rename happens once, so a shard that was used since is
    never delivered again.

    Returns:
        Whether a file was still to be moved.

    Raises:
        SpoolError: the folder of a feed is gone.

    """
    layout = spool.layout
    moved: list[Path] = []
    for feed in record.feeds:
        for folder in (layout.temporary / record.token, layout.temporary / (record.token + _TAKEN)):
            source, target = folder / _feed_file(feed), layout.feed(feed) / record.name
            try:
                source.rename(target)
            except FileNotFoundError:
                if source.exists():
                    raise SpoolError(
                        f"{target.parent}: the folder of a feed is gone; make it again (mkdir) and go on"
                    ) from None
            else:
                moved.append(target.parent)
                break
    for folder in moved:
        fsync_dir(folder)
    return bool(moved)


def _feed_file(feed: str) -> str:
    """Name the file, inside a draft's folder, that is to move to a feed."""
    return f"{feed}.tar"


def finish_shard(spool: Spool, producer: int, shard: int) -> Record | None:
    """Return the record of a shard that was published, its move finished; None where it was not published."""
    try:
        record = Record.read(spool.layout.record(producer, shard))
    except MissingFileError:
        return None
    finish(spool, record)
    return record


def _adoptable(spool: Spool, patience: float, silent: Mapping[int, int]) -> list[tuple[int, int | None]]:
    """Return the streams whose owner has stopped or died, the lowest first, with the epoch that was found silent.

    Owners on other machines that show no life are all watched at the same time: after a power cut there may be many.
    Those of higher number than a stream that is free are not waited for.
    """
    numbers = streams(spool.layout)
    states = [observe(spool.layout.stream(number)) for number in numbers]
    free = [number for number, state in zip(numbers, states, strict=True) if state in (State.FREE, State.DEAD)][:1]
    watched = [
        number
        for number, state in zip(numbers, states, strict=True)
        if state is State.ELSEWHERE and number < (free or [number + 1])[0]
    ]
    if not watched:
        return [(number, None) for number in free]
    with ThreadPoolExecutor(len(watched)) as pool:
        epochs = pool.map(
            lambda number: silent.get(number) or silent_epoch(spool.layout.stream(number), patience), watched
        )
    found = [(number, epoch) for number, epoch in zip(watched, epochs, strict=True) if epoch is not None]
    return [*found, *((number, None) for number in free)]


class Stream:
    """A stream owned by this process.

    Attributes:
        number: of the stream.
        lease: that makes it ours.
        finished: publications of the last owner that were cut short and were finished when it was adopted.

    """

    def __init__(self, spool: Spool, number: int, lease: Lease) -> None:
        self.spool = spool
        self.number = number
        self.lease = lease
        self.finished = 0

    @classmethod
    def open(
        cls, spool: Spool, *, patience: float = PATIENCE, silent: Mapping[int, int] = MappingProxyType({})
    ) -> Stream:
        """Go on with the first stream whose producer has stopped or died, else begin a new one.

        Args:
            spool: where.
            patience: seconds to watch a producer on another machine that shows no life.
            silent: epochs of streams whose producers were watched already and showed none.

        """
        with explain_refusals(spool.path):
            while True:
                for number, epoch in _adoptable(spool, patience, silent):
                    stream = cls.adopt(spool, number, patience=patience, silent_epoch=epoch)
                    if stream is not None:
                        return stream
                make_folder(spool.layout.stream(max(streams(spool.layout), default=-1) + 1))

    @classmethod
    def adopt(
        cls, spool: Spool, number: int, *, patience: float = PATIENCE, silent_epoch: int | None = None
    ) -> Stream | None:
        """Own a stream and tidy up behind its last owner; None where that one lives (see `Lease.acquire`)."""
        folder = spool.layout.stream(number)
        lease = Lease.acquire(folder, spool.layout.temporary, patience=patience, silent_epoch=silent_epoch)
        if lease is None:
            return None
        stream = cls(spool, number, lease)
        for old in folder.glob("skip.*"):
            old.unlink(missing_ok=True)
        stream.finished = stream.tidy()
        return stream

    def prepare(self, shard: int) -> None:
        """Make the folder of a shard's record before the shard is ordered.

        Raises:
            DiskFullError: no space.

        """
        folder = self.spool.layout.record(self.number, shard).parent
        if not folder.exists():
            with explain_refusals(self.spool.path):
                make_folder(folder.parent)
                make_folder(folder)

    def tidy(self) -> int:
        """Finish publications that were cut short and remove shards that nobody will publish.

        A maker that still works on one of them finds its folder gone and gives up.

        Returns:
            Number of publications finished.

        """
        spool = self.spool
        finished = 0
        for folder in sorted(spool.layout.temporary.glob(f"p{self.number:06d}-*")):
            token = folder.name.removesuffix(_TAKEN)
            taken = folder.with_name(token + _TAKEN)
            self.lease.verify()
            spool.guard()
            if folder != taken and not move(folder, taken):
                continue
            shard = int(token.partition("-")[2].partition(".")[0])
            # A maker may be linking its record at this moment; without its draft it no longer can.
            for draft in taken.glob(".*"):
                draft.unlink(missing_ok=True)
            with contextlib.suppress(MissingFileError):
                record = Record.read(spool.layout.record(self.number, shard))
                finished += record.token == token and finish(spool, record)
            shutil.rmtree(taken, ignore_errors=True)
        return finished

    @property
    def skip_file(self) -> Path:
        """While it exists, tasks of this owner that have not begun do not begin."""
        return self.spool.layout.stream(self.number) / f"skip.{self.lease.epoch:06d}"

    def close(self) -> None:
        """Let another producer go on with the stream."""
        self.skip_file.unlink(missing_ok=True)
        self.lease.release()

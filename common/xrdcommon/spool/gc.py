"""Garbage: what killed processes have left in a spool and nobody will ever mend, found and removed.

Leases decide who is dead. What belongs to a stream or training goes only while this process holds its lease; what
belongs to nobody by name goes when its maker is no process of this machine and it has not changed for as long as an
owner elsewhere may be silent. Every deletion is preceded by a look whether the folder still is the spool that was
opened. Claims of a training that is gone are kept for its return, unless they are released by name.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from xrdcommon.errors import InputError, SpoolError
from xrdcommon.processes import exists
from xrdcommon.shards.format import ShardName
from xrdcommon.spool.backlog import claim_folders, names_in
from xrdcommon.spool.consumer import Consumer
from xrdcommon.spool.feeds import is_removed, remove_feed, removing, sweep
from xrdcommon.spool.journal import explain_refusals
from xrdcommon.spool.layout import CREATING_FILE, check_name
from xrdcommon.spool.lease import PATIENCE, Lease, is_alive, outdated
from xrdcommon.spool.producer import Stream
from xrdcommon.spool.records import streams
from xrdcommon.spool.spool import Spool
from xrdcommon.spool.usage import Notes, Ranges, feed_of, read_notes, size

_TEMPORARY = re.compile(r"\..+\.(\d+)\.(?:tmp|[0-9a-f]{12})")
"""Files that are about to be renamed or linked to their name: their maker's process and an ending."""


@dataclass
class Garbage:
    """What was removed, or would be.

    Attributes:
        dry_run: nothing was done.
        drafts: unfinished shards in tmp/ of makers that are dead.
        finished: publications that were cut short and are complete now.
        temporary: files left half-way to their name.
        claim_folders: empty folders of claims of trainings that are gone.
        leases: number of files of former owners.
        control: files of a coordinator that is dead.
        discarded: samples thrown away with each feed that was removed.
        released: shards that went back from a training to its feed.
        kept: shards that the training has begun to use; they stay with it.
        given_up: samples of such shards, discarded because that was asked for.
        left: what was not touched, and why.

    """

    dry_run: bool = False
    drafts: list[str] = field(default_factory=list)
    finished: int = 0
    temporary: list[str] = field(default_factory=list)
    claim_folders: list[str] = field(default_factory=list)
    leases: int = 0
    control: list[str] = field(default_factory=list)
    discarded: dict[str, int] = field(default_factory=dict)
    released: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    given_up: int = 0
    left: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return asdict(self)

    def lines(self) -> list[str]:
        """Write for people what was done."""
        done = "would be " if self.dry_run else ""
        text = [f"{done}removed: unfinished shard tmp/{name}" for name in self.drafts]
        text += [f"{self.finished} publications {done}finished"] if self.finished else []
        text += [f"{done}removed: {name}" for name in (*self.temporary, *self.claim_folders, *self.control)]
        text += [f"{done}removed: {self.leases} files of former owners' leases"] if self.leases else []
        text += [f"{done}discarded: {n} samples of removed feed {feed}" for feed, n in self.discarded.items()]
        text += [f"{done}released: {name} is ready again" for name in self.released]
        text += [f"kept for its training, which has used a part: {name}" for name in self.kept]
        text += [f"{done}discarded: {self.given_up} samples of shards partly used"] if self.given_up else []
        text += [f"left: {reason}" for reason in self.left]
        return text or ["nothing to remove"]


def collect(
    spool: Spool,
    *,
    dry_run: bool = False,
    release: str | None = None,
    discard_partly: bool = False,
    without_feed: str | None = None,
    patience: float = PATIENCE,
) -> Garbage:
    """Remove what killed processes have left.

    Args:
        spool: where.
        dry_run: only look.
        release: a training that will not come back; what it held and has not begun to use becomes ready again.
        discard_partly: give up the rest of the shards that it has begun to use, too.
        without_feed: a feed to be removed, with the shards that wait in it.
        patience: seconds to watch an owner on another machine, or a file whose maker is not known.

    Raises:
        InputError: no such training, `discard_partly` without `release`.
        SpoolError: the training to be released, or one that reads the feed to be removed, lives; no such feed; the
            spool is another one now, or cannot be written.

    """
    if discard_partly and release is None:
        raise InputError("--discard-partly: only together with --release RUN")
    found = Garbage(dry_run=dry_run)
    with explain_refusals(spool.path):
        if release is not None:
            _release(spool, check_name(release), found, discard_partly=discard_partly, patience=patience)
        if without_feed is not None:
            _remove_feed(spool, without_feed, found, patience)
        _sweep_feeds(spool, found, without_feed, patience)
        _drafts(spool, found, patience)
        _claim_folders(spool, found, patience)
        _control(spool, found, patience)
        _leases(spool, found)
        _temporary(spool, found, patience)
    return found


def _release(spool: Spool, run_id: str, found: Garbage, *, discard_partly: bool, patience: float) -> None:
    folder = spool.layout.consumer(run_id)
    if not folder.is_dir():
        runs = ", ".join(sorted(path.name for path in spool.layout.consumers.iterdir())) or "none"
        raise InputError(f"{spool.path}: no training '{run_id}' here; there are {runs}")
    if found.dry_run:
        if is_alive(folder, patience):
            raise SpoolError(f"{spool.path}: training '{run_id}' is running; stop it first")
        names = [name for run, _, path in claim_folders(spool.layout) if run == run_id for name in names_in(path)]
        _sort_claims(names, read_notes(folder), found, discard_partly=discard_partly)
        return
    with Consumer.start(spool, run_id, feed_of(folder), patience=patience) as consumer:
        rest = _sort_claims(consumer.held(), read_notes(folder), found, discard_partly=discard_partly)
        consumer.discard(rest)
        consumer.cover({name: ShardName.parse(name).rows for name in rest}, step=0)
        consumer.release()


def _sort_claims(names: list[ShardName], notes: Notes, found: Garbage, *, discard_partly: bool) -> dict[str, Ranges]:
    """Note which claims go back and which stay; return the rows to be given up."""
    rest: dict[str, Ranges] = {}
    for name in names:
        file = str(name)
        if file in notes.used:
            continue  # about to be deleted
        if file not in notes.names:
            found.released.append(file)
        elif discard_partly:
            rest[file] = notes.left(file, name.rows)
            found.given_up += size(rest[file])
        else:
            found.kept.append(file)
    return rest


def _remove_feed(spool: Spool, feed: str, found: Garbage, patience: float) -> None:
    for folder in sorted(spool.layout.consumers.iterdir()):
        if feed_of(folder) == feed and is_alive(folder, patience):
            raise SpoolError(f"{spool.path}: training '{folder.name}' reads feed '{feed}'; stop it first")
    if not found.dry_run:
        remove_feed(spool, feed)


def _sweep_feeds(spool: Spool, found: Garbage, going: str | None, patience: float) -> None:
    layout = spool.layout
    for feed in layout.feed_names():
        if found.dry_run and (feed == going or is_removed(layout, feed)):
            waiting = {*names_in(layout.feed(feed)), *names_in(removing(layout, feed))}
            samples = sum(name.rows for name in waiting)
        elif is_removed(layout, feed):
            samples = sweep(spool, feed, patience=patience)
        else:
            continue
        if samples:
            found.discarded[feed] = samples


def _drafts(spool: Spool, found: Garbage, patience: float) -> None:
    layout = spool.layout
    for number in streams(layout):
        folder = layout.stream(number)
        drafts = sorted(path.name for path in layout.temporary.glob(f"p{number:06d}-*"))
        if not drafts and not any(folder.glob("skip.*")):
            continue
        if is_alive(folder, patience):
            found.left += [f"tmp/{name}: stream {number} has a living producer" for name in drafts]
            continue
        if not found.dry_run:
            stream = Stream.adopt(spool, number, patience=patience)
            if stream is None:
                continue  # a producer has come meanwhile and tidies up itself
            found.finished += stream.finished
            stream.close()
        found.drafts += drafts


def _claim_folders(spool: Spool, found: Garbage, patience: float) -> None:
    for run_id, _, folder in claim_folders(spool.layout):
        owner = spool.layout.consumer(run_id)
        if any(folder.iterdir()) or is_alive(owner, patience):
            continue
        name = f"claimed/{folder.name}"
        if found.dry_run:
            found.claim_folders.append(name)
            continue
        with _owned(spool, owner, patience) as owned:
            if owned:
                spool.guard()
                with contextlib.suppress(OSError):  # no longer empty, or gone
                    folder.rmdir()
                    found.claim_folders.append(name)


@contextlib.contextmanager
def _owned(spool: Spool, owner: Path, patience: float) -> Iterator[bool]:
    """Hold the lease of a stream or training within the block, if nobody else does."""
    lease = Lease.acquire(owner, spool.layout.temporary, patience=patience) if owner.is_dir() else None
    try:
        yield lease is not None or not owner.is_dir()
    finally:
        if lease is not None:
            lease.release()


def _control(spool: Spool, found: Garbage, patience: float) -> None:
    """Withdraw the address of a coordinator; it holds a stream, or a lease in control/, as long as it lives."""
    file = spool.layout.scheduler_file
    try:
        address = file.read_bytes()
    except FileNotFoundError:
        return
    owners = [spool.layout.stream(number) for number in streams(spool.layout)]
    owners += [leases.parent for leases in spool.layout.control.glob("*/leases")]
    if any(is_alive(owner, patience) for owner in owners):
        return
    if not found.dry_run:
        spool.guard()
        aside = file.with_name(f".{file.name}.{os.getpid()}.tmp")
        try:
            file.rename(aside)
        except FileNotFoundError:
            return
        if aside.read_bytes() != address:  # a new coordinator has come meanwhile
            aside.rename(file)
            return
        aside.unlink()
    found.control.append(f"control/{file.name}")


def _leases(spool: Spool, found: Garbage) -> None:
    """Remove what owners before the last but one have left; the last one's number must stay, as it is never reused."""
    layout = spool.layout
    for owners in (layout.producers, layout.consumers, layout.feeds, layout.control):
        for folder in sorted(owners.glob("*/leases")):
            files = outdated(folder.parent)
            found.leases += len(files)
            if files and not found.dry_run:
                spool.guard()
                for file in files:
                    file.unlink(missing_ok=True)


def _temporary(spool: Spool, found: Garbage, patience: float) -> None:
    layout = spool.layout
    if (layout.root / CREATING_FILE).exists():
        found.temporary.append(CREATING_FILE)
    folders = [layout.root, layout.temporary, layout.control, *layout.consumers.iterdir()]
    first = {path: state for folder in folders if folder.is_dir() for path, state in _half_way(folder)}
    if first and not found.dry_run:
        time.sleep(patience)
    for path, state in first.items():
        name = str(path.relative_to(layout.root))
        if not found.dry_run and _state(path) != state:
            found.left.append(f"{name}: somebody is working on it")
        else:
            found.temporary.append(name)
    if not found.dry_run:
        spool.guard()
        for name in found.temporary:
            (layout.root / name).unlink(missing_ok=True)


def _half_way(folder: Path) -> Iterator[tuple[Path, tuple[int, int] | None]]:
    """Yield temporary files whose maker is no process of this machine, and what shows a change."""
    for path in sorted(folder.iterdir()):
        match = _TEMPORARY.fullmatch(path.name)
        if match is not None and not exists(int(match[1])):
            yield path, _state(path)


def _state(path: Path) -> tuple[int, int] | None:
    """Return size and time of change as the file system has them, None where the file has gone."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_size, status.st_mtime_ns

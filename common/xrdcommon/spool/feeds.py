"""Feeds: the queues of a spool. Every training of a feed shares its shards; every feed gets every shard.

A feed is the folder `ready/<feed>/`. A publication delivers to the feeds that are there when its record is written,
a hard link each, so a feed opened later gets what is published from then on. A feed that was removed keeps its folder
with `removed.json` and `discarded.jsonl`, the names of the shards that were thrown away with it; its name is not used
again, so that the audit of what it had delivered holds for ever.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path

from xrdcommon.errors import FormatError, SpoolError
from xrdcommon.files import fsync_dir
from xrdcommon.shards.format import ShardName
from xrdcommon.spool.backlog import names_in
from xrdcommon.spool.journal import append_lines, create_once, explain_refusals, make_folder, move, read_lines, remove
from xrdcommon.spool.layout import EDITED, Layout, check_name
from xrdcommon.spool.lease import PATIENCE, Lease
from xrdcommon.spool.spool import Spool


def feeds(layout: Layout) -> list[str]:
    """Return the names of the feeds that get what is published now, sorted."""
    return [name for name in layout.feed_names() if not is_removed(layout, name)]


def is_removed(layout: Layout, feed: str) -> bool:
    """Return whether a feed was removed."""
    return _mark(layout, feed).exists()


def check_feed(spool: Spool, feed: str) -> None:
    """Make sure that a feed of this name is there or can be opened.

    Raises:
        InputError: not a name.
        SpoolError: the feed was removed.

    """
    check_name(feed, "feed")
    if is_removed(spool.layout, feed):
        raise SpoolError(f"{spool.path}: feed '{feed}' was removed; take another name for a new feed")


def open_feed(spool: Spool, feed: str) -> bool:
    """Make sure that there is a feed of this name; return whether it is new.

    Raises:
        InputError: not a name.
        SpoolError: the feed was removed, or the folder cannot be written.

    """
    layout = spool.layout
    check_feed(spool, feed)
    with explain_refusals(spool.path):
        make_folder(layout.quarantined(feed))
        return make_folder(layout.feed(feed))


def discarded(layout: Layout, feed: str) -> Iterator[tuple[str, int]]:
    """Yield name and rows of the shards that were thrown away when a feed was removed.

    Raises:
        FormatError: an entry is not what `sweep` writes.

    """
    for entry in read_lines(_notes(layout, feed)):
        name = ShardName.find(str(entry.get("name")))
        if name is None or name.rows != entry.get("rows"):
            raise FormatError(f"{_notes(layout, feed)}: {entry} names no shard with its rows; {EDITED}")
        yield str(name), name.rows


def removing(layout: Layout, feed: str) -> Path:
    """Return the folder of shards that nobody can claim any more and that are not yet deleted."""
    return layout.feed(feed) / "removed"


def remove_feed(spool: Spool, feed: str) -> None:
    """End a feed: from now on nothing is delivered to it. `sweep` throws away what waits there.

    Raises:
        SpoolError: no such feed, the last one, or a living training reads it.

    """
    layout = spool.layout
    check_name(feed, "feed")
    present = feeds(layout)
    if feed not in present:
        if feed in layout.feed_names():
            return
        raise SpoolError(f"{spool.path}: no feed '{feed}'; there are {', '.join(present)}")
    if present == [feed]:
        raise SpoolError(f"{spool.path}: feed '{feed}' is the only one; production would have nowhere to deliver")
    with explain_refusals(spool.path):
        create_once(_mark(layout, feed), {"unix_time": time.time(), "host": socket.gethostname()}, layout.temporary)


def sweep(spool: Spool, feed: str, *, patience: float = PATIENCE) -> int:
    """Throw away the shards that wait in a removed feed, noted as discarded first; return the number of samples.

    A shard is moved out of reach before it is noted, so no training can claim what is thrown away. A delivery that
    was under way when the feed was removed arrives later and is found by the next sweep.
    """
    layout = spool.layout
    folder, away = layout.feed(feed), removing(layout, feed)
    if not names_in(folder) and not names_in(away):
        return 0
    lease = Lease.acquire(folder, layout.temporary, patience=patience)
    if lease is None:
        return 0  # somebody else sweeps
    try:
        make_folder(away)
        for name in names_in(folder):
            move(folder / str(name), away / str(name))
        fsync_dir(away)
        noted = {name for name, _ in discarded(layout, feed)}
        new = [name for name in names_in(away) if str(name) not in noted]
        lease.verify()
        append_lines(
            _notes(layout, feed),
            ({"name": str(name), "rows": name.rows, "unix_time": time.time()} for name in new),
        )
        spool.guard()
        for name in names_in(away):
            remove(away / str(name))
        return sum(name.rows for name in new)
    finally:
        lease.release()


def _mark(layout: Layout, feed: str) -> Path:
    return layout.feed(feed) / "removed.json"


def _notes(layout: Layout, feed: str) -> Path:
    return layout.feed(feed) / "discarded.jsonl"

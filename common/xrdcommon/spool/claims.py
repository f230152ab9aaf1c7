"""The hands of a training: they claim and read shards for the incarnation that holds its lease.

A training may have several, one per process: the one with the lease (see `Consumer`) and helpers such as the workers
of a DataLoader. A helper needs nothing but names and the number of the incarnation, so it survives pickling and a fork,
and once the lease has gone to another it gets nothing more.
"""

from __future__ import annotations

import os
import threading
import time

from xrdcommon import console
from xrdcommon.errors import CorruptShardError, MissingFileError, SpoolError
from xrdcommon.files import fsync_dir
from xrdcommon.shards.format import ShardName
from xrdcommon.shards.reader import Shard, read_shard
from xrdcommon.spool.backlog import names_in
from xrdcommon.spool.feeds import is_removed
from xrdcommon.spool.given import TURN
from xrdcommon.spool.journal import append_lines, explain_refusals, make_folder, move
from xrdcommon.spool.lease import check_held
from xrdcommon.spool.spool import Spool

QUARANTINE_SHARE = 0.01
"""A training stops when more than this share of its shards is damaged..."""

QUARANTINE_LEAST = 3
"""...but not before this many are."""

MANY, AHEAD = 1000, 64
"""Of a queue of more than so many shards, the names of so many are kept from one claim to the next."""

_LOOKS = 3
"""Looks into a queue where others were faster each time, or nothing can be moved because this one was overtaken."""


class Claims:
    """What one incarnation of a training holds, as one process sees it."""

    def __init__(self, spool: Spool, run_id: str, feed: str, epoch: int) -> None:
        self.spool, self.run_id, self.feed, self.epoch = spool, run_id, feed, epoch
        layout = spool.layout
        self.owner = layout.consumer(run_id)
        self.folder = layout.claims(run_id, epoch)
        self.quarantine = layout.quarantined(feed)
        self._taken = self.owner / f"taken.{epoch:06d}"
        self.used: set[str] = set()
        """Shards that this training has wholly used, as far as this process knows."""
        self._lock = threading.RLock()
        self._loaded = 0
        self._quarantined = 0
        self._next: list[ShardName] = []

    def helper(self) -> Claims:
        """Return the same claims for another process, with counters of its own."""
        claims = Claims(self.spool, self.run_id, self.feed, self.epoch)
        claims.used = self.used
        return claims

    def verify(self) -> None:
        """Make sure that the incarnation still owns the run.

        Raises:
            SpoolError: another process took over, or the owner has ended.

        """
        check_held(self.owner, self.epoch)

    def names(self) -> list[ShardName]:
        """Return the shards in the folder, sorted by shard number and producer."""
        return names_in(self.folder)

    def claim(self, n: int) -> list[ShardName]:
        """Take up to n ready shards, lowest shard numbers first; an empty list where none is ready.

        Raises:
            SpoolError: another process took over, or the feed was removed and nothing will come any more.

        """
        claimed: list[ShardName] = []
        layout = self.spool.layout
        ready = layout.feed(self.feed)
        keep = True
        with self._lock:
            self.verify()
            looks = 0
            while len(claimed) < n:
                if not self._next:
                    waiting = names_in(ready)
                    looks += 1
                    if not waiting or looks > _LOOKS:
                        break
                    # a long queue takes a tenth of a second to read: what comes first in it is kept for a while
                    keep = len(waiting) > MANY
                    self._next = waiting[:AHEAD] if keep else waiting
                name = self._next.pop(0)
                if not move(ready / str(name), self.folder / str(name)):
                    continue
                if str(name) in self.used:
                    self._refuse(name)
                else:
                    claimed.append(name)
            if not keep:
                self._next = []
            if claimed:
                fsync_dir(self.folder)
            elif n > 0 and is_removed(layout, self.feed):
                raise SpoolError(f"{self.spool.path}: feed '{self.feed}' was removed; nothing more will come")
        return claimed

    def take(self, name: ShardName, turn: int) -> bool:
        """Reserve a claimed shard for this hand; False where another one has it in this turn, or it is used up.

        Args:
            name: the shard.
            turn: iteration of the owner; in a new one shards can be taken again.

        Raises:
            DiskFullError: no space for the mark.
            SpoolError: the spool cannot be written.

        """
        mark = self._taken / f"{name}{TURN}{turn}"
        try:
            with explain_refusals(self.spool.path):
                make_folder(self._taken)
                os.close(os.open(mark, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
        except SpoolError:
            if mark.exists():
                return False
            raise
        if not os.path.lexists(self.folder / str(name)):  # used up and deleted since we looked
            mark.unlink()
            return False
        return True

    def forget(self, name: ShardName, turns: int) -> None:
        """Remove the marks of a shard that is used up."""
        for turn in range(turns + 1):
            (self._taken / f"{name}{TURN}{turn}").unlink(missing_ok=True)

    def taken(self) -> set[str]:
        """Return the names of the shards that hands of this incarnation have taken."""
        return {file.partition(TURN)[0] for file in os.listdir(self._taken)} if self._taken.is_dir() else set()

    def load(self, name: ShardName) -> Shard | None:
        """Read a claimed shard; one that is damaged or cannot be read goes to quarantine, and None is returned.

        Raises:
            SpoolError: the shard is not there and not in quarantine, or more than 1 % (and at least 3) of the
                shards were damaged.

        """
        path = self.folder / str(name)
        try:
            shard = read_shard(path, name)
            if shard.configuration_hash != self.spool.configuration_hash or shard.run != self.spool.root_seed:
                raise CorruptShardError(f"{path}: made for another spool")
        except MissingFileError:
            if os.path.lexists(self.quarantine / str(name)):
                return None
            self.verify()
            raise SpoolError(
                f"{path}: a claimed shard is gone; somebody deleted or moved files of the spool. "
                "`xrdgen audit` lists what is missing"
            ) from None
        except CorruptShardError as error:
            self._put_in_quarantine(name, str(error))
            return None
        with self._lock:
            self._loaded += 1
        return shard

    def _refuse(self, name: ShardName) -> None:
        """Keep a shard from a second use that somebody has copied back into the queue."""
        reason = f"{self.folder / str(name)}: '{self.run_id}' has used it before, somebody copied it back"
        self._away(name, reason, copied=True)
        console.say(f"put into quarantine: {reason}")

    def _put_in_quarantine(self, name: ShardName, reason: str) -> None:
        with self._lock:
            self._away(name, reason)
            self._quarantined += 1
            damaged, seen = self._quarantined, self._loaded + self._quarantined
        console.say(f"damaged shard put into quarantine: {reason}")
        if damaged >= QUARANTINE_LEAST and damaged > QUARANTINE_SHARE * seen:
            raise SpoolError(
                f"{self.quarantine}: {damaged} of {seen} shards are damaged; check the disk or network, "
                "then go on (the damaged ones are kept there, quarantine/log.jsonl has the reasons)"
            )

    def _away(self, name: ShardName, reason: str, *, copied: bool = False) -> None:
        self.verify()
        entry = {
            "name": str(name),
            "rows": name.rows,
            "run": self.run_id,
            "feed": self.feed,
            "reason": reason,
            "unix_time": time.time(),
            **({"copied": True} if copied else {}),
        }
        append_lines(self.spool.layout.quarantine_log, [entry], shared=True)
        make_folder(self.quarantine)
        move(self.folder / str(name), self.quarantine / str(name))
        fsync_dir(self.quarantine)

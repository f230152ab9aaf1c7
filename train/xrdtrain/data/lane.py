"""One rank's part of a stream: a consumer of the spool, and which rows of its shards the training was given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xrdcommon import console
from xrdcommon.errors import InputError
from xrdcommon.shards.format import ShardName
from xrdcommon.spool import given
from xrdcommon.spool.consumer import Consumer, start_consumer
from xrdcommon.spool.spool import Spool
from xrdcommon.spool.usage import Notes, Ranges, common, complement, merged, read_notes, size

from xrdtrain.data.progress import OnCrash


class Lane:
    """A consumer with its own name, lease and claims; pickled or forked it only knows what may be given.

    Attributes:
        number: 0 for the stream's own name, k for that of rank k.
        is_new: nothing was ever consumed under this name.
        turn: iterations so far; a shard is taken at most once in each.

    """

    def __init__(self, spool: Spool, run: str, number: int, feed: str, on_crash: OnCrash) -> None:
        self.number, self._spool, self._on_crash = number, spool, on_crash
        self._consumer: Consumer | None = start_consumer(spool, _name(run, number), feed)
        self.claims = self._consumer.claims
        self.closed = False
        self.turn = 0
        self._owner, epoch = self.claims.owner, self.claims.epoch
        notes = read_notes(self._owner)
        self.is_new = not notes.names and not self.claims.names()
        self._begun = given.begun(self._owner, epoch)  # by processes that ended without a word
        self._settled = False
        self._gone = {str(name): _gone(notes, str(name)) for name in self.claims.names()}
        self._given: dict[str, NDArray[np.bool_]] = {}  # and not yet committed
        self._names: dict[tuple[int, int], ShardName] = {}
        self._used = _used(notes)
        self._counter = given.Given(self._owner, epoch, base=self._used)

    @staticmethod
    def numbers(spool: Spool, run: str, rank: int, world: int) -> list[int]:
        """Return the lanes of a rank: its own, and those of ranks that were there when the training had more."""
        others = [path.name.rpartition(".rank")[2] for path in spool.layout.consumers.glob(f"{run}.rank*")]
        there = sorted(int(number) for number in others if number.isdigit())
        return [rank, *(number for number in there if number >= world and number % world == rank)]

    def __getstate__(self) -> dict[str, Any]:
        """Leave the lease and the counter behind: only one process has them."""
        return self.__dict__ | {"_consumer": None, "_counter": None, "claims": self.claims.helper()}

    @property
    def _held(self) -> Consumer:
        assert self._consumer is not None, "a copy of a lane was asked for what the owner alone may do"
        return self._consumer

    def free(self, name: ShardName) -> Ranges:
        """Return the rows of a held shard that may be given."""
        if str(name) in self._begun and self._on_crash is OnCrash.DISCARD:
            return []
        return complement([*self._gone.get(str(name), []), *self._given_ranges(name)], name.rows)

    def begin(self) -> None:
        """Let the shards that were taken be taken again: the owner begins anew with what is left of them."""
        if not given.has_helpers(self._owner, self.claims.epoch):
            self.turn += 1

    def give(self, name: ShardName, row: int) -> None:
        """Note a row before it is given."""
        self._counter.add(1)
        self._mask(name)[row] = True

    def note(self, name: ShardName, rows: NDArray[np.int64], *, count: bool) -> None:
        """Note rows that were given by others."""
        if rows.min() < 0 or rows.max() >= name.rows:
            raise InputError(f"{name}: row {rows.max()} given of {name.rows}")
        if count:
            self._counter.add(len(rows))
        self._mask(name)[rows] = True

    def find(self, producer: int, shard: int) -> ShardName | None:
        """Return the shard of this identity, if it is held."""
        if (producer, shard) not in self._names:
            self._names = {name.identity: name for name in self.claims.names()}
        return self._names.get((producer, shard))

    def state(self) -> dict[str, Any]:
        """Return the rows given of the shards that are not wholly committed, and how many samples there were in all."""
        rows = {str(name): self._passed(name) for name in self.claims.names()}
        uncommitted = sum(self._uncommitted(ShardName.parse(file)) for file in self._given)
        return {"samples": self._used + uncommitted, "rows": {file: each for file, each in rows.items() if each}}

    def load(self, state: Mapping[str, Any]) -> None:
        """Count as used what a durable checkpoint has seen; before anything is given.

        Raises:
            InputError: something was given already, or it is no state.
            SpoolError: of shards that are neither held nor used.

        """
        if self._counter.samples or given.has_helpers(self._owner, self.claims.epoch):
            raise InputError("load_state_dict: before the first sample; open the stream again")
        try:
            rows = {str(file): merged((int(a), int(b)) for a, b in each) for file, each in state["rows"].items()}
            samples = int(state["samples"])
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise InputError(f"state of a stream: not one ({error!r})") from error
        notes = read_notes(self._owner)
        given_up = sum(size(common(each, notes.discarded.get(file, []))) for file, each in rows.items())
        if given_up:
            console.say(f"{given_up:,} samples of this state were not committed in time and are counted as discarded")
        passed = {file: merged([*each, *self._gone.get(file, [])]) for file, each in rows.items()}
        self._held.cover(passed, samples)
        self._refresh()
        if self._used > samples:
            ahead = self._used - samples
            console.say(f"{ahead:,} samples were committed behind this state: they do not come again")

    def settle(self) -> None:
        """Give up, or count as replays, what earlier processes may have given and did not commit."""
        if self._settled:
            return
        self._settled = True
        begun = [name for name in self.claims.names() if str(name) in self._begun]
        left = {str(name): complement(self._gone.get(str(name), []), name.rows) for name in begun}
        n = sum(size(each) for each in left.values())
        if self._on_crash is OnCrash.DISCARD:
            self._discard(left)
            if n:
                console.say(
                    f"the last process ended without a word: {n:,} samples that it may have given are discarded"
                )
        else:
            samples, base, epochs = given.given_by(self._owner, self.claims.epoch)
            replayed = min(n, max(0, samples - max(0, self._used - (self._used if base is None else base))))
            if replayed:
                self._held.note_replays(replayed, epochs)
                console.say(f"{replayed:,} samples that were given and not committed are given again, and count once")
        self._begun = set()
        given.forget(self._owner, self.claims.epoch)

    def commit(self) -> int:
        """Note as used what was given, delete what is used up; return the number of samples.

        Raises:
            InputError: workers have given samples that nobody noted.

        """
        if not self._given and given.has_helpers(self._owner, self.claims.epoch):
            raise InputError(
                "commit: worker processes gave samples and the stream was not told which the training has used; take "
                "stream.loader(num_workers=...) instead of DataLoader, or ask for the field 'identity' and give it to "
                "stream.note"
            )
        before = self._used
        names = [ShardName.parse(file) for file in self._given]
        self._held.cover({str(name): self._passed(name) for name in names}, before)
        self._given.clear()
        self._refresh()
        for name in names:
            if str(name) not in self._gone:
                self.claims.forget(name, self.turn)
        return self._used - before

    def close(self) -> None:
        """Discard what was given and not committed, or keep it for the next time; give back what is untouched."""
        self.closed = True
        consumer = self._held
        try:
            self.settle()
            helpers = given.has_helpers(self._owner, self.claims.epoch)
            taken = self.claims.taken() if helpers else self._given.keys()
            open_ends = [name for name in self.claims.names() if str(name) in taken]
            if self._on_crash is OnCrash.DISCARD:
                self._discard(
                    {
                        str(name): complement(self._gone.get(str(name), []), name.rows)
                        if helpers
                        else self._given_ranges(name)
                        for name in open_ends
                    }
                )
            elif open_ends:
                return  # the next process gives them again
            given.forget(self._owner, self.claims.epoch, own=True)
            consumer.release()
        finally:
            self._counter.close()
            consumer.close()

    def abandon(self) -> None:
        """Let go of the lease; nothing was given."""
        self.closed = True
        self._counter.close()
        self._held.close()

    def _discard(self, rows: Mapping[str, Ranges]) -> None:
        """Give rows up; a shard of which nothing is left is deleted."""
        rows = {file: each for file, each in rows.items() if each}
        if not rows:
            return
        self._held.discard(rows)
        self._refresh()
        whole = [ShardName.parse(file) for file in rows if self._whole(file)]
        self._held.cover({str(name): name.rows for name in whole}, self._used)
        self._refresh()

    def _whole(self, file: str) -> bool:
        return size(self._gone.get(file, [])) == ShardName.parse(file).rows

    def _refresh(self) -> None:
        """Read again what is noted."""
        notes = read_notes(self._owner)
        self._used = _used(notes)
        self._gone = {str(name): _gone(notes, str(name)) for name in self.claims.names()}

    def _mask(self, name: ShardName) -> NDArray[np.bool_]:
        mask = self._given.get(str(name))
        if mask is None:
            mask = self._given[str(name)] = np.zeros(name.rows, dtype=np.bool_)
        return mask

    def _given_ranges(self, name: ShardName) -> Ranges:
        """Return the rows given and not committed."""
        mask = self._given.get(str(name))
        if mask is None:
            return []
        edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
        return [(int(first), int(last)) for first, last in edges.reshape(-1, 2)]

    def _passed(self, name: ShardName) -> Ranges:
        """Return the rows of a shard that will not be given any more."""
        return merged([*self._gone.get(str(name), []), *self._given_ranges(name)])

    def _uncommitted(self, name: ShardName) -> int:
        return size(self._passed(name)) - size(self._gone.get(str(name), []))


def _name(run: str, number: int) -> str:
    return run if number == 0 else f"{run}.rank{number}"


def _gone(notes: Notes, file: str) -> Ranges:
    """Return the rows of a shard that were used or given up."""
    return merged([*notes.passed(file), *notes.discarded.get(file, [])])


def _used(notes: Notes) -> int:
    """Return how many samples a training has used."""
    return sum(notes.counts(file)[0] for file in notes.names)

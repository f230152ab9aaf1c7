"""Audit: every sample that was ever published is used once, or lies somewhere, or is named as lost.

    produced = used + ready + claimed + quarantined + discarded + lost          (samples)

The sum holds for each feed, to which what counts as produced is what was delivered; with several feeds the totals are
sums over them. It is computed from the publication records on one side and the trainings' notes and the folders on
the other, while production and training go on.

Beside the samples it counts the crystals that spglib was asked about again after the exact symmetry test had confirmed
them, and those that it refuted. A refuted crystal was thrown away and drawn again, so it is in no shard and `ok`, which
is about samples, does not depend on it; but it says that the exact test is wrong about some of the crystals that were
not rechecked, which have a wrong label.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from xrdcommon.errors import FormatError, MissingFileError
from xrdcommon.shards.format import ShardName
from xrdcommon.spool.backlog import claim_folders, names_in
from xrdcommon.spool.feeds import discarded, removing
from xrdcommon.spool.journal import read_lines
from xrdcommon.spool.layout import MAIN, Layout
from xrdcommon.spool.records import Record, RecordCache, rechecks
from xrdcommon.spool.spool import Spool
from xrdcommon.spool.usage import Notes, NotesCache, feed_of

_LOOKS = 3
"""A shard that moves against the order of the search may be missed; it is looked for so often."""

_COUNTS = ("produced", "used", "used_twice", "ready", "claimed", "quarantined", "discarded", "lost", "replayed")
_ONLY_SOME = ("discarded", "replayed")


@dataclass
class FeedAudit:
    """What became of the samples delivered to one feed.

    Attributes:
        produced: delivered.
        used: consumed in the surviving lineage of a training's checkpoints.
        used_twice: consumed more than once.
        replayed: given to a training, not counted as used because its process ended before it said so, and given again.
        ready: waiting for a training, including publications about to become visible.
        claimed: held by trainings, not yet used.
        quarantined: in damaged shards, unless used before the damage.
        discarded: given up on purpose: by a training after a crash, or with a feed that was removed.
        lost: delivered, and neither used nor to be found.

    """

    produced: int = 0
    used: int = 0
    used_twice: int = 0
    ready: int = 0
    claimed: int = 0
    quarantined: int = 0
    discarded: int = 0
    lost: int = 0
    replayed: int = 0

    @property
    def balanced(self) -> bool:
        """Every sample has its one place."""
        places = self.used + self.ready + self.claimed + self.quarantined + self.discarded + self.lost
        return places == self.produced


@dataclass
class Audit(FeedAudit):
    """Result of an audit; counts are samples, but for the lists of names.

    Attributes:
        made: published; as `produced`, but once each, to however many feeds they were delivered.
        feeds: the counts of each feed.
        lost_shards: names of shards lost, and of which feed where there are several.
        used_twice_shards: those used more than once.
        unexplained: shard files or notes of use that no record accounts for.
        edited: records and notes that are not what their writers wrote, in a sentence each; what they say is not in the
            counts.
        copied: shards that were found in the queue again after they had been used.
        rechecked: crystals (not samples) that the exact symmetry test confirmed and spglib was asked about again.
        refuted: those of them that spglib did not confirm; they are in no shard.

    """

    made: int = 0
    feeds: dict[str, FeedAudit] = field(default_factory=dict)
    lost_shards: list[str] = field(default_factory=list)
    used_twice_shards: list[str] = field(default_factory=list)
    unexplained: list[str] = field(default_factory=list)
    edited: list[str] = field(default_factory=list)
    copied: list[str] = field(default_factory=list)
    rechecked: int = 0
    refuted: int = 0

    @property
    def ok(self) -> bool:
        """Nothing used twice, lost, unexplained or edited, and the sum is right for every feed."""
        faults = self.used_twice or self.lost or self.unexplained or self.edited
        return not faults and all(feed.balanced for feed in self.feeds.values())

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form, `ok` first."""
        return {"ok": self.ok, **asdict(self)}

    def lines(self) -> list[str]:
        """Write the result for people."""
        if len(self.feeds) > 1:
            text = [f"{'':12} {'all':>12}" + "".join(f" {name:>12}" for name in self.feeds)]
            for name in _COUNTS:
                each = "".join(f" {getattr(feed, name):12}" for feed in self.feeds.values())
                text.append(f"{name:12} {getattr(self, name):12}{each}")
        else:
            shown = [name for name in _COUNTS if name not in _ONLY_SOME or getattr(self, name)]
            text = [f"{name:12} {getattr(self, name)}" for name in shown]
        text += [f"lost: {name}" for name in self.lost_shards]
        text += [f"used twice: {name}" for name in self.used_twice_shards]
        text += [f"unexplained: {name}: {UNEXPLAINED}" for name in self.unexplained]
        text += [f"edited: {sentence}" for sentence in self.edited]
        text += [f"copied back after its use, kept from a second one in quarantine: {name}" for name in self.copied]
        text += [recheck_line(self.rechecked, self.refuted)] if self.rechecked else []
        return [*text, "ok" if self.ok else "NOT OK"]


UNEXPLAINED = "of no record, or used and back in the queue; move it out of the spool before a training takes it"


def recheck_line(rechecked: int, refuted: int) -> str:
    """Write for people how spglib judged the crystals that the exact test had confirmed."""
    text = f"rechecked    {rechecked} crystals by spglib, {refuted} refuted"
    return text + (" and drawn again; do not trust `--verification exact` here" if refuted else "")


@dataclass
class _Places:
    """Where one feed's shards were seen in one look.

    Attributes:
        temporary: drafts (their tokens) with a file that is to move to the feed.
        ready: in its queue.
        claimed: held by its trainings.
        quarantined: damaged.
        notes: of its trainings.
        discarded: rows of the shards thrown away with it.
        replayed: samples given again to its trainings.

    """

    temporary: set[str] = field(default_factory=set)
    ready: set[str] = field(default_factory=set)
    claimed: set[str] = field(default_factory=set)
    quarantined: set[str] = field(default_factory=set)
    notes: dict[str, list[Notes]] = field(default_factory=lambda: defaultdict(list))
    discarded: dict[str, int] = field(default_factory=dict)
    replayed: int = 0

    @property
    def names(self) -> set[str]:
        """All shards that are anywhere."""
        return self.ready | self.claimed | self.quarantined | self.notes.keys() | self.discarded.keys()


def _look(layout: Layout, trainings: NotesCache) -> dict[str, _Places]:
    """See where everything is, in the order in which shards move, so that none slips by."""
    places: dict[str, _Places] = defaultdict(_Places)
    for folder in layout.temporary.glob("p*"):
        token = folder.name.removesuffix("-taken")
        for taken in (folder, folder.with_name(f"{token}-taken")):
            for file in taken.glob("*.tar"):
                places[file.stem].temporary.add(token)
    for feed in layout.feed_names():
        queues = (layout.feed(feed), removing(layout, feed))
        places[feed].ready = {str(name) for folder in queues for name in names_in(folder)}
    for run_id, _, folder in claim_folders(layout):
        try:
            feed = feed_of(layout.consumer(run_id))
        except FormatError:
            feed = MAIN  # said with the other edited files
        places[feed].claimed |= {str(name) for name in names_in(folder)}
    for feed in layout.feed_names():
        places[feed].quarantined = {str(name) for name in names_in(layout.quarantined(feed))}
        places[feed].discarded = dict(discarded(layout, feed))
    for notes in trainings.all():
        places[notes.feed].replayed += notes.replayed
        for name in notes.names:
            places[notes.feed].notes[name].append(notes)
    return places


def audit(spool: Spool, cache: RecordCache | None = None, trainings: NotesCache | None = None) -> Audit:
    """Account for every published sample.

    Args:
        spool: which.
        cache: records read before, when the audit is repeated.
        trainings: notes read before.

    """
    layout = spool.layout
    faults: dict[Path, str] = {}
    cache = RecordCache(layout, faults=faults) if cache is None else cache
    trainings = NotesCache(layout, faults) if trainings is None else trainings
    for _ in range(_LOOKS):
        cache.refresh()
        records = {record.name: record for _, _, record in cache}
        places = _look(layout, trainings)
        result = _account(records, places, layout.feed_names())
        if not result.lost:
            break
    result.edited = sorted({*faults.values(), *_unreadable(layout)})
    unreadable = {int_pair for path in faults if (int_pair := _identity(path)) is not None}
    strange = _unexplained(layout, records, places)
    result.unexplained = [name for name in strange if ShardName.parse(name).identity not in unreadable]
    result.copied = sorted({str(entry["name"]) for entry in read_lines(layout.quarantine_log) if entry.get("copied")})
    result.rechecked, result.refuted = rechecks(cache.rejections)
    return result


def _identity(record: Path) -> tuple[int, int] | None:
    """Return stream and shard of a record's file; None for another file."""
    stream = record.parent.parent.parent.name
    return (int(stream[1:]), int(record.stem)) if record.stem.isdigit() and stream[1:].isdigit() else None


def _unreadable(layout: Layout) -> list[str]:
    """Return what is wrong with the feeds that trainings name."""
    found = []
    for folder in layout.consumers.iterdir():
        try:
            feed_of(folder)
        except FormatError as error:
            found.append(str(error))
    return found


def _account(records: dict[str, Record], places: dict[str, _Places], feeds: list[str]) -> Audit:
    """Give every sample of every record its one place in each feed."""
    result = Audit(feeds={feed: FeedAudit() for feed in feeds})
    several = len(feeds) > 1
    for name, record in sorted(records.items()):
        result.made += record.rows
        for feed in record.feeds:
            counts = result.feeds.setdefault(feed, FeedAudit())
            lost, twice = _place(counts, places.get(feed, _Places()), record)
            label = f"{name} of feed {feed}" if several else name
            result.lost_shards += [label] if lost else []
            result.used_twice_shards += [label] if twice else []
    for feed, counts in result.feeds.items():
        counts.replayed = places[feed].replayed if feed in places else 0
        for count in _COUNTS:
            setattr(result, count, getattr(result, count) + getattr(counts, count))
    return result


def _place(counts: FeedAudit, places: _Places, record: Record) -> tuple[int, int]:
    """Add one shard to a feed's counts, a later state before an earlier one; return samples lost and used twice."""
    name = record.name
    uses, given_up = [0], places.discarded.get(name, 0)
    for notes in places.notes.get(name, []):
        used, discarded_rows = notes.counts(name)
        given_up += discarded_rows
        if used:
            uses.append(used)
    most = max(uses)
    twice = sum(uses) - most
    rest = max(0, record.rows - most - given_up)  # less than 0: used and discarded too, the sum will not be right
    counts.produced += record.rows
    counts.used += most
    counts.used_twice += twice
    counts.discarded += given_up
    lost = 0
    if name in places.quarantined:
        counts.quarantined += rest
    elif name in places.claimed:
        counts.claimed += rest
    elif name in places.ready or record.token in places.temporary:
        counts.ready += rest
    else:
        lost = rest
    counts.lost += lost
    return lost, twice


def _unexplained(layout: Layout, records: dict[str, Record], places: dict[str, _Places]) -> list[str]:
    """Return shards without a record of their own, or in a feed that got none, and used ones that could be used again.

    Used and still in the queue it came from: a shard that another training of the feed could claim.
    """
    strange: set[str] = set()
    for feed, here in places.items():
        for name in here.names:
            record = records.get(name) or _record_of(layout, name)
            if record is None or feed not in record.feeds:
                strange.add(name)
        strange |= {name for name in here.ready & here.notes.keys() if (layout.feed(feed) / name).exists()}
    return sorted(strange)


def _record_of(layout: Layout, name: str) -> Record | None:
    """Look again: the shard may have been published after the records were read."""
    shard = ShardName.parse(name)
    try:
        record = Record.read(layout.record(shard.producer, shard.shard))
    except (MissingFileError, FormatError):
        return None
    return record if record.name == name else None

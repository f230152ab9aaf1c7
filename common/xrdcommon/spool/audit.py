"""Audit: every sample that was ever published is used once, or lies somewhere, or is named as lost.

    produced = used + ready + claimed + quarantined + lost          (samples)

It is computed from the publication records on one side and the trainings' notes and the folders on the other,
while production and training go on.

Beside the samples it counts the crystals that spglib was asked about again after the exact symmetry test had confirmed
them, and those that it refuted. A refuted crystal was thrown away and drawn again, so it is in no shard and `ok`, which
is about samples, does not depend on it; but it says that the exact test is wrong about some of the crystals that were
not rechecked, which have a wrong label.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict, dataclass, field
from typing import Any

from xrdcommon.errors import MissingFileError
from xrdcommon.shards.format import ShardName
from xrdcommon.spool.backlog import claim_folders, names_in
from xrdcommon.spool.layout import Layout
from xrdcommon.spool.records import Record, RecordCache, rechecks
from xrdcommon.spool.spool import Spool
from xrdcommon.spool.usage import all_used, partly_used

_LOOKS = 3
"""A shard that moves against the order of the search may be missed; it is looked for so often."""

_COUNTS = ("produced", "used", "used_twice", "ready", "claimed", "quarantined", "lost")


@dataclass
class Audit:
    """Result of an audit; counts are samples, but for the lists of names.

    Attributes:
        produced: published.
        used: consumed in the surviving lineage of a training's checkpoints.
        used_twice: consumed more than once.
        ready: waiting for a training, including publications about to become visible.
        claimed: held by trainings, not yet used.
        quarantined: in damaged shards, unless used before the damage.
        lost: published, and neither used nor to be found.
        lost_shards: the names of those.
        used_twice_shards: names of shards used more than once.
        unexplained: shard files or notes of use that no record accounts for.
        rechecked: crystals (not samples) that the exact symmetry test confirmed and spglib was asked about again.
        refuted: those of them that spglib did not confirm; they are in no shard.

    """

    produced: int = 0
    used: int = 0
    used_twice: int = 0
    ready: int = 0
    claimed: int = 0
    quarantined: int = 0
    lost: int = 0
    lost_shards: list[str] = field(default_factory=list)
    used_twice_shards: list[str] = field(default_factory=list)
    unexplained: list[str] = field(default_factory=list)
    rechecked: int = 0
    refuted: int = 0

    @property
    def ok(self) -> bool:
        """Nothing used twice, nothing lost, nothing unexplained, and the sum is right."""
        accounted = self.used + self.ready + self.claimed + self.quarantined + self.lost
        faults = self.used_twice or self.lost or self.unexplained
        return not faults and accounted == self.produced

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form, `ok` first."""
        return {"ok": self.ok, **asdict(self)}

    def lines(self) -> list[str]:
        """Write the result for people."""
        text = [f"{name:12} {getattr(self, name)}" for name in _COUNTS]
        text += [f"lost: {name}" for name in self.lost_shards]
        text += [f"used twice: {name}" for name in self.used_twice_shards]
        text += [f"unexplained: {name}" for name in self.unexplained]
        text += [recheck_line(self.rechecked, self.refuted)] if self.rechecked else []
        return [*text, "ok" if self.ok else "NOT OK"]


def recheck_line(rechecked: int, refuted: int) -> str:
    """Write for people how spglib judged the crystals that the exact test had confirmed."""
    text = f"rechecked    {rechecked} crystals by spglib, {refuted} refuted"
    return text + (" and drawn again; do not trust `--verification exact` here" if refuted else "")


@dataclass
class _Places:
    """Where shards were seen in one look; `used` holds the rows noted by each run, or by each note of one."""

    temporary: set[str]
    ready: set[str]
    claimed: set[str]
    quarantined: set[str]
    used: dict[str, list[int]]


def _look(layout: Layout) -> _Places:
    """See where everything is, in the order in which shards move, so that none slips by."""
    temporary = {folder.name.removesuffix("-taken") for folder in layout.temporary.glob("p*")}
    ready = {str(name) for name in names_in(layout.ready)}
    claimed = {str(name) for _, _, folder in claim_folders(layout) for name in names_in(folder)}
    quarantined = {str(name) for name in names_in(layout.quarantine)}
    partly = list(partly_used(layout))
    used: dict[str, list[int]] = defaultdict(list)
    whole: set[tuple[str, str]] = set()
    for use in all_used(layout):
        used[use.name].append(use.rows)
        whole.add((use.name, use.run_id))
    for use in partly:
        if (use.name, use.run_id) not in whole:  # a crash may leave the note of the part behind that of the whole
            used[use.name].append(use.rows)
    return _Places(temporary, ready, claimed, quarantined, used)


def audit(spool: Spool, cache: RecordCache | None = None) -> Audit:
    """Account for every published sample.

    Args:
        spool: which.
        cache: records read before, when the audit is repeated.

    """
    layout = spool.layout
    cache = RecordCache(layout) if cache is None else cache
    for _ in range(_LOOKS):
        cache.refresh()
        records = {record.name: record for _, _, record in cache}
        places = _look(layout)
        result = _account(records, places)
        if not result.lost:
            break
    result.unexplained = _unexplained(layout, records, places)
    result.rechecked, result.refuted = rechecks(records.values())
    return result


def _account(records: dict[str, Record], places: _Places) -> Audit:
    """Give every sample of every record its one place; a later state counts before an earlier one."""
    result = Audit()
    for name, record in sorted(records.items()):
        uses = places.used.get(name, [0])
        most = max(uses)
        rest = record.rows - most
        result.produced += record.rows
        result.used += most
        if len(uses) > 1:
            result.used_twice += sum(uses) - most
            result.used_twice_shards.append(name)
        if name in places.quarantined:
            result.quarantined += rest
        elif name in places.claimed:
            result.claimed += rest
        elif name in places.ready or record.token in places.temporary:
            result.ready += rest
        elif rest:
            result.lost += rest
            result.lost_shards.append(name)
    return result


def _unexplained(layout: Layout, records: dict[str, Record], places: _Places) -> list[str]:
    """Return shards without a record of their own, and used ones that could be used again."""
    present = places.ready | places.claimed | places.quarantined | places.used.keys()
    strange = [name for name in present - records.keys() if not _has_record(layout, name)]
    again = [name for name in places.ready & places.used.keys() if (layout.ready / name).exists()]
    return sorted({*strange, *again})


def _has_record(layout: Layout, name: str) -> bool:
    """Look again: the shard may have been published after the records were read."""
    shard = ShardName.parse(name)
    try:
        return Record.read(layout.record(shard.producer, shard.shard)).name == name
    except MissingFileError:
        return False

"""The independent count: what was produced and what was consumed, from the files themselves.

Nothing of the package's accounting is used here. On one side stand the publication records; on the other the
identities that the trainings consumed in their surviving lineage (their own checkpoints say which); between them the
names of the shard files. For `xrdtrain fit`, which does not list what it consumed, the rows that its notes claim are
counted and must equal the samples in its checkpoint.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tests.soak.training import IDENTITY, newest_checkpoint

SHARD = re.compile(r"p(\d+)-(\d+)\.n(\d+)\.b(\d+)\.([0-9a-f]+)\.tar")
COUNTS = ("produced", "used", "used_twice", "ready", "claimed", "quarantined", "discarded", "lost")
SHOWN = 12

Key = tuple[int, int]
"""Stream and shard number."""


@dataclass
class Count:
    """What the files say; samples, but for `shards`, and `faults`, which are sentences."""

    shards: int = 0
    produced: int = 0
    used: int = 0
    used_twice: int = 0
    ready: int = 0
    claimed: int = 0
    quarantined: int = 0
    discarded: int = 0
    lost: int = 0
    replayed: int = 0
    ready_shards: int = 0
    quarantined_shards: int = 0
    faults: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, int]:
        """Return the numbers."""
        return {name: value for name, value in vars(self).items() if isinstance(value, int)}


@dataclass
class Feed:
    """Where one feed's shards lie, by name, and what its trainings consumed."""

    places: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    rows: dict[Key, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))
    discarded: dict[Key, set[int]] = field(default_factory=lambda: defaultdict(set))


def key_of(name: str) -> Key:
    """Return stream and shard number of a file name."""
    match = SHARD.fullmatch(name)
    assert match is not None, name
    return int(match[1]), int(match[2])


def read_records(spool: Path) -> list[dict[str, Any]]:
    """Return all publication records."""
    return [json.loads(path.read_text()) for path in sorted(spool.glob("producers/p*/published/*/*.json"))]


def consumed_again(run: Path) -> int:
    """Return how often any process of a run, whatever became of it, consumed a row that one had consumed before.

    For a training with `--on-crash discard`, which promises that this never happens.
    """
    parts = [np.fromfile(path, dtype=IDENTITY) for path in run.glob("consumed.*.bin")]
    every = np.concatenate(parts) if parts else np.empty(0, IDENTITY)
    return len(every) - len(np.unique(every))


def lineage(run: Path) -> tuple[np.ndarray, int]:
    """Return the identities that a run's newest checkpoint covers, and how many were consumed besides (replayed)."""
    state = newest_checkpoint(run)
    parts = []
    for name, rows in state["segments"] if state else []:
        content = np.fromfile(run / name, dtype=IDENTITY)
        assert len(content) >= rows, f"{run / name}: {len(content)} identities, the checkpoint says {rows}"
        parts.append(content[:rows])
    kept = np.concatenate(parts) if parts else np.empty(0, IDENTITY)
    written = sum(path.stat().st_size // IDENTITY.itemsize for path in run.glob("consumed.*.bin"))
    return kept, written - len(kept)


def notes_of(folder: Path) -> tuple[dict[Key, int], dict[Key, set[int]]]:
    """Return rows used (from the first on) and rows discarded by shard, as a run has noted them in the spool."""
    used: dict[Key, int] = {}
    discarded: dict[Key, set[int]] = defaultdict(set)
    for file in sorted(folder.glob("coverage.*.json"))[-1:]:
        for name, rows in json.loads(file.read_text())["rows"].items():
            used[key_of(name)] = rows
    latest = 0
    path = folder / "used.jsonl"
    for line in path.read_bytes().split(b"\n") if path.exists() else []:
        try:
            entry = json.loads(line)
        except ValueError:
            continue  # torn
        latest = max(latest, entry["epoch"])
        if entry["epoch"] < latest:
            continue  # of a process that had been taken over
        if "name" in entry:
            used[key_of(entry["name"])] = entry["rows"]
        elif "discarded" in entry:
            discarded[key_of(entry["discarded"])].update(range(entry["first"], entry["last"]))
    return used, discarded


def rows_noted(folder: Path) -> int:
    """Return how many rows a run has noted as used; those that it had discarded it passed, but did not use."""
    used, discarded = notes_of(folder)
    return sum(n - sum(row < n for row in discarded.get(key, ())) for key, n in used.items())


def feed_of(spool: Path, run: str) -> str:
    """Return the feed of a run."""
    path = spool / "consumers" / run / "feed.json"
    return str(json.loads(path.read_text())["feed"]) if path.exists() else "main"


def look(spool: Path, trainings: list[Path], networks: list[str]) -> tuple[dict[str, Feed], int]:
    """See where all files lie and what was consumed; return that, and the samples replayed."""
    feeds: dict[str, Feed] = defaultdict(Feed)
    for folder in (path for path in (spool / "ready").iterdir() if path.is_dir()):
        for file in folder.rglob("*.tar"):
            feeds[folder.name].places[file.name].append("ready")
    for folder in (spool / "claimed").iterdir():
        for file in folder.glob("*.tar"):
            feeds[feed_of(spool, folder.name.rpartition(".")[0])].places[file.name].append("claimed")
    for file in spool.glob("quarantine/*/*.tar"):
        feeds[file.parent.name].places[file.name].append("quarantined")
    replayed = 0
    for run in trainings:
        kept, besides = lineage(run)
        replayed += besides
        feed = feeds[feed_of(spool, run.name)]
        for producer, shard in set(zip(kept["producer"].tolist(), kept["shard"].tolist(), strict=True)):
            rows = kept["row"][(kept["producer"] == producer) & (kept["shard"] == shard)]
            feed.rows[producer, shard].update(rows.tolist())
    for run in networks:
        used, _ = notes_of(spool / "consumers" / run)
        for key, n in used.items():
            feeds[feed_of(spool, run)].rows[key].update(range(n))
    for folder in (spool / "consumers").iterdir():
        _, discarded = notes_of(folder)
        for key, given_up in discarded.items():
            feeds[feed_of(spool, folder.name)].discarded[key] |= given_up
            if folder.name in networks:  # passed over, not used
                for row in given_up:
                    feeds[feed_of(spool, folder.name)].rows[key].pop(row, None)
    return feeds, replayed


def count(spool: Path, trainings: list[Path], networks: list[str]) -> Count:
    """Count every sample of a spool on which nobody works at this moment.

    Args:
        spool: its folder.
        trainings: run folders of the soak's trainings.
        networks: run ids of `xrdtrain fit`.

    """
    result = Count()
    records = {record["name"]: record for record in read_records(spool)}
    feeds, result.replayed = look(spool, trainings, networks)
    result.shards = len(records)
    known = Counter(key_of(name) for name in records)
    result.faults += [f"stream {p}, shard {s}: {n} records" for (p, s), n in known.items() if n > 1]
    for name, record in records.items():
        for draft in (spool / "tmp" / record["token"], spool / "tmp" / (record["token"] + "-taken")):
            for file in draft.glob("*.tar"):
                if file.stem in record["feeds"]:
                    feeds[file.stem].places[name].append("ready")
    for feed_name, feed in feeds.items():
        for name in feed.places:
            if name not in records or feed_name not in records[name]["feeds"]:
                result.faults.append(f"{name} lies in feed {feed_name}, which it was never delivered to")
        delivered = {key_of(name) for name, record in records.items() if feed_name in record["feeds"]}
        for key in feed.rows.keys() - delivered:
            result.faults.append(f"feed {feed_name}: rows of shard {key} were consumed, it was never delivered")
    for name, record in records.items():
        for feed_name in record["feeds"]:
            _count_shard(result, name, record, feed_name, feeds[feed_name])
    if len(result.faults) > SHOWN:
        result.faults[SHOWN:] = [f"... and {len(result.faults) - SHOWN} more"]
    return result


def _count_shard(result: Count, name: str, record: dict[str, Any], feed_name: str, feed: Feed) -> None:
    """Give every row of a delivered shard its one place."""
    rows, key, where = record["rows"], key_of(name), f"feed {feed_name}: {name}"
    consumed = feed.rows.get(key, Counter())
    gone = feed.discarded.get(key, set())
    twice = sum(consumed.values()) - len(consumed)
    places = feed.places.get(name, [])
    result.produced += rows
    result.used += len(consumed)
    result.used_twice += twice
    result.discarded += len(gone)
    result.ready_shards += places == ["ready"]
    result.quarantined_shards += places == ["quarantined"]
    if twice:
        result.faults.append(f"{where}: {twice} rows consumed twice")
    if consumed and max(consumed) >= rows:
        result.faults.append(f"{where}: row {max(consumed)} consumed of {rows}")
    if both := gone & consumed.keys():
        result.faults.append(f"{where}: {len(both)} rows consumed and discarded")
    if len(places) > 1:
        result.faults.append(f"{where}: in several places, {places}")
    if consumed and "ready" in places:
        result.faults.append(f"{where}: {len(consumed)} rows consumed, and it could be claimed again")
    rest = rows - len(consumed) - len(gone - consumed.keys())
    if rest and not places:
        result.lost += rest
        result.faults.append(f"{where}: {rest} of {rows} rows are lost")
    elif rest:
        setattr(result, places[0], getattr(result, places[0]) + rest)


def torn(spool: Path, damaged: set[str]) -> list[str]:
    """Return visible shards whose bytes are not those of their record, but for those that the soak damaged."""
    faults = []
    for record in read_records(spool):
        for file in (*spool.glob(f"ready/*/{record['name']}"), *spool.glob(f"claimed/*/{record['name']}")):
            if record["name"] not in damaged:
                content = file.read_bytes()
                if len(content) != record["bytes"] or hashlib.sha256(content).hexdigest() != record["sha256"]:
                    faults.append(f"{file}: published, and its bytes are not those of its record")
    return faults[:SHOWN]


def disagreements(own: Count, audit: dict[str, Any], *, settled: bool) -> list[str]:
    """Compare with `xrdgen audit --json`.

    Args:
        own: this count.
        audit: what the command printed.
        settled: all trainings have ended properly. Else checkpoints may be ahead of the notes in the spool (killed
            between the two), and what they consumed counts as claimed there.

    """
    if not settled and own.used - audit["used"] >= 0 and own.used + own.claimed == audit["used"] + audit["claimed"]:
        names: tuple[str, ...] = tuple(name for name in COUNTS if name not in ("used", "claimed"))
    else:
        names = COUNTS
    mine = own.to_dict()
    wrong = [f"{name}: audit {audit[name]}, counted {mine[name]}" for name in names if audit[name] != mine[name]]
    return wrong + ([] if audit["ok"] else [f"the audit is not ok: {json.dumps(audit)[:600]}"])

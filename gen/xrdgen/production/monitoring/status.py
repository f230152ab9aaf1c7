"""What goes on in a spool: counts, rates, producers, trainings, rejected crystals, quarantine.

README.md beside this file explains every key. Times are of the clocks of the machines that wrote them and are for
people: nothing is decided by them.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from xrdcommon.errors import MissingFileError
from xrdcommon.files import read_json
from xrdcommon.spool.audit import Audit, audit
from xrdcommon.spool.backlog import Backlog, claim_folders, names_in
from xrdcommon.spool.feeds import feeds
from xrdcommon.spool.journal import read_lines
from xrdcommon.spool.lease import PATIENCE, State, holder, observe, silence
from xrdcommon.spool.records import RECHECKED, Record, RecordCache, streams
from xrdcommon.spool.spool import Spool
from xrdcommon.spool.usage import Notes, NotesCache, coverage_epochs, coverage_file

from xrdgen.production.monitoring.announcement import announced

RATE_WINDOW = 60.0
"""Seconds over which the present rate is taken."""

SILENT = "silent"
"""State of an owner on another machine whose counter has not moved for longer than others would wait for it."""

LIVING = (State.ALIVE, State.ELSEWHERE)

Json = dict[str, Any]


class Observer:
    """Looks at a spool again and again, and reads each time only what is new."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._records = RecordCache(spool.layout, summaries=True)
        self._trainings = NotesCache(spool.layout)

    def look(self) -> Json:
        """Return the state of the spool; the keys are those of `xrdgen status --json`."""
        spool = self._spool
        counts = audit(spool, self._records, self._trainings)
        backlog = spool.backlog()
        now = time.time()
        records = [record for _, _, record in self._records]
        producers = [self._producer(number, now) for number in streams(spool.layout)]
        consumers = self._consumers(now)
        living = [producer for producer in producers if producer["state"] in LIVING]
        marks = [producer["marks"] for producer in living if producer["marks"]]
        produced_now = rate(records, now)
        target = max((producer["target_samples"] or 0 for producer in living), default=0) or None
        result = {
            "time": round(now, 3),
            "samples_produced": counts.made,
            "samples_used": counts.used,
            "shards_ready": backlog.shards,
            "bytes_ready": backlog.bytes,
            "samples_per_second": produced_now,
            "samples_per_second_since_start": _since_start(living or producers),
            "samples_used_per_second": round(sum(consumer["samples_per_second"] for consumer in consumers), 1),
            "producers": len(living),
            "samples_ready": counts.ready,
            "samples_claimed": counts.claimed,
            "samples_quarantined": counts.quarantined,
            "samples_discarded": counts.discarded,
            "samples_lost": counts.lost,
            "samples_used_twice": counts.used_twice,
            "unexplained": len(counts.unexplained),
            "ok": counts.ok,
            "oldest_ready_seconds": self._oldest(now),
            "backlog": _backlog(backlog, marks),
            "eta": _eta(counts, backlog, living, target, produced_now, _slowest(spool, consumers)),
            "streams": producers,
            "consumers": consumers,
            "feeds": {name: asdict(feed) for name, feed in counts.feeds.items()},
            "quarantine": self._quarantine(now),
            "crystals": self._records.rejections,
            "rechecked": counts.rechecked,
            "refuted": counts.refuted,
            "stop_requested": spool.stop_requested(),
            "spool": str(spool.path),
            "seed": spool.root_seed,
            "grid": str(spool.grid),
        }
        for producer in producers:
            del producer["span"], producer["marks"]
        return result

    def _producer(self, number: int, now: float) -> Json:
        """Describe a stream and who owns it; `span` is rows, begin and end of its latest owner's work."""
        layout = self._spool.layout
        folder = layout.stream(number)
        records = list(self._records.of(number).values())
        who = holder(folder)
        state, silent = _state_and_silence(observe(folder), silence(folder))
        said = announced(layout, number, who.get("pid"))
        begin = float(who.get("unix_time", now))
        latest = max((record.unix_time for record in records), default=None)
        rows = sum(record.rows for record in records if record.unix_time >= begin)
        end = now if state in LIVING else max(begin, latest or begin)
        return {
            "stream": number,
            "state": state,
            "host": who.get("host"),
            "pid": who.get("pid"),
            "workers": said.get("workers") if state in LIVING else None,
            "paused": said.get("paused") if state in LIVING else None,
            "target_samples": said.get("samples"),
            "shards": len(records),
            "samples": sum(record.rows for record in records),
            "samples_per_second": rate(records, now),
            "samples_per_second_since_start": _per_second(rows, end - begin),
            "silent_seconds": silent,
            "last_shard_seconds": None if latest is None else _age(now, latest),
            "span": (rows, begin, end),
            "marks": said.get("marks"),
        }

    def _consumers(self, now: float) -> list[Json]:
        """Describe the trainings."""
        layout = self._spool.layout
        held: dict[str, tuple[int, int]] = {}
        for run, _, folder in claim_folders(layout):
            names = names_in(folder)
            shards, rows = held.get(run, (0, 0))
            held[run] = (shards + len(names), rows + sum(name.rows for name in names))
        result = []
        for notes in self._trainings.all():
            folder = layout.consumer(notes.run_id)
            who = holder(folder)
            state, silent = _state_and_silence(observe(folder), silence(folder))
            shards, rows = held.get(notes.run_id, (0, 0))
            given_up = sum(notes.counts(name)[1] for name in notes.discarded)
            used = sum(notes.used.values()) + sum(n for name, n in notes.partly.items() if name not in notes.used)
            overlap = sum(_passed(notes, name) - notes.counts(name)[0] for name in notes.discarded)
            checkpoint = _last_checkpoint(folder, notes)
            result.append(
                {
                    "run": notes.run_id,
                    "feed": notes.feed,
                    "state": state,
                    "host": who.get("host"),
                    "pid": who.get("pid"),
                    "samples_used": used - overlap,
                    "samples_per_second": use_rate(notes, now) if state in LIVING else 0.0,
                    "shards_claimed": shards,
                    "samples_claimed": max(0, rows - sum(notes.partly.values())),
                    "samples_discarded": given_up,
                    "last_checkpoint_seconds": None if checkpoint is None else _age(now, checkpoint),
                    "silent_seconds": silent,
                }
            )
        return result

    def _oldest(self, now: float) -> float | None:
        """Return the age in seconds of the shard that has waited longest in any feed."""
        layout = self._spool.layout
        times = {record.name: record.unix_time for _, _, record in self._records}
        waiting = (times.get(name) for feed in feeds(self._spool.layout) for name in os.listdir(layout.feed(feed)))
        oldest = min((at for at in waiting if at is not None), default=None)
        return None if oldest is None else _age(now, oldest)

    def _quarantine(self, now: float) -> Json:
        """Count damaged shards and give the last one's reason."""
        layout = self._spool.layout
        names = [name for feed in layout.feed_names() for name in names_in(layout.quarantined(feed))]
        last = None
        for entry in read_lines(layout.quarantine_log):
            last = {key: entry.get(key) for key in ("name", "run", "feed", "reason")}
            last["seconds_ago"] = _age(now, entry["unix_time"])
        return {"shards": len(names), "samples": sum(name.rows for name in names), "last": last}


def rate(records: Iterable[Record], now: float) -> float:
    """Return samples per second over the last minute, or since production began where that is less."""
    rows, total, recent, begin = 0, 0, 0, now
    for record in records:
        total += 1
        if record.unix_time > now - RATE_WINDOW:
            recent += 1
            rows += record.rows
            begin = min(begin, record.unix_time - record.seconds)
    if recent < total:
        begin = now - RATE_WINDOW
    return _per_second(rows, now - begin)


def use_rate(notes: Notes, now: float) -> float:
    """Return the samples per second that a training has used of late.

    It notes them when it writes a checkpoint, so the rate is taken between the last one and the last but some, at
    least a minute before. One that has been silent for longer than that has slowed down: then up to now.
    """
    times = [(at, rows) for at, rows in notes.times if at >= notes.opened]
    if not times:
        return 0.0
    last = times[-1][0]
    begin = max((at for at, _ in times if at <= last - RATE_WINDOW), default=notes.opened)
    rows = sum(n for at, n in times if at > begin)
    end = last if now - last <= max(RATE_WINDOW, last - begin) else now
    return _per_second(rows, end - begin)


def rejection_rates(crystals: dict[str, dict[str, int]]) -> list[tuple[float, int]]:
    """Return (share of attempts rejected, space group), worst first; what is drawn or checked again does not count."""
    rates = []
    for group, counts in crystals.items():
        attempts = sum(n for outcome, n in counts.items() if not outcome.endswith(("_redraws", RECHECKED)))
        if attempts:
            rates.append((1.0 - counts.get("accepted", 0) / attempts, int(group)))
    return sorted(rates, reverse=True)


def _last_checkpoint(folder: Path, notes: Notes) -> float | None:
    """Return when a training last noted what a checkpoint covers, wholly used shards or parts."""
    times = [at for at, _ in notes.times[-1:]]
    with contextlib.suppress(MissingFileError, FileNotFoundError):
        for epoch in coverage_epochs(folder)[-1:]:
            file = coverage_file(folder, epoch)
            if read_json(file)["step"] is not None:
                times.append(file.stat().st_mtime)
    return max(times, default=None)


def _passed(notes: Notes, name: str) -> int:
    return notes.used.get(name, notes.partly.get(name, 0))


def _state_and_silence(state: State, silent: float | None) -> tuple[str, float | None]:
    """Tell of an owner elsewhere that it has been silent for too long."""
    if state is State.ELSEWHERE and (silent is None or silent > PATIENCE):
        return SILENT, silent if silent is None else round(silent, 1)
    return str(state), silent if silent is None else round(silent, 1)


def _age(now: float, at: float) -> float:
    return round(max(0.0, now - at), 1)


def _per_second(rows: float, seconds: float) -> float:
    return round(rows / max(seconds, 1e-3), 1) if rows else 0.0


def _since_start(producers: list[Json]) -> float:
    """Return samples per second since the first of these producers started."""
    spans = [producer["span"] for producer in producers]
    if not spans:
        return 0.0
    rows, begins, ends = zip(*spans, strict=True)
    return _per_second(sum(rows), max(ends) - min(begins))


def _backlog(backlog: Backlog, marks: list[Json]) -> Json:
    """Give the backlog and its share of the lowest high watermark of the producers at work."""
    high_bytes = min((mark["high_bytes"] for mark in marks), default=None)
    high_shards = min((mark["high_shards"] for mark in marks), default=None)
    share = None
    if high_bytes and high_shards:
        share = round(max(backlog.all_bytes / high_bytes, backlog.all_shards / high_shards), 4)
    return {
        "shards": backlog.all_shards,
        "bytes": backlog.all_bytes,
        "samples": backlog.samples + backlog.claimed_samples,
        "high_bytes": high_bytes,
        "high_shards": high_shards,
        "share_of_high": share,
    }


def _slowest(spool: Spool, consumers: list[Json]) -> float:
    """Return the samples per second used by the feed that uses fewest: a shard stays until all feeds have used it."""
    speeds = dict.fromkeys(feeds(spool.layout), 0.0)
    for consumer in consumers:
        if consumer["feed"] in speeds:
            speeds[consumer["feed"]] += consumer["samples_per_second"]
    return min(speeds.values(), default=0.0)


def _eta(counts: Audit, backlog: Backlog, living: list[Json], target: int | None, produced: float, used: float) -> Json:
    """Say in how many seconds the target is reached, the backlog is full, or empty, at the present rates."""
    marks = [producer["marks"] for producer in living if producer["marks"]]
    paused = all(producer["paused"] for producer in living)
    left = None if target is None else max(0, target - counts.made)
    samples = backlog.samples + backlog.claimed_samples
    net = produced - used
    full = empty = None
    if net > 0 and marks and samples and not paused:
        shard_bytes, shard_rows = backlog.all_bytes / backlog.all_shards, samples / backlog.all_shards
        room = min(min(mark["high_bytes"] for mark in marks) / shard_bytes, min(mark["high_shards"] for mark in marks))
        full = max(0.0, (room - backlog.all_shards) * shard_rows / net)
    elif net < 0:
        empty = samples / -net
    to_target = None if left is None else 0.0 if left == 0 else left / produced if produced else None
    seconds = {"seconds_to_target": to_target, "seconds_to_full": full, "seconds_to_empty": empty}
    return {"target_samples": target} | {key: None if s is None else round(s, 1) for key, s in seconds.items()}

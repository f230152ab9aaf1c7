"""What goes on in a spool: counts, rates, producers, rejected crystals."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

from xrdcommon.space_groups import symbol
from xrdcommon.spool.audit import audit, recheck_line
from xrdcommon.spool.backlog import format_bytes
from xrdcommon.spool.lease import State, holder, observe
from xrdcommon.spool.records import RECHECKED, Record, RecordCache, streams
from xrdcommon.spool.spool import Spool

RATE_WINDOW = 60.0
"""Seconds over which the present rate is taken."""

_WORST = 5


def status(spool: Spool, cache: RecordCache | None = None) -> dict[str, Any]:
    """Return the state of a spool; the keys are those of `xrdgen status --json`.

    Args:
        spool: which.
        cache: records read before, when the status is watched.

    """
    cache = RecordCache(spool.layout) if cache is None else cache
    counts = audit(spool, cache)
    backlog = spool.backlog()
    records = [record for _, _, record in cache]
    producers = _streams(spool, cache)
    return {
        "samples_produced": counts.produced,
        "samples_used": counts.used,
        "shards_ready": backlog.shards,
        "bytes_ready": backlog.bytes,
        "samples_per_second": rate(records, time.time()),
        "producers": sum(producer["state"] in (State.ALIVE, State.ELSEWHERE) for producer in producers),
        "samples_ready": counts.ready,
        "samples_claimed": counts.claimed,
        "samples_quarantined": counts.quarantined,
        "samples_lost": counts.lost,
        "backlog": {
            "shards": backlog.all_shards,
            "bytes": backlog.all_bytes,
            "samples": backlog.samples + backlog.claimed_samples,
        },
        "streams": producers,
        "crystals": {group: cache.rejections[group] for group in sorted(cache.rejections, key=int)},
        "rechecked": counts.rechecked,
        "refuted": counts.refuted,
        "stop_requested": spool.stop_requested(),
        "seed": spool.root_seed,
        "grid": str(spool.grid),
    }


def rate(records: list[Record], now: float) -> float:
    """Return samples a second over the last minute, or since production began where that is less."""
    recent = [record for record in records if record.unix_time > now - RATE_WINDOW]
    if not recent:
        return 0.0
    begin = now - RATE_WINDOW
    if len(recent) == len(records):
        begin = min(record.unix_time - record.seconds for record in recent)
    return round(sum(record.rows for record in recent) / max(now - begin, 1e-3), 1)


def _streams(spool: Spool, cache: RecordCache) -> list[dict[str, Any]]:
    result = []
    for producer in streams(spool.layout):
        folder = spool.layout.stream(producer)
        records = cache.of(producer)
        who = holder(folder)
        result.append(
            {
                "stream": producer,
                "state": observe(folder),
                "host": who.get("host"),
                "pid": who.get("pid"),
                "shards": len(records),
                "samples": sum(record.rows for record in records.values()),
            }
        )
    return result


def _crystals(records: list[Record]) -> dict[str, dict[str, int]]:
    """Sum accepted and rejected crystals over all records, by space group."""
    total: dict[str, Counter[str]] = {}
    for record in records:
        for group, counts in record.rejections.items():
            total.setdefault(group, Counter()).update(counts)
    return {group: dict(total[group]) for group in sorted(total, key=int)}


def rejection_rates(crystals: dict[str, dict[str, int]]) -> list[tuple[float, int]]:
    """Return (share of attempts rejected, space group), worst first; what is drawn or checked again does not count."""
    rates = []
    for group, counts in crystals.items():
        attempts = sum(n for outcome, n in counts.items() if not outcome.endswith(("_redraws", RECHECKED)))
        if attempts:
            rates.append((1.0 - counts["accepted"] / attempts, int(group)))
    return sorted(rates, reverse=True)


def lines(state: dict[str, Any]) -> list[str]:
    """Write the state for people."""
    size = format_bytes(state["bytes_ready"])
    text = [
        f"produced     {state['samples_produced']} samples, {state['samples_per_second']:.0f} a second now",
        f"used         {state['samples_used']}",
        f"ready        {state['samples_ready']} in {state['shards_ready']} shards, {size}",
        f"claimed      {state['samples_claimed']}",
        f"quarantined  {state['samples_quarantined']}",
    ]
    text += [f"lost         {state['samples_lost']} (`xrdgen audit` names the shards)"] if state["samples_lost"] else []
    text += [
        f"producer     stream {stream['stream']}: {stream['state']}, {stream['host']} process {stream['pid']}, "
        f"{stream['samples']} samples in {stream['shards']} shards"
        for stream in state["streams"]
    ]
    worst = [f"{group} ({symbol(group)}) {share:.1%}" for share, group in rejection_rates(state["crystals"])[:_WORST]]
    text += [f"rejected     most in {', '.join(worst)}"] if worst else []
    text += [recheck_line(state["rechecked"], state["refuted"])] if state["rechecked"] else []
    text += ["drain        requested; producers finish their shards and stop"] if state["stop_requested"] else []
    return text

"""The state of a spool in lines of at most 80 characters, and on a terminal in place."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.text import Text
from xrdcommon import console
from xrdcommon.space_groups import symbol
from xrdcommon.spool.audit import recheck_line
from xrdcommon.spool.backlog import format_bytes

from xrdgen.production.monitoring.status import LIVING, rejection_rates

WIDTH = 80
"""Characters of a line."""

_WORST = 5
_BAD = ("lost", "used twice", "unexplained")


def lines(state: dict[str, Any]) -> list[str]:
    """Write a state (see `status.Observer.look`) for people."""
    text = [f"{_clip(state['spool'], WIDTH - 10)}  {time.strftime('%H:%M:%S', time.localtime(state['time']))}"]
    text += [
        f"produced     {state['samples_produced']:,} samples; {state['samples_per_second']:,.0f} per second now, "
        f"{state['samples_per_second_since_start']:,.0f} since start",
        f"used         {state['samples_used']:,}; {state['samples_used_per_second']:,.0f} per second",
        f"ready        {state['samples_ready']:,} in {state['shards_ready']:,} shards, "
        f"{format_bytes(state['bytes_ready'])}" + _oldest(state["oldest_ready_seconds"]),
        f"claimed      {state['samples_claimed']:,}",
        f"backlog      {_backlog(state['backlog'])}",
    ]
    text += [f"ahead        {eta}"] if (eta := _eta(state["eta"])) else []
    text += [f"discarded    {state['samples_discarded']:,}"] if state["samples_discarded"] else []
    text += [f"quarantined  {_quarantine(state)}"]
    text += (
        [f"lost         {state['samples_lost']:,} (`xrdgen audit` names the shards)"] if state["samples_lost"] else []
    )
    text += [f"used twice   {state['samples_used_twice']:,} (`xrdgen audit`)"] if state["samples_used_twice"] else []
    text += [f"unexplained  {state['unexplained']:,} shards (`xrdgen audit`)"] if state["unexplained"] else []
    worst = [f"{group} ({symbol(group)}) {share:.1%}" for share, group in rejection_rates(state["crystals"])[:_WORST]]
    text += _wrap("rejected     most in ", worst) if worst else []
    text += [recheck_line(state["rechecked"], state["refuted"])] if state["rechecked"] else []
    text += ["drain        requested; producers finish their shards and stop"] if state["stop_requested"] else []
    text += _feeds(state["feeds"]) + _producers(state["streams"]) + _consumers(state["consumers"])
    return [_clip(line, WIDTH) if index else line for index, line in enumerate(text)]


def watch(look: Callable[[], dict[str, Any]], show: Callable[[dict[str, Any]], None], interval: float) -> None:
    """Look and show for ever; a look that takes long is followed by a pause four times as long."""
    while True:
        begin = time.monotonic()
        show(look())
        time.sleep(max(interval, 4.0 * (time.monotonic() - begin)))


@contextmanager
def screen() -> Iterator[Callable[[dict[str, Any]], None]]:
    """Give a function that shows a state: in place on a terminal, as plain lines elsewhere."""
    terminal = Console()
    if not terminal.is_terminal:
        yield lambda state: console.emit("\n".join(lines(state)) + "\n")
        return
    latest: dict[str, Any] = {}
    try:
        # A screen of its own is written over, line by line, and never emptied: nothing flickers.
        with Live(Text(), console=terminal, auto_refresh=False, screen=True) as live:

            def show(state: dict[str, Any]) -> None:
                latest.update(state)
                live.update(_styled(lines(state)), refresh=True)

            yield show
    finally:
        if latest:
            terminal.print(_styled(lines(latest)))


def _styled(text: list[str]) -> Text:
    styled = Text(no_wrap=True, overflow="ellipsis")
    for line in text:
        bad = line.startswith(_BAD) or "refuted and" in line
        heading = line.startswith(("producers ", "trainings ", "feeds "))
        styled.append(line + "\n", style="bold red" if bad else "bold" if heading else "")
    return styled


def _oldest(seconds: float | None) -> str:
    return "" if seconds is None else f", the oldest for {duration(seconds)}"


def _backlog(backlog: dict[str, Any]) -> str:
    text = f"{backlog['shards']:,} shards, {format_bytes(backlog['bytes'])}"
    share = backlog["share_of_high"]
    return text if share is None else f"{text}, {share:.0%} of the high watermark"


def _eta(eta: dict[str, Any]) -> str:
    """Say what is reached when, at the present rates."""
    parts = []
    if eta["seconds_to_target"] is not None:
        left = eta["seconds_to_target"]
        when = "reached" if left == 0 else f"in {duration(left)}"
        parts.append(f"{eta['target_samples']:,} samples {when}")
    if eta["seconds_to_full"] is not None:
        parts.append(f"backlog full in {duration(eta['seconds_to_full'])}")
    if eta["seconds_to_empty"] is not None:
        parts.append(f"backlog empty in {duration(eta['seconds_to_empty'])}")
    return "; ".join(parts)


def _quarantine(state: dict[str, Any]) -> str:
    quarantine = state["quarantine"]
    text = f"{state['samples_quarantined']:,}"
    if quarantine["last"] is not None:
        reason = str(quarantine["last"]["reason"]).rpartition("/")[2]
        text += f" in {quarantine['shards']} shards; {duration(quarantine['last']['seconds_ago'])} ago: {reason}"
    return text


def _feeds(feeds: dict[str, dict[str, int]]) -> list[str]:
    if len(feeds) < 2:
        return []
    columns = ("produced", "used", "ready", "claimed", "quarantined", "discarded", "lost")
    rows = [[name, *(short(feed[column]) for column in columns)] for name, feed in feeds.items()]
    return ["", *_table(["feeds", *columns], rows)]


def _producers(producers: list[dict[str, Any]]) -> list[str]:
    """List the producers at work, and of the others the last ones."""
    if not producers:
        return ["", "no producers"]
    rows = [
        [
            f"stream {producer['stream']}: {producer['state']}{', paused' if producer['paused'] else ''}",
            _where(producer),
            "" if producer["workers"] is None else str(producer["workers"]),
            short(producer["samples"]),
            short(producer["samples_per_second"]),
            short(producer["samples_per_second_since_start"]),
            _silent(producer),
        ]
        for producer in _shown(producers)
    ]
    text = _table(["producers", "process", "workers", "samples", "/s now", "/s all", "silent"], rows)
    reasons = [f"stream {p['stream']} pauses: {p['paused']}" for p in producers if p["paused"]]
    return ["", *text, *_hidden(producers), *reasons]


def _consumers(consumers: list[dict[str, Any]]) -> list[str]:
    if not consumers:
        return ["", "no trainings"]
    rows = [
        [
            f"{_clip(consumer['run'], 20)}: {consumer['state']}",
            _where(consumer),
            short(consumer["samples_used"]),
            short(consumer["samples_per_second"]),
            short(consumer["samples_claimed"]),
            "never" if (age := consumer["last_checkpoint_seconds"]) is None else duration(age),
            _silent(consumer),
        ]
        for consumer in _shown(consumers)
    ]
    text = _table(["trainings", "process", "used", "/s", "claimed", "checkpoint", "silent"], rows)
    return ["", *text, *_hidden(consumers)]


_MOST = 12
"""Rows of a table; what lives comes first."""


def _shown(owners: list[dict[str, Any]]) -> list[dict[str, Any]]:
    if len(owners) <= _MOST:
        return owners
    return sorted(owners, key=lambda owner: owner["state"] not in LIVING)[:_MOST]


def _hidden(owners: list[dict[str, Any]]) -> list[str]:
    n = len(owners) - _MOST
    return [f"and {n} more (--json has all)"] if n > 0 else []


def _where(owner: dict[str, Any]) -> str:
    return f"{_clip(str(owner['host']), 16)}:{owner['pid']}" if owner["host"] else ""


def _silent(owner: dict[str, Any]) -> str:
    return "" if owner["silent_seconds"] is None else duration(owner["silent_seconds"])


def _table(header: list[str], rows: list[list[str]]) -> list[str]:
    """Align columns, the first two to the left; the first gives way where a line would be too long."""
    table = [header, *rows]
    widths = [max(len(row[column]) for row in table) for column in range(len(header))]
    widths[0] -= max(0, sum(widths) + 2 * (len(widths) - 1) - WIDTH)
    return [
        "  ".join(
            _clip(cell, width).ljust(width) if column < 2 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in table
    ]


def _wrap(label: str, parts: list[str]) -> list[str]:
    """Join parts by commas over lines that begin behind the label's first word."""
    text = [label]
    for index, part in enumerate(parts):
        part += "," if index < len(parts) - 1 else ""
        if len(text[-1]) + len(part) > WIDTH:
            text.append(" " * 13)
        text[-1] += part + " "
    return [line.rstrip() for line in text]


def _clip(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 3] + "..."


def short(n: float) -> str:
    """Write a number in at most six characters."""
    for unit, scale in ((" G", 1e9), (" M", 1e6), (" k", 1e3)):
        if n >= 100 * scale or (n >= scale and scale > 1e3):
            return f"{n / scale:.3g}{unit}" if n < 999.5 * scale else f"{n / scale:.0f}{unit}"
    return f"{n:.0f}"


def duration(seconds: float) -> str:
    """Write a duration for people, to two digits or so."""
    for unit, scale in (("d", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * scale:
            return f"{seconds / scale:.0f} {unit}"
    return f"{seconds:.0f} s"

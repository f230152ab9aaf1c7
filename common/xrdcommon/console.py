"""Messages, JSON and progress at the terminal (`commands` runs the commands themselves)."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from xrdcommon.errors import InputError
from xrdcommon.json_values import json_ready

PLAIN_INTERVAL = 10.0
"""Seconds between two progress lines where the output is not a terminal."""

T = TypeVar("T")


def say(message: str) -> None:
    """Print a line for the person at the terminal (standard error, so that --json stays clean)."""
    if sys.stderr is None:  # closed by whoever started this: nobody listens
        return
    sys.stderr.write(message + "\n")
    sys.stderr.flush()


def emit(text: str) -> None:
    """Print a line of the result itself (standard output).

    Raises:
        InputError: it is closed.

    """
    if sys.stdout is None:
        raise InputError("standard output is closed; leave it open, or send it to a file with > FILE")
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def emit_json(value: Any) -> None:
    """Print one JSON value on standard output; numbers that are not finite become null."""
    emit(json.dumps(json_ready(value), allow_nan=False))


class Advance(Protocol):
    """Report progress: `advance(n, note)` moves on by n and shows a short note."""

    def __call__(self, n: int = 1, note: str = "") -> None:
        """Move on by n."""


@contextmanager
def progress(label: str, total: int | None) -> Iterator[Advance]:
    """Show a bar on a terminal and a plain line every ten seconds otherwise.

    Args:
        label: what is being done.
        total: number of steps, or None where it is endless.

    """
    if sys.stderr is not None and sys.stderr.isatty():
        # What is endless has no share that is done, and no time that is left.
        how_far = (
            (TextColumn("{task.completed}"), TimeElapsedColumn())
            if total is None
            else (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
        )
        columns = (TextColumn("{task.description}"), *how_far, TextColumn("{task.fields[note]}"))
        with Progress(*columns, console=Console(stderr=True)) as bar:
            task = bar.add_task(label, total=total, note="")

            def advance_bar(n: int = 1, note: str = "") -> None:
                bar.update(task, advance=n)
                if note:
                    bar.update(task, note=note)

            yield advance_bar
        return

    start = shown = time.monotonic()
    done, told = 0, -1
    latest = ""

    def line() -> None:
        nonlocal told
        told = done
        of = f"/{total}" if total is not None else ""
        seconds = time.monotonic() - start
        say(f"{label}: {done}{of} in {seconds:.0f} s{'  ' + latest if latest else ''}")

    def advance_plain(n: int = 1, note: str = "") -> None:
        nonlocal done, shown, latest
        done += n
        latest = note or latest
        if time.monotonic() - shown >= PLAIN_INTERVAL:
            shown = time.monotonic()
            line()

    yield advance_plain
    if done != told:
        line()


def track(items: Iterable[T], label: str, total: int | None = None) -> Iterator[T]:
    """Iterate with a progress bar (see `progress`)."""
    if total is None and isinstance(items, Sized):
        total = len(items)
    with progress(label, total) as advance:
        for item in items:
            yield item
            advance()

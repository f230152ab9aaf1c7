"""What all commands share at the terminal: progress, JSON, errors in one line, exit codes."""

from __future__ import annotations

import json
import math
import os
import sys
import time
from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from xrdcommon.errors import EXIT_RESUMABLE, EXIT_WRONG_INPUT, Interrupted, XrdError
from xrdcommon.files import NO_SPACE

PLAIN_INTERVAL = 10.0
"""Seconds between two progress lines where the output is not a terminal."""

USAGE_ERROR: Any = typer.BadParameter.__base__
"""What typer raises for a wrong command line; typer exports only this child of it."""

T = TypeVar("T")


def say(message: str) -> None:
    """Print a line for the person at the terminal (standard error, so that --json stays clean)."""
    sys.stderr.write(message + "\n")
    sys.stderr.flush()


def emit(text: str) -> None:
    """Print a line of the result itself (standard output)."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _json_ready(value: Any) -> Any:
    """Replace NaN and infinities by null: JSON has neither."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _json_ready(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_json_ready(item) for item in value]
    return value


def emit_json(value: Any) -> None:
    """Print one JSON value on standard output; numbers that are not finite become null."""
    emit(json.dumps(_json_ready(value), allow_nan=False))


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
    if sys.stderr.isatty():
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
        )
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


def _usage_line(error: typer.BadParameter) -> str:
    """Return what is wrong with a command line, in one line."""
    command = "" if error.ctx is None else f"; see `{error.ctx.command_path} --help`"
    return f"{' '.join(error.format_message().split()).rstrip('.')}{command}"


def _system_line(error: OSError) -> str:
    """Return what the operating system refused, in one line."""
    place = error.filename2 or error.filename
    remedy = "free some space" if error.errno in NO_SPACE else "check the path and its permissions"
    return f"{'' if place is None else f'{place}: '}{error.strerror}; {remedy} and try again"


def run(app: typer.Typer, name: str) -> None:
    """Run a command-line application: wrong input becomes one line on standard error and an exit code."""
    try:
        code = app(prog_name=name, standalone_mode=False)
        raise SystemExit(code if isinstance(code, int) else 0)
    except Interrupted as stop:
        say(f"{name}: {stop}")
        raise SystemExit(EXIT_RESUMABLE) from None
    except XrdError as error:
        say(f"{name}: error: {' '.join(str(error).split())}")
        raise SystemExit(EXIT_WRONG_INPUT) from None
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None
    except OSError as error:
        if error.filename is None and error.errno not in NO_SPACE:
            raise  # no file of the user's: a fault to be shown whole
        say(f"{name}: error: {_system_line(error)}")
        raise SystemExit(EXIT_WRONG_INPUT) from None
    except USAGE_ERROR as error:
        if type(error).__name__ == "NoArgsIsHelpError":  # the command alone: its message is the help
            error.show()
        else:
            say(f"{name}: error: {_usage_line(error)}")
        raise SystemExit(EXIT_WRONG_INPUT) from None

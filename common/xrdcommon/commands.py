"""Running a command: errors in one line, exit codes. Only the folders `cli` import this, for it loads typer."""

from __future__ import annotations

import os
import sys
from typing import Any

import typer

from xrdcommon.console import say
from xrdcommon.errors import EXIT_RESUMABLE, EXIT_WRONG_INPUT, Interrupted, XrdError
from xrdcommon.files import NO_SPACE

USAGE_ERROR: Any = typer.BadParameter.__base__
"""What typer raises for a wrong command line; typer exports only this child of it."""


def _usage_line(error: typer.BadParameter) -> str:
    """Return what is wrong with a command line, in one line."""
    command = "" if error.ctx is None else f"; see `{error.ctx.command_path} --help`"
    return f"{' '.join(error.format_message().split()).rstrip('.')}{command}"


def _system_line(error: OSError) -> str:
    """Return what the operating system refused, in one line."""
    place = error.filename2 or error.filename
    remedy = "free some space" if error.errno in NO_SPACE else "check the path and its permissions"
    return f"{'' if place is None else f'{place}: '}{error.strerror}; {remedy} and try again"


def _fill_closed_streams() -> None:
    """Let no file that is opened later become standard input, output or error because one of these was closed."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free


def run(app: typer.Typer, name: str) -> None:
    """Run a command-line application: wrong input becomes one line on standard error and an exit code."""
    _fill_closed_streams()
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

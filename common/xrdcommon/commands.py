"""Running a command: errors in one line, exit codes. Only the folders `cli` import this, for it loads typer."""

from __future__ import annotations

import functools
import inspect
import os
import sys
import threading
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer

from xrdcommon.console import emit, say
from xrdcommon.errors import EXIT_RESUMABLE, EXIT_WRONG_INPUT, Interrupted, XrdError
from xrdcommon.files import NO_SPACE
from xrdcommon.options import Option, from_file, options_of
from xrdcommon.signals import ignore_signals

USAGE_ERROR: Any = typer.BadParameter.__base__
"""What typer raises for a wrong command line; typer exports only this child of it."""


def _show_version(context: typer.Context, asked: bool) -> None:
    """Print name and version, and end the command."""
    if asked:
        emit(f"{context.find_root().info_name} {version('xrdstream')}")
        raise typer.Exit


def _options(
    _: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    pass


def add_version(app: typer.Typer) -> None:
    """Give a command-line application the option --version."""
    app.callback()(_options)


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


def filled_by(kind: type[Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Make a command of a function whose first parameter are options (see `xrdcommon.options`).

    The command has all options of the dataclass, and `--config FILE` for a TOML file of them; what the command line
    says counts more than the file.
    """
    options = options_of(kind)

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(function)
        def command(**given: Any) -> None:
            config = given.pop("config")
            named = [(one, one.name.replace("-", "_")) for one in options]
            found = [(one, name, given.pop(name)) for one, name in named]
            told = {name: one.value(value) for one, name, value in found if value not in (None, [])}
            function(kind(**told) if config is None else from_file(kind, config, told), **given)

        parameters = list(inspect.signature(function, eval_str=True).parameters.values())[1:]
        parameters += [_parameter(one) for one in options]
        parameters.append(
            inspect.Parameter(
                "config",
                inspect.Parameter.KEYWORD_ONLY,
                default=None,
                annotation=Annotated[Path | None, typer.Option(help="TOML file of these options.", metavar="FILE")],
            )
        )
        parameters = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in parameters]
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        del command.__wrapped__
        return command

    return decorate


def _parameter(one: Option) -> inspect.Parameter:
    """Return an option as a parameter of a command; None where it is not given."""
    known = one.read is not None or one.default in (None, False, "")  # an option with a reader says its default itself
    said = one.help if known else f"{one.help.removesuffix('.')}; {one.default} by default."
    kind: Any = list[str] if one.type is tuple else one.type
    declared = typer.Option(*one.names, help=said, show_default=False, metavar=one.values)
    return inspect.Parameter(
        one.name.replace("-", "_"),
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[kind | None, declared],
    )


def run(app: typer.Typer, name: str) -> None:
    """Run a command-line application: wrong input becomes one line on standard error and an exit code."""
    _fill_closed_streams()
    try:
        code = app(prog_name=name, standalone_mode=False)
        raise SystemExit(code if isinstance(code, int) else 0)
    except Interrupted as stop:
        if threading.current_thread() is threading.main_thread():
            ignore_signals()  # a late one must not change the exit code
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

"""The command `xrdgen`: offline generation."""

from __future__ import annotations

from importlib import import_module

import typer
from xrdcommon import commands

app = typer.Typer(
    name="xrdgen",
    help="Generate synthetic powder diffractograms: statistics of real structures in, never-reused shards out.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

_GROUPS = ("structures", "statistics")
_COMMANDS = {
    "crystals": ("sample",),
    "diffraction": ("simulate",),
    "freeze": ("freeze",),
    "convert": ("convert",),
    "cells": ("cells",),
    "production": ("produce", "worker", "status", "drain", "audit", "gc"),
}

for _name in _GROUPS:
    app.add_typer(import_module(f"xrdgen.cli.{_name}").app, name=_name)
for _module, _functions in _COMMANDS.items():
    for _function in _functions:
        app.command(_function)(getattr(import_module(f"xrdgen.cli.{_module}"), _function))
commands.add_version(app)


def main() -> None:
    """Run `xrdgen`."""
    commands.run(app, "xrdgen")

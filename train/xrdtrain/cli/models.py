"""`xrdtrain models`."""

from __future__ import annotations

from typing import Annotated

import typer
from xrdcommon import console


def models(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON: [{name, parameters}].")] = False,
) -> None:
    """List the models and their parameters at 8501 points and 145 classes.

    \b
    Example:
      xrdtrain models
    """
    from xrdtrain.models.catalogue import catalogue

    entries = catalogue()
    if as_json:
        console.emit_json([{"name": entry.name, "parameters": entry.parameters} for entry in entries])
        return
    width = max(len(entry.name) for entry in entries)
    for entry in entries:
        console.emit(f"{entry.name:<{width}}  {entry.parameters:>11,}  {entry.training}")

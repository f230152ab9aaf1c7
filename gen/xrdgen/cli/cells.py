"""The command `xrdgen cells`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def cells(
    names: Annotated[
        Path,
        typer.Argument(help="CSV or text file whose first column names crystals, such as hardest.csv of a report."),
    ],
    out: Annotated[Path, typer.Option(help="File to write (JSON); RUN/cells.json is found by `xrdtrain report RUN`.")],
    spool: Annotated[
        Path | None,
        typer.Option(help="Spool of the synthetic samples; they are drawn again from their identities."),
    ] = None,
    structures: Annotated[
        list[str] | None,
        typer.Option(
            help="Structure table in which real crystals are looked for; may be repeated.", show_default=False
        ),
    ] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Write the unit cells of named crystals, real and synthetic, to be drawn in a report.

    `xrdtrain report RUN` writes RUN/hardest.csv: the real and synthetic crystals that the network finds hardest.
    Neither fixed sets nor shards hold coordinates; they come from the structure table, and from drawing a sample again
    (its shard need not exist any more), with its diffractogram.

    \b
    Example:
      xrdtrain report runs/first
      xrdgen cells runs/first/hardest.csv --spool spool --structures embedded:amcsd --out runs/first/cells.json
      xrdtrain report runs/first
    """
    from xrdcommon import console
    from xrdcommon.errors import InputError
    from xrdcommon.files import check_output
    from xrdcommon.unit_cells import write_unit_cells

    from xrdgen.embedded import resolve
    from xrdgen.samples.cells import read_names, unit_cells

    tables = structures or []
    if spool is None and not tables:
        raise InputError("nothing to find crystals in: give --structures TABLE for real ones, --spool SPOOL for others")
    check_output(out, [names, *(resolve(table) for table in tables)])
    found, missing = unit_cells(read_names(names), spool, tables)
    if not found:
        raise InputError(
            f"{names}: none of its {len(missing)} crystals was found, such as {missing[0]}; real ones are looked for "
            "in --structures, synthetic ones belong to --spool"
        )
    write_unit_cells(out, found)
    if json_output:
        console.emit_json({"cells": len(found), "not_found": missing})
        return
    console.emit(f"{out}: unit cells of {len(found)} crystals")
    if missing:
        console.say(f"{len(missing)} not found, such as {missing[0]}")

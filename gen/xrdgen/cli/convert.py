"""The command `xrdgen convert`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def convert(
    source: Annotated[
        Path, typer.Argument(help="Fixed set (Zarr or tar shards), or a folder of finished stream shards.")
    ],
    destination: Annotated[Path, typer.Argument(metavar="DEST", help="Folder to make; never overwritten.")],
    two_theta_min: Annotated[
        float | None, typer.Option(help="Of stream shards outside a spool: first angle, degrees 2theta.")
    ] = None,
    two_theta_max: Annotated[float | None, typer.Option(help="The same: last angle, degrees 2theta.")] = None,
    step: Annotated[float | None, typer.Option(help="The same: step, degrees 2theta.")] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Convert a fixed set from Zarr to tar shards for webdataset, and tar shards to Zarr.

    A set in Zarr becomes a folder of tar shards; tar shards, of such a folder or of a stream, become Zarr. Both forms
    are fixed sets: `xrdtrain fit` and --test take either. Patterns, records and names stay exactly as they are, and
    the source is only read.

    \b
    Examples:
      xrdgen convert mine.zarr mine-tars        # stock webdataset reads mine-tars/*.tar
      xrdgen convert mine-tars back.zarr
      xrdgen convert spool/ready/main kept.zarr  # a stream that is to stay
    """
    from xrdcommon import console
    from xrdcommon.errors import InputError
    from xrdcommon.fixed_sets.convert import check_new, rows_of
    from xrdcommon.fixed_sets.convert import convert as convert_set
    from xrdcommon.grid import Grid

    given = [value for value in (two_theta_min, two_theta_max, step) if value is not None]
    if len(given) not in (0, 3):
        raise InputError("a grid of stream shards needs all of --two-theta-min, --two-theta-max and --step")
    check_new(destination, source)
    with console.progress("copying", rows_of(source)) as advance:
        made = convert_set(source, destination, Grid(*given) if given else None, advance)
    if json_output:
        console.emit_json({"diffractograms": len(made), "content_hash": made.content_hash})
    else:
        console.emit(f"{destination}: {len(made)} diffractograms, {made.grid}")

"""The command `xrdtrain report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN...",
            help="Run folders made by `xrdtrain fit`, .safetensors files, or embedded:NAME; several are compared.",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            help="File to write; RUN/report.html by default, ./NAME.html for a network that is one file, "
            "./comparison.html for several.",
            show_default=False,
        ),
    ] = None,
    test: Annotated[
        str | None, typer.Option(help="Test set to show in detail; the first by default.", show_default=False)
    ] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print the path as JSON.")] = False,
) -> None:
    """Write one self-contained HTML file with the paper's figures for a run; works while the run is going on.

    Several runs are put side by side: the paper's tables 1 and S2, figure 5 and the top-k curves for all of them. Every
    figure can be saved as SVG, its numbers as CSV.

    \b
    Example:
      xrdtrain report runs/2026-01-31-resnet-10
      xrdtrain report runs/big --test icsd --out big.html
      xrdtrain report runs/resnet-10 runs/resnet-50 --out comparison.html
      xrdtrain report embedded:pure
    """
    from xrdcommon import console
    from xrdcommon.errors import InputError

    from xrdtrain.inference.bundle import is_bundle
    from xrdtrain.report.comparison import write_comparison
    from xrdtrain.report.exported import report_name, run_folders
    from xrdtrain.report.page import write_report

    if len(runs) > 1 and test is not None:
        raise InputError("--test: shows one test set of one run in detail; a comparison shows all of them")
    with run_folders(runs) as folders:
        if len(runs) == 1:
            path = write_report(folders[0], out or (Path(report_name(runs[0])) if is_bundle(runs[0]) else None), test)
        else:
            path = write_comparison(folders, out or Path("comparison.html"))
    if json_output:
        console.emit_json({"report": str(path)})
    else:
        console.emit(str(path))

"""The command `xrdtrain report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN...", help="Run folders made by `xrdtrain fit`; several are compared.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            help="File to write; RUN/report.html by default, ./comparison.html for several runs.", show_default=False
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
    """
    from xrdcommon import console
    from xrdcommon.errors import InputError

    from xrdtrain.report.comparison import write_comparison
    from xrdtrain.report.page import write_report

    if len(runs) == 1:
        path = write_report(runs[0], out, test)
    elif test is not None:
        raise InputError("--test: shows one test set of one run in detail; a comparison shows all of them")
    else:
        path = write_comparison(runs, out or Path("comparison.html"))
    if json_output:
        console.emit_json({"report": str(path)})
    else:
        console.emit(str(path))

"""The command `xrdtrain report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(
    run: Annotated[Path, typer.Argument(help="Run folder made by `xrdtrain fit`.")],
    out: Annotated[Path | None, typer.Option(help="File to write; RUN/report.html by default.")] = None,
    test: Annotated[str | None, typer.Option(help="Test set to show in detail; the first by default.")] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print the path as JSON.")] = False,
) -> None:
    """Write one self-contained HTML file with the paper's figures for a run; works while the run is going on.

    \b
    Example:
      xrdtrain report runs/2026-01-31-resnet-10
      xrdtrain report runs/big --test icsd --out big.html
    """
    from xrdcommon import console

    from xrdtrain.report.page import write_report

    path = write_report(run, out, test)
    if json_output:
        console.emit_json({"report": str(path)})
    else:
        console.emit(str(path))

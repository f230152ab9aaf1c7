"""`xrdtrain fit`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from xrdcommon import console
from xrdcommon.commands import filled_by

from xrdtrain.fitting.options import FitRequest


@filled_by(FitRequest)
def fit(
    request: FitRequest,
    source: Annotated[
        Path | None,
        typer.Argument(help="A spool or a fixed set; default $XRD_SPOOL, else ./spool.", show_default=False),
    ] = None,
) -> None:
    """Train on a spool while it grows, or on a fixed set.

    A used shard is deleted once a durable checkpoint covers it. Killed or stopped (exit code 75), the same command
    goes on where it was. Under torchrun or srun: one process a GPU.

    \b
    Examples:
      xrdtrain fit                                   # ./spool, embedded test set
      xrdtrain fit spool --produce 1 --max-time 5m   # a laptop: producer and training together
      xrdtrain fit spool --model resnet-50 --test amcsd=embedded --test rruff=rruff.zarr
      xrdtrain fit spool --option ema --option heads=lattice,crystal-system --dry-run
      torchrun --nproc-per-node 2 --no-python -- xrdtrain fit spool --model resnet-101
    """
    from xrdtrain.evaluation.summary import final_lines
    from xrdtrain.fitting.dry_run import describe
    from xrdtrain.fitting.fit import fit as train

    request = replace(request, source=source)
    for line in describe(request) if request.dry_run else final_lines(train(request)):
        console.emit(line)

"""`xrdtrain gate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from xrdcommon import console


def gate(
    run: Annotated[Path, typer.Argument(help="Run folder of `xrdtrain fit`.")],
    holdout: Annotated[Path, typer.Argument(help="Fixed set of synthetic patterns that the run was not trained on.")],
    most: Annotated[int, typer.Option(min=1, help="Patterns to use, at most.")] = 20_000,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Fit what lets `xrdtrain predict` say that a pattern is unlike anything the run was trained on.

    The features of synthetic patterns in front of the run's last layer are kept in RUN/features.npz; a pattern that
    lies farther from them than 99 % of other synthetic patterns is reported as unlike them. Mixtures of two to four of
    the synthetic patterns are told from single ones by what all stages of the network see.

    \b
    Example:
      xrdgen produce held-out --samples 20000 --seed 99 --workers 0
      xrdgen convert held-out/ready/main held-out.zarr
      xrdtrain gate runs/demo held-out.zarr
    """
    from xrdtrain.inference.features import FILE, QUANTILE
    from xrdtrain.inference.gate import fit_gate

    with console.progress("features", None) as advance:
        reference = fit_gate(run, holdout, most=most, advance=advance)
    caught = None if reference.mixtures is None else reference.mixtures.caught
    if as_json:
        console.emit_json(
            {"patterns": reference.n, "threshold": reference.threshold, "quantile": QUANTILE, "mixtures_caught": caught}
        )
    else:
        console.emit(
            f"{run / FILE}: {reference.n:,} patterns, {QUANTILE:.0%} of others within {reference.threshold:.3g}"
            + ("" if caught is None else f"; {caught:.0%} of mixtures of comparable shares are told")
        )

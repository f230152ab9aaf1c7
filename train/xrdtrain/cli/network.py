"""`xrdtrain calibrate` and `xrdtrain export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from xrdcommon import console


def calibrate(
    run: Annotated[Path, typer.Argument(help="Run folder of `xrdtrain fit`.")],
    source: Annotated[
        Path | None,
        typer.Argument(
            help="Fixed set of synthetic patterns that the run was not trained on; by default the last samples of its "
            "training, as they were predicted before it learned from them."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Fit temperature, class bias and candidate sets on synthetic patterns, so that probabilities can be trusted.

    Written to RUN/calibration.json; from then on evaluate, predict and export use it. Real patterns are refused: they
    are to tell what the calibration brings.

    \b
    Example:
      xrdtrain calibrate runs/demo
      xrdtrain calibrate runs/demo holdout.zarr --json
    """
    from xrdtrain.evaluation.calibrate import calibrate as fit_calibration

    with console.progress(f"calibrate {run}", None) as advance:
        found = fit_calibration(run, source, advance)
    if as_json:
        console.emit_json(found.to_dict())
        return
    before, after = found.before, found.after
    console.emit(
        f"{run}: temperature {found.temperature:.3f}, fitted on {found.n:,} patterns ({found.source}); calibration "
        f"error {before['ece']:.1%} before, {after['ece']:.1%} after, loss {before['loss']:.3f} before, "
        f"{after['loss']:.3f} after, on patterns left out of the fit"
    )
    for level, values in after["sets"].items():
        console.emit(
            f"  candidate sets for {float(level):.0%}: hold the true group in {values['coverage']:.1%}, "
            f"{values['mean_size']:.1f} groups on average"
        )


def export(
    run: Annotated[str, typer.Argument(help="Run folder, .safetensors file, or embedded:NAME.")],
    out: Annotated[Path, typer.Option(help="X.safetensors, X.pt2 or X.onnx.")],
    card: Annotated[Path | None, typer.Option(help="Model card of a .safetensors file: a JSON object.")] = None,
) -> None:
    """Write a network into one file that needs no run folder.

    X.safetensors is used like a run (evaluate, predict, fit --init-from) and holds everything but the training's state;
    X.pt2 (torch.export.load) and X.onnx take patterns on the network's axis in [0, 1] and return calibrated logits.

    \b
    Example:
      xrdtrain export runs/demo --out demo.safetensors
      xrdtrain export runs/demo --out demo.onnx
    """
    from xrdcommon.errors import FormatError
    from xrdcommon.files import read_json

    from xrdtrain.inference.export import export as write
    from xrdtrain.inference.load import load_run

    content = None if card is None else read_json(card)
    if content is not None and not isinstance(content, dict):
        raise FormatError(f"{card}: not a JSON object")
    write(load_run(run), out, content)
    console.emit(str(out))

"""`xrdtrain evaluate` and `xrdtrain predict`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from xrdcommon import console


def evaluate(
    run: Annotated[Path, typer.Argument(help="Run folder of `xrdtrain fit`.")],
    test: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=PATH", help="Fixed set to measure on, repeatable; default the run's own."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Measure a run on fixed sets: top-1 to top-20, per group and crystal system, extinction groups, calibration.

    The predictions are written to RUN/evaluation/NAME.npz.

    \b
    Example:
      xrdtrain evaluate runs/demo --test amcsd=embedded --json
    """
    from xrdtrain.evaluation.evaluate import evaluate_run
    from xrdtrain.evaluation.summary import final_lines, system_lines
    from xrdtrain.fitting.training_log import finite

    results = evaluate_run(run, None if not test else tuple(test))
    if as_json:
        console.emit_json(finite(results))
        return
    for name, measures in results.items():
        for line in (*final_lines({name: measures}), *system_lines(measures)):
            console.emit(line)


def predict(
    run: Annotated[Path, typer.Argument(help="Run folder of `xrdtrain fit`.")],
    patterns: Annotated[
        list[Path],
        typer.Argument(help="Patterns (.xy, .csv, .txt, .dat, .npy): 2theta in degrees and intensity, or fixed sets."),
    ],
    top: Annotated[int, typer.Option(min=1, help="Candidates to print.")] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON: [{file, candidates}].")] = False,
    plot: Annotated[Path | None, typer.Option(help="Draw patterns and candidates into this PNG, SVG or PDF.")] = None,
) -> None:
    """Rank the space groups of measured or simulated patterns.

    Members of an enantiomorphic pair cannot be told apart and are one candidate, 152/154.

    \b
    Example:
      xrdtrain predict runs/demo quartz.xy --plot quartz.png
    """
    from xrdtrain.inference.predict import draw, predict_files, table

    predictions = predict_files(run, patterns)
    if as_json:
        console.emit_json(
            [
                {"file": item.name, "candidates": [candidate.to_dict() for candidate in item.candidates[:top]]}
                for item in predictions
            ]
        )
    else:
        for item in predictions:
            for line in table(item, top):
                console.emit(line)
    if plot is not None:
        draw(predictions, plot, top)
        console.say(f"drawn: {plot}")

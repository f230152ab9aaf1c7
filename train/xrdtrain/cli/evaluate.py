"""`xrdtrain evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from xrdcommon import console


def evaluate(
    run: Annotated[Path, typer.Argument(help="Run folder of `xrdtrain fit`.")],
    test: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=PATH",
            help="What to measure on, repeatable; default the run's own. A fixed set, an .npz file of measured "
            "patterns (two_theta, intensity, sg), or a folder of measured patterns with a CSV file (file,space_group).",
        ),
    ] = None,
    background: Annotated[
        list[str] | None,
        typer.Option(metavar="auto|none|METHOD", help="For measured patterns, repeatable: one measurement each."),
    ] = None,
    prior: Annotated[
        str, typer.Option(metavar="NAME|FILE", help="For measured patterns: trained, uniform, minerals or a CSV file.")
    ] = "trained",
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Measure a run on test sets: top-1 to top-20, per group and crystal system, extinction groups, calibration.

    The predictions are written to RUN/evaluation/NAME.npz, those of measured patterns to RUN/evaluation/measured,
    with their measures. For
    measured patterns the accuracies over all of them stand beside those of the static list of mineral groups.

    \b
    Examples:
      xrdtrain evaluate runs/demo --test amcsd=embedded --json
      xrdtrain evaluate runs/demo --test rruff=rruff.npz --background auto --background none --prior minerals
    """
    from xrdtrain.evaluation.evaluate import evaluate_run
    from xrdtrain.evaluation.measured_pass import measured_lines
    from xrdtrain.evaluation.summary import final_lines, system_lines

    results = evaluate_run(
        run, None if not test else tuple(test), backgrounds=tuple(background or ("auto",)), prior=prior
    )
    if as_json:
        console.emit_json(results)
        return
    for name, measures in results.items():
        of_measured = measured_lines(name, measures) if "static_list_of_minerals" in measures else []
        for line in (*final_lines({name: measures}), *of_measured, *system_lines(measures)):
            console.emit(line)

"""`xrdtrain evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from xrdcommon import console


def evaluate(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN...", help="Run folder of `xrdtrain fit`, or embedded:NAME; several answer together."
        ),
    ],
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
    gradients: Annotated[
        str | None,
        typer.Option(
            metavar="last|all",
            help="For fixed sets: the norm of each pattern's loss gradient, with respect to the weights of the last "
            "layer or to all of them (a backward pass a pattern), to NAME-gradients.csv, hardest first.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Measure a run on test sets: top-1 to top-20, per group and crystal system, extinction groups, calibration.

    The predictions are written to RUN/evaluation/NAME.npz, those of measured patterns with their measures to
    RUN/evaluation/measured. For measured patterns the accuracies over all of them stand beside those of the static list
    of mineral groups. Several runs of one class list answer with the mean of their probabilities.

    \b
    Examples:
      xrdtrain evaluate runs/demo --test amcsd=embedded --json
      xrdtrain evaluate runs/demo --test rruff=rruff.npz --background auto --background none --prior minerals
      xrdtrain evaluate runs/a runs/b runs/c --test amcsd=embedded
      xrdtrain evaluate runs/demo --gradients last
    """
    from xrdcommon.errors import InputError

    from xrdtrain.evaluation.evaluate import evaluate_run
    from xrdtrain.evaluation.gradients import gradient_lines, parse_weights
    from xrdtrain.evaluation.measured_pass import measured_lines
    from xrdtrain.evaluation.summary import final_lines, system_lines
    from xrdtrain.evaluation.together import evaluate_together, member_lines

    backgrounds = tuple(background or ("auto",))
    whose = None if gradients is None else parse_weights(gradients)
    if len(runs) > 1:
        if whose is not None:
            raise InputError("--gradients: of one run; name one")
        if not test:
            raise InputError("several runs: name what to measure them on together with --test NAME=PATH")
        results = evaluate_together(runs, test, backgrounds=backgrounds, prior=prior)
    else:
        tests = None if not test else tuple(test)
        results = evaluate_run(runs[0], tests, backgrounds=backgrounds, prior=prior, gradients=whose)
    if as_json:
        console.emit_json(results)
        return
    for name, measures in results.items():
        of_measured = measured_lines(name, measures) if "static_list_of_minerals" in measures else []
        of_measured += member_lines(name, measures) if "members" in measures else []
        of_measured += gradient_lines(measures["gradient_norm"]) if "gradient_norm" in measures else []
        for line in (*final_lines({name: measures}), *of_measured, *system_lines(measures)):
            console.emit(line)

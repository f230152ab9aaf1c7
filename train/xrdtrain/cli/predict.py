"""`xrdtrain predict`."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from xrdcommon import console
from xrdcommon.errors import InputError

if TYPE_CHECKING:
    from xrdtrain.inference.predict import Prediction
    from xrdtrain.measured.emission import Radiation


def predict(
    arguments: Annotated[
        list[str],
        typer.Argument(
            metavar="[RUN...] FILE|FOLDER...",
            help="Run folders (several answer together; none: the network that comes with the package), then patterns "
            "of any instrument: .xy .xye .csv .txt .dat .prn .asc, XRDML, Bruker RAW, BRML and UXD, Rigaku RAS and "
            "RASX, GSAS, powder CIF, .npy; folders of them; fixed sets.",
        ),
    ],
    top: Annotated[int, typer.Option(min=1, help="Candidates to print.")] = 5,
    prior: Annotated[
        str,
        typer.Option(
            metavar="NAME|FILE",
            help="How likely groups are beforehand: trained, uniform, minerals, or a CSV file (space_group,weight).",
        ),
    ] = "trained",
    wavelength: Annotated[
        str | None, typer.Option(help="In Å, or CuKa, CuKa1, MoKa, CoKa ...; of files that do not say theirs.")
    ] = None,
    axis: Annotated[
        str | None,
        typer.Option(
            help="What the first column is: 2theta, theta, radians, theta-radians, centidegrees, q (1/Å), q-nm, d, s."
        ),
    ] = None,
    columns: Annotated[
        str | None, typer.Option(metavar="I,J", help="Which columns, from 1, are the axis and the intensity.")
    ] = None,
    scan: Annotated[int | None, typer.Option(min=1, help="Which of several scans in a file; the first.")] = None,
    two_theta_range: Annotated[
        tuple[float, float] | None,
        typer.Option("--range", metavar="FROM TO", help="Angles to use, degrees 2theta as measured."),
    ] = None,
    zero_shift: Annotated[
        float, typer.Option(help="Degrees 2theta that the instrument shows too much, as a standard tells.")
    ] = 0.0,
    background: Annotated[
        str,
        typer.Option(
            metavar="auto|none|METHOD",
            help="auto: arpls, unless the file's background was removed already (0.5 % of its points at zero).",
        ),
    ] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON: [{file, candidates, ...}].")] = False,
    csv: Annotated[Path | None, typer.Option(metavar="FILE.csv", help="Write one row a file; - prints them.")] = None,
    plot: Annotated[
        Path | None,
        typer.Option(help="Draw what was measured, what the network saw and the candidates: PNG, SVG or PDF."),
    ] = None,
) -> None:
    """Rank the space groups of measured or simulated patterns.

    The wavelength is that of the file, else that of --wavelength; where neither says it, you are asked, and without a
    terminal the network's own is taken, with a word. Members of an enantiomorphic pair cannot be told apart and are one
    candidate, 152/154. A file that cannot be used is named with the reason; the others are answered, and the exit code
    is 2.

    \b
    Examples:
      xrdtrain predict my.xrdml
      xrdtrain predict runs/demo quartz.xy --wavelength CuKa --plot quartz.png
      xrdtrain predict runs/a runs/b measured/ --prior minerals --csv answers.csv
      xrdtrain predict runs/demo film.xy --range 15 75 --zero-shift 0.03 --background snip
    """
    from xrdcommon.files import write_bytes

    from xrdtrain.inference.answer import Answerer
    from xrdtrain.inference.networks import caveats, open_network, split_arguments
    from xrdtrain.inference.options import predict_options
    from xrdtrain.inference.predict import find_patterns
    from xrdtrain.inference.predict import predict as answer
    from xrdtrain.inference.show import check_plot, csv_text, draw, table

    options = predict_options(
        prior=prior,
        wavelength=wavelength,
        axis=axis,
        columns=columns,
        scan=scan,
        two_theta_range=two_theta_range,
        zero_shift=zero_shift,
        background=background,
        keep_patterns=plot is not None,
    )
    if plot is not None:
        check_plot(plot)
    names, paths = split_arguments(arguments)
    files = find_patterns(paths)
    answerer = Answerer([open_network(name) for name in names])
    answerer.log_ratio(prior)  # refused before the work
    ask = _ask_radiation if sys.stdin.isatty() and sys.stderr.isatty() and not as_json else None
    predictions: list[Prediction] = []
    quiet = as_json or csv is not None
    with ExitStack() as stack:
        # a bar among printed tables would only tear them
        advance = stack.enter_context(console.progress("predict", len(files))) if quiet and len(files) > 1 else _nothing
        for item in answer(answerer, files, options, ask, advance):
            predictions.append(item)
            if item.error is not None and len(files) > 1:
                console.say(f"error: {' '.join(str(item.error).split())}")
            elif item.error is None and not quiet:
                for line in table(item, top):
                    console.emit(line)
            elif item.error is None:
                _tell(item)
    if names[0] not in arguments and any(item.error is None for item in predictions):  # a network nobody has named
        for line in caveats(names[0], answerer.networks[0]):
            console.say(line)
    assumed = [item for item in predictions if item.radiation is not None and item.radiation.assumed]
    if quiet and assumed:
        whose = assumed[0].name if len(assumed) == 1 else f"{len(assumed)} files"
        console.say(
            f"{whose}: the wavelength is not said, taken as that of the network, "
            f"{answerer.measurements[0].wavelength:g} Å; if it is another, say so with --wavelength"
        )
    if as_json:
        console.emit_json([item.to_dict(top) for item in predictions])
    if csv is not None:
        text = csv_text(predictions, top)
        if str(csv) == "-":
            console.emit(text.rstrip("\n"))
        else:
            write_bytes(csv, text.encode("utf-8"))
            console.say(f"written: {csv}")
    if plot is not None and any(item.error is None for item in predictions):
        draw(predictions, plot, top)
        console.say(f"drawn: {plot}")
    refused = [item.error for item in predictions if item.error is not None]
    if len(files) == 1 and refused:
        raise refused[0]
    if refused:
        raise InputError(f"{len(refused)} of {len(files)} files were not answered, for the reasons above")


def _nothing(n: int) -> None:
    """Show no progress."""


def _tell(item: Prediction) -> None:
    """Say on standard error what a table would have shown beside the candidates."""
    if item.doubts:
        console.say(f"{item.name}: unlike anything trained on: {'; '.join(item.doubts)}")


def _ask_radiation(file: Path, wavelength: float) -> Radiation | None:
    """Ask on the terminal for a wavelength that a file does not say."""
    from xrdtrain.measured.emission import parse_radiation

    while True:
        text = typer.prompt(
            f"{file}: which wavelength (Å, or CuKa, MoKa ...)?", default=f"{wavelength:g}", err=True, type=str
        )
        try:
            return parse_radiation(str(text), "the answer on the terminal")
        except InputError as error:
            console.say(str(error))

"""The command `xrdtrain`; every module here holds commands that parse, call one function and print."""

from __future__ import annotations

import typer
from xrdcommon import commands

from xrdtrain.cli.evaluate import evaluate
from xrdtrain.cli.fit import fit
from xrdtrain.cli.gate import gate
from xrdtrain.cli.instrument import instrument
from xrdtrain.cli.models import bench, models
from xrdtrain.cli.network import calibrate, export
from xrdtrain.cli.predict import predict
from xrdtrain.cli.report import report
from xrdtrain.cli.serve import serve
from xrdtrain.cli.study import study

app = typer.Typer(
    help="Train networks on streamed diffractograms, measure them, predict space groups.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
for command in (fit, evaluate, predict, gate, instrument, serve, report, study, calibrate, export, models, bench):
    app.command()(command)
commands.add_version(app)


def main() -> None:
    """Run the command line."""
    commands.run(app, "xrdtrain")

"""The command `xrdtrain study`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def study(
    name: Annotated[
        str | None, typer.Argument(help="A shipped experiment (see --list) or a .toml file.", show_default=False)
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the study; studies/NAME by default.")] = None,
    scale: Annotated[float, typer.Option(help="Multiply what the experiment scales, such as samples.")] = 1.0,
    change: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Change a value of the experiment; repeatable."),
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(help="Train every arm with so many of its seeds; default all.", show_default=False)
    ] = None,
    workers: Annotated[int, typer.Option(help="Producer processes beside a training.")] = 1,
    show: Annotated[
        bool, typer.Option("--list", help="Name the shipped experiments, or say what NAME is, its values and arms.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the commands instead of running them.")] = False,
    submit: Annotated[
        bool, typer.Option("--submit", help="Submit the study as a SLURM job, which queues itself again.")
    ] = False,
    sbatch_options: Annotated[
        str, typer.Option(help='With --submit: options of sbatch, such as "--partition=gpu --gpus-per-node=1".')
    ] = "",
    json_output: Annotated[bool, typer.Option("--json", help="Print the table as JSON.")] = False,
) -> None:
    """Carry out a whole experiment: data, production, trainings, tests, table and reports.

    Every step is done when its file is there, so a study that was killed goes on with the same command. A step that
    fails is named at the end (exit code 2); what does not need it is done all the same.

    \b
    Examples:
      xrdtrain study --list
      xrdtrain study s4 --list
      xrdtrain study first-study --scale 0.01
      xrdtrain study synthetic --set structures=icsd.parquet --workers 64 --out /scratch/me/study
      xrdtrain study mine.toml --dry-run
    """
    from xrdcommon import console
    from xrdcommon.errors import InputError

    from xrdtrain.experiments.commands import carry_out, description_lines, list_lines, parse_changes

    if show:
        for line in list_lines() if name is None else description_lines(name):
            console.emit(line)
        return
    if name is None:
        raise InputError("name an experiment or a .toml file; `xrdtrain study --list` names those shipped")
    lines, rows = carry_out(
        name,
        out,
        scale,
        parse_changes(change or []),
        seeds=seeds,
        workers=workers,
        dry_run=dry_run,
        submit=submit,
        sbatch_options=sbatch_options,
    )
    if json_output and not dry_run and not submit:
        console.emit_json(rows)
        return
    for line in lines:
        console.emit(line)

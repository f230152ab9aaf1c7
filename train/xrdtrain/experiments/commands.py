"""What `xrdtrain study` does: plan, submit or carry out, and say what came out."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib import resources
from pathlib import Path
from typing import Any

from xrdcommon import console
from xrdcommon.errors import InputError, Interrupted

from xrdtrain.experiments.experiment import Experiment, load, shipped
from xrdtrain.experiments.outcome import write_outcome
from xrdtrain.experiments.plan import TaskPlan, plan
from xrdtrain.experiments.runner import TaskResults, run_study
from xrdtrain.report.comparison import MOST, write_comparison
from xrdtrain.report.page import write_report

EMPTY = '""'


def parse_changes(changes: Sequence[str]) -> dict[str, str]:
    """Read NAME=VALUE; values that name something on this disk become absolute, for the study runs in its folder.

    Raises:
        InputError: not NAME=VALUE, or a name twice.

    """
    parsed: dict[str, str] = {}
    for change in changes:
        name, mark, value = change.partition("=")
        if not mark or not name:
            raise InputError(f"--set '{change}': write NAME=VALUE")
        if name in parsed:
            raise InputError(f"--set {name}: given twice")
        parsed[name] = str(Path(value).absolute()) if value and Path(value).exists() else value
    return parsed


def list_lines() -> list[str]:
    """Return name, title and place in the paper of the shipped experiments."""
    lines = []
    for name in shipped():
        experiment = load(name)
        lines.append(f"{name:<28} {experiment.title}{f'  [paper: {experiment.paper}]' if experiment.paper else ''}")
    return lines


def description_lines(name: str) -> list[str]:
    """Return what an experiment is, what can be set and what it trains.

    Raises:
        MissingFileError, InputError, FormatError: see `load`.

    """
    experiment = load(name)
    lines = [f"{experiment.title}{f'  [paper: {experiment.paper}]' if experiment.paper else ''}", ""]
    lines += [*experiment.about.strip().splitlines(), "", "values, changed with --set NAME=VALUE:"]
    lines += [f"  {key} = {value or EMPTY}" for key, value in experiment.values.items()]
    lines += [
        f"  {key} = {item.value}, times --scale, at least {item.least}" for key, item in experiment.scaled.items()
    ]
    lines += ["", "arms:"]
    for arm in experiment.arm:
        seeds = f"{len(arm.seeds)} seeds" if len(arm.seeds) > 1 else "1 seed"
        tests = ", ".join(arm.test_names)
        lines.append(f"  {arm.name:<18} {arm.label or arm.name}; {seeds}; tested on {tests}")
    return lines


def carry_out(
    name: str,
    out: Path | None,
    scale: float,
    changes: Mapping[str, str],
    *,
    seeds: int | None,
    workers: int,
    dry_run: bool,
    submit: bool,
    sbatch_options: str,
) -> tuple[list[str], list[dict[str, Any]]]:
    """Carry a study out; return lines for people and the rows of its table.

    Raises:
        InputError: wrong values, another study in the folder, or a step that failed.
        FormatError: the file is no experiment.
        Interrupted: stopped; the same call goes on.

    """
    if workers < 0:
        raise InputError(f"--workers {workers}: must not be negative")
    if seeds is not None and seeds < 1:
        raise InputError(f"--seeds {seeds}: at least one")
    experiment = load(name).with_seeds(seeds)
    values = experiment.resolve(changes, scale)
    todo = plan(experiment, values, workers)
    folder = Path("studies") / experiment.name if out is None else out
    if dry_run:
        return [" ".join(map(shlex.quote, task.command)) for task in todo.tasks], []
    if submit:
        return [_submit(name, folder, scale, changes, seeds, workers, sbatch_options)], []
    for what in todo.left_out:
        console.say(f"left out: {what}; give it with --set")
    try:
        results = run_study(experiment, todo, values, folder, scale)
    except Interrupted:
        write_outcome(experiment, todo, folder)  # of what is done so far
        raise
    found, lines = write_outcome(experiment, todo, folder)
    files = [name for name in ("table.md", "table.csv", "curve.csv", "gap.csv") if (folder / name).is_file()]
    lines += ["", f"{folder}/{', '.join([*files, *_write_pages(todo, folder)])}"]
    _raise_for_failures(experiment, todo, folder, results, lines)
    return lines, [asdict(row) for row in found]


def _write_pages(todo: TaskPlan, folder: Path) -> list[str]:
    """Write report.html: the run of a study with one, several compared; further pages where they are too many for one.

    Returns:
        names: of the pages.

    """
    trainings = [task for task in todo.tasks if task.arm is not None and task.after is None]
    done = [task for task in trainings if (folder / task.makes).is_file()]
    runs = [(folder / task.makes).parent for task in sorted(done, key=lambda task: task.seed or 0)]
    names = []
    for number, first in enumerate(range(0, len(runs), MOST), 1):
        some = runs[first : first + MOST]
        page = folder / ("report.html" if number == 1 else f"report-{number}.html")
        if len(some) == 1:
            write_report(some[0], page)
        else:
            write_comparison(some, page)
        names.append(page.name)
    return names


def _raise_for_failures(
    experiment: Experiment, todo: TaskPlan, folder: Path, results: TaskResults, lines: list[str]
) -> None:
    """Say what failed, after what did not.

    Raises:
        InputError: names the tasks that failed and where their output is.

    """
    if not results.failed:
        return
    for line in lines:
        console.say(line)
    first, why = next(iter(results.failed.items()))
    names = ", ".join(results.failed)
    skipped = f", and {len(results.skipped)} were not tried" if results.skipped else ""
    raise InputError(
        f"{experiment.name}: {len(results.failed)} of {len(todo.tasks)} steps failed ({names}){skipped}; "
        f"{first}: {why} (see {folder}/steps/{first}.log); the same command tries again"
    )


def _submit(
    name: str,
    folder: Path,
    scale: float,
    changes: Mapping[str, str],
    seeds: int | None,
    workers: int,
    sbatch_options: str,
) -> str:
    """Submit the study as one job; return sbatch's answer.

    Raises:
        InputError: no sbatch here, or it refused.

    """
    if shutil.which("sbatch") is None:
        raise InputError("--submit: no sbatch on this machine; run it where SLURM's commands are, or without --submit")
    place = name if name in shipped() else str(Path(name).absolute())
    script = Path(str(resources.files(__package__))) / "study.sbatch"
    command = ["sbatch", *shlex.split(sbatch_options), str(script), place, "--out", str(folder.absolute())]
    command += [f"--scale={scale}", f"--workers={workers}"]
    command += [] if seeds is None else [f"--seeds={seeds}"]
    command += [f"--set={key}={value}" for key, value in changes.items()]
    environment = {"XRD_VENV": sys.prefix, **os.environ}  # the job runs what this is, wherever it is installed
    answer = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if answer.returncode != 0:
        raise InputError(f"sbatch refused: {' '.join(answer.stderr.split())}")
    return answer.stdout.strip()

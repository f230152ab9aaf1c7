"""Carry a study out: one task after the other, each done when its target is there; killed, it goes on.

    FOLDER/study.json              experiment, values and scale: another study does not go on here
          /steps/NAME.log          what the command printed
          /steps/NAME.json         command and seconds of a task that was done
          /runs/ARM-SEED           run folders
          /spools/ARM-SEED         spools of the arms, used up by their training
          /table.{md,csv,json}     what came out (see `outcome`)

A task that fails is named at the end; what does not need it is done all the same, and nothing that was made is lost.
"""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xrdcommon import console
from xrdcommon.errors import EXIT_RESUMABLE, InputError, Interrupted
from xrdcommon.files import read_json, write_json
from xrdcommon.signals import StopRequest, stop_on_signals

from xrdtrain.experiments.experiment import Experiment
from xrdtrain.experiments.plan import Task, TaskPlan, executable

LOOK = 0.2
FILE = "study.json"


@dataclass(slots=True)
class TaskResults:
    """What became of the tasks, by name.

    Attributes:
        done: made now or before.
        failed: with the last line of their output.
        skipped: not tried, because a task that prepares failed.

    """

    done: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)


def run_study(
    experiment: Experiment, plan: TaskPlan, values: Mapping[str, str], folder: Path, scale: float
) -> TaskResults:
    """Do what is not done yet.

    Args:
        experiment: what to do.
        plan: its tasks.
        values: resolved.
        folder: of the study.
        scale: asked for.

    Raises:
        InputError: the folder holds another study, or the same with other values.
        Interrupted: stopped by a signal; the same call goes on.

    """
    _claim(experiment, values, folder, scale)
    results = TaskResults()
    with stop_on_signals(at_once=()) as stop:
        for number, task in enumerate(plan.tasks, 1):
            label = f"{number}/{len(plan.tasks)} {task.name}"
            if (folder / task.makes).exists():  # every command makes its target whole, or not at all
                results.done.append(task.name)
                console.say(f"{label}: done before")
                continue
            if task.after in {*results.failed, *results.skipped} or (
                results.failed and (task.arm is None or _any_step_failed(plan, results))
            ):
                results.skipped.append(task.name)
                continue
            console.say(f"{label}: {' '.join(task.command)[:160]}")
            started = time.monotonic()
            code = _run(folder, task, stop)
            if stop or code == EXIT_RESUMABLE:
                raise Interrupted(f"stopped in {task.name} of {experiment.name}; the same command goes on ({folder})")
            if code != 0 or not (folder / task.makes).exists():
                results.failed[task.name] = _last_line(_log(folder, task)) or f"exit code {code}"
                console.say(f"{label}: failed: {results.failed[task.name]}")
                continue
            seconds = round(time.monotonic() - started, 1)
            write_json(_record(folder, task), {"command": list(task.command), "seconds": seconds, "makes": task.makes})
            results.done.append(task.name)
    return results


def _claim(experiment: Experiment, values: Mapping[str, str], folder: Path, scale: float) -> None:
    """Note what the folder is for, or make sure that it is for this.

    Raises:
        InputError: it is for something else.

    """
    content: dict[str, Any] = {"experiment": experiment.name, "values": dict(values), "scale": scale}
    file = folder / FILE
    if file.is_file():
        found = read_json(file)
        if found != content:
            differing = [
                f"{key} is {there!s} there, {here!s} asked for"
                for key, there, here in _differences(found if isinstance(found, dict) else {}, content)
            ]
            raise InputError(
                f"{folder}: holds another study ({'; '.join(differing)[:300]}); take another --out or the same values"
            )
        return
    if folder.exists() and any(folder.iterdir()):
        raise InputError(f"{folder}: holds other files; take a new --out")
    folder.mkdir(parents=True, exist_ok=True)
    write_json(file, content)


def _differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """Return key and both values where two studies differ."""
    flat_there = {**there, **there.get("values", {})}
    flat_here = {**here, **here.get("values", {})}
    keys = (flat_there.keys() | flat_here.keys()) - {"values"}
    return [
        (key, flat_there.get(key, "not set"), flat_here.get(key, "not set"))
        for key in sorted(keys)
        if flat_there.get(key) != flat_here.get(key)
    ]


def _any_step_failed(plan: TaskPlan, results: TaskResults) -> bool:
    """Return whether one of the tasks that prepare has failed."""
    return any(task.arm is None and task.name in results.failed for task in plan.tasks)


def _run(folder: Path, task: Task, stop: StopRequest) -> int:
    """Run a task; pass a request to stop on, and return its exit code."""
    log = _log(folder, task)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as stream:
        process = subprocess.Popen(
            [str(executable(task.command[0])), *task.command[1:]],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            process_group=0,
        )
        told = False
        while process.poll() is None:
            if stop and not told:
                console.say(f"{stop.reason}: stopping {task.name}")
                process.send_signal(signal.SIGTERM)
                told = True
            time.sleep(LOOK)
    return process.returncode


def _log(folder: Path, task: Task) -> Path:
    return folder / "steps" / f"{task.name}.log"


def _record(folder: Path, task: Task) -> Path:
    return folder / "steps" / f"{task.name}.json"


def _last_line(log: Path) -> str:
    """Return the last line that a command printed."""
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1].strip()[:300] if lines else ""

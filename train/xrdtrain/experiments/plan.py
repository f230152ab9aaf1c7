"""From an experiment to its commands, each with the file that shows that it is done."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from xrdcommon.errors import FormatError, MissingFileError

from xrdtrain.experiments.experiment import Arm, Experiment, fill

COMMANDS = ("xrdgen", "xrdtrain")
"""What a step may run: nothing but the project's own commands."""


@dataclass(frozen=True, slots=True)
class Task:
    """A command to be run in the folder of the study.

    Attributes:
        name: of the task, also of its log.
        command: words; the first is one of `COMMANDS`.
        makes: target below the folder.
        arm: whose training it is, None for a step that prepares.
        seed: of the training.
        tests: names of its test sets.
        after: the training that it measures, None for every other task.

    """

    name: str
    command: tuple[str, ...]
    makes: str
    arm: str | None = None
    seed: int | None = None
    tests: tuple[str, ...] = ()
    after: str | None = None


@dataclass(frozen=True, slots=True)
class TaskPlan:
    """All tasks in order, and what is left out because a value is empty."""

    tasks: tuple[Task, ...]
    left_out: tuple[str, ...]


def plan(experiment: Experiment, values: Mapping[str, str], workers: int) -> TaskPlan:
    """Return the tasks of an experiment.

    Args:
        experiment: what to do.
        values: resolved (see `Experiment.resolve`); paths absolute or below the folder of the study.
        workers: producer processes beside a training on a spool, and processes of steps that name {workers}.

    Raises:
        FormatError: a step runs another command, or leaves the folder.

    """
    tasks: list[Task] = []
    left_out: list[str] = []
    known = {**values, "workers": str(max(1, workers))}
    for step in experiment.step:
        if step.when is not None and not values[step.when]:
            left_out.append(f"step {step.name} (no {step.when})")
            continue
        where = f"{experiment.name}: step {step.name}"
        command = tuple(shlex.split(fill(step.run, known, where)))
        if not command or command[0] not in COMMANDS:
            raise FormatError(f"{where}: runs '{step.run[:40]}'; only {' and '.join(COMMANDS)} may be run")
        tasks.append(Task(step.name, command, _below(fill(step.makes, known, where), where)))
    arms = []
    for arm in experiment.arm:
        if arm.when is not None and not values[arm.when]:
            left_out.append(f"arm {arm.name} (no {arm.when})")
        else:
            arms.append(arm)
    for number in range(max((len(arm.seeds) for arm in arms), default=0)):  # every arm once before any arm again
        for arm in arms:
            if number < len(arm.seeds):
                tasks += _trainings(experiment, arm, arm.seeds[number], known, workers)
    return TaskPlan(tuple(tasks), tuple(left_out))


def _trainings(experiment: Experiment, arm: Arm, seed: int, values: Mapping[str, str], workers: int) -> Iterator[Task]:
    """Give the training of an arm with one seed, and what measures it afterwards."""
    training = _training(experiment, arm, _wanted(arm.tests, values), seed, values, workers)
    yield training
    measured = _wanted(arm.measured, values)
    if measured:
        yield _measurement(experiment, arm, measured, training, values)


def _wanted(tests: tuple[str, ...], known: Mapping[str, str]) -> list[str]:
    """Return the test sets whose condition holds."""
    return [test.strip() for condition, test in map(_condition, tests) if not condition or known.get(condition)]


def _condition(text: str) -> tuple[str, str]:
    """Split the condition of a test set from it: 'value? NAME=PATH'."""
    condition, mark, test = text.partition("?")
    return (condition.strip(), test.strip()) if mark else ("", text)


def _training(
    experiment: Experiment, arm: Arm, tests: list[str], seed: int, values: Mapping[str, str], workers: int
) -> Task:
    """Return the training of an arm with one seed."""
    where = f"{experiment.name}: arm {arm.name}"
    run = f"runs/{arm.name}-{seed}"
    command = ["xrdtrain", "fit"]
    if arm.source is not None:
        command.append(fill(arm.source, values, where))
    else:
        options = f"{fill(arm.produce or '', values, where)} --seed {seed + 1}"
        command += [f"spools/{arm.name}-{seed}", "--produce", str(workers), "--produce-options", options]
    command += ["--run", run, "--seed", str(seed), *shlex.split(fill(arm.fit, values, where))]
    for test in tests:
        command += ["--test", fill(test, values, where)]
    names = tuple(test.partition("=")[0] for test in tests)
    return Task(f"{arm.name}-{seed}", tuple(command), f"{run}/evaluation.json", arm.name, seed, names)


def _measurement(experiment: Experiment, arm: Arm, tests: list[str], training: Task, values: Mapping[str, str]) -> Task:
    """Return the measurement of a trained network on measured patterns."""
    where = f"{experiment.name}: arm {arm.name}"
    run = training.makes.rpartition("/")[0]
    command = ["xrdtrain", "evaluate", run, *shlex.split(fill(arm.evaluate, values, where))]
    for test in tests:
        command += ["--test", fill(test, values, where)]
    names = tuple(test.partition("=")[0] for test in tests)
    makes = f"{run}/evaluation/measured/{names[0]}.json"  # written last
    return Task(f"{training.name}-measured", tuple(command), makes, arm.name, training.seed, names, training.name)


def _below(target: str, where: str) -> str:
    """Return a target, which must lie below the folder of the study."""
    path = Path(target)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise FormatError(f"{where}: makes '{target}', which is not below the folder of the study")
    return target


def executable(name: str) -> Path:
    """Return the installed command beside this Python.

    Raises:
        MissingFileError: it is not installed in this environment.

    """
    path = Path(sys.executable).with_name(name)
    if not path.is_file():
        raise MissingFileError(f"{path}: not there; a study needs xrdstream installed in this environment")
    return path

"""Every command explains itself."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

import pytest
import typer
import xrdgen.cli
import xrdtrain.cli
from xrdtrain.experiments.experiment import load, shipped

from tests.test_documents import unknown


def commands(command: Any, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Yield every command below a group."""
    below = getattr(command, "commands", None)
    if below is None:
        yield path
        return
    for name, child in below.items():
        yield from commands(child, (*path, name))


ALL = [
    *commands(typer.main.get_command(xrdgen.cli.app), ("xrdgen",)),
    *commands(typer.main.get_command(xrdtrain.cli.app), ("xrdtrain",)),
]


def test_all_commands_are_there() -> None:
    assert {" ".join(path) for path in ALL} >= {
        *(f"xrdgen structures {name}" for name in ("import", "split")),
        *(f"xrdgen statistics {name}" for name in ("build", "show")),
        *(f"xrdgen {name}" for name in ("sample", "simulate", "freeze")),
        *(f"xrdgen {name}" for name in ("produce", "worker", "status", "drain", "audit")),
        *(f"xrdtrain {name}" for name in ("fit", "evaluate", "predict", "gate", "report", "models")),
    }


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_help_has_an_example(call: Any, path: tuple[str, ...]) -> None:
    done = call(*path, "--help")
    assert (done.code, done.err) == (0, "")
    _, _, example = done.out.partition("Example")
    assert " ".join(path) in example


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_examples_of_a_help_are_what_the_program_knows(call: Any, path: tuple[str, ...]) -> None:
    """Options by their names, and studies by theirs."""
    _, _, example = call(*path, "--help").out.partition("Example")
    lines = [line.strip() for line in example.replace("\\\n", " ").partition("\n\n")[0].splitlines()]
    words = [shlex.split(line, comments=True) for line in lines if line.startswith(("xrdgen ", "xrdtrain "))]
    assert words
    for line in words:
        assert not unknown(line), " ".join(line)
        if line[:2] == ["xrdtrain", "study"] and not line[2].startswith("--"):
            assert line[2] in shipped() or line[2].endswith(".toml"), " ".join(line)


def test_the_list_of_studies_names_all(call: Any) -> None:
    """With what they are and where in the paper; a wrong name is answered with the nearest."""
    done = call("xrdtrain", "study", "--list")
    lines = done.out.splitlines()
    assert (done.code, done.err) == (0, "")
    assert [line.split()[0] for line in lines] == sorted(shipped())
    for name, line in zip(shipped(), lines, strict=True):
        experiment = load(name)
        assert experiment.title in line
        assert f"[paper: {experiment.paper}]" in line if experiment.paper else "[paper" not in line
    assert "did you mean synthetic-uniform" in call("xrdtrain", "study", "synthetic-unifrom").err


@pytest.mark.parametrize("name", shipped())
def test_a_study_says_what_it_is_and_what_can_be_set(call: Any, name: str) -> None:
    done = call("xrdtrain", "study", name, "--list")
    experiment = load(name)
    assert (done.code, done.err) == (0, "")
    assert experiment.about.strip() in done.out
    for value in (*experiment.values, *experiment.scaled):
        assert f"\n  {value} = " in done.out
    for arm in experiment.arm:
        (line,) = [line for line in done.out.splitlines() if line.split()[:1] == [arm.name] and ";" in line]
        assert line.endswith(f"tested on {', '.join(arm.test_names)}")


@pytest.mark.parametrize("command", ["xrdgen", "xrdtrain"])
def test_version_and_completion(call: Any, command: str) -> None:
    assert call(command, "--version").out == f"{command} {version('xrdstream')}\n"
    assert "--install-completion" in call(command, "--help").out


def test_choices_are_shown(call: Any) -> None:
    from xrdgen.crystals.settings import ORDERINGS, PRESETS, VERIFICATIONS
    from xrdgen.samples.config import ENGINES

    shown = [call("xrdgen", command, "--help").out for command in ("sample", "produce")]
    for option, choices in (("crystals", PRESETS), ("engine", ENGINES), ("ordering", ORDERINGS)):
        assert all(f"--{option} {'|'.join(choices)}" in text for text in shown)
    assert f"--verification {'|'.join(VERIFICATIONS)}" in shown[1]


@pytest.mark.parametrize("path", [("xrdgen",), ("xrdtrain",), ("xrdgen", "structures"), ("xrdgen", "statistics")])
def test_groups_list_their_commands(call: Any, path: tuple[str, ...]) -> None:
    done = call(*path, "--help")
    assert done.code == 0
    assert "Commands:" in done.out


def test_a_command_line_that_cannot_be_read_is_one_line(call: Any) -> None:
    for arguments in (("produce", "--foo"), ("nope",), ("sample", "-n", "many"), ("simulate",)):
        done = call("xrdgen", *arguments)
        assert (done.code, done.out, done.err.count("\n")) == (2, "", 1), done
        assert done.err.startswith("xrdgen: error: ")
        assert "--help`" in done.err

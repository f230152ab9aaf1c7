"""What the pages tell people to type is what the programs know, and what they link to is there."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import xrdgen.cli
import xrdtrain.cli

REPOSITORY = Path(__file__).resolve().parents[1]
PAGES = sorted(
    path
    for pattern in ("*.md", ".github/*.md", "common/**/*.md", "gen/**/*.md", "train/**/*.md")
    for path in REPOSITORY.glob(pattern)
)
APPS: dict[str, Any] = {
    "xrdgen": typer.main.get_command(xrdgen.cli.app),
    "xrdtrain": typer.main.get_command(xrdtrain.cli.app),
}


def commands(text: str) -> Iterator[list[str]]:
    """Yield the words of all commands of the project that stand alone on a line of a block."""
    for block in re.findall(r"^```\w*\n(.*?)^```", text, flags=re.M | re.S):
        for line in block.replace("\\\n", " ").splitlines():
            if line.startswith(("xrdgen ", "xrdtrain ")):
                yield shlex.split(line, comments=True)


def unknown(words: list[str]) -> list[str]:
    """Return the options of a command, and of producers that it starts, which it does not have."""
    command, rest = APPS[words[0]], words[1:]
    while hasattr(command, "commands"):
        assert rest[0] in command.commands, f"{' '.join(words)}: no command {rest[0]}"
        command = command.commands[rest.pop(0)]
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    found = [word for word in rest if word.startswith("--") and " " not in word and word.split("=")[0] not in known]
    if "--produce-options" in rest:
        inner = shlex.split(rest[rest.index("--produce-options") + 1])
        found += unknown(["xrdgen", "produce", *inner])
    return [word for word in found if word not in ("--help", "--version")]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_options_in_a_page_exist(page: Path) -> None:
    for words in commands(page.read_text()):
        assert not unknown(words), " ".join(words)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def test_the_readme_has_commands() -> None:
    """Else the tests above would say nothing."""
    names = {words[1] for words in commands((REPOSITORY / "README.md").read_text())}
    assert {"produce", "predict"} <= names or {"structures", "predict"} <= names
    assert unknown(["xrdtrain", "fit", "spool", "--sample", "3"]) == ["--sample"]
    options = ["xrdtrain", "fit", "--produce-options", "--seeds 1"]
    assert unknown(options) == ["--seeds"]

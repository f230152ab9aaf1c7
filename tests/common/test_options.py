"""One source of an option: a dataclass that a command line, a file and Python fill alike."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner
from xrdcommon.commands import filled_by
from xrdcommon.errors import FormatError, InputError, MissingFileError
from xrdcommon.options import arguments, from_file, option, options_of


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """Of a command that the tests make."""

    rows: int = option("Rows.", default=4)
    space_groups: str | None = option("Groups.")
    step: float | None = option("Degrees.", "--step", "--two-theta-step")
    out: Path | None = option("A folder.")
    quick: bool = option("Do not wait.", default=False)
    tests: tuple[str, ...] | None = option("Repeatable.", "--test", values="NAME=PATH")
    limit: float | None = option("Of a text.", values="TIME", read=lambda text: 60.0 * float(text.removesuffix("m")))

    def __post_init__(self) -> None:
        """Refuse what makes no sense."""
        if self.rows < 1:
            raise InputError(f"--rows {self.rows}: must be at least 1")


def run(*words: str) -> Options:
    """Fill options by a command line."""
    found: list[Options] = []

    @filled_by(Options)
    def command(options: Options, name: Annotated[str, typer.Argument()] = "x") -> None:
        """Keep what was given."""
        assert name == "x"
        found.append(options)

    app = typer.Typer()
    app.command()(command)
    result = CliRunner().invoke(app, list(words))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return found[0]


def test_command_line_file_and_python_give_the_same(tmp_path: Path) -> None:
    file = tmp_path / "options.toml"
    file.write_text('rows = 7\nspace-groups = [2, 14]\ntwo_theta_step = 1\nout = "here"\nquick = true\n')
    expected = Options(rows=7, space_groups="2,14", step=1.0, out=Path("here"), quick=True)
    assert from_file(Options, file, {}) == expected
    assert run("--config", str(file)) == expected
    assert run("--rows", "7", "--space-groups", "2,14", "--two-theta-step", "1", "--out", "here", "--quick") == expected
    assert run(*arguments(expected)) == expected
    assert arguments(Options()) == []
    assert run() == Options()


def test_the_command_line_counts_more_than_the_file(tmp_path: Path) -> None:
    file = tmp_path / "options.toml"
    file.write_text("rows = 7\nquick = true\n")
    assert run("--config", str(file), "--rows", "9") == Options(rows=9, quick=True)


def test_repeated_options_and_those_with_a_reader(tmp_path: Path) -> None:
    file = tmp_path / "options.toml"
    expected = Options(tests=("a=b", "c=d"), limit=90.0)
    file.write_text('test = ["a=b", "c=d"]\nlimit = "1.5m"\n')
    assert from_file(Options, file, {}) == expected == run("--config", str(file))
    assert run("--test", "a=b", "--test", "c=d", "--limit", "1.5m") == expected
    file.write_text('test = "a=b"\nlimit = 2\n')
    assert from_file(Options, file, {}) == Options(tests=("a=b",), limit=120.0)
    assert run("--config", str(file), "--test", "e=f") == Options(tests=("e=f",), limit=120.0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("test = [1]", r"test = \[1\]: must be a text or a list"),
        ("rowz = 7", r"no option 'rowz'; did you mean rows\?"),
        ("wings = 7", "no option 'wings'$"),
        ('rows = "many"', "rows = 'many': must be a whole number"),
        ("rows = true", "rows = True: must be a whole number"),
        ("rows = 1.5", "rows = 1.5: must be a whole number"),
        ("quick = 1", "quick = 1: must be true or false"),
        ("out = 3", "out = 3: must be a path"),
        ("rows = ", "not a TOML file"),
    ],
)
def test_wrong_files_are_refused(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "options.toml"
    file.write_text(text)
    with pytest.raises(FormatError, match=message) as error:
        from_file(Options, file, {})
    assert str(file) in str(error.value)


def test_wrong_values_and_missing_files_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "options.toml"
    with pytest.raises(MissingFileError, match="no such options file"):
        from_file(Options, file, {})
    file.write_text("rows = 0")
    for fill in (lambda: from_file(Options, file, {}), lambda: run("--rows", "0"), lambda: Options(rows=0)):
        with pytest.raises(InputError, match="--rows 0: must be at least 1"):
            fill()


def test_help_says_the_defaults() -> None:
    names = ["rows", "space-groups", "step", "out", "quick", "tests", "limit"]
    assert [one.name for one in options_of(Options)] == names
    app = typer.Typer(rich_markup_mode=None)
    app.command()(filled_by(Options)(lambda options: None))
    text = " ".join(CliRunner().invoke(app, ["--help"]).output.split())
    assert "Rows; 4 by default." in text
    assert "--two-theta-step" in text
    assert "--config" in text

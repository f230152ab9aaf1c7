"""Commands whose standard output or error was closed: one line or silence, never a traceback."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.end_to_end


def run(command: str, closed: str) -> subprocess.CompletedProcess[str]:
    """Run an installed command as a shell does, with a stream closed."""
    program = Path(sys.executable).with_name(command.split()[0])
    line = f"{program} {command.partition(' ')[2]} {closed}"
    return subprocess.run(line, shell=True, capture_output=True, text=True, check=False)


def test_closed_output_is_an_error_of_one_line() -> None:
    done = run("xrdgen --version", ">&-")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("xrdgen: error: standard output is closed; ")


def test_closed_error_output_changes_nothing() -> None:
    done = run("xrdgen --version", "2>&-")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("xrdgen ")
    assert run("xrdgen sample -n 0", "2>&-").returncode == 2


def test_files_do_not_take_the_place_of_a_closed_stream(tmp_path: Path) -> None:
    script = """
import os, sys
import typer
from xrdcommon import commands

app = typer.Typer()

@app.command()
def go(path: str) -> None:
    with open(path, "w") as stream:
        os.write(1, b"what a library prints")
        stream.write("result")

commands.run(app, "go")
"""
    (tmp_path / "script.py").write_text(script)
    line = f"{sys.executable} {tmp_path / 'script.py'} {tmp_path / 'out'} >&-"
    subprocess.run(line, shell=True, check=True)
    assert (tmp_path / "out").read_text() == "result"


def test_a_reader_that_stops_early_gets_no_traceback() -> None:
    done = run("xrdgen sample -n 40 --json --seed 1 2>/dev/null", "| head -c 1")
    assert (done.stdout, done.stderr) == ("[", "")

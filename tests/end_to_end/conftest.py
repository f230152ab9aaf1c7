"""Programs run as a user runs them, commands run in this process, real structures as CIF."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
import xrdgen.cli
import xrdtrain.cli
from xrdcommon import commands
from xrdgen.crystals.cif import cif_text
from xrdgen.structures.table import crystal_of, read_table

from tests.end_to_end.support.small_study import GROUPS, OF_EACH, write_some

APPS = {"xrdgen": xrdgen.cli.app, "xrdtrain": xrdtrain.cli.app}
TABLE = "embedded:amcsd"
ORDERED_GROUPS = (14, 62, 166, 225)
EACH = 12


@dataclass(frozen=True)
class Done:
    """What a command run in this process gave."""

    code: int
    out: str
    err: str


Start = Callable[..., "Program"]
Call = Callable[..., Done]


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compute with one thread: other work on the machine does not stall a barrier; no spool of the user's is meant."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.delenv("XRD_SPOOL", raising=False)


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Run a command in this process, as its installed entry point would."""

    def run(command: str, *arguments: object) -> Done:
        monkeypatch.setattr(sys, "argv", [command, *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            commands.run(APPS[command], command)
        printed = capsys.readouterr()
        return Done(int(end.value.code or 0), printed.out, printed.err)

    return run


@dataclass
class Program:
    """An installed command that runs; what it says goes into a file."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def said(self) -> str:
        """Everything on standard error so far."""
        return self.log.read_text()

    def wait_for(self, condition: Callable[[], object], seconds: float = 180.0) -> None:
        """Wait until something happens while the program runs."""
        end = time.monotonic() + seconds
        while not condition():
            assert self.process.poll() is None, f"ended with {self.process.returncode}: {self.said}"
            assert time.monotonic() < end, f"waited too long: {self.said}"
            time.sleep(0.05)

    def stop(self, number: signal.Signals) -> int:
        """Send a signal and return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(180.0)


@pytest.fixture
def start() -> Iterator[Start]:
    """Start an installed command; what a failing test leaves running is ended with its children."""
    started: list[subprocess.Popen[bytes]] = []

    def run(command: str, *arguments: object, cwd: Path) -> Program:
        program = [str(Path(sys.executable).parent / command), *map(str, arguments)]
        log = cwd / f"{command}-{len(started)}.log"
        with log.open("wb") as stream:
            process = subprocess.Popen(program, cwd=cwd, stdout=stream, stderr=stream, start_new_session=True)
        started.append(process)
        return Program(process, log)

    yield run
    for process in started:
        if process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.fixture(scope="session")
def real_rows() -> pd.DataFrame:
    """48 ordered AMCSD structures of four space groups, in an order that has nothing to do with families."""
    table = read_table(TABLE)
    ordered = table[
        ~table["mixed_occupancy"] & ~table["partial_occupancy"] & ~table["over_occupancy"] & (table["n_atoms"] <= 60)
    ]
    chosen = [ordered[ordered["space_group"] == group].sample(EACH, random_state=3) for group in ORDERED_GROUPS]
    return pd.concat(chosen, ignore_index=True)


@pytest.fixture(scope="session")
def cif_texts(real_rows: pd.DataFrame) -> list[str]:
    """The real structures as CIF."""
    return [cif_text(crystal_of(row), str(row["id"])) for _, row in real_rows.iterrows()]


@pytest.fixture(scope="session")
def sources(cif_texts: Sequence[str], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A folder of CIFs with an unreadable one among them, and a zip of others."""
    folder = tmp_path_factory.mktemp("sources") / "cifs"
    folder.mkdir()
    half = len(cif_texts) // 2
    for number, text in enumerate(cif_texts[:half]):
        (folder / f"{number:02d}.cif").write_text(text)
    (folder / "broken.cif").write_text("data_broken\n_cell_length_a ?\nloop_\n_atom_site_label\nNa1\n")
    archive = folder.parent / "more.zip"
    with zipfile.ZipFile(archive, "w") as stream:
        for number, text in enumerate(cif_texts[half:]):
            stream.writestr(f"more/{number:02d}.cif", text)
    return folder, archive


@pytest.fixture(scope="session")
def structures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As many small real structures of each of four space groups, for studies."""
    return write_some(
        tmp_path_factory.mktemp("structures") / "small structures.parquet", dict.fromkeys(GROUPS, OF_EACH)
    )

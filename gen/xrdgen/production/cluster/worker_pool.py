"""Worker processes of this machine: started again when they end, drained together."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from xrdcommon import console
from xrdcommon.spool.spool import Spool

BACK_OFF = (0.5, 60.0)
"""Seconds until a worker that ended is started again, and after many such ends."""

HEALTHY = 60.0
"""Seconds after which the end of a worker is not counted with the earlier ones."""

MAX_FAILURES = 8
"""Ends in a row, each soon after the start, after which a worker is not expected to work any more."""


@dataclass(slots=True)
class _Place:
    """A worker process and its predecessors."""

    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    failures: int = 0
    not_before: float = 0.0
    code: int = 0


class WorkerPool:
    """Keeps a number of worker processes running; `look` now and then."""

    def __init__(self, spool: Spool, file: Path, workers: int) -> None:
        """Start them.

        Args:
            spool: they work for.
            file: where they find their coordinator.
            workers: processes, one shard at a time each.

        """
        self._command = module_command("xrdgen.production.cluster.worker_process", str(spool.path), str(file))
        self._places = [_Place() for _ in range(workers)]
        self._drained = False
        self.look()

    def look(self) -> None:
        """Start those again that have ended, later and later when they keep ending."""
        if self._drained:
            return
        now = time.monotonic()
        for place in self._places:
            if place.process is not None and place.process.poll() is not None:
                self._note_end(place, place.process.returncode, now)
            if place.process is None and now >= place.not_before:
                place.process = start(self._command)
                place.started = now

    def _note_end(self, place: _Place, code: int, now: float) -> None:
        place.failures = 1 if now - place.started > HEALTHY else place.failures + 1
        place.code = code
        if place.process is not None:
            end(place.process)
            place.process = None
        seconds = back_off(place.failures, BACK_OFF)
        place.not_before = now + seconds
        console.say(f"a worker process ended ({describe_end(code)}); started again in {seconds:.1f} s")

    def drain(self) -> None:
        """Let each finish the shard it is making and end."""
        self._drained = True
        for place in self._places:
            if place.process is not None:
                tell(place.process)

    @property
    def hopeless(self) -> str:
        """Say how the workers ended if all of them do again and again, soon after they start; empty otherwise."""
        if min((place.failures for place in self._places), default=0) < MAX_FAILURES:
            return ""
        return describe_end(max(self._places, key=lambda place: place.failures).code)

    @property
    def running(self) -> bool:
        """Return whether a process is left."""
        return any(place.process is not None and place.process.poll() is None for place in self._places)

    def kill(self) -> None:
        """End what is left at once; shards being made are thrown away."""
        self._drained = True
        for place in self._places:
            if place.process is not None:
                end(place.process)


def module_command(module: str, *arguments: str) -> list[str]:
    """Return the command that runs a module as a program, whatever lies in the folder that one happens to be in."""
    # -P: Python would look for modules there first, and it may be one that other users write to.
    return [sys.executable, "-P", "-m", module, *arguments]


def start(command: list[str]) -> subprocess.Popen[bytes]:
    """Start a process that takes orders from its standard input, and ends when that closes."""
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, bufsize=0)


def tell(process: subprocess.Popen[bytes]) -> None:
    """Ask a process to finish what it is at and end."""
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(b"drain\n")


def end(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and wait for it."""
    with process:
        process.kill()


def back_off(failures: int, limits: tuple[float, float]) -> float:
    """Return how long to wait after so many failures; each doubles it."""
    return min(limits[1], limits[0] * 2.0 ** (failures - 1))


def describe_end(code: int) -> str:
    """Say how a process ended."""
    return f"signal {-code}" if code < 0 else f"exit code {code}"

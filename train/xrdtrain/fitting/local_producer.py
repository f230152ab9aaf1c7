"""Local producers beside a training: `xrdtrain fit --produce N` starts `xrdgen produce` and stops it again."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

import torch
from xrdcommon import console
from xrdcommon.errors import EXIT_WRONG_INPUT, InputError, Interrupted, MissingFileError
from xrdcommon.processes import usable_cores

DRAIN_PATIENCE = 60.0
"""Seconds that producers get to finish their shards before they are killed."""

NICE = 19
"""Priority of local producers: the training goes first."""


_LAUNCH = """
import ctypes, os, signal, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
if os.getppid() == int(sys.argv[1]):
    os.execv(sys.argv[2], sys.argv[2:])
"""
"""Lets Linux drain the producer when the training dies, however it dies, then becomes the producer. A process of its
own does it: between fork and exec of a process with threads, as this one has, nothing may safely be run."""


class Producer:
    """A running `xrdgen produce` in its own process group; its output goes to a log file."""

    def __init__(self, spool: Path, workers: int, options: str, log: Path) -> None:
        """Start it.

        Raises:
            MissingFileError: `xrdgen` is not installed beside this Python.
            InputError: the options cannot be split, or the number of workers is negative.

        """
        if workers < 0:
            raise InputError(f"--produce {workers}: give the number of worker processes, 0 or more")
        command = Path(sys.executable).with_name("xrdgen")
        if not command.is_file():
            raise MissingFileError(f"{command}: not there; --produce needs xrdstream installed in this environment")
        try:
            extra = shlex.split(options)
        except ValueError as error:
            raise InputError(f"--produce-options '{options}': {error}") from error
        self._log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as stream:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-c",
                    _LAUNCH,
                    str(os.getpid()),
                    str(command),
                    "produce",
                    str(spool),
                    "--workers",
                    str(workers),
                    *extra,
                ],
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                process_group=0,  # but no session of its own: Linux first shares out time to sessions, then by nice
            )
        # Whatever the training leaves idle is enough to feed it, and a preempted thread would stall all others
        # at each of the network's barriers.
        os.setpriority(os.PRIO_PROCESS, self._process.pid, NICE)
        console.say(f"started xrdgen produce --workers {workers} (process {self._process.pid}, output in {log})")

    @property
    def finished(self) -> bool:
        """Whether it has ended properly: all it was asked for has been produced, or it was drained."""
        return self._process.poll() == 0

    @property
    def died(self) -> bool:
        """Whether it ended otherwise."""
        return self._process.poll() not in (None, 0)

    def check(self) -> None:
        """Make sure that it runs or has ended properly.

        Raises:
            InputError: it refused its input.
            Interrupted: it died.

        """
        code = self._process.poll()
        if code is None or code == 0:
            return
        lines = self._log.read_text(errors="replace").strip().splitlines()
        last = lines[-1] if lines else "no output"
        if code == EXIT_WRONG_INPUT:
            raise InputError(f"xrdgen produce: {last.removeprefix('xrdgen: error: ')} ({self._log})")
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        raise Interrupted(f"xrdgen produce {how}: {last} (see {self._log}); start the same command again to go on")

    def stop(self) -> None:
        """Ask it to finish its shards and wait; kill the group when that takes too long."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(DRAIN_PATIENCE)
            except subprocess.TimeoutExpired:
                console.say(f"xrdgen produce did not end within {DRAIN_PATIENCE:.0f} s: killed (nothing is lost)")
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)  # whatever it left behind
        self._process.wait()

    def __enter__(self) -> Producer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


@contextmanager
def local_producer(spool: Path, workers: int | None, options: str, log: Path) -> Iterator[Producer | None]:
    """Run a producer within the block if a number of workers is given."""
    if workers is None:
        if options:
            raise InputError("--produce-options: only together with --produce N")
        yield None
        return
    with Producer(spool, workers, options, log) as producer:
        yield producer


def leave_cores_to_producers(workers: int) -> None:
    """Compute with fewer threads beside local producers: one that waits for a core stalls all the others."""
    cores = usable_cores()
    threads = max(1, cores - workers)
    if "OMP_NUM_THREADS" not in os.environ and threads < torch.get_num_threads():
        torch.set_num_threads(threads)
        console.say(f"training with {threads} of {cores} cores beside {workers} producer workers")

"""The processes of a soak: real commands, each in a group of its own, some of them on another "machine".

A process on another machine runs in a UTS namespace with its own host name (`unshare --uts`): leases see an owner
whose pid says nothing, so that only its beat tells whether it lives. Where that is refused all run on this one.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import psutil

FOLDER = Path(__file__).resolve().parent
REPOSITORY = FOLDER.parent.parent
HERE = ""
NODES = (HERE, HERE, HERE, HERE, "soak-b", "soak-c")
"""Machines to start on, this one mostly: the next owner waits for the patience after a death elsewhere."""

DASK_SECONDS = 5.0
"""Silence after which Dask gives a worker up, in a soak, so that a cut of seconds is longer."""

TCP_SECONDS = 12.0
"""The same of a connection; Dask takes no less."""

ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": f"{DASK_SECONDS}s",
    "DASK_DISTRIBUTED__COMM__TIMEOUTS__TCP": f"{TCP_SECONDS}s",
    "DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": f"{DASK_SECONDS}s",
    "DASK_DISTRIBUTED__DEPLOY__LOST_WORKER_TIMEOUT": f"{DASK_SECONDS}s",
}

FORMS = ("plain", "joined")
"""Forms of production: single producers, and tasks of which one coordinates."""

STOPPED_EXITS = (0, 75)
"""Ended properly, or stopped and to be gone on with."""


def can_unshare() -> bool:
    """Return whether processes can be given another host name."""
    command = ["unshare", "--uts", "hostname", "soak-b"]
    with contextlib.suppress(FileNotFoundError):
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    return False


@dataclass(eq=False)
class Actor:
    """One process that was started."""

    process: subprocess.Popen[bytes]
    log: Path
    node: str
    started: float
    frozen: bool = False
    hit: str = ""
    """What the soak did to it last, if that ends it."""

    @property
    def alive(self) -> bool:
        """It has not ended (it may be frozen)."""
        return self.process.poll() is None

    def signal(self, number: int, *, group: bool = False) -> bool:
        """Send a signal to the process or its group; return whether it was there."""
        try:
            if group:
                os.killpg(self.process.pid, number)
            else:
                self.process.send_signal(number)
        except ProcessLookupError:
            return False
        return True

    def children(self, *words: str) -> list[psutil.Process]:
        """Return the processes that it has started and whose command line has one of these words."""
        found = []
        with contextlib.suppress(psutil.Error):
            for child in psutil.Process(self.process.pid).children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    command = " ".join(child.cmdline())
                    if any(word in command for word in words) and child.status() != psutil.STATUS_ZOMBIE:
                        found.append(child)
        return found

    def workers(self) -> list[psutil.Process]:
        """Return the Dask workers that it has started."""
        return self.children("spawn_main", "worker_process")

    def coordinators(self) -> list[psutil.Process]:
        """Return coordinators in processes of their own."""
        return self.children("coordinator_process")

    def members(self) -> list[int]:
        """Return all living processes of its group."""
        found = []
        for pid in psutil.pids():
            with contextlib.suppress(ProcessLookupError, psutil.Error):
                if os.getpgid(pid) == self.process.pid and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                    found.append(pid)
        return found

    def last_line(self) -> str:
        """Return the end of what it printed."""
        lines = [line for line in self.log.read_text(errors="replace").split("\n") if line.strip()]
        return lines[-1][-300:] if lines else ""


@dataclass(eq=False)
class Role:
    """A command that is started again whenever it has ended.

    Attributes:
        name: for people, and for run ids.
        kind: "producer", "worker", "task", "training" or "network".
        command: what runs.
        forms: of production, in which it takes part.
        actors: all its processes that may be alive: the present one, and frozen ones that wake up later.

    """

    name: str
    kind: str
    command: list[str]
    forms: tuple[str, ...] = FORMS
    actors: list[Actor] = field(default_factory=list)
    count: int = 0
    not_before: float = 0.0
    failures: int = 0

    @property
    def present(self) -> Actor | None:
        """The process at work."""
        awake = [actor for actor in self.actors if actor.alive and not actor.frozen]
        return awake[-1] if awake else None


class Cast:
    """Starts, watches and ends the processes."""

    def __init__(self, roles: list[Role], logs: Path, patience: float, *, nodes: tuple[str, ...]) -> None:
        self.roles = roles
        self._logs, self._nodes = logs, nodes
        self.form = "plain"
        self._draws = 0
        self.exits: Counter[str] = Counter()
        self.starts: Counter[str] = Counter()
        logs.mkdir(parents=True, exist_ok=True)
        folders = [str(FOLDER / "patience"), *filter(None, [os.environ.get("PYTHONPATH")])]
        patience_there = {"SOAK_PATIENCE": str(patience), "PYTHONPATH": os.pathsep.join(folders)}
        self.environment = os.environ | ENVIRONMENT | patience_there
        self._check_patience(patience)

    def _check_patience(self, patience: float) -> None:
        """Make sure that what is started will have the patience asked for."""
        look = "from xrdcommon.spool.lease import PATIENCE; print(PATIENCE)"
        result = subprocess.run(
            [sys.executable, "-c", look], env=self.environment, capture_output=True, text=True, check=True
        )
        assert float(result.stdout) == patience, result

    def start(self, role: Role, extra: tuple[str, ...] = ()) -> Actor:
        """Start a role's command, on another node than those of it that are frozen."""
        taken = {actor.node for actor in role.actors if actor.alive}
        free = [node for node in self._nodes if node not in taken] or [HERE]
        self._draws += 1
        node = free[(self._draws * 7919) % len(free)]  # which process is where need not be random
        role.count += 1
        log = self._logs / f"{role.name}.{role.count:04d}.log"
        command = [*role.command, *extra]
        if node:
            command = ["unshare", "--uts", "sh", "-c", f'hostname {node} && exec "$@"', "sh", *command]
        with log.open("wb") as stream:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                cwd=REPOSITORY,
                env=self.environment,
            )
        actor = Actor(process, log, node, time.monotonic())
        role.actors.append(actor)
        self.starts[role.name] += 1
        return actor

    def supervise(self) -> None:
        """Note what has ended, and start again what is missing."""
        now = time.monotonic()
        for role in self.roles:
            for actor in [actor for actor in role.actors if not actor.alive]:
                self._bury(role, actor, now)
            if self.form in role.forms and role.present is None and now >= role.not_before:
                self.start(role)

    def _bury(self, role: Role, actor: Actor, now: float) -> None:
        role.actors.remove(actor)
        actor.signal(signal.SIGCONT, group=True)
        code = actor.process.returncode
        short = now - actor.started < 5.0 and code not in STOPPED_EXITS
        role.failures = role.failures + 1 if short and not actor.hit else 0
        role.not_before = now + min(3.0, 0.3 + 0.5 * role.failures)
        if not actor.hit:
            self.exits[f"{role.name} ended by itself with {code}: {actor.last_line()}" if code else "0"] += 1

    def kill_all(self) -> None:
        """End everything at once, and wait until nobody is left."""
        actors = [actor for role in self.roles for actor in role.actors]
        for actor in actors:
            actor.hit = actor.hit or "end of the round"
            actor.signal(signal.SIGKILL, group=True)
        for actor in actors:
            actor.process.wait()
        deadline = time.monotonic() + 30.0
        while time.monotonic() < deadline and (left := [pid for actor in actors for pid in actor.members()]):
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.1)
        for role in self.roles:
            role.actors.clear()
            role.not_before, role.failures = 0.0, 0

    def wait(self, role: Role, seconds: float) -> list[int]:
        """Wait until a role's processes have ended; return their exit codes, None (as -999) for one that has not."""
        deadline = time.monotonic() + seconds
        codes = []
        for actor in role.actors:
            try:
                codes.append(actor.process.wait(max(0.1, deadline - time.monotonic())))
            except subprocess.TimeoutExpired:
                codes.append(-999)
        return codes

    def tracebacks(self) -> list[str]:
        """Return logs in which Python's own words appear: an error that nobody put into a line."""
        found = []
        for log in sorted(self._logs.glob("*.log")):
            text = log.read_text(errors="replace")
            if "Traceback (most recent call last)" in text:
                found.append(f"{log}: traceback: {text.strip().splitlines()[-1][:200]}")
        return found

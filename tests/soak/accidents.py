"""What happens to the processes, shards and disk of a soak; `Accidents.do` does what the schedule says."""

from __future__ import annotations

import contextlib
import heapq
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil

from tests.soak import count as counting
from tests.soak.cast import DASK_SECONDS, Actor, Cast, Role
from tests.soak.schedule import Event

TICK = 0.05
CORRUPT_SHARE = 0.012
"""Of all shards; a training stops by itself above 1 % of those it has seen."""

STOP_SECONDS = 90.0
"""A process asked to stop may take so long on a busy machine."""

DRAIN_SECONDS = 20.0
"""After which a producer that does not heed `xrdgen drain` gets a signal."""

PRODUCTION = ("producer", "worker", "task")
"""Kinds of roles that make shards."""

EVENTS_KEPT = 40


@dataclass
class Tally:
    """What was done and found."""

    events: Counter[str] = field(default_factory=Counter)
    kills: int = 0
    rounds: int = 0
    damaged: set[str] = field(default_factory=set)
    skipped: dict[str, str] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    last: list[str] = field(default_factory=list)
    taken_over: int = 0
    own: counting.Count = field(default_factory=counting.Count)


class Accidents:
    """Does things to those that are there."""

    def __init__(self, spool: Path, cast: Cast, *, seed: int, patience: float, small_disk: bool) -> None:
        """Prepare (see `Fuzz`)."""
        self.spool, self.cast, self.tally = spool, cast, Tally()
        self._random = np.random.default_rng([seed, 1])
        self._patience, self._small_disk = patience, small_disk
        self._later: list[tuple[float, int, Callable[[], None]]] = []
        self._order = 0
        self._start = time.monotonic()

    def _after(self, seconds: float, action: Callable[[], None]) -> None:
        self._order += 1
        heapq.heappush(self._later, (time.monotonic() + seconds, self._order, action))

    def _finish_later(self) -> None:
        while self._later:
            heapq.heappop(self._later)[2]()

    def _note(self, text: str) -> None:
        self.tally.last = [*self.tally.last, f"{time.monotonic() - self._start:.1f} s: {text}"][-EVENTS_KEPT:]

    def _command(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        command = [str(Path(sys.executable).parent / "xrdgen"), *arguments]
        result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=STOP_SECONDS)
        if check and "Traceback" in result.stderr:
            self.tally.faults.append(f"xrdgen {' '.join(arguments)}: {result.stderr[-600:]}")
        return result

    def do(self, event: Event) -> None:
        """Do what the schedule says to whoever is there."""
        action = getattr(self, "_" + event.kind.replace("-", "_"))
        text = action(event)
        if text:
            self.tally.events[event.kind] += 1
            self._note(f"{event.kind}: {text}")

    def _choose(self, event: Event, kinds: tuple[str, ...] = ()) -> tuple[Role, Actor] | None:
        present = [(role, role.present) for role in self.cast.roles if not kinds or role.kind in kinds]
        there = [(role, actor) for role, actor in present if actor is not None]
        return there[int(event.pick * len(there))] if there else None

    def _kill(self, event: Event, *, group: bool = False) -> str:
        chosen = self._choose(event)
        if chosen is None:
            return ""
        role, actor = chosen
        actor.hit = "killed"
        actor.signal(signal.SIGKILL, group=group)
        self.tally.kills += 1
        return f"{role.name} ({actor.process.pid})"

    def _kill_group(self, event: Event) -> str:
        return self._kill(event, group=True)

    def _present(self, *kinds: str) -> list[Actor]:
        actors = [role.present for role in self.cast.roles if role.kind in kinds]
        return [actor for actor in actors if actor is not None]

    def _kill_child(self, event: Event, children: list[psutil.Process]) -> str:
        if not children:
            return ""
        child = children[int(event.pick * len(children))]
        with contextlib.suppress(ProcessLookupError):
            os.kill(child.pid, signal.SIGKILL)
        self.tally.kills += 1
        return str(child.pid)

    def _kill_worker(self, event: Event) -> str:
        return self._kill_child(event, [child for actor in self._present(*PRODUCTION) for child in actor.workers()])

    def _kill_coordinator(self, event: Event) -> str:
        return self._kill_child(event, [child for actor in self._present("task") for child in actor.coordinators()])

    def _corrupt(self, event: Event) -> str:
        made = len(list(self.spool.glob("producers/p*/published/*/*.json")))
        allowed = max(2, int(CORRUPT_SHARE * made)) - len(self.tally.damaged)
        files = [*self.spool.glob("ready/*/*.tar"), *self.spool.glob("claimed/*/*.tar")]
        files = [file for file in files if file.name not in self.tally.damaged]
        done = []
        for _ in range(min(3, allowed, len(files))):
            file = files[int(self._random.integers(len(files)))]
            # In place, and never by a rename: a shard that moves on meanwhile must not appear again.
            with contextlib.suppress(FileNotFoundError), file.open("r+b") as stream:
                size = os.fstat(stream.fileno()).st_size
                at = int(self._random.integers(size)) if size else 0
                self.tally.damaged.add(file.name)
                if event.size < 0.3:
                    stream.truncate(at)
                else:
                    stream.seek(at)
                    byte = stream.read(1)
                    stream.seek(at)
                    stream.write(bytes([byte[0] ^ 1 << int(self._random.integers(8))]))
                done.append(f"{file.parent.name}/{file.name}")
        return ", ".join(done)

    def _fill(self, event: Event) -> str:
        if not self._small_disk:
            return ""
        ballast = self.spool.parent / "ballast"
        free = os.statvfs(self.spool.parent)
        left = int(self._random.integers(2)) * 64 * 1024  # nothing at all, or a little
        with contextlib.suppress(OSError), ballast.open("wb") as stream:
            os.posix_fallocate(stream.fileno(), 0, max(4096, free.f_bavail * free.f_frsize - left))
        self._after(1.0 + 4.0 * event.size, lambda: ballast.unlink(missing_ok=True))
        return f"for {1 + 4 * event.size:.1f} s"

    def _stand_still(self, actor: Actor, seconds: float, *, group: bool = False) -> None:
        actor.signal(signal.SIGSTOP, group=group)
        self._after(seconds, lambda: actor.signal(signal.SIGCONT, group=group) and None)

    def _pause(self, event: Event) -> str:
        chosen = self._choose(event)
        if chosen is None:
            return ""
        seconds = 0.1 + 3.0 * event.size
        self._stand_still(chosen[1], seconds, group=event.size < 0.5)
        return f"{chosen[0].name} for {seconds:.1f} s"

    def _cut(self, event: Event) -> str:
        """Stop the process of scheduler and coordinator alone; its workers go on."""
        pids = [child.pid for actor in self._present("task") for child in actor.coordinators()]
        pids = pids or [actor.process.pid for actor in self._present("producer") if actor.workers()]
        return self._stop_processes(pids, DASK_SECONDS + 1.0 + 9.0 * event.size)

    def _cut_workers(self, event: Event) -> str:
        pids = [child.pid for actor in self._present(*PRODUCTION) for child in actor.workers()]
        return self._stop_processes(pids, DASK_SECONDS + 1.0 + 4.0 * event.size)

    def _stop_processes(self, pids: list[int], seconds: float) -> str:
        def send(number: int) -> None:
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)

        send(signal.SIGSTOP)
        self._after(seconds, lambda: send(signal.SIGCONT))
        return f"{len(pids)} processes for {seconds:.1f} s" if pids else ""

    def _freeze(self, event: Event) -> str:
        """Stop a process until another has taken its lease (on another node, see `Cast.start`), and let it go on."""
        if "freeze" in self.tally.skipped:
            return ""
        chosen = self._choose(event, ("producer", "task", "training", "network"))
        if chosen is None:
            return ""
        role, actor = chosen
        seconds = self._patience + 3.0 + 4.0 * event.size
        actor.frozen = True
        actor.hit = "frozen"
        actor.signal(signal.SIGSTOP, group=event.size < 0.5)

        def wake() -> None:
            actor.frozen = False
            actor.signal(signal.SIGCONT, group=True)
            if role.kind in ("training", "network"):
                self._after(STOP_SECONDS, lambda: self._one_owner(role))

        self._after(seconds, wake)
        return f"{role.name} ({actor.process.pid} on {actor.node or 'this machine'}) for {seconds:.1f} s"

    def _one_owner(self, role: Role) -> None:
        old = [a for a in role.actors if a.alive and time.monotonic() - a.started > STOP_SECONDS / 2]
        if len(old) > 1:
            self.tally.faults.append(f"{role.name}: {len(old)} processes train under one run name")

    def _drain(self, event: Event) -> str:
        self._command("drain", str(self.spool), check=False)
        self._after(1.0 + 4.0 * event.size, self._undo_drain)
        return "all producers"

    def _undo_drain(self) -> None:
        """Let production start again (a single producer does so by itself, tasks that join one another do not)."""
        if (self.spool / "control" / "stop").exists():
            self._command("drain", str(self.spool), "--undo")

    def _ask(self, event: Event, number: int) -> str:
        chosen = self._choose(event)
        if chosen is None:
            return ""
        chosen[1].hit = "asked"
        chosen[1].signal(number)
        return chosen[0].name

    def _usr1(self, event: Event) -> str:
        return self._ask(event, signal.SIGUSR1)

    def _term(self, event: Event) -> str:
        return self._ask(event, signal.SIGTERM)

"""The soak itself: rounds of production and training under fire, each followed by two counts that must agree."""

from __future__ import annotations

import contextlib
import heapq
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tests.soak import count as counting
from tests.soak.cast import DASK_SECONDS, STOPPED_EXITS, Actor, Cast, Role
from tests.soak.schedule import Event, Round

TICK = 0.05
CORRUPT_SHARE = 0.012
"""Of all shards; a training stops by itself above 1 % of those it has seen."""

STOP_SECONDS = 90.0
"""A process asked to stop may take so long on a busy machine."""

DRAIN_SECONDS = 20.0
"""After which a producer that does not heed `xrdgen drain` gets a signal."""

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


class Fuzz:
    """One soak of one spool."""

    def __init__(
        self,
        spool: Path,
        runs: Path,
        cast: Cast,
        *,
        seed: int,
        patience: float,
        small_disk: bool,
        say: Callable[[str], None],
    ) -> None:
        """Prepare.

        Args:
            spool: its folder; `small_disk` says whether its file system is small and the soak's own.
            runs: folder of the trainings' run folders.
            cast: who plays.
            seed: of the choices inside an event.
            patience: seconds after which a silent owner elsewhere is taken over.
            small_disk: whether it may be filled.
            say: shows one line.

        """
        self.spool, self.runs, self.cast = spool, runs, cast
        self._random = np.random.default_rng([seed, 1])
        self._patience, self._small_disk, self._say = patience, small_disk, say
        self._later: list[tuple[float, int, Callable[[], None]]] = []
        self._order = 0
        self._start = time.monotonic()
        self._shown = 0.0
        self.tally = Tally()
        self._trainings = [role for role in cast.roles if role.kind == "training"]
        self._networks = [role for role in cast.roles if role.kind == "network"]
        self._producers = [role for role in cast.roles if role.kind in ("producer", "worker")]

    # --- a round

    def play(self, round_: Round) -> None:
        """Play a round and count; faults are in the tally."""
        self.tally.rounds += 1
        begin = time.monotonic()
        events = list(round_.events)
        while (now := time.monotonic()) < begin + round_.seconds:
            while events and now >= begin + events[0].at:
                self._do(events.pop(0))
            self._tick()
        self._finish_later()
        if round_.end == "stop":
            settled = self.stop()
        else:
            self._note("kill everything")
            self.tally.kills += len([a for role in self.cast.roles for a in role.actors])
            self.cast.kill_all()
            settled = False
        self.check(f"round {round_.number}", settled=settled)

    def warm_up(self, shards: int, seconds: float = 60.0) -> None:
        """Let production and trainings begin undisturbed."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._tick()
            moved = self._progress() if self.spool.exists() else {"production": 0}
            if moved["production"] >= shards and min(moved.values()):
                return

    def calm(self, seconds: float) -> None:
        """Let all go on undisturbed, and see that both sides move."""
        before = self._progress()
        begin = time.monotonic()
        while time.monotonic() < begin + seconds and not self._moved(before, self._progress()):
            until = time.monotonic() + 1.0
            while time.monotonic() < until:
                self._tick()
        after = self._progress()
        for name in before:
            if after[name] <= before[name]:
                lines = "; ".join(a.last_line() for r in self.cast.roles if r.name == name for a in r.actors)
                self.tally.faults.append(f"{name} stood still for {seconds:.0f} s after the last fault ({lines})")

    @staticmethod
    def _moved(before: dict[str, int], after: dict[str, int]) -> bool:
        return all(after[name] > before[name] for name in before)

    def _progress(self) -> dict[str, int]:
        moved = {"production": len(list(self.spool.glob("producers/p*/published/*/*.json")))}
        for role in self._trainings:
            state = counting.newest_checkpoint(self.runs / role.name)
            moved[role.name] = int(state["samples"]) if state else 0
        for role in self._networks:
            moved[role.name] = self._network_samples(role)
        return moved

    def _network_samples(self, role: Role) -> int:
        files = sorted((self.runs / role.name / "checkpoints").glob("checkpoint-*.pt"))
        return int(files[-1].stem.rpartition("-")[2]) if files else 0

    def _tick(self) -> None:
        now = time.monotonic()
        while self._later and now >= self._later[0][0]:
            heapq.heappop(self._later)[2]()
        self.cast.supervise()
        if now - self._shown > 1.0:
            self._shown = now
            self._say(self.line())
        time.sleep(TICK)

    def line(self) -> str:
        """Say how far it is."""
        shards = len(list(self.spool.glob("producers/p*/published/*/*.json"))) if self.spool.exists() else 0
        own = self.tally.own
        return (
            f"{time.monotonic() - self._start:.0f} s  round {self.tally.rounds}  kills {self.tally.kills}  "
            f"shards {shards}  samples {own.produced} (at the last count)  twice {own.used_twice}  lost {own.lost}"
        )

    def _after(self, seconds: float, action: Callable[[], None]) -> None:
        self._order += 1
        heapq.heappush(self._later, (time.monotonic() + seconds, self._order, action))

    def _finish_later(self) -> None:
        while self._later:
            heapq.heappop(self._later)[2]()

    def _note(self, text: str) -> None:
        self.tally.last = [*self.tally.last, f"{time.monotonic() - self._start:.1f} s: {text}"][-EVENTS_KEPT:]

    # --- events

    def _do(self, event: Event) -> None:
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

    def _workers(self, kinds: tuple[str, ...] = ("producer", "worker")) -> list[Any]:
        actors = [role.present for role in self.cast.roles if role.kind in kinds]
        return [worker for actor in actors if actor is not None for worker in actor.workers()]

    def _kill_worker(self, event: Event) -> str:
        workers = self._workers()
        if not workers:
            return ""
        worker = workers[int(event.pick * len(workers))]
        with contextlib.suppress(ProcessLookupError):
            os.kill(worker.pid, signal.SIGKILL)
        self.tally.kills += 1
        return str(worker.pid)

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
        chosen = self._choose(event, ("producer",))
        if chosen is None:
            return ""
        seconds = DASK_SECONDS + 1.0 + 9.0 * event.size
        self._stand_still(chosen[1], seconds)
        return f"{chosen[0].name} from its workers for {seconds:.1f} s"

    def _cut_workers(self, event: Event) -> str:
        workers = self._workers()
        seconds = DASK_SECONDS + 1.0 + 4.0 * event.size

        def send(number: int) -> None:
            for worker in workers:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(worker.pid, number)

        send(signal.SIGSTOP)
        self._after(seconds, lambda: send(signal.SIGCONT))
        return f"{len(workers)} for {seconds:.1f} s" if workers else ""

    def _freeze(self, event: Event) -> str:
        """Stop a process until another has taken its lease (on another node, see `Cast.start`), and let it go on."""
        if "freeze" in self.tally.skipped:
            return ""
        chosen = self._choose(event, ("producer", "training", "network"))
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
        return "all producers"

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

    # --- stops and counts

    def _command(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        command = [str(Path(sys.executable).parent / "xrdgen"), *arguments]
        result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=STOP_SECONDS)
        if check and "Traceback" in result.stderr:
            self.tally.faults.append(f"xrdgen {' '.join(arguments)}: {result.stderr[-600:]}")
        return result

    def stop(self) -> bool:
        """Drain producers and stop trainings as a user would; return whether all trainings wrote a checkpoint."""
        self._note("drain, and SIGTERM to the trainings")
        for role in self.cast.roles:
            for actor in role.actors:
                actor.frozen = False
                actor.hit = actor.hit or "asked"
                actor.signal(signal.SIGCONT, group=True)
        self._command("drain", str(self.spool))
        proper = True
        for role in [*self._trainings, *self._networks]:
            for actor in role.actors:
                if time.monotonic() - actor.started < 6.0 and actor.alive:
                    time.sleep(min(6.0, 6.0 - time.monotonic() + actor.started))  # its signal handlers are there
                actor.signal(signal.SIGTERM)
            proper &= self._ended(role)
        for role in self._producers:
            self.cast.wait(role, DRAIN_SECONDS)
            for actor in role.actors:
                if actor.alive:  # one that was starting when the request came clears it as an earlier one
                    self.tally.events["drain unseen"] += 1
                    actor.signal(signal.SIGTERM)
            self._ended(role)
        self.cast.kill_all()
        return proper

    def _ended(self, role: Role) -> bool:
        actors, codes = list(role.actors), self.cast.wait(role, STOP_SECONDS)
        for actor, code in zip(actors, codes, strict=True):
            if code == -999:
                self.tally.faults.append(f"{role.name} did not stop within {STOP_SECONDS:.0f} s: {actor.log}")
        return bool(codes) and codes[-1] in STOPPED_EXITS

    def settle(self) -> None:
        """Use up all that waits, so that nothing hides in a queue."""
        for role in self._trainings:
            self.cast.start(role, ("--until-empty", "--rate", "1e9"))
        for role in self._trainings:
            codes = self.cast.wait(role, 2 * STOP_SECONDS)
            # A training stops by itself where too much is damaged: it is started again, as a user would.
            for _ in range(5):
                if codes[-1] == 0:
                    break
                time.sleep(self._patience)
                self.cast.start(role, ("--until-empty", "--rate", "1e9"))
                codes = self.cast.wait(role, 2 * STOP_SECONDS)
            if codes[-1] != 0:
                self.tally.faults.append(f"{role.name}: did not use up its feed: {role.actors[-1].last_line()}")
        self.cast.kill_all()

    def check(self, where: str, *, settled: bool) -> None:
        """Count, ask the audit, compare; nobody works on the spool meanwhile."""
        if not (self.spool / "spool.json").exists():
            return
        consumers = [folder.name for folder in (self.spool / "consumers").iterdir()]
        networks = [name for name in consumers for role in self._networks if name.startswith(f"{role.name}-")]
        runs = [self.runs / role.name for role in self._trainings if (self.spool / "consumers" / role.name).exists()]
        own = counting.count(self.spool, runs, networks)
        result = self._command("audit", str(self.spool), "--json")
        try:
            audit: dict[str, Any] = json.loads(result.stdout)
        except ValueError:
            self.tally.faults.append(f"{where}: xrdgen audit said {result.stderr[-300:]}")
            return
        wrong = counting.disagreements(own, audit, settled=settled)
        for role in self._networks:
            notes = [counting.notes_of(self.spool / "consumers" / name)[0] for name in networks]
            noted, samples = sum(sum(used.values()) for used in notes), self._network_samples(role)
            if samples < noted or (settled and samples != noted):
                wrong.append(f"{role.name}: checkpoint after {samples} samples, {noted} noted as used")
        faults = [*own.faults, *wrong, *counting.torn(self.spool, self.tally.damaged)]
        self.tally.faults += [f"{where}: {fault}" for fault in faults]
        self.tally.own = own
        self._say(
            f"{where}: {'FAULT' if faults else 'agreed'}: " + ", ".join(f"{k} {v}" for k, v in own.to_dict().items())
        )


def keep(folder: Path, to: Path) -> Path:
    """Copy a spool that shows a fault away from a file system that will be gone."""
    shutil.copytree(folder, to, symlinks=True)
    return to

"""The soak itself: rounds of production and training under fire, each followed by two counts that must agree."""

from __future__ import annotations

import heapq
import json
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.soak import count as counting
from tests.soak.accidents import DRAIN_SECONDS, PRODUCTION, STOP_SECONDS, TICK, Accidents
from tests.soak.cast import STOPPED_EXITS, Cast, Role
from tests.soak.schedule import Round


class Fuzz(Accidents):
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
        super().__init__(spool, cast, seed=seed, patience=patience, small_disk=small_disk)
        self.runs, self._say, self._shown = runs, say, 0.0
        self._trainings = [role for role in cast.roles if role.kind == "training"]
        self._networks = [role for role in cast.roles if role.kind == "network"]
        self._producers = [role for role in cast.roles if role.kind in PRODUCTION]

    # --- a round

    def play(self, round_: Round) -> None:
        """Play a round and count; faults are in the tally."""
        self.tally.rounds += 1
        self.cast.form = round_.form
        self._undo_drain()
        begin = time.monotonic()
        events = list(round_.events)
        while (now := time.monotonic()) < begin + round_.seconds:
            while events and now >= begin + events[0].at:
                self.do(events.pop(0))
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
        self._undo_drain()
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

    # --- stops and counts

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
            noted = sum(counting.rows_noted(self.spool / "consumers" / name) for name in networks)
            samples = self._network_samples(role)
            if samples < noted or (settled and samples != noted):
                wrong.append(f"{role.name}: checkpoint after {samples} samples, {noted} noted as used")
        for role in self._trainings:
            if "discard" in role.command and (again := counting.consumed_again(self.runs / role.name)):
                wrong.append(f"{role.name}: {again} rows consumed again in spite of --on-crash discard")
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

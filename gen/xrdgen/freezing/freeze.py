"""Fixed diffractograms of known structures: a structure table in, a fixed set out.

The size of the crystallites of row r is drawn from the stream of the identity (seed, 0, k, r), k = 0 for the first
size, so that a set is a pure function of table, settings and seed, whatever the number of workers and however often it
was interrupted; its files carry no date. Occupancies are those of the table. A row that cannot be simulated, or is not
wanted, is listed in `DIR.rejected.csv`.

Plan, partition, finalise: rows are checked, every shard of 1024 diffractograms is made by one process (`tasks`),
read back in order for the hash of the set, and the whole is renamed to its place (`folder`).
"""

# N rows of the table that could be simulated times sizes per crystal, P grid points

from __future__ import annotations

import csv
import hashlib
import importlib.metadata
import io
import multiprocessing
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import numpy as np
from xrdcommon import console
from xrdcommon.errors import DiskFullError, FormatError, InputError, Interrupted
from xrdcommon.fields import SAMPLE_DTYPE, describe
from xrdcommon.files import NO_SPACE, sha256_file, write_bytes
from xrdcommon.fixed_sets.fixed_set import ZarrPatterns
from xrdcommon.fixed_sets.format import ROWS_PER_SHARD
from xrdcommon.fixed_sets.writer import check_writable, finish_set, pattern_array, publish
from xrdcommon.signals import StopRequest, stop_on_signals

from xrdgen.diffraction.settings import SimulationSettings
from xrdgen.freezing.effects import Effects
from xrdgen.freezing.folder import Faults, FreezeFolder, SetPlan
from xrdgen.freezing.randomise import Randomisation
from xrdgen.freezing.tasks import (
    CheckTask,
    Limits,
    ShardTask,
    check_rows,
    prepare_process,
    read_faults,
    read_outcome,
    sample_id,
    simulate_shard,
)
from xrdgen.structures.reading.remarks import doubtful_rows, is_doubtful
from xrdgen.structures.table import CELL_COLUMNS, citations, read_table

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["FreezeReport", "Limits", "Rejection", "freeze_table", "rejected_path", "sample_id"]

MAX_SIZES: Final = 1000
NEEDED: Final = [
    "source",
    "id",
    "formula",
    "space_group",
    "space_group_published",
    "wyckoff_key",
    "prototype_iso",
    *CELL_COLUMNS,
    "sites",
]
"""Columns that go to the workers."""

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Rejection:
    """A row of the table that has no diffractogram in the set."""

    row: int
    source: str
    id: str
    formula: str
    space_group: int | None
    reason: str


@dataclass(slots=True)
class FreezeReport:
    """What became of a table."""

    crystals: int = 0
    diffractograms: int = 0
    rejections: list[Rejection] = field(default_factory=list)

    @property
    def doubtful(self) -> int:
        """Number of rejected rows whose remarks say that they are doubtful."""
        return sum(is_doubtful(rejection.reason) for rejection in self.rejections)

    def to_dict(self) -> dict[str, int]:
        """Return the counts for JSON."""
        return {
            "crystals": self.crystals,
            "diffractograms": self.diffractograms,
            "rejected": len(self.rejections),
        } | ({"doubtful": self.doubtful} if self.doubtful else {})


def rejected_path(out: Path) -> Path:
    """Return where the rows without a diffractogram are listed."""
    return out.with_name(out.name + ".rejected.csv")


def _write_rejections(path: Path, rejections: list[Rejection]) -> None:
    """Write the list, empty as well: an older one would mislead."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = Rejection.__slots__
    writer.writerow(names)
    writer.writerows([getattr(rejection, name) for name in names] for rejection in rejections)
    write_bytes(path, text.getvalue().encode())


def _rejections(table: pd.DataFrame, faults: Faults) -> list[Rejection]:
    """Return the rows left out as they are listed."""
    import pandas as pd

    rejections = []
    for row, reason in sorted(faults.items()):
        entry = table.iloc[row]
        source, name, formula = (str(entry[column]) for column in ("source", "id", "formula"))
        group = None if pd.isna(entry["space_group"]) else int(entry["space_group"])
        rejections.append(Rejection(row, source, name, formula, group, reason))
    return rejections


class _Here(Executor):
    """Works in this process."""

    def submit(self, fn: Callable[..., R], /, *args: Any, **kwargs: Any) -> Future[R]:
        """Do it at once."""
        future: Future[R] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


@contextmanager
def _pool(workers: int, folder: FreezeFolder) -> Iterator[Executor]:
    """Give the worker processes; when the work stops, shards that were begun are finished."""
    if workers <= 1:
        yield _Here()
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        workers, mp_context=context, initializer=prepare_process, initargs=(folder.workers_lock,)
    ) as pool:
        try:
            yield pool
        except KeyboardInterrupt:  # the second signal: at once
            for process in multiprocessing.active_children():
                process.kill()
            raise
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


class _Freezer:
    """Makes one set in its folder."""

    def __init__(
        self,
        table: pd.DataFrame,
        settings: SimulationSettings,
        limits: Limits,
        randomisation: Randomisation | None,
        effects: Effects,
        sizes: int,
        seed: int,
        folder: FreezeFolder,
        stop: StopRequest,
        pool: Executor,
        ahead: int,
    ) -> None:
        self._table, self._settings, self._limits, self._sizes, self._seed = table, settings, limits, sizes, seed
        self._randomisation, self._effects = randomisation, effects
        self._folder, self._stop, self._pool, self._ahead = folder, stop, pool, ahead

    def plan(self) -> SetPlan:
        """Return the plan of the folder; without one, check all rows."""
        plan = self._folder.load_plan()
        if plan is not None:
            return plan
        rows = self._table[NEEDED]
        tasks = (
            CheckTask(
                first, rows.iloc[first : first + ROWS_PER_SHARD], self._settings, self._limits, self._randomisation
            )
            for first in range(0, len(rows), ROWS_PER_SHARD)
        )
        faults: Faults = {}
        with console.progress("checking structures", len(rows)) as advance:
            for number, found in enumerate(self._in_order(check_rows, tasks)):
                faults.update(found or {})
                advance(min(ROWS_PER_SHARD, len(rows) - number * ROWS_PER_SHARD))
        for row in np.flatnonzero(doubtful_rows(self._table)).tolist():
            faults.setdefault(row, str(self._table["remarks"].iloc[row]))
        plan = SetPlan(len(rows), self._sizes, faults)
        self._folder.save_plan(plan)
        return plan

    def make(self, plan: SetPlan) -> tuple[SetPlan, str]:
        """Make all shards; return the plan that was carried out in the end and the SHA-256 of the patterns."""
        while plan.shards:
            self._folder.prepare_set(self._settings.grid, plan)
            late, digest = self._make_shards(plan)
            if not late:
                return plan, digest
            plan = plan.without(late)
            self._folder.save_plan(plan)
        return plan, ""

    def _make_shards(self, plan: SetPlan) -> tuple[Faults, str]:
        """Make the shards that are not there and read all back; return rows without reflections and the hash."""
        kept, folder = plan.kept, self._folder
        late: Faults = {}
        digest = hashlib.sha256()
        patterns = ZarrPatterns(folder.set, pattern_array(folder.set))
        tasks = (
            None if folder.is_written(plan, shard) or read_faults(folder.outcome(plan, shard)) else task
            for shard, task in enumerate(self._tasks(plan, kept))
        )
        with console.progress("simulating structures", plan.diffractograms) as advance:
            for shard, _ in enumerate(self._in_order(simulate_shard, tasks)):
                for row, reason in read_faults(folder.outcome(plan, shard)).items():
                    late.setdefault(row, reason)
                rows = slice(shard * ROWS_PER_SHARD, min(plan.diffractograms, (shard + 1) * ROWS_PER_SHARD))
                if not late:
                    try:
                        content = patterns.read(rows)
                    except FormatError:  # written, but lost or damaged since (a machine that failed): once more
                        self._pool.submit(simulate_shard, self._task(plan, kept, shard)).result()
                        content = patterns.read(rows)
                    digest.update(np.ascontiguousarray(content).data)
                advance(rows.stop - rows.start, f"{len(late)} rejected" if late else "")
        return late, digest.hexdigest()

    def finish(self, plan: SetPlan, digest: str, attributes: dict[str, Any]) -> None:
        """Join the records and make the set whole."""
        outcomes = np.concatenate([read_outcome(self._folder.outcome(plan, shard)) for shard in range(plan.shards)])
        samples, ids = outcomes["sample"], np.ascontiguousarray(outcomes["id"])
        finish_set(self._folder.set, self._settings.grid, samples, ids, digest, attributes)

    def _tasks(self, plan: SetPlan, kept: list[int]) -> Iterator[ShardTask]:
        """Yield the tasks of all shards."""
        for shard in range(plan.shards):
            yield self._task(plan, kept, shard)

    def _task(self, plan: SetPlan, kept: list[int], shard: int) -> ShardTask:
        """Return the task of a shard."""
        start = shard * ROWS_PER_SHARD
        stop = min(plan.diffractograms, start + ROWS_PER_SHARD)
        numbers = kept[start // self._sizes : -(-stop // self._sizes)]
        return ShardTask(
            number=shard,
            n=stop - start,
            offset=start % self._sizes,
            numbers=numbers,
            rows=self._table[NEEDED].iloc[numbers],
            limits=self._limits,
            settings=self._settings,
            sizes=self._sizes,
            seed=self._seed,
            folder=self._folder.set,
            outcome=self._folder.outcome(plan, shard),
            randomisation=self._randomisation,
            imperfections=self._effects.imperfections,
            statistics=self._effects.statistics,
        )

    def _in_order(self, function: Callable[[T], R], tasks: Iterable[T | None]) -> Iterator[R | None]:
        """Yield the results in the order of the tasks, None where there is nothing to do; few are in flight.

        Raises:
            Interrupted: a signal came.

        """
        waiting: deque[Future[R] | None] = deque()
        for task in tasks:
            if self._stop:
                console.say(f"{self._stop.reason}: finishing the shards that are being made (again to stop at once)")
                raise Interrupted(_kept(f"stopped by {self._stop.reason}", self._folder))
            waiting.append(None if task is None else self._pool.submit(function, task))
            if len(waiting) > self._ahead:
                yield _result(waiting.popleft())
        while waiting:
            yield _result(waiting.popleft())


def _result(future: Future[R] | None) -> R | None:
    """Return what a task gave."""
    return None if future is None else future.result()


def freeze_table(
    table_path: Path,
    out: Path,
    settings: SimulationSettings,
    *,
    sizes: int = 1,
    seed: int = 0,
    workers: int = 1,
    overwrite: bool = False,
    limits: Limits | None = None,
    randomisation: Randomisation | None = None,
    effects: Effects | None = None,
) -> FreezeReport:
    """Simulate every structure of a table and keep the diffractograms as a fixed set.

    Args:
        table_path: structure table (parquet).
        out: folder to make.
        settings: grid, wavelength and range of crystallite sizes.
        sizes: diffractograms of each crystal, each with its own crystallite size.
        seed: of the crystallite sizes.
        workers: processes; 1 works in this one.
        overwrite: replace an existing fixed set, and what another unfinished one has left.
        limits: crystals to leave out; none by default.
        randomisation: parts of the crystals to draw anew; none by default.
        effects: imperfections of the diffractograms; none by default.

    Raises:
        InputError: a table without rows or in which no row can be simulated, bad numbers, the place is taken.
        FormatError: the file is not a structure table.
        DiskFullError: no space left; what is done is kept.
        Interrupted: stopped; the same call goes on from there.

    """
    if not 1 <= sizes <= MAX_SIZES:
        raise InputError(f"sizes {sizes}: give 1 to {MAX_SIZES} crystallite sizes per crystal")
    if not 0 <= seed < 2**64:
        raise InputError(f"seed {seed}: must be 0 to 2^64 - 1")
    if workers < 0:
        raise InputError(f"workers {workers}: must not be negative")
    check_writable(out, overwrite=overwrite)
    table = read_table(table_path, any_group=True)
    if table.empty:
        raise InputError(f"{table_path}: a table without structures; import some with `xrdgen structures import`")
    limits = limits or Limits()
    attributes = {
        "made_by": "xrdgen freeze",
        "simulation": settings.to_dict(),
        "sizes_per_crystal": sizes,
        "seed": seed,
        "source": {
            "file": table_path.name,
            "sha256": sha256_file(table_path),
            "structures": len(table),
            "collections": dict(sorted(Counter(map(str, table["source"])).items())),
        },
        "citations": citations(table),
    }
    if limits != Limits():
        attributes["limits"] = limits.to_dict()
    if randomisation is not None:
        attributes["randomised"] = randomisation.to_dict()
    effects = effects or Effects()
    if effects != Effects():
        attributes["imperfections"] = effects.to_dict()
    job = {**attributes, "version": importlib.metadata.version("xrdstream"), "fields": describe(SAMPLE_DTYPE)}
    with (
        stop_on_signals() as stop,
        FreezeFolder.hold(out, job, start_over=overwrite) as folder,
        _stopping(folder),
        _pool(workers, folder) as pool,
    ):
        ahead = 0 if workers <= 1 else 2 * workers
        freezer = _Freezer(table, settings, limits, randomisation, effects, sizes, seed, folder, stop, pool, ahead)
        plan, digest = freezer.make(freezer.plan())
        rejections = _rejections(table, plan.faults)
        _write_rejections(rejected_path(out), rejections)
        if not plan.shards:
            folder.remove()
            raise InputError(
                f"{table_path}: none of {len(table)} structures can be simulated, the first one because: "
                f"{rejections[0].reason}"
            )
        freezer.finish(plan, digest, attributes)
        publish(folder.set, out)
        folder.remove()
    return FreezeReport(plan.rows - len(rejections), plan.diffractograms, rejections)


@contextmanager
def _stopping(folder: FreezeFolder) -> Iterator[None]:
    """Say of work that is stopped how to go on."""
    try:
        yield
    except (KeyboardInterrupt, BrokenProcessPool) as stop:
        why = "stopped" if isinstance(stop, KeyboardInterrupt) else "a worker process died (out of memory?)"
        raise Interrupted(_kept(why, folder)) from stop
    except OSError as error:
        if isinstance(error, DiskFullError) or error.errno in NO_SPACE:
            raise DiskFullError(_kept("no space left or quota reached, free some", folder)) from error
        raise


def _kept(why: str, folder: FreezeFolder) -> str:
    """Return what to say of work that stops."""
    return f"{why}; what is done is kept in {folder.path}, the same command goes on from there"

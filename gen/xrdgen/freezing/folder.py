"""The folder of a fixed set that is being made: what is done stays there until the set is whole.

    NAME.zarr.partial/job.json        table, settings and seed; another job does not go on here
                     /plan.json       rows that are left out, and from which shard on which generation holds
                     /set/            the arrays of the set, without the header that makes it one
                     /outcomes/       GG-SSSSSS.npy: records and names of a written shard;
                                      GG-SSSSSS.json: rows that turned out to have no reflection, nothing was written
                     /lock, /workers  held by the process that freezes, and by its workers

Nearly all rows that cannot be simulated are known before anything is simulated. A crystal of which no reflection
reaches the grid is not: it shows in its shard. When all shards were tried such rows are left out as well, and the
shards from the first of them on are made again: a new generation, the last one.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from xrdcommon import console
from xrdcommon.errors import InputError
from xrdcommon.files import read_json, write_json
from xrdcommon.fixed_sets.format import ROWS_PER_SHARD
from xrdcommon.fixed_sets.writer import create, pattern_array, shard_file
from xrdcommon.grid import Grid

KIND: Final = "unfinished fixed set"
NO_LOCKS: Final = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)

Faults = dict[int, str]
"""Rows of the table that have no diffractogram, with the reason."""


def partial_path(out: Path) -> Path:
    """Return where an unfinished set is kept."""
    return out.with_name(out.name + ".partial")


def take_lock(file: Path, how: int) -> int:
    """Lock a file until the descriptor that is returned is closed, or the process ends.

    Raises:
        BlockingIOError: with LOCK_NB, another process holds it.

    """
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, how)
    except OSError as error:
        if error.errno not in NO_LOCKS:
            os.close(descriptor)
            raise
        console.say(f"{file.parent}: this file system has no locks; make sure that one `xrdgen freeze` works here")
    return descriptor


@dataclass(slots=True)
class SetPlan:
    """Which rows of a table become which shards.

    Attributes:
        rows: of the table.
        sizes: diffractograms per crystal.
        faults: rows left out.
        starts: first shard of each generation after generation 0.

    """

    rows: int
    sizes: int
    faults: Faults = field(default_factory=dict)
    starts: list[int] = field(default_factory=list)

    @property
    def kept(self) -> list[int]:
        """Rows of the table that are in the set, in order."""
        return [row for row in range(self.rows) if row not in self.faults]

    @property
    def diffractograms(self) -> int:
        """Rows N of the set."""
        return (self.rows - len(self.faults)) * self.sizes

    @property
    def shards(self) -> int:
        """Number of shards, the last one may be shorter."""
        return -(-self.diffractograms // ROWS_PER_SHARD)

    def generation(self, shard: int) -> int:
        """Return the generation in which a shard is made for the last time."""
        return max((number for number, start in enumerate(self.starts, 1) if start <= shard), default=0)

    def without(self, faults: Faults) -> SetPlan:
        """Return the plan of the next generation: more rows are left out."""
        crystal = self.kept.index(min(faults))
        first = crystal * self.sizes // ROWS_PER_SHARD
        return SetPlan(self.rows, self.sizes, {**self.faults, **faults}, [*self.starts, first])


class FreezeFolder:
    """The folder of an unfinished set, held by this process; see `hold`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.set = path / "set"
        self.outcomes = path / "outcomes"
        self.workers_lock = path / "workers"

    @classmethod
    @contextmanager
    def hold(cls, out: Path, job: dict[str, Any], *, start_over: bool) -> Iterator[FreezeFolder]:
        """Make the folder of a job or go on with it; nobody else may meanwhile.

        Args:
            out: the set to be made.
            job: JSON values on which its bytes depend.
            start_over: throw away what another job has left.

        Raises:
            InputError: the folder is in use, holds something else, or what another job has left.

        """
        path = partial_path(out)
        marker = path / "job.json"
        if path.exists() and not marker.exists() and (not path.is_dir() or set(os.listdir(path)) - {"lock"}):
            raise InputError(f"{path}: exists and is not an unfinished fixed set; move it away or give another --out")
        path.mkdir(parents=True, exist_ok=True)
        try:
            lock = take_lock(path / "lock", fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"{path}: another `xrdgen freeze` is making this set; wait for it") from None
        try:
            folder = cls(path)
            # workers of a killed process end with it, but not in the same instant
            os.close(take_lock(folder.workers_lock, fcntl.LOCK_EX))
            content = {"kind": KIND, "job": job}
            if marker.exists():
                found = read_json(marker)
                if not isinstance(found, dict) or found.get("kind") != KIND:
                    raise InputError(f"{path}: not an unfinished fixed set; move it away or give another --out")
                if found != content and not start_over:
                    raise InputError(
                        f"{path}: an unfinished set of another table, settings, seed or version; finish it with its "
                        "own command, remove it, or --force to start over"
                    )
                if found != content:
                    folder.clear()
            write_json(marker, content)
            yield folder
        finally:
            os.close(lock)

    def clear(self) -> None:
        """Throw away all that was made, the plan first."""
        (self.path / "plan.json").unlink(missing_ok=True)
        for folder in (self.outcomes, self.set):
            if folder.exists():
                shutil.rmtree(folder)

    def remove(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.path)

    def load_plan(self) -> SetPlan | None:
        """Return the plan, None before there is one."""
        file = self.path / "plan.json"
        if not file.exists():
            return None
        content = read_json(file)
        faults = {int(row): str(reason) for row, reason in content["faults"].items()}
        return SetPlan(int(content["rows"]), int(content["sizes"]), faults, [int(start) for start in content["starts"]])

    def save_plan(self, plan: SetPlan) -> None:
        """Keep the plan."""
        faults = {str(row): reason for row, reason in plan.faults.items()}
        content = {"rows": plan.rows, "sizes": plan.sizes, "faults": faults, "starts": plan.starts}
        write_json(self.path / "plan.json", content)

    def prepare_set(self, grid: Grid, plan: SetPlan) -> None:
        """Make the arrays where there are none, of the length that the plan asks for."""
        if not (self.set / "pattern" / "zarr.json").exists():
            for folder in (self.outcomes, self.set):
                if folder.exists():
                    shutil.rmtree(folder)
            create(self.set, grid, plan.diffractograms)
        pattern_array(self.set, plan.diffractograms)
        self.outcomes.mkdir(exist_ok=True)

    def outcome(self, plan: SetPlan, shard: int) -> Path:
        """Return the file of a shard's outcome, without its ending."""
        return self.outcomes / f"{plan.generation(shard):02d}-{shard:06d}"

    def is_written(self, plan: SetPlan, shard: int) -> bool:
        """Return whether a shard and its records were written."""
        return self.outcome(plan, shard).with_suffix(".npy").exists() and shard_file(self.set, shard).exists()

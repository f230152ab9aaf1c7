"""Fixed diffractograms of known structures: a structure table in, a fixed set out.

The size of the crystallites of row r is drawn from the stream of the identity (seed, 0, k, r), k = 0 for the first
size, so that a set is a pure function of table, settings and seed, whatever the number of workers; its files carry
no date. Occupancies are those of the table. A row that cannot be simulated is listed in `DIR.rejected.csv`.
"""

# N rows of the table that could be simulated times sizes a crystal, P grid points.

from __future__ import annotations

import csv
import hashlib
import io
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray
from xrdcommon import console
from xrdcommon.errors import InputError, XrdError
from xrdcommon.fields import SAMPLE_DTYPE
from xrdcommon.files import sha256_file, write_bytes
from xrdcommon.fixed_set_format import ID_BYTES
from xrdcommon.fixed_sets import check_writable, fixed_set_writer
from xrdcommon.identity import SampleIdentity

from xrdgen.diffraction.settings import SimulationSettings
from xrdgen.diffraction.simulator import Simulator
from xrdgen.production.rows import fill_record
from xrdgen.structures.table import citations, crystal_of, read_table

if TYPE_CHECKING:
    import pandas as pd

ROWS_PER_TASK: Final = 64
MAX_SIZES: Final = 1000


@dataclass(frozen=True, slots=True)
class Rejection:
    """A row of the table that has no diffractogram in the set."""

    row: int
    source: str
    id: str
    formula: str
    space_group: int
    reason: str


@dataclass(slots=True)
class FreezeReport:
    """What became of a table."""

    crystals: int = 0
    diffractograms: int = 0
    rejections: list[Rejection] = field(default_factory=list)

    def to_dict(self) -> dict[str, int]:
        """Return the counts for JSON."""
        return {
            "crystals": self.crystals,
            "diffractograms": self.diffractograms,
            "rejected": len(self.rejections),
        }


@dataclass(frozen=True, slots=True)
class _Task:
    """A few consecutive rows of the table."""

    first: int
    rows: pd.DataFrame
    settings: SimulationSettings
    sizes: int
    seed: int


@dataclass(frozen=True, slots=True)
class _Block:
    """Diffractograms of a task."""

    rows: int
    patterns: NDArray[np.float32]
    samples: NDArray[Any]
    ids: list[str]
    rejections: list[Rejection]


def sample_id(source: str, name: str) -> str:
    """Return `source:name`, shortened to 64 bytes where needed with a hash that keeps it unique."""
    text = f"{source}:{name}"
    content = text.encode()
    if len(content) <= ID_BYTES:
        return text
    mark = "~" + hashlib.sha256(content).hexdigest()[:12]
    return content[: ID_BYTES - len(mark)].decode(errors="ignore") + mark


def _simulate(task: _Task, simulator: Simulator | None = None) -> _Block:
    """Simulate all rows of a task; runs in a worker process."""
    simulator = simulator or Simulator(task.settings)
    most = len(task.rows) * task.sizes
    patterns = np.zeros((most, task.settings.grid.n_points), dtype=np.float32)
    samples = np.zeros(most, dtype=SAMPLE_DTYPE)
    ids: list[str] = []
    rejections: list[Rejection] = []
    n = 0
    for offset, (_, entry) in enumerate(task.rows.iterrows()):
        row = task.first + offset
        try:
            crystal = crystal_of(entry)
            for size_number in range(task.sizes):
                identity = SampleIdentity(task.seed, 0, size_number, row)
                size = simulator.crystallite_size(identity)
                simulator.pattern(crystal, size, out=patterns[n + size_number])
                fill_record(samples[n + size_number], crystal, size, identity)
        except XrdError as error:
            rejections.append(
                Rejection(
                    row,
                    str(entry["source"]),
                    str(entry["id"]),
                    str(entry["formula"]),
                    int(entry["space_group"]),
                    " ".join(str(error).split()),
                )
            )
            continue
        ids += [sample_id(str(entry["source"]), str(entry["id"]))] * task.sizes
        n += task.sizes
    return _Block(len(task.rows), patterns[:n], samples[:n], ids, rejections)


def _run(tasks: Iterator[_Task], settings: SimulationSettings, workers: int) -> Iterator[_Block]:
    """Yield the blocks in the order of the tasks; only a few are in flight."""
    if workers <= 1:
        simulator = Simulator(settings)
        for task in tasks:
            yield _simulate(task, simulator)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        waiting: list[Future[_Block]] = []
        for task in tasks:
            waiting.append(pool.submit(_simulate, task))
            if len(waiting) >= 2 * workers:
                yield waiting.pop(0).result()
        for future in waiting:
            yield future.result()


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


def freeze_table(
    table_path: Path,
    out: Path,
    settings: SimulationSettings,
    *,
    sizes: int = 1,
    seed: int = 0,
    workers: int = 1,
    overwrite: bool = False,
) -> FreezeReport:
    """Simulate every structure of a table and keep the diffractograms as a fixed set.

    Args:
        table_path: structure table (parquet).
        out: folder to make.
        settings: grid, wavelength and range of crystallite sizes.
        sizes: diffractograms of each crystal, each with its own crystallite size.
        seed: of the crystallite sizes.
        workers: processes; 1 works in this one.
        overwrite: replace an existing fixed set.

    Raises:
        InputError: a table without rows or in which no row can be simulated, bad numbers, the place is taken.
        FormatError: the file is not a structure table.

    """
    if not 1 <= sizes <= MAX_SIZES:
        raise InputError(f"sizes {sizes}: give 1 to {MAX_SIZES} crystallite sizes a crystal")
    if not 0 <= seed < 2**64:
        raise InputError(f"seed {seed}: must be 0 to 2^64 - 1")
    if workers < 0:
        raise InputError(f"workers {workers}: must not be negative")
    check_writable(out, overwrite=overwrite)
    table = read_table(table_path)
    if table.empty:
        raise InputError(f"{table_path}: a table without structures; import some with `xrdgen structures import`")
    tasks = (
        _Task(first, table.iloc[first : first + ROWS_PER_TASK], settings, sizes, seed)
        for first in range(0, len(table), ROWS_PER_TASK)
    )
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
    report = FreezeReport()
    with (
        console.progress("simulating structures", len(table)) as advance,
        fixed_set_writer(out, settings.grid, attributes, overwrite=overwrite) as writer,
    ):
        for block in _run(tasks, settings, workers):
            writer.append(block.patterns, block.samples, block.ids)
            report.rejections += block.rejections
            report.crystals += block.rows - len(block.rejections)
            report.diffractograms += len(block.samples)
            advance(block.rows, f"{len(report.rejections)} rejected" if report.rejections else "")
        _write_rejections(rejected_path(out), report.rejections)
        if not report.crystals:
            raise InputError(
                f"{table_path}: none of {len(table)} structures can be simulated, the first one because: "
                f"{report.rejections[0].reason}"
            )
    return report

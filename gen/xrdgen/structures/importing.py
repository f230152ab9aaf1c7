"""`structures import`: plan, read in parallel, finalise. Finished parts are kept until the table is whole."""

from __future__ import annotations

import csv
import io
import os
import shutil
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xrdcommon.console import Advance
from xrdcommon.errors import InputError, Interrupted
from xrdcommon.files import canonical_hash, check_output, read_json, write_bytes, write_json

from xrdgen.structures.reading.remarks import doubtful_rows
from xrdgen.structures.rows import FULL
from xrdgen.structures.sources import Item, find_items, icsd_table
from xrdgen.structures.standardise import DEFAULT_SYMPREC
from xrdgen.structures.table import table_of, table_writer
from xrdgen.structures.tasks import load_part, run_task

if TYPE_CHECKING:
    import pandas as pd

CIFS_A_TASK = 128
PLAN_VERSION = 2
ICSD_SIZE = 272_000
"""CIF files of the ICSD export that the estimate is for."""
ENOUGH_FOR_ESTIMATE = 500
"""Entries that an estimate is made from; fewer tell the time to start, not to read."""


@dataclass(slots=True)
class ImportReport:
    """What became of the sources.

    Attributes:
        read: entries found (data blocks with atoms, rows of tables; unreadable files count as one).
        imported: rows of the table.
        rejected: entries left out; each is in the rejects file with its reason.
        published: imported entries whose source gives a space group.
        published_differs: those of them where spglib's is another.
        disordered: imported entries with mixed or partial occupancies.
        remarked: imported entries with remarks.
        doubtful: those of them that statistics, freeze and split leave out.
        seconds: wall time of this run.
        seconds_per_1000: processor time of one process for 1000 entries, s.
        estimated_hours: wall time that 272,000 CIFs would take with the workers of this run; None without CIFs.
        workers: processes.

    """

    read: int = 0
    imported: int = 0
    rejected: int = 0
    published: int = 0
    published_differs: int = 0
    disordered: int = 0
    remarked: int = 0
    doubtful: int = 0
    seconds: float = 0.0
    seconds_per_1000: float = 0.0
    estimated_hours: float | None = None
    workers: int = 1

    def to_dict(self) -> dict[str, Any]:
        """Return the figures for JSON."""
        return asdict(self)


def rejected_path(out: Path) -> Path:
    """Return where the entries left out are listed."""
    return out.with_suffix(".rejected.csv")


def parts_path(out: Path) -> Path:
    """Return the folder of the finished parts of an import that is under way."""
    return out.with_name(out.name + ".parts")


def import_structures(
    sources: Iterable[str | Path],
    out: Path,
    *,
    symprec: float = DEFAULT_SYMPREC,
    workers: int = 0,
    source_name: str = "",
    citation: str = "",
    advance: Advance | None = None,
) -> ImportReport:
    """Import structures into a table in the standard setting.

    Args:
        sources: CIF files, folders, zips, ICSD exports, tables, `embedded:amcsd`.
        out: table to write (parquet); `out` with .rejected.csv lists what was left out.
        symprec: tolerance of spglib, Å (tables with known symmetry do not need it).
        workers: processes; 0 takes all cores, 1 works in this one.
        source_name: name of the collection, for entries that do not say.
        citation: what to cite for these structures.
        advance: told of the entries read.

    Raises:
        MissingFileError, InputError, FormatError: nothing to read; the message names the source.
        Interrupted: stopped; the same command goes on where it was.

    """
    if not 0.0 < symprec <= 1.0:
        raise InputError(f"symprec {symprec}: must be above 0 and at most 1 Å")
    if workers < 0:
        raise InputError(f"workers {workers}: must not be negative")
    if out.is_dir():
        raise InputError(f"{out}: a folder; name the table to write, for example {out / 'structures.parquet'}")
    start = time.monotonic()
    sources = list(sources)
    check_output(out, [Path(source) for source in sources])
    items = find_items(sources, source_name)
    tasks = list(_tasks(items))
    parts = parts_path(out)
    _prepare(parts, canonical_hash([PLAN_VERSION, symprec, citation, FULL, [item.key() for item in items]]))
    files = [parts / f"{number:06d}.json" for number in range(len(tasks))]
    todo = [(task, file) for task, file in zip(tasks, files, strict=True) if not file.exists()]
    workers = max(1, min(workers or os.cpu_count() or 1, len(todo)))
    if advance is not None and len(todo) < len(tasks):
        advance(sum(load_part(file).read for file in files if file.exists()), "resumed")
    try:
        for n in _run(todo, symprec, citation, workers):
            if advance is not None:
                advance(n)
    except (KeyboardInterrupt, BrokenProcessPool) as stop:
        done = sum(file.exists() for file in files)
        why = "stopped" if isinstance(stop, KeyboardInterrupt) else "a worker process died (out of memory?)"
        raise Interrupted(f"{why} after {done} of {len(tasks)} parts; the same command goes on from there") from stop
    try:
        report = _finalise(files, items, out)
    except InputError:
        shutil.rmtree(parts)
        raise
    report.seconds = time.monotonic() - start
    report.workers = workers
    if report.estimated_hours is not None:
        report.estimated_hours /= workers
    shutil.rmtree(parts)
    return report


def _tasks(items: list[Item]) -> Iterator[list[Item]]:
    """Yield items in groups that take about as long."""
    group: list[Item] = []
    for item in items:
        if item.kind in ("cif", "zip"):
            group.append(item)
            if len(group) == CIFS_A_TASK:
                yield group
                group = []
        else:
            yield [item]
    if group:
        yield group


def _prepare(parts: Path, plan: str) -> None:
    """Make the folder of parts, or keep that of the same plan."""
    marker = parts / "plan.json"
    if parts.exists():
        if not marker.exists():
            raise InputError(f"{parts}: exists and is not of an import; move it away")
        if read_json(marker)["plan"] == plan:
            return
        shutil.rmtree(parts)  # other sources, or files that changed since
    parts.mkdir(parents=True)
    write_json(marker, {"plan": plan})


def _run(todo: list[tuple[list[Item], Path]], symprec: float, citation: str, workers: int) -> Iterator[int]:
    """Do the tasks; yield the number of entries of each as it ends."""
    if workers == 1:
        for items, file in todo:
            yield run_task(items, symprec, citation, file)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        waiting: set[Future[int]] = set()
        try:
            for items, file in todo:
                waiting.add(pool.submit(run_task, items, symprec, citation, file))
                if len(waiting) >= 3 * workers:
                    done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                    yield from (future.result() for future in done)
            while waiting:
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _finalise(files: list[Path], items: list[Item], out: Path) -> ImportReport:
    """Join the parts into the table and the list of rejects; a few parts are in memory at a time.

    Raises:
        InputError: no entry could be imported.

    """
    report = ImportReport()
    rejected: list[tuple[str, str, str]] = []
    codes: set[str] = set()
    seconds, cif_entries = 0.0, 0
    with table_writer(out) as writer:
        for file in files:
            part = load_part(file)
            report.read += part.read
            seconds += part.seconds
            cif_entries += part.cif_entries
            rejected += part.rejected
            codes.update(part.icsd_codes)
            if part.rows:
                rows = table_of(part.rows)
                _count(rows, report)
                writer.write(rows)
        for export in sorted({item.icsd for item in items if item.icsd}):
            for code in icsd_table(export):
                if code not in codes:
                    rejected.append((Path(export).name, code, "no CIF file begins with data_" + code + "-ICSD"))
                    report.read += 1
        _write_rejected(rejected_path(out), rejected)
        if not report.imported:
            file_name, entry, reason = rejected[0]
            raise InputError(
                f"none of {report.read} entries could be imported, the first ({file_name} {entry}) because: {reason}; "
                f"all are in {rejected_path(out)}"
            )
    report.rejected = len(rejected)
    report.seconds_per_1000 = 1000.0 * seconds / max(1, report.read)
    if cif_entries:
        report.estimated_hours = report.seconds_per_1000 * ICSD_SIZE / 1000.0 / 3600.0
    return report


def _count(rows: pd.DataFrame, report: ImportReport) -> None:
    """Add rows of the table to the figures of a report."""
    report.imported += len(rows)
    known = rows["space_group_published"].notna()
    report.published += int(known.sum())
    report.published_differs += int((rows["space_group_published"] != rows["space_group"])[known].sum())
    report.disordered += int((rows["mixed_occupancy"] | rows["partial_occupancy"]).sum())
    report.remarked += int(rows["remarks"].notna().sum())
    report.doubtful += int(doubtful_rows(rows).sum())


def _write_rejected(path: Path, rejected: list[tuple[str, str, str]]) -> None:
    """Write the list, empty as well: an older one would mislead."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["file", "entry", "reason"])
    writer.writerows(rejected)
    write_bytes(path, text.getvalue().encode())

"""What trainings have noted down as used."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from xrdcommon.errors import MissingFileError
from xrdcommon.files import read_json
from xrdcommon.spool.journal import read_lines
from xrdcommon.spool.layout import Layout


@dataclass(frozen=True, slots=True)
class Used:
    """A wholly used shard."""

    name: str
    rows: int
    run_id: str


def read_used(path: Path) -> Iterator[Used]:
    """Yield the wholly used shards of one run's file; entries behind those of a later epoch are void."""
    latest = 0
    for entry in read_lines(path):
        latest = max(latest, entry["epoch"])
        if "name" in entry and entry["epoch"] == latest:
            yield Used(entry["name"], entry["rows"], path.parent.name)


def all_used(layout: Layout) -> Iterator[Used]:
    """Yield the wholly used shards of all runs."""
    for folder in sorted(layout.consumers.iterdir()):
        yield from read_used(folder / "used.jsonl")


def partly_used(layout: Layout) -> Iterator[Used]:
    """Yield the used rows of shards that are not wholly used, over all runs."""
    for folder in sorted(layout.consumers.iterdir()):
        try:
            rows = read_json(folder / "coverage.json")["rows"]
        except MissingFileError:
            continue
        for name, used in rows.items():
            yield Used(name, used, folder.name)

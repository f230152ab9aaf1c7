"""Reading some items in one process: rows of the structure table, and what was left out with its reason."""

from __future__ import annotations

import json
import time
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xrdcommon.errors import InputError
from xrdcommon.files import write_bytes

from xrdgen.structures.cif import ENTRY_ERRORS, icsd_code, import_block
from xrdgen.structures.given import GIVEN_COLUMNS, import_given
from xrdgen.structures.reading.document import MAX_BYTES, Block, content_of, read_blocks
from xrdgen.structures.sources import TABLE_ROWS, Item, icsd_table
from xrdgen.structures.table import COLUMNS, crystal_of

if TYPE_CHECKING:
    import pandas as pd

OPTIONAL_GIVEN = ("source", "name", "reference", "sg_published", "structure_type", "collection_code", "citation")
REASON_LENGTH = 300
ZIP_ERRORS = (zipfile.BadZipFile, zlib.error, EOFError)
"""What a damaged member of a zip can raise besides."""


@dataclass(slots=True)
class Part:
    """Outcome of a task; `rows` as columns of the structure table, `rejected` as (file, entry, reason)."""

    read: int = 0
    cif_entries: int = 0
    seconds: float = 0.0
    rows: list[dict[str, Any]] = field(default_factory=list)
    rejected: list[tuple[str, str, str]] = field(default_factory=list)
    icsd_codes: list[str] = field(default_factory=list)

    @contextmanager
    def attempt(self, file: str, entry: str) -> Iterator[None]:
        """List an entry that cannot be read instead of stopping."""
        try:
            yield
        except (*ENTRY_ERRORS, *ZIP_ERRORS) as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            self.rejected.append((file, entry, reason[:REASON_LENGTH]))


def run_task(items: list[Item], symprec: float, citation: str, part_file: Path) -> int:
    """Read the items and write the part file atomically; return the number of entries read."""
    part = Part()
    start = time.process_time()
    for item in items:
        if item.kind in ("cif", "zip"):
            _read_cif(item, symprec, citation, part)
        else:
            _read_table(item, citation, part)
    part.seconds = time.process_time() - start
    write_bytes(part_file, json.dumps(asdict(part)).encode())
    return part.read


def load_part(part_file: Path) -> Part:
    """Return what a task wrote."""
    part = Part(**json.loads(part_file.read_bytes()))
    part.rejected = [(file, entry, reason) for file, entry, reason in part.rejected]
    return part


def _content_of(item: Item) -> bytes:
    """Return the bytes of a CIF, at most the limit and one."""
    if item.kind != "zip":
        return content_of(Path(item.path))
    with _archive(item.path).open(item.member) as stream:
        return stream.read(MAX_BYTES + 1)


@lru_cache(maxsize=1)
def _archive(path: str) -> zipfile.ZipFile:
    """Return an open zip; kept for the next member, since its list of members is long to read."""
    return zipfile.ZipFile(path)


def _read_cif(item: Item, symprec: float, citation: str, part: Part) -> None:
    """Read all entries of a CIF."""
    blocks: list[Block] = []
    with part.attempt(item.name, ""):
        blocks = read_blocks(_content_of(item))
    part.read += max(1, len(blocks))
    part.cif_entries += max(1, len(blocks))
    names = Counter(block.name for block in blocks)
    for number, block in enumerate(blocks, start=1):
        unique = block.name if names[block.name] == 1 else f"{block.name}-{number}"
        known: dict[str, Any] = {
            "source": item.source,
            "id": item.name if len(blocks) == 1 else f"{item.name}#{unique}",
            "citation": citation or None,
        }
        code = icsd_code(block)
        if code is not None:
            known |= {"source": "ICSD", "id": code, "collection_code": code}
            part.icsd_codes.append(code)
        with part.attempt(item.name, block.name):
            if item.icsd:
                if code is None:
                    raise InputError("part of an ICSD export, but its first line is not data_<code>-ICSD")
                row = icsd_table(item.icsd).get(code)
                if row is None:
                    raise InputError(f"collection code {code} is not in {Path(item.icsd).name}")
                known["structure_type"] = row["StructureType"].strip() or None
            part.rows.append(import_block(block, symprec, **known))


def _read_table(item: Item, citation: str, part: Part) -> None:
    """Read some rows of a table."""
    frame = _frame(item.path, item.kind).iloc[item.first : item.first + TABLE_ROWS]
    part.read += len(frame)
    for record in frame.astype(object).where(frame.notna(), None).to_dict("records"):
        with part.attempt(item.name, str(record["id"])):
            if item.kind == "table":
                row = {str(name): value for name, value in record.items()}
                crystal_of(row)
            else:
                row = import_given({str(name): value for name, value in record.items()}, item.source)
            if citation:
                row["citation"] = citation
            part.rows.append(row)


@lru_cache(maxsize=1)
def _frame(path: str, kind: str) -> pd.DataFrame:
    """Return the columns of a table that are read; kept for the next slice."""
    import pandas as pd
    import pyarrow.parquet as pq

    columns = pq.read_schema(path).names
    names = COLUMNS if kind == "table" else (*GIVEN_COLUMNS, *OPTIONAL_GIVEN)
    wanted = [name for name in names if name in columns]
    frame: pd.DataFrame = pd.read_parquet(path, columns=list(wanted))
    return frame

"""What `structures import` can read: a list of items, found before anything is read.

CIF files, folders and zips of them, an ICSD export (CSV plus CIFs), tables with known symmetry, structure tables.
"""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from xrdcommon.errors import FormatError, InputError

from xrdgen.embedded import PREFIX, resolve
from xrdgen.structures.given import GIVEN_COLUMNS
from xrdgen.structures.table import NEEDED_COLUMNS

CIF_SUFFIXES = (".cif", ".mcif")
ICSD_COLUMNS = (
    "CollectionCode",
    "HMS",
    "StructuredFormula",
    "SumFormula",
    "StructureType",
    "StandardisedCellParameter",
    "RValue",
)
TABLE_ROWS = 512
"""Rows of a table that make one item."""


@dataclass(frozen=True, slots=True)
class Item:
    """Something to read.

    Attributes:
        kind: cif, zip (one member), given (rows of a table with known symmetry), table (rows of a structure table).
        path: file.
        name: what it is called in lists: path below the source, or name of the member.
        source: name of the collection where the entries do not say.
        first: first row of a table.
        icsd: CSV of the ICSD export that it belongs to, if any.
        member: of a zip.

    """

    kind: str
    path: str
    name: str
    source: str
    first: int = 0
    icsd: str = ""
    member: str = ""

    def key(self) -> list[str | int]:
        """Return what identifies the item and the state of its file."""
        status = Path(self.path).stat()
        return [self.kind, self.path, self.name, self.source, self.first, self.icsd, status.st_size, status.st_mtime_ns]


def find_items(sources: Iterable[str | Path], source_name: str = "") -> list[Item]:
    """Return all items of the sources, in a fixed order.

    Args:
        sources: files, folders, or `embedded:NAME`.
        source_name: name of the collection; without it that of the file or folder.

    Raises:
        MissingFileError: a source does not exist.
        InputError: a source holds nothing to read.
        FormatError: a table without a needed column, a damaged zip.

    """
    items: list[Item] = []
    for source in sources:
        path = resolve(source)
        name = source_name or (str(source)[len(PREFIX) :] if str(source).startswith(PREFIX) else path.stem or str(path))
        found = list(_items_of(path, name))
        if not found:
            what = "folder without CIF files" if path.is_dir() else "holds no CIF file"
            raise InputError(f"{path}: {what}; give CIF files, zips or folders of them, an ICSD export or tables")
        items += found
    if not items:
        raise InputError("nothing to import; give CIF files, zips or folders of them, an ICSD export or tables")
    return items


def _items_of(path: Path, name: str) -> Iterator[Item]:
    """Yield the items of one source."""
    if path.is_dir():
        exports = [file for file in sorted(path.glob("*.csv")) if is_icsd_csv(file)]
        if len(exports) > 1:
            raise InputError(f"{path}: several ICSD exports ({', '.join(e.name for e in exports)}); name one of them")
        yield from _folder(path, name, str(exports[0]) if exports else "")
    elif not path.is_file():
        raise InputError(f"{path}: neither a file nor a folder")
    elif path.suffix.lower() in CIF_SUFFIXES:
        yield Item("cif", str(path), path.name, name)
    elif path.suffix.lower() == ".zip":
        yield from _zip(path, path.name, name)
    elif path.suffix.lower() == ".parquet":
        yield from _table(path, name)
    elif path.suffix.lower() == ".csv":
        icsd_table(str(path))
        items = list(_folder(path.parent, name, str(path)))
        if not items:
            raise InputError(f"{path}: no CIF files beside this ICSD export; put its CIF folder there")
        yield from items
    else:
        raise InputError(f"{path}: neither CIF, zip, ICSD export (CSV), parquet table nor folder")


def _folder(folder: Path, name: str, icsd: str) -> Iterator[Item]:
    """Yield CIFs and members of zips below a folder."""
    for file in sorted(folder.rglob("*")):
        relative = str(file.relative_to(folder))
        if file.suffix.lower() in CIF_SUFFIXES and file.is_file():
            yield Item("cif", str(file), relative, name, icsd=icsd)
        elif file.suffix.lower() == ".zip" and file.is_file():
            yield from _zip(file, relative, name, icsd)


def _zip(path: Path, shown: str, name: str, icsd: str = "") -> Iterator[Item]:
    """Yield the CIFs in a zip."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = sorted(archive.namelist())
    except zipfile.BadZipFile as error:
        raise FormatError(f"{path}: damaged zip ({error})") from error
    for member in members:
        if member.lower().endswith(CIF_SUFFIXES) and not member.startswith("__MACOSX/"):
            yield Item("zip", str(path), f"{shown}/{member}", name, icsd=icsd, member=member)


def _table(path: Path, name: str) -> Iterator[Item]:
    """Yield slices of a table."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
    except pa.ArrowException as error:
        raise FormatError(f"{path}: not a parquet file ({' '.join(str(error).split())})") from error
    columns = file.schema_arrow.names
    kind = "table" if "wyckoff_key" in columns and "space_group" in columns else "given"
    needed = NEEDED_COLUMNS if kind == "table" else GIVEN_COLUMNS
    missing = [column for column in needed if column not in columns]
    if missing:
        raise FormatError(
            f"{path}: column{'s' if len(missing) > 1 else ''} {', '.join(missing)} missing; a table to import has "
            f"{', '.join(GIVEN_COLUMNS)}"
        )
    for first in range(0, file.metadata.num_rows, TABLE_ROWS):
        yield Item(kind, str(path), path.name, name, first)


def is_icsd_csv(path: Path) -> bool:
    """Return whether a CSV is an ICSD export: one line to skip, then a header with the collection code."""
    with path.open(encoding="utf-8", errors="replace") as stream:
        lines = [stream.readline() for _ in range(2)]
    return "CollectionCode" in lines[1]


@cache
def icsd_table(path: str) -> dict[str, dict[str, str]]:
    """Return the rows of an ICSD export by collection code.

    Raises:
        FormatError: a column is missing.

    """
    with Path(path).open(newline="", encoding="utf-8", errors="replace") as stream:
        stream.readline()
        start = stream.tell()
        delimiter = max(",;\t", key=stream.readline().count)
        stream.seek(start)
        reader = csv.DictReader(stream, delimiter=delimiter)
        missing = [column for column in ICSD_COLUMNS if column not in (reader.fieldnames or ())]
        if missing:
            raise FormatError(
                f"{path}: column{'s' if len(missing) > 1 else ''} {', '.join(missing)} missing on line 2; an ICSD "
                f"export has one line to skip and then {', '.join(ICSD_COLUMNS)}"
            )
        return {row["CollectionCode"].strip(): row for row in reader if row["CollectionCode"]}

"""The structure table: one row a structure, in the project's standard setting (parquet).

`sites` is a JSON list of the asymmetric unit: `species` {element: occupancy}, `letter` and `multiplicity` of the
Wyckoff position, `x` fractional coordinates, idealised onto the position; `b_iso` {element: Å^2} where the source gives
displacement parameters (nothing uses them unless asked).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from xrdcommon.errors import FormatError, InputError, MissingFileError
from xrdcommon.files import atomic_writer
from xrdcommon.space_groups import N_GROUPS

from xrdgen.crystal import Crystal
from xrdgen.elements import atomic_number
from xrdgen.symmetry.wyckoff import letter_index

if TYPE_CHECKING:
    import pandas as pd

FORMAT_VERSION = 1
ROW_GROUP = 16_384
"""Rows that are written, and in memory, at a time."""
_METADATA_KEY = b"xrdstream_structures"

COLUMNS = (
    "source",  # collection: AMCSD, MP, ICSD or the name of the file read
    "id",  # name of the entry within the collection
    "formula",  # content of the conventional cell
    "space_group",
    "space_group_published",  # nullable
    "hall_number",  # standard setting of the group
    "a",
    "b",
    "c",
    "alpha",
    "beta",
    "gamma",
    "volume",  # Å^3
    "n_atoms",  # positions in the conventional cell
    "n_sites",
    "n_elements",
    "sites",
    "prototype",  # AFLOW-style label
    "prototype_iso",  # the same whichever species is called A
    "wyckoff_key",  # space group and Wyckoff letters, species ignored
    "structure_type",  # ICSD; nullable
    "collection_code",  # ICSD; nullable
    "name",  # of the mineral; nullable
    "reference",  # nullable
    "citation",  # of the collection; nullable
    "mixed_occupancy",  # several species on one position
    "partial_occupancy",  # a position less than full
    "over_occupancy",  # a position more than full
    "symprec",  # Å, of the symmetry search; nullable (the group was given)
    "remarks",  # of the reader, see `reading.remarks`; nullable
)
"""Columns of a table that `structures import` writes."""

NEEDED_COLUMNS = tuple(name for name in COLUMNS if name != "remarks")
"""Columns that a structure table to import must have."""

CELL_COLUMNS = ("a", "b", "c", "alpha", "beta", "gamma")
_OPTIONAL = ("citation", "reference", "symprec", "n_elements", "remarks")
"""Columns that older tables do not have."""


def read_table(path: Path | str, *, any_group: bool = False) -> pd.DataFrame:
    """Read a structure table; `embedded:amcsd` names the one shipped with the package.

    Args:
        path: of the table.
        any_group: take rows whose space group is missing or none, too; `crystal_of` refuses each of them.

    Raises:
        MissingFileError: there is no such file.
        FormatError: not a table of this kind; the message names the columns it lacks, or the first row whose space
            group is none.

    """
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

    from xrdgen.embedded import resolve

    file = resolve(path)
    if file.is_dir():
        raise FormatError(f"{file}: a folder; expected a structure table (parquet) as `structures import` writes")
    try:
        schema = pq.read_schema(file)
    except FileNotFoundError as error:
        raise MissingFileError(f"{file}: no such file") from error
    except pa.ArrowException as error:
        raise FormatError(f"{file}: not a parquet file; make one with `xrdgen structures import`") from error
    version = (schema.metadata or {}).get(_METADATA_KEY)
    if version is not None and int(version) != FORMAT_VERSION:
        raise FormatError(
            f"{file}: structure table of format {int(version)}, this version reads {FORMAT_VERSION}; import it again"
        )
    missing = [name for name in COLUMNS if name not in schema.names and name not in _OPTIONAL]
    if missing:
        raise FormatError(
            f"{file}: column{'s' if len(missing) > 1 else ''} {', '.join(missing)} missing; "
            "make a structure table with `xrdgen structures import`"
        )
    table = _typed(pd.read_parquet(file))
    if not any_group:
        _check_groups(file, table)
    if "remarks" not in table:
        table["remarks"] = None
    return table.astype({"remarks": table["id"].dtype})


def _check_groups(file: Path, table: pd.DataFrame) -> None:
    """Refuse rows whose space group is none.

    Raises:
        FormatError: missing, not a whole number, or outside 1 to 230; the message names the first such row.

    """
    import pandas as pd

    found = pd.to_numeric(table["space_group"], errors="coerce").astype("float64")
    wrong = np.flatnonzero(~(found.between(1, N_GROUPS) & (found % 1 == 0)).to_numpy())
    if len(wrong):
        row = int(wrong[0])
        raise FormatError(
            f"{file}, row {row} ({table['id'].iloc[row]}): space group {table['space_group'].iloc[row]} is not one of "
            f"1 to {N_GROUPS}{f' (as in {len(wrong) - 1} more rows)' if len(wrong) > 1 else ''}; import the structures "
            "again, or remove what is wrong"
        )


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a structure table atomically; the same rows give the same bytes."""
    with table_writer(path) as writer:
        writer.write(table)


class TableWriter:
    """Writes a structure table in portions; see `table_writer`."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._writer: Any = None
        self._waiting: list[pd.DataFrame] = []
        self._n = 0

    def write(self, table: pd.DataFrame) -> None:
        """Add rows; they are written when there are enough for a row group."""
        self._waiting.append(table)
        self._n += len(table)
        if self._n >= ROW_GROUP:
            self.flush()

    def flush(self) -> None:
        """Write the rows that wait."""
        import pandas as pd
        import pyarrow as pa
        import pyarrow.parquet as pq

        if not self._waiting:
            return
        arrow = pa.Table.from_pandas(_typed(pd.concat(self._waiting, ignore_index=True)), preserve_index=False)
        arrow = arrow.replace_schema_metadata({_METADATA_KEY: str(FORMAT_VERSION)})
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._stream, arrow.schema, compression="zstd", compression_level=9)
        self._writer.write_table(arrow.cast(self._writer.schema))
        self._waiting, self._n = [], 0

    def close(self) -> None:
        """Write what waits and the end of the file."""
        self.flush()
        if self._writer is not None:
            self._writer.close()


@contextmanager
def table_writer(path: Path) -> Iterator[TableWriter]:
    """Write a structure table in portions; it appears under `path` when the block ends without an error."""
    with atomic_writer(path) as stream:
        writer = TableWriter(stream)
        yield writer
        writer.close()


def _typed(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table whose whole numbers that may be missing are not floats."""
    return table.astype({"space_group_published": "Int64"})


def table_of(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Return rows as a table with every column of `COLUMNS`, in their types."""
    import pandas as pd

    types = dict.fromkeys(COLUMNS, "string")
    types |= dict.fromkeys((*CELL_COLUMNS, "volume", "symprec"), "Float64")
    types |= dict.fromkeys(("space_group", "hall_number", "n_atoms", "n_sites", "n_elements"), "int64")
    types |= {"space_group_published": "Int64"}
    types |= dict.fromkeys(("mixed_occupancy", "partial_occupancy", "over_occupancy"), "bool")
    types |= dict.fromkeys((*CELL_COLUMNS, "volume"), "float64")
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    return frame.astype(types)


def crystal_of(row: Any) -> Crystal:
    """Return the crystal of a row of a structure table.

    Args:
        row: mapping with the columns `space_group`, cell parameters and `sites` (a row of the data frame).

    Raises:
        InputError: the row's sites cannot be read.

    """
    group = row["space_group"]
    if not isinstance(group, int | float | np.integer | np.floating) or group % 1 != 0:
        raise InputError(f"structure {row.get('id', '?')}: space group {group}: must be 1 to {N_GROUPS}")
    try:
        sites = json.loads(row["sites"])
        records = [
            (site["x"], atomic_number(element), occupancy, letter_index(site["letter"]), number)
            for number, site in enumerate(sites)
            for element, occupancy in site["species"].items()
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"structure {row.get('id', '?')}: column sites cannot be read ({error})") from error
    if not records:
        raise InputError(f"structure {row.get('id', '?')}: no sites")
    positions, elements, occupancies, letters, site_numbers = zip(*records, strict=True)
    return Crystal(
        space_group=int(group),
        cell=np.array([row[name] for name in CELL_COLUMNS], dtype=np.float64),
        positions=np.array(positions, dtype=np.float64),
        atomic_numbers=np.array(elements, dtype=np.int64),
        occupancies=np.array(occupancies, dtype=np.float64),
        letters=np.array(letters, dtype=np.int64),
        sites=np.array(site_numbers, dtype=np.int64),
    )


def citations(table: pd.DataFrame) -> list[str]:
    """Return what to cite for the rows of a table, in alphabetical order."""
    if "citation" not in table:
        return []
    return sorted(str(text) for text in table["citation"].dropna().unique())


def is_licensed(source: str) -> bool:
    """Return whether entries of a collection must not be passed on (ICSD and other licensed databases)."""
    return re.search(r"icsd|csd|pearson|pauling|pdf-[24]", source.lower().replace("amcsd", "")) is not None

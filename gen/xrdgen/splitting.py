"""`structures split`: training and test part of structure tables, and what the two parts still share."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from xrdcommon.errors import InputError
from xrdcommon.files import check_output, sha256_file, write_json
from xrdcommon.space_groups import N_GROUPS

from xrdgen.embedded import resolve
from xrdgen.structures.families import components, family_keys, records
from xrdgen.structures.reading.remarks import doubtful_rows
from xrdgen.structures.table import read_table, write_table

if TYPE_CHECKING:
    import pandas as pd

    from xrdgen.statistics.model import Statistics


class SplitBy(StrEnum):
    """The unit that stays whole."""

    STRUCTURE_TYPE = "structure-type"
    RANDOM = "random"
    PROTOTYPE = "prototype"
    UNSEEN = "unseen"


@dataclass(frozen=True, slots=True)
class SplitReport:
    """How a table was parted.

    Attributes:
        by: unit of the split.
        seed, test_fraction: of the draw; None where nothing is drawn.
        units, test_units: numbers of units.
        train, test: numbers of structures.
        doubtful: structures in neither part, since their remarks say that they are doubtful.
        shared: per kind of name, how many of them both parts contain, and in how many test structures.

    """

    by: str
    seed: int | None
    test_fraction: float | None
    units: int
    test_units: int
    train: int
    test: int
    shared: dict[str, dict[str, int]]
    doubtful: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return the report for JSON."""
        return asdict(self)


def units_of(table: pd.DataFrame, by: SplitBy) -> NDArray[np.int64]:
    """Return the number of the unit of every row, (N,)."""
    rows = records(table)
    if by == SplitBy.RANDOM:
        return components([f"{number:09d}"] for number in range(len(rows)))
    if by == SplitBy.PROTOTYPE:
        return components([str(row["prototype_iso"])] for row in rows)
    return components(family_keys(row) for row in rows)


def draw_test(
    units: NDArray[np.int64], groups: NDArray[np.int64], test_fraction: float, seed: int
) -> NDArray[np.bool_]:
    """Return which rows are in the test part; units stay whole and both parts keep their share of every space group.

    In each space group units are drawn, every structure with the same chance to bring its unit in, until the fraction
    is reached of the group's units or of its structures; a unit too large for what is left is passed over. Families
    differ in size by three orders of magnitude: drawn regardless of group and size, a single one decides whether a
    common group is all in one part (Pnma: one family holds 3,162 of 3,494 structures).

    Args:
        units: (N,) number of the unit of every row.
        groups: (N,) space-group number of every row; a unit of several groups counts in its most frequent one.
        test_fraction: largest fraction of every group's units (rounded) and structures.
        seed: of the draw.

    Raises:
        InputError: a fraction outside (0, 1), or too few units for two parts.

    """
    if not 0.0 < test_fraction < 1.0:
        raise InputError(f"test fraction {test_fraction}: must be between 0 and 1")
    if seed < 0:
        raise InputError(f"seed {seed}: must not be negative")
    n_units = int(units.max(initial=-1)) + 1
    sizes = np.bincount(units, minlength=n_units)
    counts = np.zeros((n_units, N_GROUPS + 1), dtype=np.int64)
    np.add.at(counts, (units, groups), 1)
    group_of_unit = counts.argmax(axis=1)
    # chances proportional to size, without replacement (Efraimidis & Spirakis, Inf. Process. Lett. 97 (2006) 181)
    order = np.argsort(np.random.default_rng(seed).standard_exponential(n_units) / sizes, kind="stable")
    in_test = np.zeros(n_units, dtype=np.bool_)
    for group in np.unique(group_of_unit):
        candidates = order[group_of_unit[order] == group]
        room = test_fraction * sizes[candidates].sum() + 1e-9
        wanted = round(test_fraction * len(candidates))
        for unit in candidates:
            if wanted and sizes[unit] <= room:
                in_test[unit] = True
                room -= sizes[unit]
                wanted -= 1
    if not in_test.any() or in_test.all():
        raise InputError(
            f"{n_units} units cannot be parted {1 - test_fraction:g} to {test_fraction:g}: one part would be empty; "
            "take more structures or another fraction"
        )
    return in_test[units]


def unseen(table: pd.DataFrame, statistics: Statistics) -> NDArray[np.bool_]:
    """Return which rows belong to families that the statistics have not seen.

    A family is seen if any key of any of its structures in the table is among the statistics' hashes.

    Raises:
        InputError: the statistics do not say which families they have seen.

    """
    from xrdgen.statistics.provenance import family_hash

    seen_hashes = statistics.family_hashes
    if not seen_hashes:
        raise InputError("statistics without hashes of the families seen; build them with `xrdgen statistics build`")
    keys = [family_keys(row) for row in records(table)]
    units = components(keys)
    salt = statistics.family_salt
    seen = np.zeros(int(units.max(initial=-1)) + 1, dtype=np.bool_)
    for unit, row_keys in zip(units, keys, strict=True):
        if not seen[unit]:
            seen[unit] = any(family_hash(key, salt) in seen_hashes for key in row_keys)
    return ~seen[units]


def shared_names(table: pd.DataFrame, is_test: NDArray[np.bool_]) -> dict[str, dict[str, int]]:
    """Return how many names of each kind are in both parts, and how many test structures bear one of them."""
    rows = records(table)
    columns = {
        "wyckoff_keys": [row["wyckoff_key"] for row in rows],
        "names": [row["name"] for row in rows],
        "names_and_groups": [None if row["name"] is None else (row["name"], row["space_group"]) for row in rows],
        "prototypes": [row["prototype_iso"] for row in rows],
        "structure_types": [row["structure_type"] for row in rows],
    }
    result = {}
    for kind, values in columns.items():
        parts = [
            {value for value, test in zip(values, is_test, strict=True) if value is not None and test == part}
            for part in (False, True)
        ]
        both = parts[0] & parts[1]
        n_test = sum(bool(test) and value in both for value, test in zip(values, is_test, strict=True))
        result[kind] = {"train": len(parts[0]), "test": len(parts[1]), "both": len(both), "test_structures": n_test}
    return result


def split_tables(
    paths: Iterable[str | Path],
    out: Path,
    *,
    by: SplitBy = SplitBy.STRUCTURE_TYPE,
    test_fraction: float = 0.3,
    seed: int = 0,
    statistics: str | Path | None = None,
) -> SplitReport:
    """Part structure tables; write train.parquet, test.parquet and split.json into a folder.

    Args:
        paths: structure tables; the split is of their union.
        out: folder.
        by: the unit that stays whole; `unseen` draws nothing and puts unseen families into the test part.
        test_fraction: of the units of every space group (see `draw_test`).
        seed: of the draw.
        statistics: for `unseen`.

    Raises:
        InputError: a wrong value, or a part that would be empty.

    """
    import pandas as pd

    from xrdgen.statistics.model import Statistics

    sources = [resolve(path) for path in paths]
    if not sources:
        raise InputError("no structure table given")
    if (statistics is None) == (by == SplitBy.UNSEEN):
        raise InputError("--by unseen and --statistics FILE belong together")
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: a file; --out names the folder for train.parquet and test.parquet")
    for part in ("train.parquet", "test.parquet"):
        check_output(out / part, sources)
    table = pd.concat([read_table(path) for path in sources], ignore_index=True)
    doubtful = doubtful_rows(table)
    table = table[~doubtful].reset_index(drop=True)
    if statistics is not None:
        is_test = unseen(table, Statistics.load(statistics))
        units = units_of(table, SplitBy.STRUCTURE_TYPE)
    else:
        units = units_of(table, by)
        is_test = draw_test(units, table["space_group"].to_numpy(np.int64), test_fraction, seed)
    report = SplitReport(
        by=by.value,
        seed=None if by == SplitBy.UNSEEN else seed,
        test_fraction=None if by == SplitBy.UNSEEN else test_fraction,
        units=len(np.unique(units)),
        test_units=len(np.unique(units[is_test])),
        train=int((~is_test).sum()),
        test=int(is_test.sum()),
        shared=shared_names(table, is_test),
        doubtful=int(doubtful.sum()),
    )
    write_table(out / "train.parquet", table[~is_test].reset_index(drop=True))
    write_table(out / "test.parquet", table[is_test].reset_index(drop=True))
    inputs = [{"file": path.name, "sha256": sha256_file(path)} for path in sources]
    if statistics is not None:
        inputs.append({"file": Path(statistics).name, "sha256": sha256_file(resolve(statistics))})
    write_json(out / "split.json", {**report.to_dict(), "inputs": inputs})
    return report

"""Counting in structure tables (paper, S1).

A mixed site counts as its majority species with full occupancy, since generated crystals have no partial occupancy;
V_atomic is that of such a crystal. Structures with vacancies do not enter the pairs of V_atomic and density factor.

# G = 230 groups    S sites of a structure    E elements of a structure
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from xrdcommon.errors import InputError
from xrdcommon.fields import N_ELEMENTS
from xrdcommon.files import sha256_file
from xrdcommon.space_groups import N_GROUPS, crystal_system

from xrdgen.elements import atomic_number, element_table
from xrdgen.embedded import resolve
from xrdgen.statistics.model import N_LETTERS, Statistics, add_sparse, group_support
from xrdgen.statistics.provenance import family_record
from xrdgen.structures.families import all_keys, records
from xrdgen.structures.reading.remarks import doubtful_rows
from xrdgen.structures.table import CELL_COLUMNS, citations, is_licensed, read_table
from xrdgen.symmetry.wyckoff import letter_index

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class Filters:
    """Which structures count.

    Attributes:
        max_volume: structures at or above this volume of the conventional cell are left out, Å^3.
        max_sites: structures with more sites are left out.
        full_occupancy: a structure with a site below this total occupancy gives no density factor.

    """

    max_volume: float = 7000.0
    max_sites: int = 99
    full_occupancy: float = 0.99

    def __post_init__(self) -> None:
        if not self.max_volume > 0.0:
            raise InputError(f"max_volume {self.max_volume}: must be positive, in Å^3")
        if self.max_sites < 1:
            raise InputError(f"max_sites {self.max_sites}: must be at least 1")


@dataclass(frozen=True, slots=True)
class _Counted:
    """What one structure adds: group, sites as (Z, letter index), atoms in the cell, pair or None, lattice or None."""

    group: int
    sites: list[tuple[int, int]]
    atoms: int
    pair: tuple[float, float] | None
    lattice: NDArray[np.float64] | None


def majority(species: Mapping[str, float]) -> int:
    """Return Z of the species with the largest occupancy; the lightest of equals."""
    return min((-occupancy, atomic_number(element)) for element, occupancy in species.items())[1]


def _count(row: Mapping[str, Any], filters: Filters) -> _Counted | str:
    """Return what a structure adds, or why it is left out."""
    sites = json.loads(row["sites"])
    volume, group = float(row["volume"]), int(row["space_group"])
    if volume >= filters.max_volume:
        return "volume"
    if len(sites) > filters.max_sites:
        return "sites"
    atomic_volume = element_table().atomic_volume
    occupied = [(majority(site["species"]), letter_index(site["letter"])) for site in sites]
    v_atomic = sum(float(atomic_volume[z]) * site["multiplicity"] for (z, _), site in zip(occupied, sites, strict=True))
    if not np.isfinite(v_atomic):
        return "element without radii"
    full = all(sum(site["species"].values()) >= filters.full_occupancy for site in sites)
    lattice = None
    if crystal_system(group) != "cubic":  # nothing is free in a cubic lattice of unit volume
        lattice = np.array([row[name] for name in CELL_COLUMNS], dtype=np.float64)
        lattice[:3] /= np.cbrt(volume)
        lattice = np.round(lattice, 6)
    pair = (round(v_atomic, 4), round(volume / v_atomic, 6)) if full else None
    return _Counted(group, occupied, sum(int(site["multiplicity"]) for site in sites), pair, lattice)


def count_structures(table: pd.DataFrame, filters: Filters, seed: int = 0) -> Statistics:
    """Count in a structure table; the header holds the counts per source and the families only.

    Args:
        table: structures in the standard setting.
        filters: which of them count.
        seed: of the order of the support points.

    """
    counts: dict[str, Counter[str]] = {}
    counted: list[_Counted] = []
    columns = ["source", "space_group", "volume", "sites", *CELL_COLUMNS]
    doubtful = doubtful_rows(table)
    for row, in_doubt in zip(table[columns].to_dict("records"), doubtful, strict=True):
        tally = counts.setdefault(str(row["source"]), Counter())
        tally["structures"] += 1
        if in_doubt:
            tally["left out: doubtful"] += 1
            continue
        outcome = _count({str(name): value for name, value in row.items()}, filters)
        if isinstance(outcome, str):
            tally[f"left out: {outcome}"] += 1
            continue
        tally["counted"] += 1
        tally["with density factor"] += outcome.pair is not None
        counted.append(outcome)
    header: dict[str, Any] = {
        "sources": sorted(counts),
        "counts": {source: dict(sorted(tally.items())) for source, tally in sorted(counts.items())},
        # families of every structure of the tables, left out or not: a test set must not know them
        "families": family_record(key for row in records(table) for key in all_keys(row)),
    }
    return _assemble(counted, header, seed)


JOINT = {"element_repetitions": 3, "site_letters": 3, "n_sites": 2, "n_atoms": 2}
"""Joint counts of the statistics and how many columns name a combination."""


def _sparse(counter: Counter[tuple[int, ...]], columns: int) -> NDArray[np.int64]:
    """Return counted combinations as rows (J, columns + 1) in ascending order."""
    rows = [(*combination, n) for combination, n in counter.items()]
    return add_sparse(np.array(rows, dtype=np.int64).reshape(-1, columns + 1))


def _assemble(counted: list[_Counted], header: dict[str, Any], seed: int) -> Statistics:
    """Put the counts into arrays and shuffle the support points."""
    per_structure = [Counter(z for z, _ in item.sites) for item in counted]
    widest = max((len(elements) for elements in per_structure), default=0)
    most = max((n for elements in per_structure for n in elements.values()), default=0)
    n_structures = np.zeros(N_GROUPS, dtype=np.int64)
    n_elements = np.zeros((N_GROUPS, widest + 1), dtype=np.int64)
    elements_of = np.zeros((N_GROUPS, N_ELEMENTS), dtype=np.int64)
    repetitions = np.zeros((N_GROUPS, most + 1), dtype=np.int64)
    wyckoff = np.zeros((N_GROUPS, N_LETTERS), dtype=np.int64)
    joint: dict[str, Counter[tuple[int, ...]]] = {name: Counter() for name in JOINT}
    for item, elements in zip(counted, per_structure, strict=True):
        row = item.group - 1
        joint["n_sites"][item.group, len(item.sites)] += 1
        joint["n_atoms"][item.group, item.atoms] += 1
        n_structures[row] += 1
        n_elements[row, len(elements)] += 1
        for z, n in elements.items():
            elements_of[row, z - 1] += 1
            repetitions[row, n] += 1
            joint["element_repetitions"][item.group, z, n] += 1
        for _, letter in item.sites:
            wyckoff[row, letter] += 1
            joint["site_letters"][item.group, len(item.sites), letter] += 1
    rng = np.random.default_rng(seed)
    pairs = [(item.group - 1, item.pair) for item in counted if item.pair is not None]
    volume_start, support = group_support(
        np.array([row for row, _ in pairs], dtype=np.int64),
        np.array([pair for _, pair in pairs], dtype=np.float64).reshape(-1, 2),
        N_GROUPS,
        rng,
    )
    lattices = [(item.group - 1, item.lattice) for item in counted if item.lattice is not None]
    lattice_start, lattice = group_support(
        np.array([row for row, _ in lattices], dtype=np.int64),
        np.array([values for _, values in lattices], dtype=np.float64).reshape(-1, 6),
        N_GROUPS,
        rng,
    )
    return Statistics(
        n_structures=n_structures,
        n_elements=n_elements,
        elements=elements_of,
        repetitions=repetitions,
        wyckoff=wyckoff,
        **{name: _sparse(joint[name], columns) for name, columns in JOINT.items()},
        volume_start=volume_start,
        v_atomic=np.ascontiguousarray(support[:, 0]),
        density_factor=np.ascontiguousarray(support[:, 1]),
        lattice_start=lattice_start,
        lattice=lattice,
        header=header,
    )


def build_statistics(
    paths: Iterable[str | Path],
    *,
    filters: Filters | None = None,
    merge: Iterable[str | Path] = (),
    name: str = "",
    citation: str = "",
    seed: int = 0,
) -> Statistics:
    """Build statistics from structure tables.

    Args:
        paths: structure tables, as a rule training parts.
        filters: which structures count.
        merge: further statistics files to add.
        name: of the statistics.
        citation: what to cite, besides what the tables say.
        seed: of the order of the support points.

    Raises:
        InputError: no structure counts.
        FormatError: not structure tables, or other statistics of another format.

    """
    import pandas as pd

    if seed < 0:
        raise InputError(f"seed {seed}: must not be negative")
    sources = [resolve(path) for path in paths]
    others = [Statistics.load(path) for path in merge]
    if not sources and len(others) < 2:
        raise InputError("nothing to count; give structure tables, or two statistics to merge")
    result: Statistics | None = None
    if sources:
        filters = filters or Filters()
        table = pd.concat([read_table(path) for path in sources], ignore_index=True)
        result = count_structures(table, filters, seed)
        if not result.n_structures.any():
            raise InputError(
                f"{', '.join(map(str, sources))}: none of {len(table)} structures counts "
                f"(volume < {filters.max_volume:g} Å^3, at most {filters.max_sites} sites, elements with radii)"
            )
        result.header.update(
            name=name,
            citations=sorted({*citations(table), *([citation] if citation else [])}),
            inputs=[{"file": path.name, "sha256": sha256_file(path)} for path in sources],
            filters=asdict(filters),
            licensed=any(is_licensed(source) for source in result.header["sources"]),
        )
    for other in others:
        result = other if result is None else result.merge(other, seed)
    if result is None:
        raise InputError("nothing to count")
    if name:
        result.header["name"] = name
    return result

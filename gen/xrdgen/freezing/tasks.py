"""What the processes of `xrdgen freeze` do: check rows of the table, simulate and write one shard.

A process that simulates a shard also packs and writes it, and after it the file of its outcome. Both are functions of
table, settings and seed, so that it does not matter who writes them, when, or how often.
"""

# n rows (diffractograms) of a shard, P grid points

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import os
import threading
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing import connection, parent_process
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray
from xrdcommon.errors import InputError, XrdError
from xrdcommon.fields import PATTERN_DTYPE, SAMPLE_DTYPE, empty_samples
from xrdcommon.files import write_bytes
from xrdcommon.fixed_sets.format import ID_BYTES, encode_ids
from xrdcommon.fixed_sets.writer import check_patterns, write_shard
from xrdcommon.identity import SampleIdentity
from xrdcommon.signals import ignore_signals

from xrdgen.crystal import Crystal
from xrdgen.diffraction.imperfections import Imperfections
from xrdgen.diffraction.settings import SimulationSettings
from xrdgen.diffraction.simulator import Simulator
from xrdgen.freezing.folder import Faults, take_lock
from xrdgen.freezing.randomise import Randomisation
from xrdgen.freezing.variants import Labels
from xrdgen.samples.imaging import ImperfectSimulator
from xrdgen.samples.record import fill_record
from xrdgen.structures.families import family_number
from xrdgen.structures.table import crystal_of
from xrdgen.structures.types import parse_type

if TYPE_CHECKING:
    import pandas as pd

OUTCOME_DTYPE: Final = np.dtype([("sample", SAMPLE_DTYPE), ("id", "u1", (ID_BYTES,))])


@dataclass(frozen=True, slots=True)
class Limits:
    """Crystals to leave out (paper, 2.4: from 7000 Å^3 and from 100 sites on); None leaves none out.

    Attributes:
        max_volume: of the conventional cell, Å^3; crystals at or above it are left out.
        max_sites: of the asymmetric unit; crystals with more are left out.
        full_sites: leave out crystals with a site that is occupied in part, or by several elements.
        labels: whose space group is the label: spglib's, by which the crystal is described, or the published one
            (structures without one are left out).
        structure_types: names of the only structure types that are kept; all where empty.

    """

    max_volume: float | None = None
    max_sites: int | None = None
    full_sites: bool = False
    labels: Labels = Labels.SPGLIB
    structure_types: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse limits that nothing could meet.

        Raises:
            InputError: not positive, or not a number.

        """
        for name, value in (("--max-volume", self.max_volume), ("--max-sites", self.max_sites)):
            if value is not None and not value > 0:
                raise InputError(f"{name} {value}: must be positive")

    def to_dict(self) -> dict[str, Any]:
        """Return what is asked for, for the attributes of a fixed set."""
        found: dict[str, Any] = {"max_volume": self.max_volume, "max_sites": self.max_sites}
        found |= {"full_sites": True} if self.full_sites else {}
        found |= {"structure_types": list(self.structure_types)} if self.structure_types else {}
        return found | ({} if self.labels is Labels.SPGLIB else {"labels": self.labels.value})

    def label(self, entry: pd.Series[Any], crystal: Crystal) -> int:
        """Return the label of a row.

        Raises:
            InputError: the published group is asked for, and is not known.

        """
        if self.labels is Labels.SPGLIB:
            return crystal.space_group
        published = entry["space_group_published"]
        if not isinstance(published, int | float | np.integer) or published != published:  # None, NA or NaN
            raise InputError("no published space group, which --labels published asks for")
        return int(published)

    def check(self, entry: pd.Series[Any], crystal: Crystal) -> None:
        """Refuse a crystal beyond the limits.

        Args:
            entry: row of the table, by whose names its type is known.
            crystal: of the row.

        Raises:
            InputError: beyond them; the message has both values.

        """
        if self.structure_types:
            labels, keys = _names_of(self.structure_types)
            if entry["prototype_iso"] not in labels and entry["wyckoff_key"] not in keys:
                raise InputError(f"structure type {entry['prototype_iso']}: not in the list of --structure-types")
        if self.full_sites and (len(crystal.occupancies) > crystal.n_sites or (crystal.occupancies < 1.0).any()):
            raise InputError("a site is occupied in part or by several elements: left out by --full-sites")
        if self.max_volume is not None and crystal.volume >= self.max_volume:
            raise InputError(f"cell of {crystal.volume:.6g} Å^3: not below --max-volume {self.max_volume:g}")
        if self.max_sites is not None and crystal.n_sites > self.max_sites:
            raise InputError(f"{crystal.n_sites} sites in the asymmetric unit: more than --max-sites {self.max_sites}")


@lru_cache(maxsize=1)
def _names_of(types: tuple[str, ...]) -> tuple[frozenset[str], frozenset[str]]:
    """Return the canonical labels of the structure types that name elements, and the Wyckoff keys of the others."""
    parsed = [parse_type(name) for name in types]
    labels = frozenset(kind.canonical.prototype_iso for kind in parsed if kind.elements)
    return labels, frozenset(kind.canonical.wyckoff_key for kind in parsed if not kind.elements)


@dataclass(frozen=True, slots=True)
class CheckTask:
    """Consecutive rows of the table, the first of them row `first`."""

    first: int
    rows: pd.DataFrame
    settings: SimulationSettings
    limits: Limits
    randomisation: Randomisation | None


@dataclass(frozen=True, slots=True)
class ShardTask:
    """One shard: n diffractograms beginning with size number `offset` of the first crystal.

    Attributes:
        number: of the shard.
        n: diffractograms.
        offset: sizes of the first crystal that are in the shard before.
        numbers: rows of the table, one per crystal.
        rows: the same rows.
        limits: which say whose space group is the label.
        settings: of the simulation.
        sizes: diffractograms per crystal.
        seed: of the crystallite sizes.
        folder: of the set that is made.
        outcome: file to write when the shard is done, without its ending.
        randomisation: which parts of the crystals are drawn anew, None for none.
        imperfections: of the diffractograms.
        statistics: by which their impurities are drawn.

    """

    number: int
    n: int
    offset: int
    numbers: list[int]
    rows: pd.DataFrame
    limits: Limits
    settings: SimulationSettings
    sizes: int
    seed: int
    folder: Path
    outcome: Path
    randomisation: Randomisation | None
    imperfections: Imperfections
    statistics: str


def prepare_process(lock: Path) -> None:
    """Set a worker process up: signals are for the parent, and a worker does not outlive it."""
    ignore_signals()
    # held until this process ends: a new parent waits for it
    take_lock(lock, fcntl.LOCK_SH)
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), name="parent-watch", daemon=True).start()


def _end_with(sentinel: int) -> None:
    """End this process at once when its parent has died (killed: it cannot say so itself)."""
    connection.wait([sentinel])
    os._exit(1)


@lru_cache(maxsize=1)
def simulator_of(settings: SimulationSettings) -> Simulator:
    """Return the simulator of this process."""
    return Simulator(settings)


@lru_cache(maxsize=1)
def imperfect_simulator_of(
    settings: SimulationSettings, imperfections: Imperfections, statistics: str
) -> ImperfectSimulator:
    """Return what simulates the diffractograms of this process."""
    return ImperfectSimulator(settings, imperfections, statistics)


def reason_of(error: XrdError) -> str:
    """Return why a row is left out, in one line."""
    return " ".join(str(error).split())


def sample_id(source: str, name: str) -> str:
    """Return `source:name`, shortened to 64 bytes where needed with a hash that keeps it unique."""
    text = f"{source}:{name}"
    content = text.encode()
    if len(content) <= ID_BYTES:
        return text
    mark = "~" + hashlib.sha256(content).hexdigest()[:12]
    return content[: ID_BYTES - len(mark)].decode(errors="ignore") + mark


def check_rows(task: CheckTask) -> Faults:
    """Return the rows that cannot be simulated, as far as one can tell without simulating, or are not wanted."""
    simulator = simulator_of(task.settings)
    faults: Faults = {}
    for offset, (_, entry) in enumerate(task.rows.iterrows()):
        try:
            crystal = crystal_of(entry)
            simulator.arrays(crystal)
            task.limits.check(entry, crystal)
            task.limits.label(entry, crystal)
            if task.randomisation is not None:
                task.randomisation.check(crystal, task.first + offset)
        except XrdError as error:
            faults[task.first + offset] = reason_of(error)
    return faults


def simulate_shard(task: ShardTask) -> Faults:
    """Simulate and write a shard; or write nothing and return the rows that turn out to have no reflection."""
    simulator = imperfect_simulator_of(task.settings, task.imperfections, task.statistics)
    patterns = np.empty((task.n, task.settings.grid.n_points), dtype=PATTERN_DTYPE)
    outcome = np.zeros(task.n, dtype=OUTCOME_DTYPE)
    outcome["sample"] = empty_samples(task.n)
    scratch = np.empty(task.settings.grid.n_points, dtype=np.float32)
    faults: Faults = {}
    n = 0
    for place, (row, (_, entry)) in enumerate(zip(task.numbers, task.rows.iterrows(), strict=True)):
        first = task.offset if place == 0 else 0
        stop = min(task.sizes, first + task.n - n)
        crystal = crystal_of(entry)
        if task.randomisation is not None:
            crystal = task.randomisation.apply(crystal, row)
        name = encode_ids([sample_id(str(entry["source"]), str(entry["id"]))])[0]
        family = family_number(entry["wyckoff_key"])
        try:
            for size_number in range(first, stop):
                identity = SampleIdentity(task.seed, 0, size_number, row)
                _, parameters = simulator.pattern(crystal, identity, out=scratch)
                at = n + size_number - first
                patterns[at] = scratch
                fill_record(outcome["sample"][at], crystal, parameters, identity)
                outcome["sample"][at]["family"] = family
                outcome["sample"][at]["space_group"] = task.limits.label(entry, crystal)
                outcome["id"][at] = name
        except XrdError as error:
            faults[row] = reason_of(error)
        n += stop - first
    if faults:
        write_bytes(task.outcome.with_suffix(".json"), json.dumps(faults).encode())
        return faults
    check_patterns(patterns, 0)
    write_shard(task.folder, task.number, patterns)
    content = io.BytesIO()
    np.save(content, outcome)
    write_bytes(task.outcome.with_suffix(".npy"), content.getvalue())
    return {}


def read_outcome(outcome: Path) -> NDArray[Any]:
    """Return records and names (n,) of a shard that was written."""
    table: NDArray[Any] = np.load(outcome.with_suffix(".npy"), allow_pickle=False)
    return table


def read_faults(outcome: Path) -> Faults:
    """Return the rows that kept a shard from being written, none where it was."""
    file = outcome.with_suffix(".json")
    return {int(row): str(reason) for row, reason in json.loads(file.read_bytes()).items()} if file.exists() else {}

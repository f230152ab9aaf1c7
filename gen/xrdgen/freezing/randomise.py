"""Real crystals with parts of them drawn anew (paper, section 3.3 and S3): what of reality a network has not learned.

Of every crystal there are four variants:

    reference     as it is, all sites full: a mixed site is taken by its most abundant species (the first of equals)
    coordinates   uniform coordinates in the free parameters of every Wyckoff position; the lattice stays
    lattice       unit-volume lattice from the kernel density estimate of the crystal system; volume,
                  coordinates stay
    both          coordinates and lattice, those of the two variants before

so that two sets differ in one respect alone. The authors drew each set for itself, and the volume as well. The space
group is that of the table and spglib has to find it in all four; a crystal that fails in one of them leaves all four,
and is listed with the reason.
"""

# A atoms in the asymmetric unit

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from xrdcommon.errors import InputError
from xrdcommon.files import sha256_file
from xrdcommon.identity import Purpose, SampleIdentity, philox_counter, philox_key
from xrdcommon.space_groups import crystal_system

from xrdgen.crystal import Crystal
from xrdgen.crystals.generator import empty_arrays
from xrdgen.crystals.sampler_kernels import N_REASONS, CrystalArrays, draw_cell, draw_coordinates
from xrdgen.crystals.settings import GeneratorSettings
from xrdgen.crystals.tables import sampler_tables
from xrdgen.crystals.verify import find_space_group
from xrdgen.embedded import resolve
from xrdgen.freezing.variants import Variant
from xrdgen.random_kernels import STREAM_WORDS, start_stream
from xrdgen.statistics.model import Statistics

TOLERANCE: Final = 1e-4
"""Of spglib, Å: the one that generated crystals are verified with."""


@dataclass(frozen=True, slots=True)
class Randomisation:
    """What `xrdgen freeze --randomise` was asked for.

    Attributes:
        variant: of every crystal.
        statistics: file whose lattices are drawn from, or a name such as embedded:statistics.
        seed: of the draws; sets of one seed share them.

    """

    variant: Variant
    statistics: str
    seed: int

    def apply(self, crystal: Crystal, row: int) -> Crystal:
        """Return the variant of the crystal in a row of the table."""
        return _randomiser(self.statistics).variants(crystal, self.seed, row)[self.variant]

    def check(self, crystal: Crystal, row: int) -> None:
        """Make sure that the crystal in a row of the table keeps its space group in all four variants.

        Raises:
            InputError: spglib does not find the group in one of them; names it.

        """
        randomiser = _randomiser(self.statistics)
        for variant, changed in randomiser.variants(crystal, self.seed, row).items():
            randomiser.check(variant, changed)

    def to_dict(self) -> dict[str, str | int]:
        """Return JSON values that identify the draws."""
        digest = sha256_file(resolve(self.statistics))
        return {"variant": self.variant.value, "statistics_sha256": digest, "seed": self.seed}


def full_occupancy(crystal: Crystal) -> Crystal:
    """Return the crystal with one species a site, at full occupancy and at rest."""
    rows = []
    for site in dict.fromkeys(crystal.sites.tolist()):
        shared = np.flatnonzero(crystal.sites == site)
        rows.append(int(shared[crystal.occupancies[shared].argmax()]))
    return replace(
        crystal,
        positions=crystal.positions[rows],
        atomic_numbers=crystal.atomic_numbers[rows],
        occupancies=np.ones(len(rows)),
        letters=crystal.letters[rows],
        sites=np.arange(len(rows), dtype=np.int64),
        b_iso=None,
    )


class Randomiser:
    """Makes the four variants of crystals; each draw is a function of seed and row."""

    def __init__(self, statistics: Statistics) -> None:
        self._tables = sampler_tables(statistics, GeneratorSettings(min_structures=1))
        self._redraws = np.zeros(N_REASONS, dtype=np.int64)

    def variants(self, crystal: Crystal, seed: int, row: int) -> dict[Variant, Crystal]:
        """Return all variants, not yet checked.

        Raises:
            InputError: the statistics have no lattice of the crystal system.

        """
        reference = full_occupancy(crystal)
        group = reference.space_group
        system = self._tables.lattice_row[group - 1]
        n_support = self._tables.lattice_start[system + 1] - self._tables.lattice_start[system]
        if self._tables.n_free[system] and not n_support:
            raise InputError(
                f"space group {group}: the statistics have no {crystal_system(group)} lattice to draw from"
            )
        arrays = _arrays(reference)
        draw_coordinates(_stream(seed, row, Purpose.COORDINATES), self._tables, group, arrays)
        positions = arrays.positions.copy()
        draw_cell(_stream(seed, row, Purpose.LATTICE), self._tables, group, reference.volume, arrays, self._redraws)
        cell = arrays.cell.copy()
        return {
            Variant.REFERENCE: reference,
            Variant.COORDINATES: replace(reference, positions=positions),
            Variant.LATTICE: replace(reference, cell=cell),
            Variant.BOTH: replace(reference, positions=positions, cell=cell),
        }

    @staticmethod
    def check(variant: Variant, crystal: Crystal) -> None:
        """Make sure that spglib finds the group of a variant.

        Raises:
            InputError: it finds another one, or none.

        """
        cell = crystal.full_cell()
        found = find_space_group(cell.lattice, cell.positions, cell.atomic_numbers, TOLERANCE)
        if found != crystal.space_group:
            what = f"group {found}" if found is not None else "no group (atoms too close together)"
            raise InputError(
                f"randomised variant '{variant}': spglib finds {what} instead of {crystal.space_group}; left out of "
                "all variants"
            )


def _arrays(crystal: Crystal) -> CrystalArrays:
    """Return a crystal whose sites are all full as the sampler's arrays."""
    arrays = empty_arrays(len(crystal.positions))
    arrays.cell[:] = crystal.cell
    arrays.positions[:] = crystal.positions
    arrays.atomic_numbers[:] = crystal.atomic_numbers
    arrays.letters[:] = crystal.letters
    arrays.n_sites[0] = len(crystal.positions)
    return arrays


def _stream(seed: int, row: int, purpose: Purpose) -> NDArray[np.uint64]:
    """Return the random stream of a row for one purpose."""
    identity = SampleIdentity(seed, 0, 0, row)
    stream = np.zeros(STREAM_WORDS, dtype=np.uint64)
    key = np.array(philox_key(identity.run, identity.producer), dtype=np.uint64)
    start_stream(stream, key, np.array(philox_counter(identity.shard, identity.index, purpose), dtype=np.uint64))
    return stream


@lru_cache(maxsize=1)
def _randomiser(statistics: str) -> Randomiser:
    """Return the randomiser of this process."""
    return Randomiser(Statistics.load(resolve(statistics)))

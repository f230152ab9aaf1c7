"""Rows of a shard from their identities: the one place where crystals and diffractograms meet.

# B rows of a block    P grid points
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from xrdcommon.errors import InputError, SpoolError
from xrdcommon.fields import SAMPLE_DTYPE
from xrdcommon.files import sha256_file
from xrdcommon.identity import SampleIdentity
from xrdcommon.spool.records import Rejections
from xrdcommon.spool.spool import Spool

from xrdgen.production.config import STATISTICS_FILE, ProductionConfig

if TYPE_CHECKING:
    from xrdgen.crystals.crystal import Crystal
    from xrdgen.crystals.sampler_kernels import CrystalArrays


class RowSource(Protocol):
    """Fills rows; each is a pure function of its identity."""

    def fill(self, first: SampleIdentity, patterns: NDArray[np.float32], samples: NDArray[np.void]) -> None:
        """Fill B consecutive rows.

        Args:
            first: identity of the first row; the others follow by index.
            patterns: (B, P) to be filled with values in [0, 1].
            samples: (B,) records of `SAMPLE_DTYPE`, zero before.

        """

    def take_rejections(self) -> Rejections:
        """Return what was accepted and rejected since the last call, by space group."""


class CrystalRows:
    """Random crystals and their diffractograms, as a spool's configuration has them."""

    def __init__(self, spool: Spool) -> None:
        from xrdgen.crystals.generator import REASONS, CrystalGenerator, empty_arrays
        from xrdgen.diffraction.simulator import Simulator
        from xrdgen.statistics.model import Statistics

        configuration = ProductionConfig.from_dict(spool.configuration)
        statistics = spool.path / STATISTICS_FILE
        found, expected = sha256_file(statistics), configuration.statistics_sha256
        if found != expected:
            raise SpoolError(f"{statistics}: SHA-256 {found[:12]}, expected {expected[:12]}; the copy was changed")
        self._generator = CrystalGenerator(Statistics.load(statistics), configuration.generator)
        self._simulator = Simulator(configuration.simulation)
        self._arrays = empty_arrays(configuration.generator.max_sites)
        self._reasons = REASONS
        self._rejections = self._generator.rejections.copy()
        self._accepted = self._generator.accepted.copy()
        self._rechecked = self._generator.rechecked.copy()

    def fill(self, first: SampleIdentity, patterns: NDArray[np.float32], samples: NDArray[np.void]) -> None:
        """Fill B consecutive rows (see `RowSource`)."""
        for row in range(len(patterns)):
            identity = SampleIdentity(first.run, first.producer, first.shard, first.index + row)
            self.fill_row(identity, patterns[row], samples[row])

    def fill_row(self, identity: SampleIdentity, pattern: NDArray[np.float32], sample: np.void) -> Crystal:
        """Draw one sample, and return its crystal.

        A crystal without a reflection on the grid is a failed attempt of the same draw (`no_reflection`): the space
        group stays, and crystal and pattern remain functions of identity and configuration.

        Args:
            identity: of the sample.
            pattern: (P,) to be filled.
            sample: record of `SAMPLE_DTYPE`, zero before.

        Raises:
            InputError: the crystal's group yields none that can be simulated.

        """
        from xrdgen.crystals.generator import crystal_of
        from xrdgen.diffraction.simulator import NoReflectionError

        size = self._simulator.crystallite_size(identity)
        drawn: list[Crystal] = []

        def has_pattern(group: int, arrays: CrystalArrays) -> bool:
            drawn[:] = [crystal_of(group, arrays)]
            try:
                self._simulator.pattern(drawn[0], size, out=pattern)
            except NoReflectionError:
                return False
            return True

        try:
            self._generator.draw_into(self._arrays, identity, accept=has_pattern)
        except InputError as error:
            raise InputError(f"sample {identity}: {error}") from error
        fill_record(sample, drawn[0], size, identity)
        return drawn[0]

    def take_rejections(self) -> Rejections:
        """Return counts since the last call (see `RowSource`)."""
        accepted = self._generator.accepted - self._accepted
        rejections = self._generator.rejections - self._rejections
        rechecked = self._generator.rechecked - self._rechecked
        self._accepted = self._generator.accepted.copy()
        self._rejections = self._generator.rejections.copy()
        self._rechecked = self._generator.rechecked.copy()
        counts: Rejections = {}
        for row in np.flatnonzero((accepted > 0) | rejections.any(axis=1)):
            by_reason = {reason: int(n) for reason, n in zip(self._reasons, rejections[row], strict=True) if n}
            counts[str(row + 1)] = {"accepted": int(accepted[row]), **by_reason}
            if rechecked[row]:
                counts[str(row + 1)]["rechecked"] = int(rechecked[row])
        return counts


class Redrawn(NamedTuple):
    """A sample that was drawn again.

    Attributes:
        crystal: as it was simulated.
        pattern: (P,) float32, maximum 1; shards hold it as float16.
        record: the sample's record of `SAMPLE_DTYPE`.

    """

    crystal: Crystal
    pattern: NDArray[np.float32]
    record: np.void


def redraw(spool: Spool, identity: SampleIdentity) -> Redrawn:
    """Draw a sample of a spool again, whether or not its shard still exists.

    Args:
        spool: names statistics and settings.
        identity: (run, producer, shard, index) as in the sample's record.

    Raises:
        InputError: no sample of this spool has that identity.
        SpoolError: the spool's copy of the statistics was changed.

    """
    rows = ProductionConfig.from_dict(spool.configuration).rows_per_shard
    if identity.run != spool.root_seed:
        raise InputError(f"sample {identity}: {spool.path} has run {spool.root_seed:016x}; name the spool it is from")
    if not 0 <= identity.index < rows:
        raise InputError(f"sample {identity}: index must be 0 to {rows - 1}, the rows of a shard of {spool.path}")
    pattern = np.empty(spool.grid.n_points, dtype=np.float32)
    samples = np.zeros(1, dtype=SAMPLE_DTYPE)
    crystal = CrystalRows(spool).fill_row(identity, pattern, samples[0])
    return Redrawn(crystal, pattern, samples[0])


def fill_record(record: np.void, crystal: Crystal, crystallite_size: float, identity: SampleIdentity) -> None:
    """Describe a sample in one record of `SAMPLE_DTYPE`.

    Args:
        record: to be filled.
        crystal: what was simulated.
        crystallite_size: nm.
        identity: names the sample; all that is random about it can be drawn again.

    """
    volume = crystal.volume
    record["space_group"] = crystal.space_group
    record["crystallite_size"] = crystallite_size
    record["lattice"] = crystal.cell
    record["volume"] = volume
    record["n_sites"] = crystal.n_sites
    record["n_atoms"] = crystal.n_atoms
    record["density_factor"] = volume / crystal.v_atomic
    record["composition"] = crystal.composition
    record["run"] = identity.run
    record["producer"] = identity.producer
    record["shard"] = identity.shard
    record["index"] = identity.index

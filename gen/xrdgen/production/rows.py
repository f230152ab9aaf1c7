"""Rows of a shard from their identities: the one place where crystals and diffractograms meet.

# B rows of a block    P grid points
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray
from xrdcommon.errors import InputError, SpoolError
from xrdcommon.files import sha256_file
from xrdcommon.identity import SampleIdentity
from xrdcommon.spool.records import Rejections
from xrdcommon.spool.spool import Spool

from xrdgen.production.config import STATISTICS_FILE, ProductionConfig

if TYPE_CHECKING:
    from xrdgen.crystals.crystal import Crystal

REDRAW_STRIDE = 1 << 32
"""Added to the index of a sample whose crystal has no reflection on the grid; the index is stored as drawn."""

MAX_REDRAWS = 100


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
        from xrdgen.crystals.generator import REASONS, CrystalGenerator
        from xrdgen.diffraction.simulator import Simulator
        from xrdgen.statistics.model import Statistics

        configuration = ProductionConfig.from_dict(spool.configuration)
        statistics = spool.path / STATISTICS_FILE
        found, expected = sha256_file(statistics), configuration.statistics_sha256
        if found != expected:
            raise SpoolError(f"{statistics}: SHA-256 {found[:12]}, expected {expected[:12]}; the copy was changed")
        self._generator = CrystalGenerator(Statistics.load(statistics), configuration.generator)
        self._simulator = Simulator(configuration.simulation)
        self._reasons = REASONS
        self._rejections = self._generator.rejections.copy()
        self._accepted = self._generator.accepted.copy()
        self._rechecked = self._generator.rechecked.copy()
        self._no_reflection: dict[int, int] = {}

    def fill(self, first: SampleIdentity, patterns: NDArray[np.float32], samples: NDArray[np.void]) -> None:
        """Fill B consecutive rows (see `RowSource`)."""
        for row in range(len(patterns)):
            identity = SampleIdentity(first.run, first.producer, first.shard, first.index + row)
            self._fill_row(identity, patterns[row], samples[row])

    def _fill_row(self, identity: SampleIdentity, pattern: NDArray[np.float32], sample: np.void) -> None:
        for attempt in range(MAX_REDRAWS):
            drawn = SampleIdentity(
                identity.run, identity.producer, identity.shard, identity.index + attempt * REDRAW_STRIDE
            )
            crystal = self._generator.draw(drawn)
            size = self._simulator.crystallite_size(drawn)
            try:
                self._simulator.pattern(crystal, size, out=pattern)
            except InputError as error:  # no reflection on the grid, or a cell beyond all measure: counted, drawn again
                self._no_reflection[crystal.space_group] = self._no_reflection.get(crystal.space_group, 0) + 1
                reason = error
                continue
            fill_record(sample, crystal, size, drawn)
            return
        raise InputError(f"sample {identity}: {MAX_REDRAWS} crystals could not be simulated; the last one: {reason}")

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
        for group, n in self._no_reflection.items():
            counts.setdefault(str(group), {"accepted": 0})["no_reflection"] = n
            counts[str(group)]["accepted"] -= n
        self._no_reflection = {}
        return counts


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

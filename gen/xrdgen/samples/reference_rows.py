"""Rows of a shard, a sample at a time: the slow counterpart of `rows.CrystalRows`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from xrdcommon.errors import InputError
from xrdcommon.identity import SampleIdentity
from xrdcommon.spool.records import Rejections
from xrdcommon.spool.spool import Spool

from xrdgen.samples.config import ProductionConfig, spool_statistics
from xrdgen.samples.record import fill_record

if TYPE_CHECKING:
    from xrdgen.crystal import Crystal
    from xrdgen.reference.crystal import ReferenceCrystal


class ReferenceRows:
    """Random crystals and their diffractograms, as a spool's configuration has them.

    Raises:
        SpoolError: the spool's copy of the statistics was changed.

    """

    def __init__(self, spool: Spool) -> None:
        from xrdgen.reference.diffraction import ReferenceSimulator
        from xrdgen.reference.generator import ReferenceGenerator

        configuration = ProductionConfig.from_dict(spool.configuration)
        self._generator = ReferenceGenerator(spool_statistics(spool), configuration.generator)
        self._simulator = ReferenceSimulator(configuration.simulation)
        self._last: ReferenceCrystal | None = None

    def fill(self, first: SampleIdentity, patterns: NDArray[np.float32], samples: NDArray[np.void]) -> None:
        """Fill B consecutive rows (see `rows.RowSource`).

        Raises:
            InputError: a crystal's group yields none that can be simulated; the message names the sample.

        """
        for row in range(len(patterns)):
            identity = SampleIdentity(first.run, first.producer, first.shard, first.index + row)
            patterns[row] = self._fill_record(identity, samples[row])

    def _fill_record(self, identity: SampleIdentity, sample: np.void) -> NDArray[np.float64]:
        """Draw one sample, describe it in its record and return its pattern (P,).

        A crystal without a reflection on the grid is a failed attempt of the same draw.
        """
        size = self._simulator.crystallite_size(identity)
        patterns: list[NDArray[np.float64]] = []

        def has_pattern(crystal: ReferenceCrystal) -> bool:
            pattern = self._simulator.pattern(crystal, size)
            if pattern is not None:
                patterns.append(pattern)
            return pattern is not None

        try:
            crystal = self._generator.draw(identity, accept=has_pattern)
        except InputError as error:
            raise InputError(f"sample {identity}: {error}") from error
        fill_record(sample, crystal, size, identity)
        self._last = crystal
        return patterns[0]

    def last_crystal(self) -> Crystal:
        """Return the crystal of the last row that was filled.

        Raises:
            InputError: none was.

        """
        if self._last is None:
            raise InputError("no row was filled yet: there is no crystal")
        return self._last.to_crystal()

    def take_rejections(self) -> Rejections:
        """Return counts since the last call (see `rows.RowSource`)."""
        counts = {str(group): dict(outcomes) for group, outcomes in sorted(self._generator.counts.items())}
        self._generator.counts.clear()
        return counts

"""Rows of a shard, a sample at a time: the slow counterpart of `rows.CrystalRows`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from xrdcommon.errors import InputError
from xrdcommon.identity import Purpose, SampleIdentity
from xrdcommon.spool.records import Rejections
from xrdcommon.spool.spool import Spool

from xrdgen.diffraction.effects.drawing import draw_parameters
from xrdgen.diffraction.effects.parameters import MAX_DRAWS, PatternParameters
from xrdgen.diffraction.imperfections import Imperfections
from xrdgen.samples.config import ProductionConfig, spool_statistics
from xrdgen.samples.imaging import emission_lines_of
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
        from xrdgen.reference.imperfect import ImperfectReference

        configuration = ProductionConfig.from_dict(spool.configuration)
        self._generator = ReferenceGenerator(spool_statistics(spool), configuration.generator)
        settings, imperfections = configuration.simulation, configuration.imperfections
        self._ranges = imperfections.ranges(settings.size_min, settings.size_max, settings.lorentzian_fraction)
        self._grid = settings.grid
        self._pure = imperfections == Imperfections()
        self._simulator = ReferenceSimulator(settings)
        self._imperfect = ImperfectReference(
            settings, emission_lines_of(settings, imperfections), imperfections.shortest_length
        )
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
        grid = self._grid
        parameters = draw_parameters(identity, self._ranges, grid.two_theta_min, grid.two_theta_max)
        patterns: list[tuple[NDArray[np.float64], PatternParameters]] = []

        def has_pattern(crystal: ReferenceCrystal) -> bool:
            found = self._pattern(crystal, parameters, identity)
            if found is not None:
                patterns.append(found)
            return found is not None

        try:
            crystal = self._generator.draw(identity, accept=has_pattern)
        except InputError as error:
            raise InputError(f"sample {identity}: {error}") from error
        pattern, parameters = patterns[0]
        fill_record(sample, crystal, parameters, identity)
        self._last = crystal
        return pattern

    def _pattern(
        self, crystal: ReferenceCrystal, parameters: PatternParameters, identity: SampleIdentity
    ) -> tuple[NDArray[np.float64], PatternParameters] | None:
        """Return the pattern (P,) of a crystal and its parameters; None if no reflection is on the grid."""
        if self._pure:
            pure = self._simulator.pattern(crystal, parameters.crystallite_size)
            return None if pure is None else (pure, parameters)

        def impurity(number: int, accept: Callable[[ReferenceCrystal], bool]) -> None:
            self._generator.draw_unverified(identity, Purpose(Purpose.IMPURITY + number), accept, MAX_DRAWS)

        return self._imperfect.pattern(crystal, parameters, identity, impurity)

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

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
from xrdgen.structures.families import family_number
from xrdgen.structures.prototypes import LabelledSite, labels

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
        self._of_types = bool(configuration.generator.structure_types)
        self._grid = settings.grid
        self._pure = imperfections == Imperfections()
        self._simulator = ReferenceSimulator(settings)
        self._imperfect = ImperfectReference(
            settings, emission_lines_of(settings, imperfections), imperfections.shortest_length
        )
        self._sizes = configuration.sizes_per_crystal
        self._last: ReferenceCrystal | None = None

    def fill(self, first: SampleIdentity, patterns: NDArray[np.float32], samples: NDArray[np.void]) -> None:
        """Fill B consecutive rows (see `rows.RowSource`).

        Raises:
            InputError: a crystal's group yields none that can be simulated; the message names the sample.

        """
        end = first.index + len(patterns)
        for begin in range(first.index - first.index % self._sizes, end, self._sizes):
            identities = [
                SampleIdentity(first.run, first.producer, first.shard, begin + size) for size in range(self._sizes)
            ]
            crystal, made = self._draw(identities)
            for identity, (pattern, parameters) in zip(identities, made, strict=True):
                row = identity.index - first.index
                if 0 <= row < len(patterns):
                    patterns[row] = pattern
                    fill_record(samples[row], crystal, parameters, identity)
                    if self._of_types:
                        samples[row]["family"] = family_number(_wyckoff_key(crystal))
            self._last = crystal

    def _draw(
        self, identities: list[SampleIdentity]
    ) -> tuple[ReferenceCrystal, list[tuple[NDArray[np.float64], PatternParameters]]]:
        """Draw a crystal, by the first of its identities, and return it with pattern (P,) and parameters of each.

        A crystal of which one pattern has no reflection on the grid is a failed attempt of the same draw.
        """
        grid = self._grid
        drawn = [
            draw_parameters(identity, self._ranges, grid.two_theta_min, grid.two_theta_max) for identity in identities
        ]
        made: list[tuple[NDArray[np.float64], PatternParameters]] = []

        def has_patterns(crystal: ReferenceCrystal) -> bool:
            made.clear()
            for identity, parameters in zip(identities, drawn, strict=True):
                found = self._pattern(crystal, parameters, identity)
                if found is None:
                    return False
                made.append(found)
            return True

        try:
            crystal = self._generator.draw(identities[0], accept=has_patterns)
        except InputError as error:
            raise InputError(f"sample {identities[0]}: {error}") from error
        return crystal, made

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


def _wyckoff_key(crystal: ReferenceCrystal) -> str:
    """Return the Wyckoff key of a crystal, as structure tables have it."""
    sites = [LabelledSite("", position.letter, position.multiplicity) for position in crystal.positions]
    return labels(crystal.space_group, sites).wyckoff_key

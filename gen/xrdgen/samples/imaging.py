"""What the kernels need to simulate diffractograms under given settings and imperfections, prepared once.

# A atoms in the asymmetric unit    P grid points
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from xrdcommon.errors import InputError
from xrdcommon.identity import Purpose, SampleIdentity, philox_counter, philox_key

from xrdgen.diffraction.effects.emission import Emission, emission_of
from xrdgen.diffraction.effects.parameters import MAX_IMPURITIES, PatternParameters
from xrdgen.diffraction.effects.points import point_effects
from xrdgen.diffraction.faults import describe_missing_reflections
from xrdgen.diffraction.form_factors import form_factor_table
from xrdgen.diffraction.imperfections import Imperfections
from xrdgen.diffraction.reach_kernels import LAST_TWO_THETA
from xrdgen.diffraction.settings import ANGSTROMS_PER_NM, SimulationSettings
from xrdgen.diffraction.simulator import NoReflectionError, Simulator

if TYPE_CHECKING:
    from xrdgen.crystal import Crystal
    from xrdgen.crystals.generator import CrystalGenerator
    from xrdgen.diffraction.effects.point_kernels import PointEffects
    from xrdgen.samples.mixture_kernels import Impurities
    from xrdgen.samples.row_kernels import Imaging

FURTHER_LINES = ("k-alpha-2", "k-beta", "tungsten")
"""Effects that need to know the tube."""


def emission_lines_of(settings: SimulationSettings, imperfections: Imperfections) -> Emission:
    """Return the wavelengths of the tube.

    Raises:
        InputError: further lines are wanted of a wavelength that no tabulated tube emits.

    """
    return emission_of(settings.wavelength, doublet=any(imperfections.has(effect) for effect in FURTHER_LINES))


def farthest_reflection(settings: SimulationSettings, imperfections: Imperfections) -> float:
    """Return the largest 1/d^2 (1/Å^2) that any pattern of these settings lists."""
    wavelength = min(value for value in emission_lines_of(settings, imperfections) if value > 0.0)
    return (2.0 * math.sin(math.radians(0.5 * LAST_TWO_THETA)) / wavelength) ** 2


def imaging_of(simulator: Simulator, imperfections: Imperfections) -> Imaging:
    """Return what the kernels simulate by.

    Raises:
        InputError: see `emission_lines_of`.

    """
    from xrdgen.diffraction.phase_simulation_kernels import Optics
    from xrdgen.samples.row_kernels import Imaging

    settings = simulator.settings
    pure = imperfections == Imperfections()
    table = simulator.form_factors
    if not pure:
        table = form_factor_table(farthest_reflection(settings, imperfections) / 4.0)
    return Imaging(
        optics=Optics(
            instrument=simulator.instrument,
            emission=emission_lines_of(settings, imperfections),
            groups=simulator.groups,
            form_factors=table,
        ),
        ranges=imperfections.ranges(
            float(settings.size_min), float(settings.size_max), float(settings.lorentzian_fraction)
        ),
        pure=pure,
    )


def impurities_of(generator: CrystalGenerator) -> Impurities:
    """Return what impurities are drawn by and into."""
    from xrdgen.crystals.generator import empty_arrays
    from xrdgen.crystals.sampler_kernels import N_PROGRESS, N_REASONS
    from xrdgen.random_kernels import STREAM_WORDS
    from xrdgen.samples.mixture_kernels import Impurities

    most = generator.settings.max_sites
    return Impurities(
        tables=generator.draw_tables,
        key=np.zeros(2, dtype=np.uint64),
        counter=np.zeros(4, dtype=np.uint64),
        stream=np.zeros(STREAM_WORDS, dtype=np.uint64),
        progress=np.zeros(N_PROGRESS, dtype=np.int64),
        crystal=empty_arrays(most),
        rejections=np.zeros(N_REASONS, dtype=np.int64),
        weights=np.zeros(most),
        b_iso=np.zeros(most),
    )


class ImperfectSimulator:
    """Simulates given crystals with imperfections; each pattern is a function of crystal and identity.

    Attributes:
        simulator: checks the crystals.
        imperfections: that patterns have.

    """

    def __init__(
        self,
        settings: SimulationSettings,
        imperfections: Imperfections,
        statistics: str = "embedded:statistics",
    ) -> None:
        """Prepare tables and work space.

        Args:
            settings: grid, wavelength, sizes.
            imperfections: of the patterns.
            statistics: by which impurities are drawn, where there are any.

        Raises:
            InputError: see `emission_lines_of`.
            XrdError: the statistics cannot be read.

        """
        from xrdgen.random_kernels import STREAM_WORDS

        self.simulator = Simulator(settings)
        self.imperfections = imperfections
        self._imaging = imaging_of(self.simulator, imperfections)
        self._key = np.zeros(2, dtype=np.uint64)
        self._counter = np.zeros(4, dtype=np.uint64)
        self._stream = np.zeros(STREAM_WORDS, dtype=np.uint64)
        self._effects = None if self._imaging.pure else _effects_of(settings, imperfections, statistics)

    def parameters(self, identity: SampleIdentity) -> PatternParameters:
        """Return the parameters of a pattern, the impurities that cannot be drawn included."""
        from xrdgen.diffraction.effects.parameter_kernels import draw_parameters

        self._key[:] = philox_key(identity.run, identity.producer)
        self._counter[:] = philox_counter(identity.shard, identity.index, Purpose.PATTERN)
        instrument = self._imaging.optics.instrument
        ends = instrument.two_theta_min, instrument.two_theta_max
        return PatternParameters(*draw_parameters(self._key, self._counter, self._stream, self._imaging.ranges, *ends))

    def pattern(
        self, crystal: Crystal, identity: SampleIdentity, out: NDArray[np.float32] | None = None
    ) -> tuple[NDArray[np.float32], PatternParameters]:
        """Return the diffractogram (P,), float32 in [0, 1], and its parameters.

        Args:
            crystal: in the standard setting.
            identity: names the random streams of the pattern.
            out: (P,) float32, contiguous, filled and returned where given.

        Raises:
            InputError: see `Simulator.pattern`.
            NoReflectionError: no reflection on the grid.

        """
        from xrdgen.diffraction.simulation_kernels import simulate_pattern
        from xrdgen.samples.mixture_kernels import simulate_mixture
        from xrdgen.samples.row_kernels import record_parameters

        settings, optics = self.simulator.settings, self._imaging.optics
        arrays = self.simulator.arrays(crystal)
        pattern = np.empty(settings.grid.n_points, dtype=np.float32) if out is None else out
        parameters = self.parameters(identity)
        described = arrays.cell, arrays.positions, arrays.atomic_numbers, arrays.b_iso, arrays.weights
        fractions = np.zeros(MAX_IMPURITIES)
        if self._effects is None:
            by = parameters.crystallite_size * ANGSTROMS_PER_NM, parameters.lorentzian_fraction
            reached = simulate_pattern(
                *described,
                arrays.space_group,
                *by,
                optics.instrument,
                optics.groups,
                optics.form_factors,
                pattern,
            )
        else:
            impurities, points = self._effects
            impurities.key[:] = self._key
            impurities.counter[:] = self._counter
            reached = simulate_mixture(
                *described, arrays.space_group, parameters, optics, impurities, points, fractions, pattern
            )
        if not reached:
            raise NoReflectionError(describe_missing_reflections(crystal, settings.grid, settings.wavelength))
        recorded = np.empty(len(parameters))
        record_parameters(parameters, fractions, recorded)
        return pattern, PatternParameters(*recorded.tolist())


def _effects_of(
    settings: SimulationSettings, imperfections: Imperfections, statistics: str
) -> tuple[Impurities, PointEffects]:
    """Return what the impurities and the points of given crystals need."""
    from xrdgen.crystals.generator import CrystalGenerator
    from xrdgen.embedded import resolve
    from xrdgen.statistics.model import Statistics

    generator = CrystalGenerator(Statistics.load(resolve(statistics)))
    return impurities_of(generator), point_effects(settings.grid, imperfections.shortest_length)


def bound_work(simulator: Simulator, imperfections: Imperfections, generator: CrystalGenerator) -> None:
    """Refuse settings under which a crystal can be larger than the simulator takes: the kernel does not ask.

    Raises:
        InputError: such settings.

    """
    settings = generator.settings
    edge = settings.max_volume ** (1.0 / 3.0)
    largest = np.array([edge, edge, edge, 90.0, 90.0, 90.0])
    farthest = None if imperfections == Imperfections() else farthest_reflection(simulator.settings, imperfections)
    for group in generator.classes:
        try:
            simulator.refuse_endless_work(largest, group, settings.max_sites, farthest=farthest)
        except InputError as error:
            raise InputError(
                f"max_volume {settings.max_volume:g} Å^3, max_sites {settings.max_sites}: {error}"
            ) from error

"""Rows of a shard from their identities: the one place where crystals and diffractograms meet.

# B rows of a block    P grid points
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray
from xrdcommon.errors import InputError
from xrdcommon.identity import Purpose, SampleIdentity, philox_counter, philox_key
from xrdcommon.shards.format import BLOCK_ROWS
from xrdcommon.spool.records import Rejections
from xrdcommon.spool.spool import Spool

from xrdgen.diffraction.effects.parameters import MAX_IMPURITIES, PatternParameters
from xrdgen.samples.config import ProductionConfig, spool_statistics
from xrdgen.samples.record import empty_rows

if TYPE_CHECKING:
    from xrdgen.crystal import Crystal


class RowSource(Protocol):
    """Fills rows; each is a pure function of its identity."""

    def fill(self, first: SampleIdentity, patterns: NDArray[np.float32], samples: NDArray[np.void]) -> None:
        """Fill B consecutive rows.

        Args:
            first: identity of the first row; the others follow by index.
            patterns: (B, P) to be filled with values in [0, 1].
            samples: (B,) records of `fields.empty_samples`.

        """

    def take_rejections(self) -> Rejections:
        """Return what was accepted and rejected since the last call, by space group."""


class CrystalRows:
    """Random crystals and their diffractograms, as a spool's configuration has them.

    Drawn and simulated by one kernel (`row_kernels.fill_rows`), which returns for spglib only.

    Raises:
        InputError: crystals of this configuration may be too large to be simulated.
        SpoolError: the spool's copy of the statistics was changed.

    """

    def __init__(self, spool: Spool) -> None:
        from xrdgen.crystals.generator import REASONS, CrystalGenerator, empty_arrays, empty_draw
        from xrdgen.crystals.type_tables import type_families
        from xrdgen.diffraction.effects.points import point_effects
        from xrdgen.diffraction.simulator import Simulator
        from xrdgen.random_kernels import STREAM_WORDS
        from xrdgen.samples.imaging import bound_work, imaging_of, impurities_of
        from xrdgen.samples.row_kernels import Work

        configuration = ProductionConfig.from_dict(spool.configuration)
        self._generator = CrystalGenerator(spool_statistics(spool), configuration.generator)
        types = configuration.generator.structure_types
        self._families = type_families(types) if types else None
        simulator = Simulator(configuration.simulation)
        bound_work(simulator, configuration.imperfections, self._generator)
        self._imaging = imaging_of(simulator, configuration.imperfections)
        self._n_points = configuration.simulation.grid.n_points
        most = configuration.generator.max_sites
        self._draw = empty_draw(empty_arrays(most))
        self._work = Work(
            row=np.zeros(1, dtype=np.int64),
            sizes=np.full(1, configuration.sizes_per_crystal, dtype=np.int64),
            pattern_counter=np.zeros(4, dtype=np.uint64),
            pattern_stream=np.zeros(STREAM_WORDS, dtype=np.uint64),
            weights=np.zeros(most),
            b_iso=np.zeros(most),
            fractions=np.zeros(MAX_IMPURITIES),
            impurities=impurities_of(self._generator),
            points=point_effects(configuration.simulation.grid, configuration.imperfections.shortest_length),
        )
        self._rows = empty_rows(BLOCK_ROWS)
        self._reasons = REASONS
        self._rejections = self._generator.rejections.copy()
        self._accepted = self._generator.accepted.copy()
        self._rechecked = self._generator.rechecked.copy()

    def fill(self, first: SampleIdentity, patterns: NDArray[np.float32], samples: NDArray[np.void]) -> None:
        """Fill B consecutive rows (see `RowSource`); crystals of which some rows lie outside are drawn as a whole.

        A crystal without a reflection on the grid is a failed attempt of the same draw (`no_reflection`): the space
        group stays, and crystal and pattern remain functions of identity and configuration.

        Raises:
            InputError: arrays of another shape or type, or a crystal's group yields none that can be simulated; the
                message then names the sample.

        """
        shape = (len(samples), self._n_points)
        if patterns.shape != shape or patterns.dtype != np.float32 or not patterns.flags.c_contiguous:
            raise InputError(f"patterns {patterns.shape} of {patterns.dtype}: need {shape} of float32 in one piece")
        sizes = int(self._work.sizes[0])
        before = first.index % sizes
        whole = -(-(before + len(samples)) // sizes) * sizes
        if whole == len(samples):
            self._fill_crystals(first, patterns)
        else:
            table = np.empty((whole, self._n_points), dtype=np.float32)
            start = SampleIdentity(first.run, first.producer, first.shard, first.index - before)
            self._fill_crystals(start, table)
            patterns[:] = table[before : before + len(samples)]
        chosen = slice(before, before + len(samples))
        for name, values in self._rows._asdict().items():
            if name not in ("choice", "parameters"):
                samples[name] = values[chosen]
        if self._families is not None:
            samples["family"] = self._families[self._rows.choice[chosen]]
        for column, name in enumerate(PatternParameters._fields):
            samples[name] = self._rows.parameters[chosen, column]
        samples["run"], samples["producer"], samples["shard"] = first.run, first.producer, first.shard
        samples["index"] = first.index + np.arange(len(samples), dtype=np.uint64)

    def _fill_crystals(self, first: SampleIdentity, patterns: NDArray[np.float32]) -> None:
        """Fill patterns (B, P) and `_rows` of whole crystals, the first of which begins with the row of `first`.

        Raises:
            InputError: a crystal's group yields none that can be simulated.

        """
        from xrdgen.crystals.drawing_kernels import BEGIN, CONFIRMED, QUESTION
        from xrdgen.samples.row_kernels import fill_rows

        if len(patterns) > len(self._rows.space_group):
            self._rows = empty_rows(len(patterns))
        generator, draw, work = self._generator, self._draw, self._work
        work.row[0] = 0
        draw.key[:] = philox_key(first.run, first.producer)
        draw.counter[:] = philox_counter(first.shard, first.index, Purpose.CRYSTAL)
        work.pattern_counter[:] = philox_counter(first.shard, first.index, Purpose.PATTERN)
        draw.dialogue[QUESTION] = BEGIN
        arguments = (
            draw,
            generator.draw_tables,
            self._imaging,
            work,
            generator.rejections,
            generator.accepted,
            self._rows,
            patterns,
        )
        while (outcome := fill_rows(*arguments)) != CONFIRMED:
            try:
                generator.answer(outcome, draw)
            except InputError as error:
                index = first.index + int(work.row[0])
                sample = SampleIdentity(first.run, first.producer, first.shard, index)
                raise InputError(f"sample {sample}: {error}") from error

    def last_crystal(self) -> Crystal:
        """Return the crystal of the last row that was filled."""
        from xrdgen.crystals.generator import crystal_of
        from xrdgen.crystals.sampler_kernels import GROUP

        return crystal_of(int(self._draw.progress[GROUP]), self._draw.crystal)

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

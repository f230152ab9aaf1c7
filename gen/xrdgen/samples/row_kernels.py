"""Rows of a shard from their identities in one kernel: crystal, diffractogram, what is recorded of both.

    symbol      variable            meaning                                                     reference
    -           parameters          all that is random about the pattern, e.g. L in nm          `effects.parameters`
    w_j         weights             multiplicity_j / |G| (all sites are full)                   Int. Tables B, 1.2.4
    V           volume              of the conventional cell, Å^3                               `lattice_kernels`
    V_atomic    v_atomic            sum of multiplicity_j 4/3 pi r_j^3 over the sites, Å^3      paper, S1, step 7
    -           density_factor      V / V_atomic                                                paper, S1, step 7

One crystal after the other, each with one diffractogram, or with several whose sizes (and all else that is random about
them) differ. All is a function of the identities (`identity`: the counters of successive rows differ by one in their
last word); the crystal has that of its first row:

    crystal's stream  ->  space group  ->  verified crystal  ->  every row: parameters, diffractogram  ->  records
                                                 ^                                |
                                                 +--- a row without reflection ---+

Where spglib must be asked, the kernel returns and is called again with the answer (`drawing_kernels`). Nothing is
checked here: what the sampler makes is a sound crystal, and `rows` bounds the work of simulating one.

# B rows of a block    P grid points    A atoms in the asymmetric unit
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from xrdgen.crystals.drawing_kernels import BEGIN, CONFIRMED, QUESTION, Draw, DrawTables, draw_verified
from xrdgen.crystals.sampler_kernels import CHOICE, GROUP, NO_REFLECTION, CrystalArrays, refuse
from xrdgen.crystals.tables import SamplerTables
from xrdgen.diffraction.effects.parameter_kernels import draw_parameters
from xrdgen.diffraction.effects.parameters import PatternParameters
from xrdgen.diffraction.effects.point_kernels import PointEffects
from xrdgen.diffraction.phase_simulation_kernels import Optics
from xrdgen.diffraction.settings import ANGSTROMS_PER_NM
from xrdgen.diffraction.simulation_kernels import simulate_pattern
from xrdgen.jit import kernel
from xrdgen.samples.mixture_kernels import Impurities, simulate_mixture
from xrdgen.symmetry.lattice_kernels import cell_volume

_INDEX = 3
"""The word of a counter that counts the rows of a shard."""

_N_IMPURITIES = PatternParameters._fields.index("n_impurities")
_FIRST_FRACTION = PatternParameters._fields.index("impurity_fraction_1")


class Imaging(NamedTuple):
    """All that diffractograms are simulated by; a tuple so that kernels take it as one argument.

    Attributes:
        optics: of the lines.
        ranges: (N, 6) by which the parameters of a pattern are drawn (`effects.parameters`).
        pure: whether nothing but size and shape of the lines is drawn: the short way.

    """

    optics: Optics
    ranges: NDArray[np.float64]
    pure: bool


class Work(NamedTuple):
    """Where `fill_rows` is, and its work space.

    Attributes:
        row: (1,) the first row of the next crystal, or of the one that waits for an answer.
        sizes: (1,) rows of every crystal.
        pattern_counter: (4,) at which the streams of the pattern of the next row begin.
        pattern_stream: (11,).
        weights: (A,).
        b_iso: (A,) displacement parameters, all 0.
        fractions: (3,) of the impurities of a pattern.
        impurities: see `Impurities`.
        points: see `PointEffects`.

    """

    row: NDArray[np.int64]
    sizes: NDArray[np.int64]
    pattern_counter: NDArray[np.uint64]
    pattern_stream: NDArray[np.uint64]
    weights: NDArray[np.float64]
    b_iso: NDArray[np.float64]
    fractions: NDArray[np.float64]
    impurities: Impurities
    points: PointEffects


class RowArrays(NamedTuple):
    """The fields of `SAMPLE_DTYPE` that describe crystal and pattern, one array each; the meanings are there."""

    choice: NDArray[np.int64]
    """(B,) number of the space group, or structure type, among those that are drawn."""
    space_group: NDArray[np.int64]
    lattice: NDArray[np.float64]
    volume: NDArray[np.float64]
    n_sites: NDArray[np.int64]
    n_atoms: NDArray[np.int64]
    density_factor: NDArray[np.float64]
    composition: NDArray[np.float64]
    parameters: NDArray[np.float64]
    """(B, K) the fields of `PatternParameters`, in their order."""


@kernel
def record_parameters(parameters: PatternParameters, fractions: NDArray[np.float64], row: NDArray[np.float64]) -> None:
    """Write the parameters of a pattern into a row (K,), with the impurities that there are."""
    for i in range(len(parameters)):
        row[i] = parameters[i]
    row[_N_IMPURITIES] = 0.0
    for i in range(fractions.size):
        row[_FIRST_FRACTION + i] = fractions[i]
        row[_N_IMPURITIES] += 1.0 if fractions[i] > 0.0 else 0.0


@kernel
def describe_crystal(tables: SamplerTables, group: int, crystal: CrystalArrays, rows: RowArrays, row: int) -> None:
    """Write what is recorded of a crystal into a row."""
    first = tables.wyckoff_start[group - 1]
    n_atoms = 0
    v_atomic = 0.0
    rows.composition[row] = 0.0
    for i in range(crystal.n_sites[0]):
        multiplicity = tables.multiplicity[first + crystal.letters[i]]
        z = crystal.atomic_numbers[i]
        n_atoms += multiplicity
        v_atomic += multiplicity * tables.atomic_volume[z]
        rows.composition[row, z - 1] += multiplicity
    volume = cell_volume(crystal.cell)
    rows.space_group[row] = group
    rows.lattice[row] = crystal.cell
    rows.volume[row] = volume
    rows.n_sites[row] = crystal.n_sites[0]
    rows.n_atoms[row] = n_atoms
    rows.density_factor[row] = volume / v_atomic


@kernel
def simulate_crystal(
    tables: SamplerTables,
    group: int,
    crystal: CrystalArrays,
    parameters: PatternParameters,
    imaging: Imaging,
    work: Work,
    pattern: NDArray[np.float32],
) -> bool:
    """Write the diffractogram (P,) of a drawn crystal; return False if no reflection reaches the grid.

    Args:
        tables: of the sampler.
        group: space group.
        crystal: of the sampler.
        parameters: of the pattern.
        imaging: see `Imaging`.
        work: its weights and fractions are filled.
        pattern: (P,) filled.

    """
    first = tables.wyckoff_start[group - 1]
    n = crystal.n_sites[0]
    optics = imaging.optics
    for i in range(n):
        work.weights[i] = tables.multiplicity[first + crystal.letters[i]] / optics.groups.order[group - 1]
    if not imaging.pure:
        return simulate_mixture(
            crystal.cell,
            crystal.positions[:n],
            crystal.atomic_numbers[:n],
            work.b_iso[:n],
            work.weights[:n],
            group,
            parameters,
            optics,
            work.impurities,
            work.points,
            work.fractions,
            pattern,
        )
    return simulate_pattern(
        crystal.cell,
        crystal.positions[:n],
        crystal.atomic_numbers[:n],
        work.b_iso[:n],
        work.weights[:n],
        group,
        parameters.crystallite_size * ANGSTROMS_PER_NM,
        parameters.lorentzian_fraction,
        optics.instrument,
        optics.groups,
        optics.form_factors,
        pattern,
    )


@kernel
def fill_rows(
    draw: Draw,
    tables: DrawTables,
    imaging: Imaging,
    work: Work,
    rejections: NDArray[np.int64],
    accepted: NDArray[np.int64],
    rows: RowArrays,
    patterns: NDArray[np.float32],
) -> int:
    """Fill rows work.row ... B - 1; go on in the midst of a crystal if an answer was waited for.

    A crystal of which a row has no reflection on the grid is a failed attempt of the same draw, so that the space group
    stays.

    Args:
        draw: with key, the first row's counter and the question `BEGIN`, or with the answer to what was asked.
        tables: of the crystals.
        imaging: of the diffractograms.
        work: see `Work`; row 0 and the first row's counter at the beginning.
        rejections: (230, 10) counts by group - 1 and reason, added to.
        accepted: (230,) crystals by group - 1, added to.
        rows: arrays of at least B rows.
        patterns: (B, P) filled, maximum 1; B is a multiple of work.sizes.

    Returns:
        `CONFIRMED` when all rows are filled, or what `draw_verified` returned for row work.row.

    """
    sizes = work.sizes[0]
    while work.row[0] < len(patterns):
        row = work.row[0]
        while True:
            outcome = draw_verified(draw, tables, rejections)
            if outcome != CONFIRMED:
                return outcome
            group = draw.progress[GROUP]
            done = 0
            while done < sizes:
                parameters = draw_parameters(
                    draw.key,
                    work.pattern_counter,
                    work.pattern_stream,
                    imaging.ranges,
                    imaging.optics.instrument.two_theta_min,
                    imaging.optics.instrument.two_theta_max,
                )
                if not imaging.pure:
                    work.impurities.key[:] = draw.key
                    work.impurities.counter[:] = work.pattern_counter
                pattern = patterns[row + done]
                if not simulate_crystal(tables.sampler, group, draw.crystal, parameters, imaging, work, pattern):
                    break
                record_parameters(parameters, work.fractions, rows.parameters[row + done])
                work.pattern_counter[_INDEX] += np.uint64(1)
                done += 1
            if done == sizes:
                break
            work.pattern_counter[_INDEX] -= np.uint64(done)
            refuse(draw.progress, rejections[group - 1], NO_REFLECTION)
        accepted[group - 1] += 1
        for i in range(row, row + sizes):
            rows.choice[i] = draw.progress[CHOICE]
            describe_crystal(tables.sampler, group, draw.crystal, rows, i)
        draw.counter[_INDEX] += np.uint64(sizes)
        work.row[0] += sizes
        draw.dialogue[QUESTION] = BEGIN
    return CONFIRMED

"""Rows of a shard from their identities in one kernel: crystal, crystallite size, diffractogram, what is recorded.

    symbol      variable            meaning                                                     reference
    L           crystallite_size    L_min + (L_max - L_min) u, nm; u of the pattern's stream    paper, section 2.2
    w_j         weights             multiplicity_j / |G| (all sites are full)                   Int. Tables B, 1.2.4
    V           volume              of the conventional cell, Å^3                               `lattice_kernels`
    V_atomic    v_atomic            sum of multiplicity_j 4/3 pi r_j^3 over the sites, Å^3      paper, S1, step 7
    -           density_factor      V / V_atomic                                                paper, S1, step 7

One row after the other, each a function of its identity alone (`identity`: the counters of successive rows differ by
one in their last word):

    streams  ->  L  ->  space group  ->  verified crystal  ->  diffractogram  ->  record
                                               ^                    |
                                               +-- no reflection ---+

Where spglib must be asked, the kernel returns and is called again with the answer (`drawing_kernels`). Nothing is
checked here: what the sampler makes is a sound crystal, and `rows` bounds the work of simulating one.

# B rows of a block    P grid points    A atoms in the asymmetric unit
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from xrdgen.crystals.drawing_kernels import BEGIN, CONFIRMED, QUESTION, Draw, DrawTables, draw_verified
from xrdgen.crystals.sampler_kernels import GROUP, NO_REFLECTION, CrystalArrays, refuse
from xrdgen.crystals.tables import SamplerTables
from xrdgen.diffraction.group_tables import GroupTables
from xrdgen.diffraction.reach_kernels import Instrument
from xrdgen.diffraction.settings import ANGSTROMS_PER_NM
from xrdgen.diffraction.simulation_kernels import simulate_pattern
from xrdgen.jit import kernel
from xrdgen.random_kernels import start_stream, uniform
from xrdgen.symmetry.lattice_kernels import cell_volume

_INDEX = 3
"""The word of a counter that counts the rows of a shard."""


class Optics(NamedTuple):
    """All that diffractograms are simulated by; a tuple so that kernels take it as one argument."""

    instrument: Instrument
    groups: GroupTables
    form_factors: NDArray[np.float64]
    size_min: float
    """nm."""
    size_max: float
    """nm."""
    lorentzian_fraction: float
    """Share of the Lorentzian in the area of each line."""


class Work(NamedTuple):
    """Where `fill_rows` is, and its work space.

    Attributes:
        row: (1,) the next row, or the one that waits for an answer.
        pattern_counter: (4,) at which the pattern's stream of the next row begins.
        pattern_stream: (11,).
        weights: (A,).
        b_iso: (A,) displacement parameters, all 0.

    """

    row: NDArray[np.int64]
    pattern_counter: NDArray[np.uint64]
    pattern_stream: NDArray[np.uint64]
    weights: NDArray[np.float64]
    b_iso: NDArray[np.float64]


class RowArrays(NamedTuple):
    """The fields of `SAMPLE_DTYPE` that describe crystal and pattern, one array each; the meanings are there."""

    space_group: NDArray[np.int64]
    crystallite_size: NDArray[np.float64]
    lattice: NDArray[np.float64]
    volume: NDArray[np.float64]
    n_sites: NDArray[np.int64]
    n_atoms: NDArray[np.int64]
    density_factor: NDArray[np.float64]
    composition: NDArray[np.float64]


@kernel
def draw_crystallite_size(key: NDArray[np.uint64], work: Work, optics: Optics) -> float:
    """Return the crystallite size of the next row in nm, as `Simulator.crystallite_size` does."""
    start_stream(work.pattern_stream, key, work.pattern_counter)
    return optics.size_min + (optics.size_max - optics.size_min) * uniform(work.pattern_stream)


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
    crystallite_size: float,
    optics: Optics,
    work: Work,
    pattern: NDArray[np.float32],
) -> bool:
    """Write the diffractogram (P,) of a drawn crystal; return False if no reflection reaches the grid.

    Args:
        tables: of the sampler.
        group: space group.
        crystal: of the sampler.
        crystallite_size: nm.
        optics: see `Optics`.
        work: its weights are filled.
        pattern: (P,) filled.

    """
    first = tables.wyckoff_start[group - 1]
    n = crystal.n_sites[0]
    for i in range(n):
        work.weights[i] = tables.multiplicity[first + crystal.letters[i]] / optics.groups.order[group - 1]
    return simulate_pattern(
        crystal.cell,
        crystal.positions[:n],
        crystal.atomic_numbers[:n],
        work.b_iso[:n],
        work.weights[:n],
        group,
        crystallite_size * ANGSTROMS_PER_NM,
        optics.lorentzian_fraction,
        optics.instrument,
        optics.groups,
        optics.form_factors,
        pattern,
    )


@kernel
def fill_rows(
    draw: Draw,
    tables: DrawTables,
    optics: Optics,
    work: Work,
    rejections: NDArray[np.int64],
    accepted: NDArray[np.int64],
    rows: RowArrays,
    patterns: NDArray[np.float32],
) -> int:
    """Fill rows work.row ... B - 1; go on in the midst of a row if an answer was waited for.

    A crystal without a reflection on the grid is a failed attempt of the same draw, so that the space group stays.

    Args:
        draw: with key, the first row's counter and the question `BEGIN`, or with the answer to what was asked.
        tables: of the crystals.
        optics: of the diffractograms.
        work: see `Work`; row 0 and the first row's counter at the beginning.
        rejections: (230, 10) counts by group - 1 and reason, added to.
        accepted: (230,) crystals by group - 1, added to.
        rows: arrays of at least B rows.
        patterns: (B, P) filled, maximum 1.

    Returns:
        `CONFIRMED` when all rows are filled, or what `draw_verified` returned for row work.row.

    """
    while work.row[0] < len(patterns):
        row = work.row[0]
        if draw.dialogue[QUESTION] == BEGIN:
            rows.crystallite_size[row] = draw_crystallite_size(draw.key, work, optics)
        while True:
            outcome = draw_verified(draw, tables, rejections)
            if outcome != CONFIRMED:
                return outcome
            group = draw.progress[GROUP]
            size = rows.crystallite_size[row]
            if simulate_crystal(tables.sampler, group, draw.crystal, size, optics, work, patterns[row]):
                break
            refuse(draw.progress, rejections[group - 1], NO_REFLECTION)
        accepted[group - 1] += 1
        describe_crystal(tables.sampler, group, draw.crystal, rows, row)
        draw.counter[_INDEX] += np.uint64(1)
        work.pattern_counter[_INDEX] += np.uint64(1)
        work.row[0] += 1
        draw.dialogue[QUESTION] = BEGIN
    return CONFIRMED

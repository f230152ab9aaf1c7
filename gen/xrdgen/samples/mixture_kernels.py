"""A diffractogram with imperfections, from the arrays of its crystal, as one kernel: phases, then points.

    symbol      variable            meaning                                                     reference
    a_i         impurity_fraction   I = (1 - sum a_i) I_main + sum a_i I_i, each of maximum 1   `effects.parameters`

The crystals of the impurities are drawn like those of the samples, but for the verification: their space group is not
used, and so what they would be asked about is not asked. Each has a random stream of its own, so that it is the same
whatever else is switched on; a crystal without a reflection on the grid is drawn again from that stream. Its lines are
drawn as exactly as its fraction asks for.

# A atoms in the asymmetric unit    P grid points
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from xrdcommon.identity import Purpose

from xrdgen.crystals.drawing_kernels import DrawTables
from xrdgen.crystals.ordering_kernels import order_atoms
from xrdgen.crystals.sampler_kernels import (
    GROUP,
    NO_REFLECTION,
    CrystalArrays,
    draw_group,
    next_candidate,
    refuse,
)
from xrdgen.diffraction.effects.parameters import MAX_DRAWS, PatternParameters
from xrdgen.diffraction.effects.point_kernels import PointEffects
from xrdgen.diffraction.finishing_kernels import finish_points
from xrdgen.diffraction.group_tables import GroupTables
from xrdgen.diffraction.phase_simulation_kernels import Optics, add_phase
from xrdgen.diffraction.points_kernels import add_scaled, largest_of, scale
from xrdgen.diffraction.profile_kernels import LANES
from xrdgen.jit import kernel
from xrdgen.random_kernels import start_stream

_PURPOSE = 1
"""The word of a counter that says what a stream is for."""

_FIRST_IMPURITY = np.uint64(Purpose.IMPURITY)

LEAST_SHARE = 1e-3
"""Impurities of a smaller fraction are drawn as exactly as those of this one."""

Reals = NDArray[np.float64]
Words = NDArray[np.uint64]


class Impurities(NamedTuple):
    """What impurities are drawn by and into.

    Attributes:
        tables: of the crystals.
        key: (2,) of the random stream.
        counter: (4,) of the sample; its word of purpose is set here.
        stream: (11,).
        progress: (5,) see `sampler_kernels`.
        crystal: of the sampler.
        rejections: (10,) counts that nobody asks for.
        weights: (A,).
        b_iso: (A,) displacement parameters, all 0.

    """

    tables: DrawTables
    key: Words
    counter: Words
    stream: Words
    progress: NDArray[np.int64]
    crystal: CrystalArrays
    rejections: NDArray[np.int64]
    weights: Reals
    b_iso: Reals


@kernel
def begin_impurity(number: int, impurities: Impurities) -> None:
    """Begin the stream of an impurity, 0 to 2, and draw its space group."""
    impurities.counter[_PURPOSE] = _FIRST_IMPURITY + np.uint64(number)
    start_stream(impurities.stream, impurities.key, impurities.counter)
    draw_group(impurities.stream, impurities.tables.sampler, impurities.progress)


@kernel
def next_impurity(impurities: Impurities, groups: GroupTables) -> bool:
    """Draw the next crystal of an impurity; return False if there is none."""
    tables, crystal = impurities.tables, impurities.crystal
    sampler = tables.sampler
    if not next_candidate(impurities.stream, sampler, impurities.progress, crystal, impurities.rejections):
        return False
    group = impurities.progress[GROUP]
    order_atoms(tables.ordering, sampler, tables.primitive, group, crystal)
    first = sampler.wyckoff_start[group - 1]
    for i in range(crystal.n_sites[0]):
        impurities.weights[i] = sampler.multiplicity[first + crystal.letters[i]] / groups.order[group - 1]
    return True


@kernel
def simulate_mixture(
    cell: Reals,
    positions: Reals,
    atomic_numbers: NDArray[np.int64],
    b_iso: Reals,
    weights: Reals,
    space_group: int,
    parameters: PatternParameters,
    optics: Optics,
    impurities: Impurities,
    effects: PointEffects,
    fractions: Reals,
    out: NDArray[np.float32],
) -> bool:
    """Write the diffractogram (P,) of a crystal with imperfections; return False if there is nothing to see.

    Args:
        cell: (6,) Å and degrees.
        positions: (A, 3) fractional.
        atomic_numbers: (A,).
        b_iso: (A,) Å^2.
        weights: (A,) occupancy x multiplicity / order of the group.
        space_group: International Tables number.
        parameters: of the pattern.
        optics: of its lines.
        impurities: with key and counter of the sample.
        effects: of its points.
        fractions: (3,) filled with those of the impurities that are there.
        out: (P,) filled, in [0, 1].

    """
    fractions[:] = 0.0
    wanted = (
        1.0,
        parameters.impurity_fraction_1,
        parameters.impurity_fraction_2,
        parameters.impurity_fraction_3,
    )
    y = np.zeros(LANES + out.size + LANES, np.float32)
    grid = y[LANES : LANES + out.size]
    mixed = parameters.n_impurities > 0.0
    other = np.empty(y.size if mixed else 0, np.float32)
    others = np.zeros(out.size if mixed else 0, np.float32)
    main, highest = 1.0, 0.0
    crystal = impurities.crystal
    for phase in range(len(wanted)):
        if wanted[phase] == 0.0:
            continue
        if phase > 0:
            begin_impurity(phase - 1, impurities)
            other[:] = 0.0
        buffer = y if phase == 0 else other
        there = False
        for _ in range(1 if phase == 0 else MAX_DRAWS):
            if phase > 0:
                if not next_impurity(impurities, optics.groups):
                    break
                n = crystal.n_sites[0]
                cell, positions, atomic_numbers = crystal.cell, crystal.positions[:n], crystal.atomic_numbers[:n]
                b_iso, weights = impurities.b_iso[:n], impurities.weights[:n]
                space_group = impurities.progress[GROUP]
            share = max(wanted[phase], LEAST_SHARE)
            # one place for all: Numba compiles what is called once more for every place
            if add_phase(
                cell,
                positions,
                atomic_numbers,
                b_iso,
                weights,
                space_group,
                parameters,
                phase == 0,
                optics,
                share,
                buffer,
            ):
                there = True
                break
            if phase > 0:
                refuse(impurities.progress, impurities.rejections, NO_REFLECTION)
        largest = largest_of(buffer[LANES : LANES + out.size]) if there else 0.0
        if phase == 0:
            if largest == 0.0:
                return False
            highest = largest
        elif largest > 0.0:
            add_scaled(buffer[LANES : LANES + out.size], wanted[phase] / largest, others)
            fractions[phase - 1] = wanted[phase]
            main -= wanted[phase]
    if main < 1.0:
        scale(grid, main / highest)
        add_scaled(others, 1.0, grid)
    return finish_points(grid, parameters, optics.instrument, impurities.key, impurities.counter, effects, out)

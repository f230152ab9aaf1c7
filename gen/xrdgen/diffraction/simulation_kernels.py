"""The whole way from the arrays of a crystal to its diffractogram, as one kernel without Python objects.

    reach  ->  structure factors  ->  Bragg angles, Scherrer widths, heights  ->  Gaussians, Lorentzians  ->  maximum 1

# A atom rows    P grid points
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from xrdgen.diffraction.group_tables import GroupTables
from xrdgen.diffraction.lorentzian_kernels import add_lorentzians
from xrdgen.diffraction.profile_kernels import (
    ABSENT,
    LANES,
    add_gaussians,
    bragg_lines,
    largest_visible_height,
    scale_to_unit_maximum,
)
from xrdgen.diffraction.reach_kernels import Instrument, d_star_squared_limits
from xrdgen.diffraction.structure_factor_kernels import structure_factors
from xrdgen.jit import kernel


@kernel
def simulate_pattern(
    cell: NDArray[np.float64],
    positions: NDArray[np.float64],
    atomic_numbers: NDArray[np.int64],
    b_iso: NDArray[np.float64],
    weights: NDArray[np.float64],
    space_group: int,
    crystallite_size: float,
    lorentzian_fraction: float,
    instrument: Instrument,
    groups: GroupTables,
    form_factors: NDArray[np.float64],
    out: NDArray[np.float32],
) -> bool:
    """Write the diffractogram (P,) of a crystal, maximum 1; return False if no reflection is on the grid.

    Args:
        cell: (6,) Å and degrees.
        positions: (A, 3) fractional.
        atomic_numbers: (A,).
        b_iso: (A,) isotropic displacement parameters, Å^2.
        weights: (A,) occupancy x multiplicity / order of the group.
        space_group: International Tables number.
        crystallite_size: Å.
        lorentzian_fraction: share of the Lorentzian in the area of each line: 0 is a Gaussian, 1 a Lorentzian.
        instrument: see `Instrument`.
        groups: `group_tables()`.
        form_factors: `form_factor_table` up to s^2 of the farthest line in reach.
        out: (P,) filled.

    """
    nearest, farthest = d_star_squared_limits(instrument, crystallite_size, lorentzian_fraction)
    _, multiplicities, s_squared, f_squared = structure_factors(
        cell,
        positions,
        atomic_numbers,
        b_iso,
        weights,
        space_group,
        groups,
        form_factors,
        nearest,
        farthest,
        False,
    )
    lines = np.empty((3, s_squared.size))
    centre, sharpness, height = lines[0], lines[1], lines[2]
    bragg_lines(s_squared, multiplicities, f_squared, instrument, crystallite_size, centre, sharpness, height)
    electrons = 0.0
    for i in range(weights.size):
        electrons += atomic_numbers[i] * weights[i] * groups.order[space_group - 1]
    absent = ABSENT * electrons * electrons
    unit = largest_visible_height(centre, sharpness, height, absent, out.size)
    if unit <= absent:
        out[:] = 0.0
        return False
    y = np.zeros(LANES + out.size + LANES, np.float32)
    if lorentzian_fraction < 1.0:
        add_gaussians(y, centre, sharpness, height, unit, 1.0 - lorentzian_fraction)
    if lorentzian_fraction > 0.0:
        add_lorentzians(y, centre, sharpness, height, unit, lorentzian_fraction)
    return scale_to_unit_maximum(y, out)

"""The whole way from the arrays of a crystal to its diffractogram, as one kernel without Python objects.

    stage       kernel          does
    lines       ideal_lines     reach -> structure factors -> Bragg angles, areas, Scherrer widths
    profile     add_profiles    Gaussians and Lorentzians, added to a buffer that is not scaled
    points      -               maximum 1 (`points_kernels`)

# A atom rows    R lines    P grid points
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from xrdgen.diffraction.group_tables import GroupTables
from xrdgen.diffraction.line_kernels import (
    ABSENT,
    LineArrays,
    bragg_angles,
    empty_lines,
    forward_intensity,
    grid_positions,
    line_areas,
    scherrer_sharpness,
)
from xrdgen.diffraction.lorentzian_kernels import add_lorentzians
from xrdgen.diffraction.points_kernels import scale_to_unit_maximum
from xrdgen.diffraction.profile_kernels import LANES, add_gaussians, largest_visible_height, line_heights
from xrdgen.diffraction.reach_kernels import Instrument, d_star_squared_limits
from xrdgen.diffraction.structure_factor_kernels import structure_factors
from xrdgen.jit import kernel


@kernel
def ideal_lines(
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
) -> LineArrays:
    """Return the lines (R,) that a grid sees of a crystal, of one wavelength and the Scherrer width.

    Args: see `simulate_pattern`.
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
    lines = empty_lines(s_squared.size)
    wavelength = instrument.wavelength
    absent = ABSENT * forward_intensity(atomic_numbers, weights, groups.order[space_group - 1])
    theta = lines.centre
    bragg_angles(s_squared, wavelength, theta)
    grid_positions(theta, instrument, lines.centre)
    line_areas(s_squared, multiplicities, f_squared, wavelength, absent, lines.area)
    scherrer_sharpness(s_squared, wavelength, instrument, crystallite_size, lines.sharpness)
    return lines


@kernel
def add_profiles(y: NDArray[np.float32], lines: LineArrays, lorentzian_fraction: float) -> bool:
    """Add lines of one shape to a buffer (LANES + P + LANES,) that is not scaled; return False if none is on the grid.

    The unit of what is added is the highest line on the grid.

    Args:
        y: buffer.
        lines: see `LineArrays`.
        lorentzian_fraction: share of the Lorentzian in the area of each line.

    """
    height = np.empty(lines.area.size)
    line_heights(lines.area, lines.sharpness, height)
    unit = largest_visible_height(lines.centre, lines.sharpness, height, y.size - 2 * LANES)
    if unit == 0.0:
        return False
    if lorentzian_fraction < 1.0:
        add_gaussians(y, lines.centre, lines.sharpness, height, unit, 1.0 - lorentzian_fraction)
    if lorentzian_fraction > 0.0:
        add_lorentzians(y, lines.centre, lines.sharpness, height, unit, lorentzian_fraction)
    return True


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
    lines = ideal_lines(
        cell,
        positions,
        atomic_numbers,
        b_iso,
        weights,
        space_group,
        crystallite_size,
        lorentzian_fraction,
        instrument,
        groups,
        form_factors,
    )
    y = np.zeros(LANES + out.size + LANES, np.float32)
    add_profiles(y, lines, lorentzian_fraction)
    return scale_to_unit_maximum(y, out)

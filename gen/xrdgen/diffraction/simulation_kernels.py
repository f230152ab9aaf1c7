"""The whole way from the arrays of a crystal to its diffractogram, as one kernel without Python objects.

    structure factors  ->  Bragg angles, areas, Scherrer widths  ->  Gaussians  ->  maximum 1

# A atom rows    P grid points
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from xrdgen.diffraction.group_tables import GroupTables
from xrdgen.diffraction.profile_kernels import bragg_lines, draw_gaussians, scale_to_unit_maximum
from xrdgen.diffraction.structure_factor_kernels import structure_factors
from xrdgen.jit import kernel


class Instrument(NamedTuple):
    """Numbers that all patterns of a simulation share; a tuple so that kernels take it as one argument."""

    wavelength: float
    """Å."""
    scherrer_constant: float
    two_theta_min: float
    """First grid point, degrees."""
    step: float
    """Grid step, degrees 2theta."""
    min_d_star_squared: float
    """Smallest 1/d^2 (1/Å^2) whose tail reaches the grid."""
    max_d_star_squared: float
    """Largest 1/d^2 (1/Å^2) whose tail reaches the grid."""


@kernel
def simulate_pattern(
    cell: NDArray[np.float64],
    positions: NDArray[np.float64],
    atomic_numbers: NDArray[np.int64],
    b_iso: NDArray[np.float64],
    weights: NDArray[np.float64],
    space_group: int,
    crystallite_size: float,
    instrument: Instrument,
    groups: GroupTables,
    form_factors: NDArray[np.float64],
    out: NDArray[np.float32],
) -> bool:
    """Write the diffractogram (P,) of a crystal, maximum 1; return False if no reflection reaches the grid.

    Args:
        cell: (6,) Å and degrees.
        positions: (A, 3) fractional.
        atomic_numbers: (A,).
        b_iso: (A,) isotropic displacement parameters, Å^2.
        weights: (A,) occupancy x multiplicity / order of the group.
        space_group: International Tables number.
        crystallite_size: Å.
        instrument: see `Instrument`.
        groups: `group_tables()`.
        form_factors: `form_factor_table` up to max_d_star_squared / 4.
        out: (P,) filled.

    """
    _, multiplicities, s_squared, f_squared = structure_factors(
        cell,
        positions,
        atomic_numbers,
        b_iso,
        weights,
        space_group,
        groups,
        form_factors,
        instrument.min_d_star_squared,
        instrument.max_d_star_squared,
        False,
    )
    two_theta = np.empty(s_squared.size)
    area = np.empty(s_squared.size)
    fwhm = np.empty(s_squared.size)
    bragg_lines(
        s_squared,
        multiplicities * f_squared,
        instrument.wavelength,
        instrument.scherrer_constant,
        crystallite_size,
        two_theta,
        area,
        fwhm,
    )
    y = draw_gaussians(two_theta, area, fwhm, instrument.two_theta_min, instrument.step, out.size)
    return scale_to_unit_maximum(y, out)

"""Kernels that add one crystal with imperfections to a buffer that is not scaled: its lines, then their profile.

    structure factors -> thermal motion, texture -> a set of lines an emission line -> asymmetry, shift -> buffer

# A atom rows    R reflections    N lines    P grid points
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from xrdgen.diffraction.effects.emission import Emission
from xrdgen.diffraction.effects.emission_kernels import emitted_lines
from xrdgen.diffraction.effects.parameters import PatternParameters
from xrdgen.diffraction.effects.texture_kernels import texture_weights
from xrdgen.diffraction.far_line_kernels import far_lines, nearest_far
from xrdgen.diffraction.form_factors import FORM_FACTOR_STEP
from xrdgen.diffraction.group_tables import GroupTables
from xrdgen.diffraction.line_kernels import ABSENT, forward_intensity
from xrdgen.diffraction.pseudo_voigt_kernels import add_shaped_lines
from xrdgen.diffraction.reach_kernels import Instrument
from xrdgen.diffraction.reflection_kernels import exact_cell, reciprocal_metric
from xrdgen.diffraction.shaped_line_kernels import ShapedLines, shaped_lines
from xrdgen.diffraction.shaped_reach_kernels import shaped_limits
from xrdgen.diffraction.structure_factor_kernels import structure_factors
from xrdgen.jit import fast_kernel, kernel

Reals = NDArray[np.float64]

TABLE_MARGIN = 4
"""Columns of the table of form factors that interpolation needs beyond the place looked up."""


class Optics(NamedTuple):
    """All that lines are computed by; a tuple so that kernels take it as one argument."""

    instrument: Instrument
    emission: Emission
    groups: GroupTables
    form_factors: Reals
    """(119, T) `form_factor_table`; no reflection beyond it is listed."""


# fast: a polynomial of positive terms, powers
@fast_kernel
def damp(s_squared: Reals, b_iso: float, intensity: Reals) -> None:
    """Multiply intensities (R,) by exp(-2 B s^2): exp(-x) = 1 / p(x / 64)^64, p the first terms of the exponential."""
    factor = 2.0 * b_iso / 64.0
    for i in range(intensity.size):
        x = factor * s_squared[i]
        p = 1.0 + x * (1.0 / 7.0)
        p = 1.0 + x * (1.0 / 6.0) * p
        p = 1.0 + x * (1.0 / 5.0) * p
        p = 1.0 + x * (1.0 / 4.0) * p
        p = 1.0 + x * (1.0 / 3.0) * p
        p = 1.0 + x * (1.0 / 2.0) * p
        p = 1.0 + x * p
        p *= p
        p *= p
        p *= p
        p *= p
        p *= p
        p *= p
        intensity[i] /= p


@kernel
def phase_lines(
    cell: Reals,
    positions: Reals,
    atomic_numbers: NDArray[np.int64],
    b_iso: Reals,
    weights: Reals,
    space_group: int,
    parameters: PatternParameters,
    textured: bool,
    optics: Optics,
    share: float,
) -> ShapedLines:
    """Return the lines (N,) of a crystal that the grid sees.

    Args:
        cell: (6,) Å and degrees.
        positions: (A, 3) fractional.
        atomic_numbers: (A,).
        b_iso: (A,) Å^2, of the crystal itself.
        weights: (A,) occupancy x multiplicity / order of the group.
        space_group: International Tables number.
        parameters: of the pattern.
        textured: whether its texture is this crystal's.
        optics: see `Optics`.
        share: of the crystal in the maximum of the pattern; of a smaller one weaker tails are left out.

    """
    instrument, groups = optics.instrument, optics.groups
    emitted = emitted_lines(parameters, optics.emission)
    largest = (optics.form_factors.shape[1] - TABLE_MARGIN) * FORM_FACTOR_STEP
    nearest, farthest = shaped_limits(instrument, parameters, emitted, largest, share)
    with_texture = textured and parameters.march_r != 1.0
    hkl, multiplicity, s_squared, f_squared = structure_factors(
        cell,
        positions,
        atomic_numbers,
        b_iso,
        weights,
        space_group,
        groups,
        optics.form_factors,
        nearest,
        farthest,
        with_texture,
    )
    n = s_squared.size
    absent = ABSENT * forward_intensity(atomic_numbers, weights, groups.order[space_group - 1])
    intensity = np.empty(n)
    for i in range(n):
        intensity[i] = multiplicity[i] * f_squared[i] if f_squared[i] > absent else 0.0
    if with_texture:
        texture = np.empty(n)
        metric = reciprocal_metric(exact_cell(cell, space_group))
        texture_weights(hkl, metric, space_group, groups, parameters, texture)
        for i in range(n):
            intensity[i] *= texture[i]
    limit = nearest_far(instrument, parameters, emitted)
    far_squared, far_intensity = np.empty(n), np.empty(n)
    n_near, n_far = 0, 0
    for i in range(n):
        x, strength = s_squared[i], intensity[i]
        far_squared[n_far], far_intensity[n_far] = x, strength
        s_squared[n_near], intensity[n_near] = x, strength
        n_far += 1 if strength > 0.0 and x >= limit else 0
        n_near += 1 if strength > 0.0 and x < limit else 0
    s_squared, intensity = s_squared[:n_near], intensity[:n_near]
    far_squared, far_intensity = far_squared[:n_far], far_intensity[:n_far]
    if parameters.b_iso > 0.0:
        damp(s_squared, parameters.b_iso, intensity)
        damp(far_squared, parameters.b_iso, far_intensity)
    lines = shaped_lines(s_squared, intensity, emitted, instrument, parameters)
    far_centre, far_strength = far_lines(far_squared, far_intensity, emitted, instrument, parameters)
    return ShapedLines(
        lines.centre,
        lines.area,
        lines.sharpness,
        lines.lorentzian,
        lines.gamma_squared,
        lines.first_sample,
        lines.samples_per_step,
        far_centre,
        far_strength,
    )


@kernel
def add_phase(
    cell: Reals,
    positions: Reals,
    atomic_numbers: NDArray[np.int64],
    b_iso: Reals,
    weights: Reals,
    space_group: int,
    parameters: PatternParameters,
    textured: bool,
    optics: Optics,
    share: float,
    y: NDArray[np.float32],
) -> bool:
    """Add a crystal to a buffer (LANES + P + LANES,), in its own unit; return False if no reflection is on the grid.

    Args: see `phase_lines`.
    """
    lines = phase_lines(
        cell, positions, atomic_numbers, b_iso, weights, space_group, parameters, textured, optics, share
    )
    return add_shaped_lines(y, lines, share)

"""Kernels for shifts of lines; see `shifts`."""

from __future__ import annotations

from xrdgen.diffraction.effects.parameters import PatternParameters
from xrdgen.jit import inline_kernel, kernel


@inline_kernel
def shift(cos_theta: float, parameters: PatternParameters) -> float:
    """Return what is added to 2theta of a line, degrees."""
    return parameters.zero_shift + parameters.displacement * cos_theta


@kernel
def largest_shift(parameters: PatternParameters) -> float:
    """Return a bound for the shift of any line to either side, degrees: reflections are listed so far beyond a grid."""
    return abs(parameters.zero_shift) + abs(parameters.displacement)

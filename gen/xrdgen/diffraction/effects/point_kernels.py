"""Kernel that puts background, hump, noise and residue onto the lines of a pattern; see `background` and `noise`.

# P grid points    N nodes
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from xrdgen.diffraction.effects.background import BackgroundTables
from xrdgen.diffraction.effects.background_kernels import add_curves_and_noise, baseline_nodes, residue_nodes
from xrdgen.diffraction.effects.noise_kernels import fill_normals
from xrdgen.diffraction.effects.parameters import PatternParameters
from xrdgen.jit import kernel

Words = NDArray[np.uint64]


class PointEffects(NamedTuple):
    """Tables and work space; a tuple so that kernels take it as one argument."""

    tables: BackgroundTables
    baseline: NDArray[np.float64]
    """(N,) work space."""
    residue: NDArray[np.float64]
    """(N,) work space."""
    deviates: NDArray[np.float32]
    """(P and up to 3 more,) work space."""
    stream: Words
    """(11,) work space."""


@kernel
def changes_points(parameters: PatternParameters) -> bool:
    """Whether a pattern has a background, a hump, a residue or noise."""
    return (
        has_noise(parameters)
        or parameters.background_level > 0.0
        or parameters.hump_height > 0.0
        or parameters.residue > 0.0
    )


@kernel
def has_noise(parameters: PatternParameters) -> bool:
    """Whether the points of a pattern have noise."""
    return parameters.noise_additive > 0.0 or parameters.noise_counting > 0.0 or parameters.noise_multiplicative > 0.0


@kernel
def measure(
    y: NDArray[np.float32], parameters: PatternParameters, effects: PointEffects, key: Words, counter: Words
) -> None:
    """Turn lines (P,) of maximum 1 into points with background and noise; neither clipped, cut nor scaled.

    Args:
        y: changed.
        parameters: of the pattern.
        effects: see `PointEffects`.
        key: (2,) of the producer.
        counter: (4,) of the sample, whatever its purpose.

    """
    baseline_nodes(parameters, effects.tables, key, counter, effects.stream, effects.baseline)
    kept = effects.baseline
    if parameters.background_removed > 0.0:
        residue_nodes(parameters, effects.tables, key, counter, effects.stream, effects.residue)
        kept = effects.residue
    if has_noise(parameters):
        fill_normals(key, counter, effects.stream, effects.deviates)
    else:
        effects.deviates[:] = 0.0
    add_curves_and_noise(y, effects.baseline, kept, effects.tables.node_weights, effects.deviates, parameters)

"""Background, hump, noise and residue on the lines of a pattern, in float64; and what their kernel needs.

# P grid points
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from xrdcommon.grid import Grid
from xrdcommon.identity import SampleIdentity

from xrdgen.diffraction.effects.background import at_points, background_tables, baseline_nodes, residue_nodes
from xrdgen.diffraction.effects.noise import measured_points, normal_deviates
from xrdgen.diffraction.effects.parameters import PatternParameters
from xrdgen.diffraction.effects.point_kernels import PointEffects
from xrdgen.random_kernels import STREAM_WORDS


def point_effects(grid: Grid, shortest_length: float) -> PointEffects:
    """Prepare tables and work space for a grid.

    Args:
        grid: 2theta points.
        shortest_length: `Imperfections.shortest_length`, degrees.

    """
    tables = background_tables(grid, shortest_length)
    n_nodes = len(tables.nodes)
    return PointEffects(
        tables=tables,
        baseline=np.zeros(n_nodes),
        residue=np.zeros(n_nodes),
        deviates=np.zeros(-(-grid.n_points // 4) * 4, dtype=np.float32),
        stream=np.zeros(STREAM_WORDS, dtype=np.uint64),
    )


def measure(
    lines: NDArray[np.float64],
    parameters: PatternParameters,
    identity: SampleIdentity,
    grid: Grid,
    shortest_length: float,
) -> NDArray[np.float64]:
    """Return points (P,) with background and noise; neither clipped, cut nor scaled.

    Args:
        lines: (P,) maximum 1.
        parameters: of the pattern.
        identity: of the sample.
        grid: 2theta points.
        shortest_length: `Imperfections.shortest_length`, degrees.

    """
    tables = background_tables(grid, shortest_length)
    baseline = at_points(baseline_nodes(identity, parameters, tables), tables, grid.n_points)
    residue = at_points(residue_nodes(identity, parameters, tables), tables, grid.n_points)
    return measured_points(lines, baseline, residue, normal_deviates(identity, grid.n_points), parameters)

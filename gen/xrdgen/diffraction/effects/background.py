"""Background, amorphous hump and the residue of a removed background, in float64.

    symbol      meaning                                                                             source
    l           length scale, degrees 2theta                                                        [S], eq. 1
    k(x, x')    exp(-(x - x')^2 / (2 l^2)), covariance of the Gaussian process g                    [S], eq. 1
    level       mean of the background over the grid, in units of the lines' maximum                below
    b           level (g - min g) / mean(g - min g)                                                 [S], steps 2 to 4
    hump        height exp(-4 ln 2 ((x - position) / FWHM)^2)                                       -
    residue     offset + sd g, with a process of its own; of either sign                            -

The paper divides g - min g by its sum over the 8501 points of the grid and multiplies by a scale in [0, 150]: its mean
is scale / 8501. Stated as a mean it does not depend on the step.

A process with length scale l is one with length scale 1, stretched. So one factor serves all: the Cholesky factor of
the covariance of knots SPACING apart, of which a pattern takes as many rows as its range needs (66 for 85 degrees and
l = 7, fewer for longer scales). From the knots the curve is interpolated to nodes NODE_SPACING degrees apart, and from
these to the points, each time by the cubic through four neighbours: to 4e-4 of the standard deviation of g.

[S] Schopmans et al., section S4.2.

# K knots    N nodes    P grid points    W points a node
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from xrdcommon.grid import Grid
from xrdcommon.identity import Purpose, SampleIdentity

from xrdgen.diffraction.effects.parameters import PatternParameters

Reals = NDArray[np.float64]
Singles = NDArray[np.float32]

SPACING = 0.2
"""Of the knots, in length scales."""

NODE_SPACING = 0.32
"""Degrees 2theta, about."""

BEFORE, AFTER = 1, 2
"""Nodes and knots beyond each end that the cubics need."""

_JITTER = 1e-10
"""Added to the variances: the factor of so smooth a process is singular to rounding."""


class BackgroundTables(NamedTuple):
    """What all backgrounds on a grid share; a tuple so that kernels take it as one argument."""

    factor: Reals
    """(K, K) lower triangular."""
    node_weights: Singles
    """(4, W) weights of the four nodes around each of the points from one node to the next."""
    nodes: Reals
    """(N,) degrees; the first lies one node before the grid."""


def lagrange_weights(t: Reals) -> Reals:
    """Return the weights (4, T) of the nodes -1, 0, 1, 2 of the cubic through them, at places t in [0, 1)."""
    return np.array(
        [
            -t * (t - 1.0) * (t - 2.0) / 6.0,
            (t + 1.0) * (t - 1.0) * (t - 2.0) / 2.0,
            -(t + 1.0) * t * (t - 2.0) / 2.0,
            (t + 1.0) * t * (t - 1.0) / 6.0,
        ]
    )


def background_tables(grid: Grid, shortest_length: float) -> BackgroundTables:
    """Prepare for a grid and the shortest length scale (degrees) that will be drawn; see `Imperfections`."""
    per_node = max(1, round(NODE_SPACING / grid.step))
    n_cells = math.ceil(grid.n_points / per_node)
    nodes = grid.two_theta_min + grid.step * per_node * (np.arange(n_cells + BEFORE + AFTER) - BEFORE)
    n_knots = math.ceil((nodes[-1] - nodes[0]) / (shortest_length * SPACING)) + BEFORE + AFTER + 1
    distance = SPACING * (np.arange(n_knots)[:, None] - np.arange(n_knots))
    covariance = np.exp(-0.5 * distance**2) + _JITTER * np.eye(n_knots)
    weights = lagrange_weights(np.arange(per_node) / per_node)
    factor = np.asarray(np.linalg.cholesky(covariance), dtype=np.float64)
    return BackgroundTables(factor, weights.astype(np.float32), np.asarray(nodes, dtype=np.float64))


def gaussian_process(identity: SampleIdentity, purpose: Purpose, length: float, tables: BackgroundTables) -> Reals:
    """Return a curve of variance 1 at the nodes (N,).

    Args:
        identity: of the sample.
        purpose: of the random stream.
        length: degrees, not below the one that the tables are for.
        tables: `background_tables`.

    """
    from xrdgen.diffraction.effects.parameter_kernels import start_purpose
    from xrdgen.diffraction.effects.parameters import stream_start
    from xrdgen.random_kernels import STREAM_WORDS, normal_pair

    nodes = tables.nodes
    place = (nodes - nodes[0]) / (length * SPACING) + BEFORE
    n = int(place[-1]) + AFTER + 1
    key, counter = stream_start(identity)
    stream = np.zeros(STREAM_WORDS, dtype=np.uint64)
    start_purpose(stream, key, counter, np.uint64(purpose))
    normals = np.array([normal_pair(stream) for _ in range((n + 1) // 2)]).ravel()[:n]
    knots = tables.factor[:n, :n] @ normals
    cell = place.astype(np.int64)
    weights = lagrange_weights(place - cell)
    return np.asarray(sum(weights[j] * knots[cell - BEFORE + j] for j in range(4)))


def hump(two_theta: Reals, height: float, position: float, fwhm: float) -> Reals:
    """Return the amorphous hump at angles of any shape; all in degrees."""
    return np.asarray(height * np.exp(-4.0 * math.log(2.0) * ((two_theta - position) / fwhm) ** 2))


def baseline_nodes(identity: SampleIdentity, parameters: PatternParameters, tables: BackgroundTables) -> Reals:
    """Return background and hump at the nodes (N,), in units of the lines' maximum."""
    nodes = np.zeros_like(tables.nodes)
    if parameters.background_level > 0.0:
        g = gaussian_process(identity, Purpose.BACKGROUND_CURVE, parameters.background_length, tables)
        g -= g[1:-1].min()
        nodes += parameters.background_level * g / g[1:-1].mean()
    if parameters.hump_height > 0.0:
        nodes += hump(tables.nodes, parameters.hump_height, parameters.hump_position, parameters.hump_width)
    return nodes


def residue_nodes(identity: SampleIdentity, parameters: PatternParameters, tables: BackgroundTables) -> Reals:
    """Return what is left of a removed background at the nodes (N,), in units of the lines' maximum."""
    nodes = np.full_like(tables.nodes, parameters.residue_offset)
    if parameters.residue > 0.0:
        g = gaussian_process(identity, Purpose.RESIDUE_CURVE, parameters.residue_length, tables)
        nodes += parameters.residue * g
    return nodes


def at_points(nodes: Reals, tables: BackgroundTables, n_points: int) -> Reals:
    """Return a curve at the points of the grid (P,), given it at the nodes (N,)."""
    cells = len(nodes) - BEFORE - AFTER
    windows = np.lib.stride_tricks.sliding_window_view(nodes, 4)[:cells]
    return np.asarray((windows @ tables.node_weights.astype(np.float64)).ravel()[:n_points])

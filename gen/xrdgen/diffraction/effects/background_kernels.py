"""Kernels for background, hump, residue and, in the same pass over the points, noise; see `background` and `noise`.

# K knots    N nodes    P grid points    W points a node
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from xrdcommon.identity import Purpose

from xrdgen.diffraction.effects.background import AFTER, BEFORE, SPACING, BackgroundTables
from xrdgen.diffraction.effects.parameter_kernels import start_purpose
from xrdgen.diffraction.effects.parameters import PatternParameters
from xrdgen.jit import fast_kernel, kernel
from xrdgen.random_kernels import normal_pair

Reals = NDArray[np.float64]
Singles = NDArray[np.float32]
Words = NDArray[np.uint64]

_BACKGROUND_CURVE = np.uint64(Purpose.BACKGROUND_CURVE)
_RESIDUE_CURVE = np.uint64(Purpose.RESIDUE_CURVE)
_FOUR_LN_2 = 4.0 * math.log(2.0)


# fast: the order of a sum over knots is free
@fast_kernel
def correlate(factor: Reals, normals: Reals, knots: Reals) -> None:
    """Set knots (K,) to the lower triangular factor times normals (K,)."""
    for i in range(knots.size):
        total = 0.0
        for j in range(i + 1):
            total += factor[i, j] * normals[j]
        knots[i] = total


@kernel
def gaussian_process(stream: Words, length: float, tables: BackgroundTables, curve: Reals) -> None:
    """Fill a curve of variance 1 at the nodes (N,), from a stream at its beginning; see `background`."""
    nodes = tables.nodes
    last = nodes.size - 1
    per_degree = 1.0 / (length * SPACING)
    n = min(int((nodes[last] - nodes[0]) * per_degree + BEFORE) + AFTER + 1, tables.factor.shape[0])
    normals, knots = np.empty(n + 1), np.empty(n)
    for i in range(0, n, 2):
        normals[i], normals[i + 1] = normal_pair(stream)
    correlate(tables.factor, normals[:n], knots)
    for i in range(nodes.size):
        place = (nodes[i] - nodes[0]) * per_degree + BEFORE
        cell = min(int(place), n - 1 - AFTER)
        t = place - cell
        curve[i] = (
            -t * (t - 1.0) * (t - 2.0) / 6.0 * knots[cell - 1]
            + (t + 1.0) * (t - 1.0) * (t - 2.0) / 2.0 * knots[cell]
            - (t + 1.0) * t * (t - 2.0) / 2.0 * knots[cell + 1]
            + (t + 1.0) * t * (t - 1.0) / 6.0 * knots[cell + 2]
        )


@kernel
def baseline_nodes(
    parameters: PatternParameters, tables: BackgroundTables, key: Words, counter: Words, stream: Words, curve: Reals
) -> None:
    """Fill background and hump at the nodes (N,), in units of the lines' maximum.

    Args:
        parameters: of the pattern.
        tables: `background_tables`.
        key: (2,) of the producer.
        counter: (4,) of the sample, whatever its purpose.
        stream: (11,) work space.
        curve: (N,) filled.

    """
    n = curve.size
    if parameters.background_level > 0.0:
        start_purpose(stream, key, counter, _BACKGROUND_CURVE)
        gaussian_process(stream, parameters.background_length, tables, curve)
        smallest, total = np.inf, 0.0
        for i in range(1, n - 1):
            smallest = min(smallest, curve[i])
            total += curve[i]
        factor = parameters.background_level / (total / (n - 2) - smallest)
        for i in range(n):
            curve[i] = factor * (curve[i] - smallest)
    else:
        curve[:] = 0.0
    if parameters.hump_height > 0.0:
        for i in range(n):
            x = (tables.nodes[i] - parameters.hump_position) / parameters.hump_width
            curve[i] += parameters.hump_height * math.exp(-_FOUR_LN_2 * x * x)


@kernel
def residue_nodes(
    parameters: PatternParameters, tables: BackgroundTables, key: Words, counter: Words, stream: Words, curve: Reals
) -> None:
    """Fill what is left of a removed background at the nodes (N,); arguments as `baseline_nodes`."""
    curve[:] = 0.0
    if parameters.residue > 0.0:
        start_purpose(stream, key, counter, _RESIDUE_CURVE)
        gaussian_process(stream, parameters.residue_length, tables, curve)
    for i in range(curve.size):
        curve[i] = parameters.residue * curve[i] + parameters.residue_offset


# fast: a few terms, of which the root is taken where they are not negative
@fast_kernel
def add_curves_and_noise(
    y: Singles, baseline: Reals, kept: Reals, weights: Singles, deviates: Singles, parameters: PatternParameters
) -> None:
    """Turn lines into measured points (P,), as `noise.measured_points` does, the curves being given at nodes.

    Args:
        y: (P,) lines, maximum 1; changed.
        baseline: (N,) background and hump, which noise grows with.
        kept: (N,) what of them, and of a residue, is in the points.
        weights: (4, W) of `BackgroundTables`.
        deviates: at least (P,) standard normal.
        parameters: of the pattern.

    """
    a, c, m = parameters.noise_additive, parameters.noise_counting, parameters.noise_multiplicative
    additive = np.float32(a * a * (1.0 + m * m))
    counting, multiplicative = np.float32(c * c), np.float32(m * m)
    zero = np.float32(0.0)
    width = weights.shape[1]
    for cell in range((y.size + width - 1) // width):
        begin = cell * width
        n = min(width, y.size - begin)
        b0, b1 = np.float32(baseline[cell]), np.float32(baseline[cell + 1])
        b2, b3 = np.float32(baseline[cell + 2]), np.float32(baseline[cell + 3])
        k0, k1 = np.float32(kept[cell]), np.float32(kept[cell + 1])
        k2, k3 = np.float32(kept[cell + 2]), np.float32(kept[cell + 3])
        points, normals = y[begin : begin + n], deviates[begin : begin + n]
        for i in range(n):
            w0, w1, w2, w3 = weights[0, i], weights[1, i], weights[2, i], weights[3, i]
            line = points[i]
            total = line + (b0 * w0 + b1 * w1) + (b2 * w2 + b3 * w3)
            variance = additive + counting * max(line, zero) + multiplicative * total * total
            points[i] = line + (k0 * w0 + k1 * w1) + (k2 * w2 + k3 * w3) + np.sqrt(variance) * normals[i]

"""March-Dollase: its mean over the sphere, and the average over equivalents in all 230 groups against gemmi."""

from __future__ import annotations

import gemmi
import numpy as np
import pytest
from cells import random_cell
from numpy.typing import NDArray
from xrdcommon.space_groups import N_GROUPS
from xrdgen.diffraction.effects import texture
from xrdgen.diffraction.effects.parameters import PatternParameters
from xrdgen.diffraction.effects.texture_kernels import texture_weights
from xrdgen.diffraction.group_tables import group_tables
from xrdgen.diffraction.reflection_kernels import reciprocal_metric
from xrdgen.symmetry.operations import operations


def brute_force(
    space_group: int, cell: NDArray[np.float64], hkl: NDArray[np.int64], axis: tuple[int, int, int], r: float
) -> NDArray[np.float64]:
    """Mean over gemmi's operations, angles from the reciprocal base vectors of gemmi's cell."""
    group = gemmi.find_spacegroup_by_number(space_group)
    unit_cell = gemmi.UnitCell(*cell)
    base = np.array(unit_cell.frac.mat.tolist())  # rows a*, b*, c*
    normal = np.array(axis) @ base
    weights = []
    for index in hkl:
        values = []
        for operation in group.operations().sym_ops:
            turned = np.array(operation.apply_to_hkl([int(i) for i in index])) @ base
            cosine = turned @ normal / np.linalg.norm(turned) / np.linalg.norm(normal)
            values.append((r**2 * cosine**2 + (1.0 - cosine**2) / r) ** -1.5)
        weights.append(np.mean(values))
    return np.array(weights)


@pytest.mark.parametrize("r", [0.3, 0.6, 0.9, 1.0, 1.4, 3.0])
def test_mean_over_the_sphere_is_one(r: float) -> None:
    """cos(alpha) is uniform on the sphere."""
    nodes, weights = np.polynomial.legendre.leggauss(400)
    assert weights @ texture.march_dollase(nodes, r) / 2.0 == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize("space_group", range(1, N_GROUPS + 1))
def test_average_over_equivalents(space_group: int) -> None:
    rng = np.random.default_rng(space_group)
    cell = random_cell(space_group, rng)
    hkl = rng.integers(-5, 6, (6, 3))
    hkl = np.ascontiguousarray(hkl[np.abs(hkl).sum(axis=1) > 0])
    axis = tuple(int(i) for i in rng.permutation([0, 1, int(rng.integers(-1, 2))]))
    parameters = PatternParameters(
        march_r=0.55, texture_h=float(axis[0]), texture_k=float(axis[1]), texture_l=float(axis[2])
    )
    metric = reciprocal_metric(cell)
    weight = np.empty(len(hkl))
    texture_weights(hkl, metric, space_group, group_tables(), parameters, weight)
    expected = brute_force(space_group, cell, hkl, axis, 0.55)
    np.testing.assert_allclose(weight, expected, rtol=1e-6)
    rotations = operations(space_group).rotations
    twin = texture.texture_weights(hkl, np.array(axis, dtype=float), 0.55, metric, rotations)
    np.testing.assert_allclose(weight, twin, rtol=1e-6)


@pytest.mark.parametrize("space_group", [2, 14, 62, 141, 148, 166, 194, 205, 225])
def test_equivalent_reflections_have_one_weight(space_group: int) -> None:
    rng = np.random.default_rng(space_group)
    metric = reciprocal_metric(random_cell(space_group, rng))
    equivalents = np.array([[1, 2, 4]]) @ operations(space_group).rotations
    hkl = np.ascontiguousarray(equivalents.reshape(-1, 3)).astype(np.int64)
    weight = np.empty(len(hkl))
    parameters = PatternParameters(march_r=1.8, texture_h=1.0, texture_k=0.0, texture_l=-1.0)
    texture_weights(hkl, metric, space_group, group_tables(), parameters, weight)
    np.testing.assert_allclose(weight, weight[0], rtol=1e-12)


def test_r_of_one_changes_nothing_and_plates_strengthen_their_own_planes() -> None:
    rng = np.random.default_rng(1)
    metric = reciprocal_metric(random_cell(139, rng))
    hkl = np.array([[0, 0, 2], [1, 1, 0], [1, 0, 3]])
    weight = np.empty(3)
    texture_weights(hkl, metric, 139, group_tables(), PatternParameters(march_r=1.0), weight)
    np.testing.assert_allclose(weight, 1.0, rtol=1e-14)
    texture_weights(hkl, metric, 139, group_tables(), PatternParameters(march_r=0.5), weight)
    assert weight[0] == pytest.approx(0.5**-3.0)  # alpha = 0
    assert weight[1] == pytest.approx(0.5**1.5)  # alpha = 90 degrees
    assert weight[1] < weight[2] < weight[0]

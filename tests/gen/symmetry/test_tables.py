"""Operations and Wyckoff positions of all 230 groups: against pyxtal, against group theory, against spglib."""

from __future__ import annotations

import numpy as np
import pytest
import spglib
from numpy.typing import NDArray
from xrdcommon.space_groups import CRYSTAL_SYSTEMS, crystal_system
from xrdgen.crystal import Crystal
from xrdgen.crystals.primitive import primitive_tables
from xrdgen.crystals.verify import find_space_group
from xrdgen.symmetry import wyckoff
from xrdgen.symmetry.lattice import vectors
from xrdgen.symmetry.operations import TRANSLATION_DENOMINATOR, operations
from xrdgen.symmetry.wyckoff_recipe import tables_from_pyxtal

GROUPS = range(1, 231)
PRIME = 100_003
"""Parameters are whole multiples of 1 / PRIME, so that orbits are compared in exact whole numbers."""

GENERIC_CELLS = {
    "triclinic": (5.1, 6.3, 7.9, 81.0, 97.0, 103.0),
    "monoclinic": (5.1, 6.3, 7.9, 90.0, 101.0, 90.0),
    "orthorhombic": (5.1, 6.3, 7.9, 90.0, 90.0, 90.0),
    "tetragonal": (6.3, 6.3, 8.7, 90.0, 90.0, 90.0),
    "trigonal": (6.3, 6.3, 8.7, 90.0, 90.0, 120.0),
    "hexagonal": (6.3, 6.3, 8.7, 90.0, 90.0, 120.0),
    "cubic": (7.7, 7.7, 7.7, 90.0, 90.0, 90.0),
}


def keys(points: NDArray[np.int64]) -> set[tuple[int, ...]]:
    """Return points (n, 3), in units of 1 / (24 PRIME), as a set modulo the lattice."""
    return set(map(tuple, (points % (TRANSLATION_DENOMINATOR * PRIME)).tolist()))


def test_tables_are_those_of_pyxtal() -> None:
    table = wyckoff.tables()
    expected = tables_from_pyxtal()
    assert table.op_translation * TRANSLATION_DENOMINATOR == pytest.approx(expected.pop("op_translation24"))
    for name, array in expected.items():
        assert np.array_equal(getattr(table, name), array), name
    assert len(table.multiplicity) == 1731


def test_operations_form_the_group_that_spglib_names() -> None:
    for group in GROUPS:
        ops = operations(group)
        listed = np.concatenate([ops.rotations.reshape(-1, 9), ops.translations24], axis=1)
        found = set(map(tuple, listed.tolist()))
        assert len(found) == ops.order
        products = np.einsum("aij,bjk->abik", ops.rotations, ops.rotations)
        shifts = np.einsum("aij,bj->abi", ops.rotations, ops.translations24) + ops.translations24[:, None]
        both = np.concatenate([products.reshape(-1, 9), shifts.reshape(-1, 3) % TRANSLATION_DENOMINATOR], axis=1)
        assert set(map(tuple, np.unique(both, axis=0).tolist())) == found
        record = spglib.get_spacegroup_type_from_symmetry(
            ops.rotations, ops.translations, lattice=vectors(np.array(GENERIC_CELLS[crystal_system(group)]))
        )
        assert record is not None
        assert record.number == group


def test_every_position_is_one_orbit_of_its_multiplicity() -> None:
    """All operations map the representatives onto themselves, and no two of them coincide: exact whole numbers."""
    table = wyckoff.tables()
    rng = np.random.default_rng(0)
    for group in GROUPS:
        ops = operations(group)
        rows = table.rows(group)
        assert table.multiplicity[rows.stop - 1] == ops.order  # the general position comes last
        for row in range(rows.start, rows.stop):
            u = rng.integers(1, PRIME, 3)
            representatives = slice(int(table.op_start[row]), int(table.op_start[row + 1]))
            rotation = table.op_rotation[representatives].astype(np.int64)
            shift = np.rint(table.op_translation[representatives] * TRANSLATION_DENOMINATOR).astype(np.int64)
            points = TRANSLATION_DENOMINATOR * (rotation @ u) + PRIME * shift
            orbit = keys(points)
            assert len(orbit) == len(points) == table.multiplicity[row]
            assert keys(points[0] @ ops.rotations.transpose(0, 2, 1) + PRIME * ops.translations24) == orbit
            assert np.linalg.matrix_rank(rotation[0]) == table.dof[row]


def test_uniform_parameters_are_uniform_on_the_position() -> None:
    """A whole-number matrix of full column rank carries the uniform distribution on the torus of its parameters to
    the uniform one on its image (both are Haar measures); the rank is tested above."""
    table = wyckoff.tables()
    for row in range(len(table.multiplicity)):
        columns = table.rotation[row][:, np.abs(table.rotation[row]).sum(axis=0) > 0]
        assert columns.shape[1] == table.dof[row]
        assert np.array_equal(columns, np.rint(columns))


def test_primitive_cells_hold_every_atom_once() -> None:
    primitive = primitive_tables()
    table = wyckoff.tables()
    assert np.array_equal(primitive.wyckoff_start, table.start)
    for group in GROUPS:
        n_centrings = len(operations(group).centrings24)
        basis = primitive.basis[group - 1]
        assert np.linalg.det(basis) == pytest.approx(1 / n_centrings)
        centrings = operations(group).centrings24 / TRANSLATION_DENOMINATOR @ np.linalg.inv(basis)
        assert centrings == pytest.approx(np.rint(centrings), abs=1e-9)
        rows = table.rows(group)
        per_position = np.diff(primitive.start)[rows]
        assert np.array_equal(per_position * n_centrings, table.multiplicity[rows])


@pytest.mark.slow
@pytest.mark.parametrize("system", CRYSTAL_SYSTEMS)
def test_spglib_finds_the_group_of_crystals_made_from_the_tables(system: str) -> None:
    """Three kinds of atoms, two on general positions and one on each Wyckoff position in turn."""
    table = wyckoff.tables()
    rng = np.random.default_rng(1)
    for group in GROUPS:
        if crystal_system(group) != system:
            continue
        n_letters = table.rows(group).stop - table.rows(group).start
        for letter in range(0, n_letters, max(1, n_letters // 3)):
            letters = np.array([n_letters - 1, n_letters - 1, letter])
            rows = table.start[group - 1] + letters
            positions = np.einsum("aij,aj->ai", table.rotation[rows], rng.random((3, 3))) + table.translation[rows]
            crystal = Crystal(
                space_group=group,
                cell=np.array(GENERIC_CELLS[system]),
                positions=positions % 1.0,
                atomic_numbers=np.array([8, 14, 26]),
                occupancies=np.ones(3),
                letters=letters,
                sites=np.arange(3),
            )
            cell = crystal.full_cell()
            assert len(cell.positions) == crystal.n_atoms
            assert find_space_group(cell.lattice, cell.positions, cell.atomic_numbers, 1e-4) == group

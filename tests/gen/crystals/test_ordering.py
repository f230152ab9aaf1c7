"""Soft-sphere ordering: atoms part, and nothing but the free parameters of their positions changes."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray
from xrdcommon.errors import InputError
from xrdcommon.identity import SampleIdentity
from xrdgen import embedded
from xrdgen.crystal import Crystal
from xrdgen.crystals import ordering_kernels
from xrdgen.crystals.generator import CrystalGenerator, GeneratorSettings, crystal_of, empty_arrays
from xrdgen.crystals.ordering import LONGEST_STEP, REACH, ordering_tables
from xrdgen.crystals.primitive import primitive_tables
from xrdgen.crystals.primitive_kernels import primitive_atoms
from xrdgen.crystals.sampler_kernels import CrystalArrays
from xrdgen.crystals.symmetry_test_kernels import primitive_metric
from xrdgen.crystals.tables import sampler_tables
from xrdgen.crystals.verify import SpglibVerifier, Verdict
from xrdgen.elements import element_table
from xrdgen.statistics.model import Statistics
from xrdgen.symmetry import wyckoff
from xrdgen.symmetry.lattice import vectors
from xrdgen.symmetry.operations import operations

SOFT = ordering_tables("soft-spheres")
CELLS = {
    2: (4.1, 6.3, 7.9, 81.0, 97.0, 103.0),
    15: (4.1, 6.3, 7.9, 90.0, 101.0, 90.0),
    74: (4.1, 6.3, 7.9, 90.0, 90.0, 90.0),
    142: (6.3, 6.3, 4.7, 90.0, 90.0, 90.0),
    194: (6.3, 6.3, 4.7, 90.0, 90.0, 120.0),
    230: (7.0, 7.0, 7.0, 90.0, 90.0, 90.0),
}
"""One generic cell for each crystal system, by the last group that has it."""

IMAGES = np.array(list(product(range(-3, 4), repeat=3)), dtype=np.float64)


def cell_of(group: int) -> tuple[float, ...]:
    """Return the generic cell of a group's crystal system."""
    return next(cell for last, cell in CELLS.items() if group <= last)


def order(tables: object, group: int, crystal: CrystalArrays) -> CrystalArrays:
    """Return an ordered copy."""
    copy = CrystalArrays(*(array.copy() for array in crystal))
    ordering_kernels.order_atoms(SOFT, tables, primitive_tables(), group, copy)  # type: ignore[arg-type]
    return copy


def crystal_on(
    group: int, letters: list[int], numbers: list[int], cell: tuple[float, ...], seed: int = 0
) -> CrystalArrays:
    """Return a crystal with random parameters on given positions."""
    crystal = empty_arrays(len(letters))
    crystal.cell[:] = cell
    crystal.parameters[:] = np.random.default_rng([group, seed]).random((len(letters), 3))
    crystal.letters[:] = letters
    crystal.atomic_numbers[:] = numbers
    crystal.n_sites[0] = len(letters)
    table = wyckoff.tables()
    rows = table.start[group - 1] + crystal.letters
    x = np.einsum("sij,sj->si", table.rotation[rows], crystal.parameters) + table.translation[rows]
    crystal.positions[:] = x % 1.0
    return crystal


def distances(positions: NDArray[np.float64], lattice: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the distances (M, M, images) of all pairs of atoms and 343 images, infinite for an atom and itself."""
    difference = positions[:, None] - positions[None]
    difference -= np.rint(difference)
    found: NDArray[np.float64] = np.linalg.norm((difference[:, :, None] + IMAGES) @ lattice, axis=3)
    found[found < 1e-9] = np.inf
    return found


def smallest_distance(crystal: Crystal) -> float:
    """Return the smallest distance in a crystal, Å."""
    lattice = primitive_tables().basis[crystal.space_group - 1] @ vectors(crystal.cell)
    cell = crystal.full_cell()
    to_primitive = np.linalg.inv(primitive_tables().basis[crystal.space_group - 1])
    positions = cell.positions @ to_primitive
    rounded = np.round(positions % 1.0 % (1.0 - 1e-9), 7)
    first = np.unique(rounded, axis=0, return_index=True)[1]  # one of those that centring repeats
    return float(distances(positions[first], lattice).min())


@pytest.fixture(scope="module")
def tables(statistics: Statistics) -> object:
    """The sampler's tables; the ordering reads the Wyckoff positions in them."""
    return sampler_tables(statistics, GeneratorSettings(space_groups="uniform"))


@pytest.mark.parametrize("groups", [range(1, 75), range(75, 143), range(143, 195), range(195, 231)], ids=str)
def test_atoms_stay_on_their_wyckoff_positions(groups: range, tables: object) -> None:
    """Every position of every group at once, with fixed ones occupied once; `locate` knows nothing of parameters."""
    table = wyckoff.tables()
    moved = 0
    for group in groups:
        letters = list(range(int(table.start[group] - table.start[group - 1])))[-8:]
        crystal = crystal_on(group, letters, [14, 8, 26, 3, 17, 29, 6, 38][: len(letters)], cell_of(group))
        ordered = order(tables, group, crystal)
        operation = operations(group)
        for site, letter in enumerate(letters):
            point = ordered.positions[site]
            shift = point - crystal.positions[site]
            moved += bool(np.abs(shift - np.rint(shift)).max() > 1e-6)
            images = operation.rotations @ point + operation.translations - point
            images = np.abs(images - np.rint(images)).max(axis=1)
            row = table.start[group - 1] + letter
            assert (images < 1e-12).sum() * table.multiplicity[row] == operation.order
            found, idealised = wyckoff.locate(group, point, ordered.cell, 1e-9)
            assert table.multiplicity[table.start[group - 1] + found] == table.multiplicity[row]
            difference = idealised - point
            assert np.abs(difference - np.rint(difference)).max() < 1e-12
        for name in ("cell", "letters", "atomic_numbers", "n_sites"):
            assert np.array_equal(getattr(ordered, name), getattr(crystal, name))
    assert moved > len(groups)


@pytest.mark.parametrize("group", [1, 5, 15, 62, 88, 146, 160, 167, 194, 198, 216])
@pytest.mark.parametrize("cell", ["usual", "thin"])
def test_a_push_is_the_gradient_of_the_overlaps(group: int, cell: str, tables: object) -> None:
    """E = 1/8 sum of squared overlaps over ordered pairs; dE/du from whole cells with 343 images, by differences.

    All equivalent atoms move with u, so dE/du = - (atoms of the orbit) p . dx/du. In thin cells an atom overlaps with
    several images of another one.
    """
    table, primitive = wyckoff.tables(), primitive_tables()
    scale = [0.75, 0.75, 0.75] if cell == "usual" else [0.45, 0.45, 0.45]
    axes = np.array(cell_of(group)) * np.array([*scale, 1.0, 1.0, 1.0])
    free = [row for row in range(table.start[group - 1], table.start[group]) if table.dof[row]]
    letters = [int(row - table.start[group - 1]) for row in (2 * free)[-2:]]
    crystal = crystal_on(group, letters, [55, 19], tuple(axes), seed=1)
    lattice = primitive.basis[group - 1] @ vectors(crystal.cell)

    def energy() -> float:
        positions, numbers = primitive_atoms(primitive, group, crystal)
        contact = REACH * element_table().covalent_radius[numbers]
        overlap = np.maximum(contact[:, None, None] + contact[None, :, None] - distances(positions, lattice), 0.0)
        return float((overlap**2).sum()) / 8.0

    positions, numbers = primitive_atoms(primitive, group, crystal)
    frame = ordering_kernels.cartesian_frame(primitive_metric(crystal.cell, primitive.basis[group - 1]))
    assert frame.T @ frame == pytest.approx(lattice @ lattice.T)
    push = np.empty(3)
    atom, step, pushed = 0, 1e-6, 0.0
    for site, letter in enumerate(letters):
        row = table.start[group - 1] + letter
        pushed = max(pushed, ordering_kernels.sum_pushes(atom, positions, SOFT.reach[numbers], frame, push))
        n_atoms = int(primitive.start[row + 1] - primitive.start[row])
        along = push @ frame @ primitive.rotation[primitive.start[row]]  # p . dx/du
        # the push lies in the free space of the position
        shift = np.linalg.solve(frame, push)
        assert primitive.rotation[primitive.start[row]] @ SOFT.to_parameters[row] @ shift == pytest.approx(
            shift, abs=1e-12
        )
        for k in range(3):
            before = crystal.parameters[site, k]
            crystal.parameters[site, k] = before + step
            above = energy()
            crystal.parameters[site, k] = before - step
            below = energy()
            crystal.parameters[site, k] = before
            assert -n_atoms * along[k] == pytest.approx((above - below) / (2 * step), abs=1e-4)
        atom += n_atoms
    assert pushed > 0.01


def test_two_atoms_come_to_touch(tables: object, kernels_form: str) -> None:
    crystal = crystal_on(1, [0, 0], [26, 8], (9.0, 10.0, 11.0, 80.0, 95.0, 101.0))
    crystal.parameters[0] = [0.02, 0.5, 0.5]
    crystal.parameters[1] = [0.97, 0.5, 0.5]  # 0.45 Å, across the border of the cell
    ordered = crystal_of(1, order(tables, 1, crystal))
    contact = 0.7 * (1.32 + 0.70)
    assert smallest_distance(ordered) == pytest.approx(contact, rel=1e-9)
    middle = ordered.positions.mean(axis=0) + np.array([0.5, 0.0, 0.0])  # they part by as much each
    assert np.abs(middle - [0.995, 0.5, 0.5]).max() < 1e-9


def test_a_step_is_no_longer_than_allowed(tables: object) -> None:
    crystal = crystal_on(1, [0, 0], [55, 55], (9.0, 10.0, 11.0, 90.0, 90.0, 90.0))
    crystal.parameters[:] = [[0.5, 0.5, 0.5], [0.501, 0.5, 0.5]]
    before = crystal.parameters.copy()
    once = SOFT._replace(steps=1)
    ordering_kernels.order_atoms(once, tables, primitive_tables(), 1, crystal)  # type: ignore[arg-type]
    assert np.linalg.norm((crystal.parameters - before) * [9.0, 10.0, 11.0], axis=1) == pytest.approx(LONGEST_STEP)


def test_what_cannot_or_need_not_move_keeps_every_bit(tables: object, kernels_form: str) -> None:
    salt = crystal_on(225, [0, 1], [55, 55], (2.0, 2.0, 2.0, 90.0, 90.0, 90.0))  # fixed, and far too close
    loose = crystal_on(62, [3, 2], [14, 8], (20.0, 21.0, 22.0, 90.0, 90.0, 90.0))
    loose.parameters[:] = [[0.123, 0.111, 0.134], [0.377, 0.0, 0.411]]
    loose.positions[:] = [[0.123, 0.111, 0.134], [0.377, 0.25, 0.411]]
    for group, crystal in ((225, salt), (62, loose)):
        ordered = order(tables, group, crystal)
        for one, other in zip(ordered, crystal, strict=True):
            assert one.tobytes() == other.tobytes()


def test_kernel_and_python_agree(tables: object) -> None:
    rng = np.random.default_rng(3)
    table = wyckoff.tables()
    moved = 0
    for group in (1, 2, 15, 63, 88, 148, 167, 194, 205, 227):
        letters = sorted(rng.integers(0, table.start[group] - table.start[group - 1], 3).tolist())
        crystal = crystal_on(group, letters, [55, 55, 19], cell_of(group))
        compiled = order(tables, group, crystal)
        python = CrystalArrays(*(array.copy() for array in crystal))
        with pytest.MonkeyPatch.context() as patch:
            for name, value in list(vars(ordering_kernels).items()):
                if hasattr(value, "py_func"):
                    patch.setattr(ordering_kernels, name, value.py_func)
            ordering_kernels.order_atoms(SOFT, tables, primitive_tables(), group, python)  # type: ignore[arg-type]
        moved += bool(np.abs(compiled.parameters - crystal.parameters).max() > 1e-3)
        assert python.parameters == pytest.approx(compiled.parameters, abs=1e-12)
        assert python.positions == pytest.approx(compiled.positions, abs=1e-12)
    assert moved > 7


def test_the_tables_are_the_same_on_every_machine() -> None:
    """Whole thirtieths, and P P^+ P = P."""
    assert np.array_equal(SOFT.to_parameters, np.rint(30 * SOFT.to_parameters) / 30)
    first = primitive_tables().rotation[primitive_tables().start[:-1]]
    assert first @ SOFT.to_parameters @ first == pytest.approx(first, abs=1e-12)
    assert SOFT.reach[8] == pytest.approx(0.7 * 0.70)


def test_ordered_crystals_of_real_statistics() -> None:
    """Far fewer have atoms under 1 Å apart, spglib confirms every group at 1e-2 Å, and a second draw is the same.

    What stays under 1 Å either touches at less (two oxygen atoms at 0.98 Å, hydrogen) or is caught on a crowded line.
    """
    statistics = Statistics.load(embedded.statistics_path())
    drawn = CrystalGenerator(statistics, GeneratorSettings())
    ordered = CrystalGenerator(statistics, GeneratorSettings(ordering="soft-spheres"))
    again = CrystalGenerator(statistics, GeneratorSettings(ordering="soft-spheres"))
    assert ordered.settings.tolerance == 1e-2
    assert drawn.settings.tolerance == 1e-4
    spglib = SpglibVerifier(1e-2)
    close = {"drawn": 0, "ordered": 0}
    n = 0
    for index in range(300):
        identity = SampleIdentity(21, 0, 0, index)
        one, other, repeated = drawn.draw(identity), ordered.draw(identity), again.draw(identity)
        assert one.space_group == other.space_group
        assert spglib.verify(other.space_group, ordered._arrays) is Verdict.CONFIRMED
        for name in ("cell", "positions", "letters", "atomic_numbers"):
            assert getattr(other, name).tobytes() == getattr(repeated, name).tobytes()
        if max(one.n_atoms, other.n_atoms) > 40:
            continue  # the distances here are between all pairs
        n += 1
        close["drawn"] += smallest_distance(one) < 1.0
        close["ordered"] += smallest_distance(other) < 1.0
    assert n > 100
    assert close["drawn"] > 0.45 * n
    assert close["ordered"] < 0.25 * n


def test_all_groups_keep_their_symmetry(statistics: Statistics) -> None:
    """Drawn in any of the 230 groups: every orbit has its multiplicity and spglib finds the group."""
    settings = GeneratorSettings(space_groups=tuple(range(1, 231)), ordering="soft-spheres")
    generator = CrystalGenerator(statistics, settings)
    spglib = SpglibVerifier(1e-2)
    seen = set()
    for index in range(500):
        crystal = generator.draw(SampleIdentity(22, 0, 0, index))
        seen.add(crystal.space_group)
        assert len(crystal.full_cell().positions) == crystal.n_atoms
        assert spglib.verify(crystal.space_group, generator._arrays) is Verdict.CONFIRMED
    assert len(seen) > 190


def test_an_unknown_ordering_is_refused() -> None:
    with pytest.raises(InputError, match="ordering 'hard-spheres': must be one of none, soft-spheres"):
        GeneratorSettings(ordering="hard-spheres")

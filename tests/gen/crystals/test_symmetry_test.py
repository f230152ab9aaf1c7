"""The exact symmetry test: against spglib over all groups, its tables, its lattice guard."""

from __future__ import annotations

import numpy as np
import pytest
from xrdcommon.identity import SampleIdentity
from xrdcommon.space_groups import symbol
from xrdgen.crystals import symmetry_test_kernels as kernels
from xrdgen.crystals.cosets import coset_tables
from xrdgen.crystals.generator import REASONS, CrystalGenerator, GeneratorSettings, empty_arrays
from xrdgen.crystals.primitive import primitive_basis, primitive_tables
from xrdgen.crystals.primitive_kernels import primitive_atoms
from xrdgen.crystals.sampler_kernels import PASSED, SYMMETRY, UNDETERMINED, CrystalArrays
from xrdgen.crystals.verify import ExactVerifier, SpglibVerifier, Verdict
from xrdgen.statistics.model import Statistics
from xrdgen.symmetry.lattice import vectors
from xrdgen.symmetry.operations import operations

TOLERANCE = 1e-4
TRICLINIC = (5.1, 6.3, 7.9, 81.0, 97.0, 103.0)


class Compare:
    """A verifier that asks both, follows spglib and writes down where they differ."""

    def __init__(self) -> None:
        self.spglib = SpglibVerifier(TOLERANCE)
        self.exact = ExactVerifier(TOLERANCE)
        self.asked = 0
        self.confirmed: set[int] = set()
        self.unexplained: list[str] = []

    def verify(self, group: int, crystal: CrystalArrays) -> Verdict:
        """Return spglib's verdict."""
        expected, found = self.spglib.verify(group, crystal), self.exact.verify(group, crystal)
        self.asked += 1
        if expected is Verdict.CONFIRMED:
            self.confirmed.add(group)
        stricter = expected is Verdict.CONFIRMED and found is Verdict.OTHER_GROUP
        if expected is not found and not (stricter and has_further_translation(group, crystal)):
            n = int(crystal.n_sites[0])
            self.unexplained.append(f"{group} {crystal.letters[:n]} {crystal.atomic_numbers[:n]} {crystal.cell}")
        return expected


def has_further_translation(group: int, crystal: CrystalArrays) -> bool:
    """Return whether the primitive cell has a translation of its own, straight from all pairs of atoms."""
    positions, numbers = primitive_atoms(primitive_tables(), group, crystal)
    lattice = primitive_tables().basis[group - 1] @ vectors(crystal.cell)
    for q in np.flatnonzero(numbers == numbers[0])[1:]:
        difference = positions[:, None] + positions[q] - positions[0] - positions[None]
        difference -= np.rint(difference)
        near = np.linalg.norm(difference @ lattice, axis=2) < TOLERANCE
        if (near & (numbers[:, None] == numbers[None])).any(axis=1).all():
            return True
    return False


@pytest.mark.slow
def test_agrees_with_spglib_over_all_groups(statistics: Statistics) -> None:
    compare = Compare()
    generator = CrystalGenerator(statistics, GeneratorSettings(space_groups="uniform", recheck=0.0), compare)
    for index in range(1_800):
        generator.draw(SampleIdentity(11, 0, 0, index))
    assert compare.unexplained == []
    assert compare.asked > 3_000
    assert compare.confirmed == set(range(1, 231))
    assert compare.exact.asked < 0.01 * compare.asked


def test_the_setting_chooses_the_verifier_and_exact_is_the_default(statistics: Statistics) -> None:
    exact = CrystalGenerator(statistics, GeneratorSettings(space_groups="uniform"))
    spglib = CrystalGenerator(statistics, GeneratorSettings(space_groups="uniform", verification="spglib"))
    assert isinstance(exact.verifier, ExactVerifier)
    assert isinstance(spglib.verifier, SpglibVerifier)
    for index in range(30):
        one, two = (generator.draw(SampleIdentity(12, 0, 0, index)) for generator in (exact, spglib))
        assert one.space_group == two.space_group
        assert np.array_equal(one.positions, two.positions)


def test_spglib_rechecks_a_share_for_ever(statistics: Statistics) -> None:
    settings = GeneratorSettings(space_groups="uniform", recheck=0.5)
    generator = CrystalGenerator(statistics, settings)
    never = CrystalGenerator(statistics, GeneratorSettings(space_groups="uniform", recheck=0.0))
    n = 200
    for index in range(n):
        identity = SampleIdentity(13, 0, 0, index)
        assert np.array_equal(generator.draw(identity).positions, never.draw(identity).positions)
    assert abs(generator.rechecked.sum() - n / 2) < 4 * np.sqrt(n / 4)
    assert never.rechecked.sum() == 0
    assert generator.rejections[:, REASONS.index("recheck")].sum() == 0


class ConfirmAll:
    """An exact test that is wrong."""

    def verify(self, group: int, crystal: CrystalArrays) -> Verdict:
        """Confirm."""
        return Verdict.CONFIRMED


def test_what_the_recheck_refutes_is_drawn_again_and_counted(statistics: Statistics) -> None:
    settings = GeneratorSettings(space_groups=(216, 208), recheck=1.0)
    generator = CrystalGenerator(statistics, settings, ConfirmAll())
    right = CrystalGenerator(statistics, GeneratorSettings(space_groups=(216, 208), verification="spglib"))
    for index in range(30):
        crystal = generator.draw(SampleIdentity(14, 0, 0, index))
        assert right.verifier.verify(crystal.space_group, generator._arrays) is Verdict.CONFIRMED
    assert generator.rejections[:, REASONS.index("recheck")].sum() > 2
    assert generator.rechecked.sum() == 30 + generator.rejections[:, REASONS.index("recheck")].sum()


def crystal_on(group: int, letters: list[int], numbers: list[int], cell: tuple[float, ...]) -> CrystalArrays:
    """Return a crystal with generic parameters on given positions."""
    crystal = empty_arrays(len(letters))
    crystal.cell[:] = cell
    crystal.parameters[:] = np.random.default_rng(group).random((len(letters), 3))
    crystal.letters[:] = letters
    crystal.atomic_numbers[:] = numbers
    crystal.n_sites[0] = len(letters)
    return crystal


CUBIC = (5.0, 5.0, 5.0, 90.0, 90.0, 90.0)


@pytest.mark.parametrize(
    ("group", "letters", "numbers", "cell", "verdict"),
    [
        (225, [0], [29], CUBIC, PASSED),  # copper
        (225, [0, 1], [11, 17], CUBIC, PASSED),  # rock salt
        (225, [0, 1], [11, 11], CUBIC, SYMMETRY),  # primitive cubic: half the cell
        (216, [0, 2], [30, 16], CUBIC, PASSED),  # zinc blende
        (216, [0, 2], [14, 14], CUBIC, SYMMETRY),  # diamond, Fd-3m
        (216, [0], [29], CUBIC, SYMMETRY),
        (221, [0, 1], [55, 17], CUBIC, PASSED),  # caesium chloride
        (221, [0, 1], [26, 26], CUBIC, SYMMETRY),  # body-centred
        (198, [0], [14], CUBIC, PASSED),  # one orbit x, x, x of P2_13 is not centred
        (1, [0], [6], TRICLINIC, SYMMETRY),  # one atom has an inversion
        (1, [0, 0], [6, 6], TRICLINIC, SYMMETRY),  # exchanges two of a kind
        (1, [0, 0], [6, 8], TRICLINIC, PASSED),  # but not two kinds
        (1, [0, 0, 0, 0], [6, 6, 8, 8], TRICLINIC, PASSED),
        (2, [8, 8], [6, 8], TRICLINIC, PASSED),
        (194, [2], [12], (3.2, 3.2, 5.2, 90.0, 90.0, 120.0), PASSED),  # hexagonal close packing
    ],
)
def test_known_crystals(
    group: int, letters: list[int], numbers: list[int], cell: tuple[float, ...], verdict: int, kernels_form: str
) -> None:
    crystal = crystal_on(group, letters, numbers, cell)
    assert kernels.symmetry_verdict(primitive_tables(), coset_tables(), group, crystal, TOLERANCE) == verdict
    assert SpglibVerifier(TOLERANCE).verify(group, crystal) == verdict


def test_atoms_on_top_of_each_other_are_undetermined() -> None:
    crystal = crystal_on(62, [3, 3, 3], [8, 8, 14], (5.1, 6.3, 7.9, 90.0, 90.0, 90.0))
    crystal.parameters[1] = crystal.parameters[0] + 5e-6
    assert kernels.symmetry_verdict(primitive_tables(), coset_tables(), 62, crystal, TOLERANCE) == UNDETERMINED
    crystal.parameters[1] = crystal.parameters[0] + 5e-5
    assert kernels.symmetry_verdict(primitive_tables(), coset_tables(), 62, crystal, TOLERANCE) == PASSED


ACCIDENTS = [
    (2, (5.1, 6.3, 7.9, 90.0, 97.0, 90.0)),  # monoclinic
    (4, (5.1, 6.3, 7.9, 90.0, 90.0, 90.0)),  # orthorhombic
    (5, (7.0, 5.0, 7.0, 90.0, 120.0, 90.0)),
    (19, (5.1, 5.1, 7.9, 90.0, 90.0, 90.0)),  # tetragonal
    (20, (5.0, 5.0 * 3**0.5, 7.9, 90.0, 90.0, 90.0)),  # hexagonal
    (76, (5.1, 5.1, 5.1, 90.0, 90.0, 90.0)),  # cubic
    (79, (5.0, 5.0, 5.0 * 2**0.5, 90.0, 90.0, 90.0)),  # face-centred cubic
    (148, (5.0, 5.0, 5.0 * 6**0.5, 90.0, 90.0, 120.0)),  # face-centred cubic
]


@pytest.mark.parametrize(("group", "cell"), ACCIDENTS)
@pytest.mark.parametrize("off", [0.0, 0.5, 100.0])
def test_accidental_lattices_are_left_to_spglib(group: int, cell: tuple[float, ...], off: float) -> None:
    """Within the tolerance a special cell is doubtful, well off it (0.01 Å and more) it is not."""
    strained = np.array(cell) + off * TOLERANCE * np.array([1.0, -2.0, 3.0, 0.0, 0.0, 0.0])
    if cell[0] == cell[1]:
        strained[1] = strained[0] if group > 74 else strained[1]
    if group < 16 and off == 100.0:
        strained[3 if group < 3 else 4] += 0.5
    general = int(np.diff(primitive_tables().wyckoff_start)[group - 1]) - 1
    crystal = crystal_on(group, [general] * 4, [6, 6, 8, 8], tuple(strained))
    verdict = kernels.symmetry_verdict(primitive_tables(), coset_tables(), group, crystal, TOLERANCE)
    assert verdict == (PASSED if off == 100.0 else kernels.DOUBTFUL)


def test_cosets_and_point_groups_fill_the_lattice() -> None:
    cosets = coset_tables()
    for group in range(1, 231):
        n_cosets = int(cosets.start[group] - cosets.start[group - 1]) + 1
        n_rotations = len(np.unique(operations(group).rotations, axis=0))
        assert n_cosets * n_rotations == cosets.lattice_order[group - 1], symbol(group)
    assert np.abs(np.linalg.det(cosets.rotation)) == pytest.approx(np.ones(len(cosets.rotation)))


@pytest.mark.parametrize("group", [1, 2, 5, 15, 20, 22, 44, 62, 79, 139, 146, 166, 75, 168, 195, 216, 229])
def test_generic_lattices_have_the_order_of_their_system(group: int, kernels_form: str) -> None:
    system = next(last for last in (2, 15, 74, 142, 194, 230) if group <= last)
    cell = {
        2: TRICLINIC,
        15: (5.1, 6.3, 7.9, 90.0, 101.0, 90.0),
        74: (5.1, 6.3, 7.9, 90.0, 90.0, 90.0),
        142: (6.3, 6.3, 8.7, 90.0, 90.0, 90.0),
        194: (6.3, 6.3, 8.7, 90.0, 90.0, 120.0),
        230: CUBIC,
    }[system]
    metric = kernels.primitive_metric(np.array(cell), primitive_basis(group))
    lattice = primitive_basis(group) @ vectors(np.array(cell))
    assert metric == pytest.approx(lattice @ lattice.T)
    kernels.reduce_metric(metric)
    assert np.linalg.det(metric) == pytest.approx(np.linalg.det(lattice) ** 2)
    assert kernels.lattice_point_group_order(metric, 1e-3) == coset_tables().lattice_order[group - 1]


def test_reduced_vectors_are_the_shortest() -> None:
    """Minkowski's conditions on random skew cells: no small combination is shorter than the vector it contains."""
    rng = np.random.default_rng(5)
    small = np.array([(i, j, k) for i in (-2, -1, 0, 1, 2) for j in (-2, -1, 0, 1, 2) for k in (-2, -1, 0, 1, 2)])
    for _ in range(300):
        lattice = rng.normal(size=(3, 3)) @ np.diag([1.0, 3.0, 9.0])
        metric = lattice @ lattice.T
        kernels.reduce_metric(metric)
        lengths = np.einsum("ni,ij,nj->n", small, metric, small)
        for axis in range(3):
            assert metric[axis, axis] <= lengths[np.abs(small[:, axis]) == 1].min() * (1 + 1e-9)


def test_many_atoms_of_one_kind_are_found_by_their_keys(kernels_form: str) -> None:
    """The sorted search finds what looking through all finds: copies at half and at twice the tolerance, all cells."""
    rng = np.random.default_rng(8)
    metric = kernels.primitive_metric(np.array(TRICLINIC), np.eye(3))
    frame = np.linalg.cholesky(np.linalg.inv(metric))
    positions = rng.random((3 * kernels.SCANNED, 3))
    positions[::7] = np.round(positions[::7] * 4) / 4 % 1.0  # special places: many equal keys
    positions[:2] = [0.0, 0.0, 1e-9], [0.5, 0.25, 1.0 - 1e-9]  # keys at both ends
    kinds = kernels.kinds_of(np.repeat([6, 8], [len(positions) - 5, 5]))
    keys, rows = kernels.sort_keys(positions, kinds)
    assert sorted(rows) == list(range(len(positions)))
    (first, last), tolerance = kinds[:2], 0.003
    box = kernels.tolerance_box(metric, tolerance)
    found = 0
    for row in range(last):
        direction = rng.normal(size=3)
        direction = frame @ direction / np.linalg.norm(direction)  # 1 Å long
        for length in (0.0, 0.5 * tolerance, 0.99 * tolerance, 1.01 * tolerance, 2.0 * tolerance):
            x = positions[row] + length * direction + rng.integers(-2, 3, 3)
            for besides in (-1, row):
                expected = kernels.has_atom(positions, first, last, x, metric, box, tolerance, besides)
                assert expected == kernels.has_sorted_atom(
                    positions, keys[:last], rows[:last], x, metric, box, tolerance, besides
                )
                found += expected
    assert found > 3 * last


@pytest.mark.parametrize("extra", [False, True])
def test_a_large_cell_of_one_element(extra: bool) -> None:
    """1,188 atoms of one kind: generic ones pass; an inversion added to those of P23 is found."""
    general = int(np.diff(primitive_tables().wyckoff_start)[194]) - 1
    crystal = crystal_on(195, [general] * 98, [14] * 98, (19.0, 19.0, 19.0, 90.0, 90.0, 90.0))
    if extra:
        crystal.parameters[49:] = -crystal.parameters[:49] % 1.0
    verdict = kernels.symmetry_verdict(primitive_tables(), coset_tables(), 195, crystal, TOLERANCE)
    assert verdict == (SYMMETRY if extra else PASSED)


def test_the_box_holds_the_sphere() -> None:
    metric = kernels.primitive_metric(np.array(TRICLINIC), np.eye(3))
    inverse = np.linalg.inv(metric)
    assert kernels.tolerance_box(metric, 0.01) == pytest.approx(0.01 * np.sqrt(np.diag(inverse)))

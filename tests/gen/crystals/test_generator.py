"""The generator as a whole: identity, verification, the rule of twenty failures, errors."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from xrdcommon.errors import FormatError, InputError
from xrdcommon.identity import Purpose, SampleIdentity
from xrdgen.crystal import Crystal
from xrdgen.crystals.generator import (
    N_ATTEMPT_REASONS,
    REASONS,
    CrystalGenerator,
    GeneratorSettings,
    crystal_of,
    empty_arrays,
)
from xrdgen.crystals.sampler_kernels import MAX_FAILURES, N_REASONS, CrystalArrays
from xrdgen.crystals.verify import ExactVerifier, SpglibVerifier, Verdict, find_space_group
from xrdgen.statistics.model import Statistics

UNIFORM = GeneratorSettings(space_groups="uniform")


def assert_obeys_space_group(crystal: Crystal, symprec: float = 1e-4) -> None:
    """Let spglib find the group that the crystal claims, from the full conventional cell."""
    cell = crystal.full_cell()
    assert find_space_group(cell.lattice, cell.positions, cell.atomic_numbers, symprec) == crystal.space_group


def same(one: Crystal, other: Crystal) -> bool:
    """Return whether two crystals are equal bit for bit."""
    names = ("cell", "positions", "atomic_numbers", "occupancies", "letters", "sites")
    return one.space_group == other.space_group and all(
        np.array_equal(getattr(one, name), getattr(other, name)) for name in names
    )


@pytest.fixture(scope="module")
def generator(statistics: Statistics) -> CrystalGenerator:
    """A generator of all 230 groups."""
    return CrystalGenerator(statistics, UNIFORM)


@pytest.mark.slow
def test_spglib_confirms_crystals_of_all_groups_from_the_full_cell(generator: CrystalGenerator) -> None:
    seen: set[int] = set()
    for index in range(4_000):
        crystal = generator.draw(SampleIdentity(9, 0, 0, index))
        if crystal.space_group not in seen and crystal.n_atoms < 600:
            assert_obeys_space_group(crystal)
            seen.add(crystal.space_group)
        if len(seen) == 230:
            break
    assert seen == set(range(1, 231))


def test_a_crystal_depends_on_its_identity_alone(statistics: Statistics, generator: CrystalGenerator) -> None:
    identities = [SampleIdentity(1, 2, 3, index) for index in range(20)]
    forwards = [generator.draw(identity) for identity in identities]
    other = CrystalGenerator(statistics, UNIFORM)
    backwards = [other.draw(identity) for identity in reversed(identities)][::-1]
    assert all(same(one, two) for one, two in zip(forwards, backwards, strict=True))
    impurity = [generator.draw(identity, Purpose.IMPURITY) for identity in identities]
    assert not any(same(one, two) for one, two in zip(forwards, impurity, strict=True))


def test_the_order_of_support_points_in_the_file_does_not_matter(statistics: Statistics) -> None:
    rng = np.random.default_rng(1)
    v_atomic, factor, lattice = (
        array.copy() for array in (statistics.v_atomic, statistics.density_factor, statistics.lattice)
    )
    for start in (statistics.volume_start, statistics.lattice_start):
        for first, last in pairwise(start):
            order = first + rng.permutation(last - first)
            if start is statistics.volume_start:
                v_atomic[first:last], factor[first:last] = v_atomic[order], factor[order]
            else:
                lattice[first:last] = lattice[order]
    shuffled = replace(statistics, v_atomic=v_atomic, density_factor=factor, lattice=lattice)
    one, two = CrystalGenerator(statistics, UNIFORM), CrystalGenerator(shuffled, UNIFORM)
    for index in range(5):
        identity = SampleIdentity(4, 0, 0, index)
        first, second = one.draw(identity), two.draw(identity)
        assert first.positions.tolist() == second.positions.tolist()
        assert first.cell == pytest.approx(second.cell, rel=1e-12)


@pytest.fixture(scope="module")
def compiled_crystals(generator: CrystalGenerator) -> list[Crystal]:
    """Crystals drawn by the compiled kernels (made before a test can exchange them)."""
    return [generator.draw(SampleIdentity(8, 0, 0, index)) for index in range(12)]


@pytest.mark.parametrize("verification", ["spglib", "exact"])
def test_python_kernels_draw_the_same_crystals(
    verification: str, compiled_crystals: list[Crystal], statistics: Statistics, kernels_form: str
) -> None:
    generator = CrystalGenerator(statistics, GeneratorSettings(space_groups="uniform", verification=verification))
    for index, expected in enumerate(compiled_crystals):
        crystal = generator.draw(SampleIdentity(8, 0, 0, index))
        assert crystal.space_group == expected.space_group
        assert np.array_equal(crystal.atomic_numbers, expected.atomic_numbers)
        assert np.array_equal(crystal.letters, expected.letters)
        assert np.array_equal(crystal.positions, expected.positions)
        assert crystal.cell == pytest.approx(expected.cell, rel=1e-13)


class Outside:
    """The exact test outside of the drawing kernel: the draw stops at every candidate to ask."""

    def __init__(self, symprec: float) -> None:
        self.exact = ExactVerifier(symprec)
        self.asked = 0

    def verify(self, group: int, crystal: CrystalArrays) -> Verdict:
        """Return its verdict."""
        self.asked += 1
        return self.exact.verify(group, crystal)


@pytest.mark.parametrize("symprec", [1e-4, 0.05])  # at 0.05 Å every tenth lattice is doubtful
def test_a_draw_does_not_depend_on_where_it_stops_to_ask(symprec: float, statistics: Statistics) -> None:
    settings = GeneratorSettings(space_groups="uniform", verification="exact", recheck=0.2, symprec=symprec)
    inside, outside = CrystalGenerator(statistics, settings), CrystalGenerator(statistics, settings, Outside(symprec))
    n = 200
    for index in range(n):
        identity = SampleIdentity(15, 0, 0, index)
        assert same(inside.draw(identity), outside.draw(identity))
    for counts in ("accepted", "rejections", "rechecked"):
        np.testing.assert_array_equal(getattr(inside, counts), getattr(outside, counts))
    assert isinstance(inside.verifier, ExactVerifier)
    assert isinstance(outside.verifier, Outside)
    assert outside.verifier.asked > n
    assert outside.verifier.exact.asked == inside.verifier.asked
    if symprec > 0.01:
        assert inside.verifier.asked > n / 20


class Refuse:
    """A verifier that refuses the first candidates of every crystal and writes down what it saw."""

    def __init__(self, times: int) -> None:
        self.times = times
        self.seen: list[tuple[int, int]] = []

    def verify(self, group: int, crystal: CrystalArrays) -> Verdict:
        """Refuse until enough were refused."""
        n = int(crystal.n_sites[0])
        self.seen.append((group, len(np.unique(crystal.atomic_numbers[:n]))))
        return Verdict.CONFIRMED if len(self.seen) > self.times else Verdict.OTHER_GROUP


def test_twenty_failures_with_the_same_number_of_elements_then_a_new_one(statistics: Statistics) -> None:
    settings = GeneratorSettings(space_groups=(14,), max_volume=1e9)
    changed = 0
    for index in range(12):
        verifier = Refuse(3 * MAX_FAILURES)
        generator = CrystalGenerator(statistics, settings, verifier)
        generator.draw(SampleIdentity(5, 0, 0, index))
        assert {group for group, _ in verifier.seen} == {14}
        assert generator.rejections[13].tolist()[REASONS.index("symmetry")] == 3 * MAX_FAILURES
        numbers = [n for _, n in verifier.seen]
        blocks = [set(numbers[i : i + MAX_FAILURES]) for i in range(0, 3 * MAX_FAILURES, MAX_FAILURES)]
        assert all(len(block) == 1 for block in blocks)
        changed += len(set.union(*blocks)) > 1
    assert changed > 6


def test_group_frequencies_survive_rejection(statistics: Statistics) -> None:
    """Group 208 is refused far more often than group 19, yet both come out as often as they are asked for."""
    generator = CrystalGenerator(statistics, GeneratorSettings(space_groups=(19, 208)))
    n = 300
    for index in range(n):
        generator.draw(SampleIdentity(6, 0, 0, index))
    assert generator.accepted.sum() == n
    assert abs(generator.accepted[207] - n / 2) < 4 * np.sqrt(n / 4)
    symmetry = REASONS.index("symmetry")
    assert generator.rejections[207, symmetry] > 5 * generator.rejections[18, symmetry]
    assert generator.rejections[[row for row in range(230) if row not in (18, 207)]].sum() == 0


def test_what_the_caller_does_not_accept_is_a_failed_attempt(statistics: Statistics) -> None:
    """Refused crystals leave the frequencies of the groups alone, and the identity still decides everything."""
    settings = GeneratorSettings(space_groups=(19, 62))
    generator, plain = CrystalGenerator(statistics, settings), CrystalGenerator(statistics, settings)
    arrays = empty_arrays(settings.max_sites)

    def large(group: int, candidate: CrystalArrays) -> bool:
        return group == 62 or float(candidate.cell[:3].prod()) > 1000.0

    n = 300
    for index in range(n):
        identity = SampleIdentity(6, 0, 0, index)
        group = generator.draw_into(arrays, identity, accept=large)
        assert group == plain.draw(identity).space_group
        assert large(group, arrays)
    refused = generator.rejections[:, REASONS.index("no_reflection")]
    assert refused[18] > n / 4
    assert refused.sum() == refused[18]
    np.testing.assert_array_equal(generator.accepted, plain.accepted)
    crystal = crystal_of(group, arrays)
    alone = CrystalGenerator(statistics, settings)
    assert alone.draw_into(arrays, identity, accept=large) == group
    assert same(crystal, crystal_of(group, arrays))


def test_a_crystal_with_more_symmetry_is_refused(statistics: Statistics) -> None:
    """One element on 4a of F-43m is face-centred cubic; atoms on top of each other are undetermined."""
    generator = CrystalGenerator(statistics, GeneratorSettings(space_groups=(216,)), Refuse(0))
    arrays = generator._arrays
    generator.draw(SampleIdentity(1, 1, 1, 1))
    verifier = SpglibVerifier(1e-4)
    arrays.n_sites[0], arrays.letters[0], arrays.atomic_numbers[0], arrays.parameters[:] = 1, 0, 29, 0.0
    assert verifier.verify(216, arrays) is Verdict.OTHER_GROUP
    arrays.n_sites[0], arrays.letters[:2], arrays.atomic_numbers[:2] = 2, 8, 29
    arrays.parameters[:2] = [[0.11, 0.23, 0.37], [0.110001, 0.23, 0.37]]
    assert verifier.verify(216, arrays) is Verdict.UNDETERMINED


def test_reasons_name_every_column() -> None:
    assert len(REASONS) == N_REASONS
    assert REASONS[N_ATTEMPT_REASONS:] == ("lattice_redraws", "density_factor_redraws")


def test_a_group_without_statistics_is_named(statistics: Statistics) -> None:
    counts = statistics.n_structures.copy()
    counts[2], counts[3] = 0, 7
    scarce = replace(statistics, n_structures=counts)
    with pytest.raises(InputError, match=r"space group 3 \(P2\): 0 structures .* another group"):
        CrystalGenerator(scarce, GeneratorSettings(space_groups=(3,)))
    with pytest.raises(InputError, match=r"space group 4 \(P2_1\): 7 structures .* 50 are needed.*min-structures 7"):
        CrystalGenerator(scarce, GeneratorSettings(space_groups=(4,)))
    assert CrystalGenerator(scarce, GeneratorSettings(space_groups=(4,), min_structures=7)).classes == [4]
    assert CrystalGenerator(scarce, GeneratorSettings()).classes == [g for g in range(1, 231) if g not in (3, 4)]
    with pytest.raises(InputError, match="no space group has 1000 structures"):
        CrystalGenerator(scarce, GeneratorSettings(min_structures=1000))


@pytest.mark.parametrize("table", ["n_elements", "elements", "repetitions", "wyckoff"])
def test_statistics_that_contradict_themselves_are_refused(table: str, statistics: Statistics) -> None:
    counts = getattr(statistics, table).copy()
    counts[61] = 0
    with pytest.raises(FormatError, match="space group 62"):
        CrystalGenerator(replace(statistics, **{table: counts}), GeneratorSettings())


def test_a_group_that_yields_nothing_ends_with_an_error(statistics: Statistics) -> None:
    generator = CrystalGenerator(statistics, GeneratorSettings(space_groups=(230,), max_volume=1.0))
    with pytest.raises(InputError, match=r"space group 230 \(Ia-3d\): no crystal in 20000 attempts .*volume 20000"):
        generator.draw(SampleIdentity(1, 0, 0, 0))


@pytest.mark.parametrize(
    "values",
    [
        {"preset": "best"},
        {"space_groups": "all"},
        {"space_groups": ()},
        {"space_groups": (0, 14)},
        {"min_structures": 0},
        {"max_volume": float("nan")},
        {"max_sites": 0},
        {"symprec": 0.0},
        {"recheck": 1.5},
        {"verification": "none"},
    ],
)
def test_settings_out_of_range_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(InputError):
        GeneratorSettings(**values)  # type: ignore[arg-type]


@pytest.mark.parametrize("settings", [GeneratorSettings(), GeneratorSettings(space_groups=(225, 14, 14))])
def test_settings_survive_json(settings: GeneratorSettings) -> None:
    assert GeneratorSettings.from_dict(settings.to_dict()) == settings
    with pytest.raises(InputError, match="unknown colour"):
        GeneratorSettings.from_dict({"colour": "red"})

"""The kernels draw the crystals that plain Python with pyxtal and spglib draws from the same random numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from xrdcommon.errors import InputError
from xrdcommon.identity import Purpose, SampleIdentity
from xrdgen.crystals.settings import PRESETS, GeneratorSettings
from xrdgen.reference.generator import ReferenceGenerator
from xrdgen.reference.positions import group_positions
from xrdgen.reference.verification import has_further_translation
from xrdgen.statistics.model import Statistics

Engines = Callable[[Statistics, GeneratorSettings], Any]


@pytest.mark.parametrize("preset", PRESETS)
def test_crystals_of_all_groups_are_the_same(
    preset: str, statistics: Statistics, both_engines: Engines, samples: float
) -> None:
    """Made-up statistics without a single structure too few: 230 groups, collisions and refusals of every kind."""
    outcomes: set[str] = set()
    for group in range(1, 231):
        engines = both_engines(statistics, GeneratorSettings(preset=preset, space_groups=(group,)))
        crystals = engines.compare([SampleIdentity(12, 1, group, index) for index in range(max(1, int(2 * samples)))])
        assert {crystal.space_group for crystal in crystals} == {group}
        fast, slow = engines.outcomes()
        assert fast == slow
        outcomes |= set(slow[group])
    assert outcomes >= {"atomic_volume", "volume", "symmetry", "density_factor_redraws"}


def test_collisions_are_resolved_alike(statistics: Statistics, both_engines: Engines) -> None:
    """One element far more common than the others, and fixed positions alone, of which one nearly always is drawn."""
    row = 225 - 1
    elements, letters = statistics.elements.copy(), statistics.wyckoff.copy()
    elements[row, 26 - 1] = 5_000
    letters[row] = 0
    letters[row, :3] = 2_000, 3, 1  # 4a, 4b, 8c of Fm-3m
    crowded = replace(statistics, elements=elements, wyckoff=letters)
    engines = both_engines(crowded, GeneratorSettings(space_groups=(225,)))
    crystals = engines.compare([SampleIdentity(14, 0, 0, index) for index in range(100)])
    assert {letter for crystal in crystals for letter in crystal.letters.tolist()} == {0, 1, 2}
    fast, slow = engines.outcomes()
    assert fast == slow
    assert slow[225]["positions"] > 10


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"space_groups": "uniform", "min_structures": 1, "recheck": 0.3},
        {"space_groups": "uniform", "verification": "spglib", "max_sites": 8, "max_volume": 900.0},
        {"ordering": "soft-spheres", "max_sites": 30},
    ],
    ids=["natural", "uniform", "spglib", "ordered"],
)
def test_crystals_of_real_statistics_are_the_same(
    settings: dict[str, Any], preset: str, both_engines: Engines, samples: float
) -> None:
    engines = both_engines(Statistics.load("embedded:statistics"), GeneratorSettings(preset=preset, **settings))
    crystals = engines.compare([SampleIdentity(13, 0, 2, index) for index in range(int(100 * samples))])
    assert len({crystal.space_group for crystal in crystals}) > 20
    fast, slow = engines.outcomes()
    assert fast == slow


@pytest.mark.parametrize("preset", PRESETS)
def test_crystals_of_structure_types_are_the_same(preset: str, both_engines: Engines, samples: float) -> None:
    """With elements named and left open, refusals included."""
    types = ("14:5e", 3), ("225:abc", 2), ("A2BC4_oP28_62_2c_c_4c", 1), ("AB2C4_cF56_227_a_d_e", 1), ("A_hP3_152_a", 1)
    settings = GeneratorSettings(preset=preset, structure_types=types, max_volume=450.0)
    engines = both_engines(Statistics.load("embedded:statistics"), settings)
    crystals = engines.compare([SampleIdentity(16, 0, 0, index) for index in range(int(80 * samples))])
    assert {crystal.space_group for crystal in crystals} == {14, 62, 152, 225, 227}
    fast, slow = engines.outcomes()
    assert fast == slow
    assert {"symmetry", "volume"} <= {outcome for counts in slow.values() for outcome in counts}


def test_other_purposes_have_other_crystals(statistics: Statistics) -> None:
    generator = ReferenceGenerator(statistics)
    identity = SampleIdentity(1, 2, 3, 4)
    one = generator.draw(identity)
    again, other = generator.draw(identity), generator.draw(identity, Purpose.IMPURITY)
    assert one.cell.tolist() == again.cell.tolist()
    assert one.cell.tolist() != other.cell.tolist()


def test_what_nobody_accepts_ends_with_the_reason(statistics: Statistics, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xrdgen.reference.generator.MAX_ATTEMPTS", 60)  # 20,000 take spglib a minute
    generator = ReferenceGenerator(statistics, GeneratorSettings(space_groups=(225,)))
    seen = []
    with pytest.raises(InputError, match=r"group 225 \(Fm-3m\): no crystal in 60 attempts .*no_reflection [0-9]+"):
        generator.draw(SampleIdentity(1, 0, 0, 0), accept=lambda crystal: bool(seen.append(crystal)))
    assert generator.attempts == 60


def test_orbits_are_those_of_the_tables_of_the_kernels() -> None:
    """Multiplicities, and the points of a cell taken apart into primitive cells, for all 1731 positions."""
    from xrdgen.symmetry import wyckoff

    table = wyckoff.tables()
    u = np.array([0.1234, 0.3141, 0.4711])
    for group in range(1, 231):
        known = group_positions(group)
        assert len(known.positions) == table.start[group] - table.start[group - 1]
        cells = round(1.0 / np.linalg.det(known.primitive_vectors))
        for position in known.positions:
            row = table.row(group, position.letter)
            assert (position.multiplicity, position.dof) == (table.multiplicity[row], table.dof[row])
            assert len(position.primitive) * cells == position.multiplicity
            np.testing.assert_allclose(
                position.first_point(u), (table.rotation[row] @ u + table.translation[row]) % 1.0, atol=1e-12
            )


def test_a_further_translation_is_found() -> None:
    """Caesium chloride with one kind of atom is body-centred; with two it is not."""
    lattice = 4.1 * np.eye(3)
    positions = np.array([[0.1, 0.2, 0.3], [0.6, 0.7, 0.8]])
    shift = np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 1e-3]])
    assert has_further_translation(lattice, positions, np.array([55, 55]), 1e-4)
    assert not has_further_translation(lattice, positions, np.array([55, 17]), 1e-4)
    assert not has_further_translation(lattice, positions + shift, np.array([55, 55]), 1e-4)
    assert not has_further_translation(lattice, positions[:1], np.array([55]), 1e-4)


def test_one_element_on_two_fixed_positions_is_refused(statistics: Statistics) -> None:
    """R-3m with an element on a and b keeps its number with half the cell: the strict reading refuses it."""
    from xrdgen.reference.crystal import ReferenceCrystal
    from xrdgen.reference.verification import refusal

    a, b = group_positions(166).positions[:2]
    cell = np.array([5.0, 5.0, 13.0, 90.0, 90.0, 120.0])
    one, two = (ReferenceCrystal(166, cell, elements, (a, b), np.zeros((2, 3))) for elements in ((26, 26), (26, 8)))
    assert refusal(one, 1e-4, strict=True) == "symmetry"
    assert refusal(one, 1e-4, strict=False) is None
    assert refusal(two, 1e-4, strict=True) is None

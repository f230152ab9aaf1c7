"""Crystals of given structure types alone: spglib and pyxtal find the types again, as often as the list says."""

from __future__ import annotations

import json
import warnings
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner
from xrdcommon.errors import InputError
from xrdcommon.identity import Purpose, SampleIdentity
from xrdgen.cli.crystals import sample
from xrdgen.crystal import Crystal
from xrdgen.crystals.drawable import NO_CRYSTAL, TOO_FEW, TOO_MANY_ELEMENTS, undrawable
from xrdgen.crystals.generator import CrystalGenerator, GeneratorSettings
from xrdgen.elements import element_table
from xrdgen.statistics.model import Statistics
from xrdgen.structures.prototypes import LabelledSite, labels
from xrdgen.structures.rows import row_of
from xrdgen.structures.standardise import standardise
from xrdgen.structures.types import parse_type
from xrdgen.symmetry import wyckoff

TYPES = (
    ("62:4c", 6),
    ("AB2C4_cF56_227_a_d_e", 4),
    ("AB2_hP3_191_a_d", 3),
    ("AB2_tP6_136_a_f", 5),
    ("ABC4_mP24_14_e_e_4e", 2),
    ("ABC6_hR8_148_a_b_f", 3),
    ("A_hP3_152_a", 1),
)


@pytest.fixture(scope="module")
def real() -> Statistics:
    return Statistics.load("embedded:statistics")


def draw(statistics: Statistics, n: int, **settings: object) -> list[Crystal]:
    generator = CrystalGenerator(statistics, GeneratorSettings.from_dict({"structure_types": TYPES, **settings}))
    return [generator.draw(SampleIdentity(3, 0, 0, index)) for index in range(n)]


def names_of(crystal: Crystal) -> tuple[str, str]:
    """Return label and Wyckoff key of a crystal by its arrays."""
    kinds = map(str, crystal.atomic_numbers)
    sites = zip(kinds, crystal.letters.tolist(), crystal.multiplicities.tolist(), strict=True)
    found = labels(crystal.space_group, [LabelledSite(*site) for site in sites])
    return found.prototype_iso, found.wyckoff_key


@pytest.mark.parametrize("ordering", ["none", "soft-spheres"])
def test_spglib_and_moyo_find_the_types_of_the_list(ordering: str, real: Statistics) -> None:
    """From the atoms of the whole cell, origin moved: spglib's group, and the sites as a structure is imported."""
    wanted = {parse_type(name).canonical for name, _ in TYPES}
    of_labels = {name.prototype_iso for name in wanted}
    seen: Counter[str] = Counter()
    for crystal in draw(real, 60, ordering=ordering):
        structure = crystal.to_pymatgen()
        structure.translate_sites(range(len(structure)), [0.13, 0.21, 0.34])
        tolerance = 1e-4 if ordering == "none" else 1e-2
        row = row_of(standardise(structure, tolerance))
        assert row["wyckoff_key"] == "62:4c" or row["prototype_iso"] in of_labels
        seen[row["wyckoff_key"]] += 1
    assert set(seen) == {name.wyckoff_key for name in wanted}


def test_pyxtal_finds_the_positions(real: Statistics) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pyxtal import pyxtal

        wanted = {parse_type(name).canonical.wyckoff_key for name, _ in TYPES}
        for crystal in draw(real, 12):
            other = pyxtal()
            other.from_seed(crystal.to_pymatgen(), tol=1e-4)
            sites = [
                LabelledSite(site.specie, wyckoff.letter_index(site.wp.letter), site.wp.multiplicity)
                for site in other.atom_sites
            ]
            assert labels(other.group.number, sites).wyckoff_key in wanted


@pytest.mark.parametrize("preset", ["paper", "improved"])
def test_types_are_drawn_as_often_as_the_list_says(preset: str, real: Statistics) -> None:
    """Crystals that are refused leave the frequencies as they are: a failed draw keeps its type."""
    n = 3000
    counts = Counter(names_of(crystal)[1] for crystal in draw(real, n, preset=preset))
    total = sum(weight for _, weight in TYPES)
    for name, weight in TYPES:
        share = weight / total
        found = counts.pop(parse_type(name).canonical.wyckoff_key)
        assert abs(found - n * share) < 4.5 * (n * share * (1.0 - share)) ** 0.5, name
    assert not counts


def test_elements_of_a_label_are_apart_and_those_of_a_key_are_drawn(real: Statistics) -> None:
    """A key leaves open what shares an element; every element has an atom, and all partitions of the sites occur."""
    partitions: Counter[tuple[int, ...]] = Counter()
    for crystal in draw(real, 1500):
        if crystal.space_group == 62:
            assert [wyckoff.letter(letter) for letter in crystal.letters] == ["c"] * 4
            partitions[tuple(sorted(Counter(crystal.atomic_numbers.tolist()).values()))] += 1
        else:
            assert names_of(crystal)[0] in {parse_type(name).canonical.prototype_iso for name, _ in TYPES}
    assert {(1, 1, 2), (2, 2), (1, 3), (1, 1, 1, 1)} <= set(partitions)
    counts = real.n_elements[62 - 1]
    shares = counts[1:5] / counts[1:5].sum()
    n = partitions.total()
    for elements in (2, 3):  # one element on all four sites, or four, are few or often refused
        found = sum(times for partition, times in partitions.items() if len(partition) == elements)
        assert abs(found - n * shares[elements - 1]) < 5.0 * (n * shares[elements - 1]) ** 0.5


def test_open_sites_are_dealt_out_evenly(statistics: Statistics) -> None:
    """Two elements on 227:ade: each site is alone as often as the others."""
    settings = GeneratorSettings(structure_types=(("227:ade", 1),))
    generator = CrystalGenerator(statistics, settings)
    alone: Counter[str] = Counter()
    for index in range(2000):
        crystal = generator.draw(SampleIdentity(4, 0, 0, index))
        times = Counter(crystal.atomic_numbers.tolist())
        assert len(times) <= 3
        if len(times) == 2:
            single = next(z for z, n in times.items() if n == 1)
            row = crystal.atomic_numbers.tolist().index(single)
            alone[wyckoff.letter(int(crystal.letters[row]))] += 1
    n = alone.total()
    for letter in "ade":
        assert abs(alone[letter] - n / 3) < 4.5 * (n * 2 / 9) ** 0.5


def test_both_forms_of_the_kernels(kernels_form: str, statistics: Statistics) -> None:
    generator = CrystalGenerator(statistics, GeneratorSettings(structure_types=TYPES))
    drawn = [generator.draw(SampleIdentity(9, 0, 0, index)) for index in range(5)]
    again = [generator.draw(SampleIdentity(9, 0, 0, index)) for index in reversed(range(5))][::-1]
    for one, other in zip(drawn, again, strict=True):
        assert one.cell.tobytes() == other.cell.tobytes()
        assert one.positions.tobytes() == other.positions.tobytes()
    other = generator.draw(SampleIdentity(9, 0, 0, 0), Purpose.IMPURITY)
    assert other.cell.tobytes() != drawn[0].cell.tobytes()


def test_what_cannot_be_drawn_is_found_beforehand(real: Statistics) -> None:
    """One atom on 4a never has the symmetry of F-43m alone, and no structure of P42 is among the statistics."""
    faults = undrawable(["AB_cF8_225_a_b", "A_cF4_216_a", "93:a"], real, GeneratorSettings(preset="improved"))
    assert faults == {"A_cF4_216_a": NO_CRYSTAL, "93:a": TOO_FEW}
    assert undrawable(["A_cF4_225_a", "AB_cF8_216_a_c"], real, GeneratorSettings()) == {}
    generator = CrystalGenerator(real, GeneratorSettings(structure_types=(("A_cF4_216_a", 1),)))
    with pytest.raises(InputError, match=r"structure type A_cF4_216_a: space group 216 .* leave the type out"):
        generator.draw(SampleIdentity(0, 0, 0, 0))


def test_more_elements_than_the_statistics_know(statistics: Statistics) -> None:
    """The made-up statistics have twelve elements in every group; on a, b ... m of Pmmm there are thirteen kinds."""
    table = wyckoff.tables()
    multiplicities = [int(table.multiplicity[table.row(47, letter)]) for letter in range(13)]
    formula = "".join(f"{chr(65 + kind)}{n if n > 1 else ''}" for kind, n in enumerate(multiplicities))
    letters = "_".join(wyckoff.letter(letter) for letter in range(13))
    name = f"{formula}_oP{sum(multiplicities)}_47_{letters}"
    with pytest.raises(InputError, match=r"13 elements, the statistics of space group 47 .* know 12"):
        CrystalGenerator(statistics, GeneratorSettings(structure_types=((name, 1),)))
    assert undrawable([name], statistics, GeneratorSettings()) == {name: TOO_MANY_ELEMENTS}
    # an element without a radius is in the statistics, and is not drawn
    counted = statistics.elements.copy()
    counted[46, int(np.flatnonzero(np.isnan(element_table().atomic_volume[1 : counted.shape[1] + 1]))[0])] = 5
    thirteen = replace(statistics, elements=counted)
    assert undrawable([name], thirteen, GeneratorSettings()) == {name: TOO_MANY_ELEMENTS}


def test_settings_say_what_does_not_fit(real: Statistics) -> None:
    with pytest.raises(InputError, match="bring their space groups with them: leave --space-groups out"):
        GeneratorSettings(structure_types=TYPES, space_groups=(62,))
    with pytest.raises(InputError, match="structure type 62:4c: 4 sites, at most 3 are drawn"):
        GeneratorSettings(structure_types=TYPES, max_sites=3)
    with pytest.raises(InputError, match="no Wyckoff letter 'z'"):
        GeneratorSettings(structure_types=(("62:z", 1),))
    with pytest.raises(InputError, match=r"structure type 93:a: space group 93 .* structures in the statistics"):
        CrystalGenerator(real, GeneratorSettings(structure_types=(("93:a", 1),)))
    settings = GeneratorSettings(structure_types=TYPES)
    assert GeneratorSettings.from_dict(json.loads(json.dumps(settings.to_dict()))) == settings
    assert "structure_types" not in GeneratorSettings().to_dict()  # what a spool of an earlier version has
    assert CrystalGenerator(real, settings).classes == [14, 62, 136, 148, 152, 191, 227]


def test_command(tmp_path: Path) -> None:
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(sample)
    (tmp_path / "types.csv").write_text("type,count\nAB_cF8_225_a_b,1\nAB2_cF12_225_a_c,1\n")
    arguments = ["-n", "8", "--structure-types", str(tmp_path / "types.csv"), "--json"]
    found = json.loads(CliRunner().invoke(app, arguments, catch_exceptions=False).stdout)
    assert {tuple(site["wyckoff"] for site in record["sites"]) for record in found} == {("4a", "4b"), ("4a", "8c")}
    slow = json.loads(CliRunner().invoke(app, [*arguments, "--engine", "reference"], catch_exceptions=False).stdout)
    for one, other in zip(found, slow, strict=True):
        assert one["formula"] == other["formula"]
        np.testing.assert_allclose(one["cell"], other["cell"], rtol=1e-9)

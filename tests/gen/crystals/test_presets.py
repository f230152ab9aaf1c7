"""Both presets, `paper` and `improved`, against the embedded statistics: what is drawn has the distribution it claims.

False alarms. Seeds are fixed, so that a failure is a fault; were they not, the threshold of five standard deviations
(two-sided 5.7e-7 in a normal distribution) and the number of comparisons give the rate at which chance would raise one:

| what, each preset | comparisons | false alarms |
|---|---|---|
| elements, repetitions given the element, letters given the sites; counts of 25 or more | 7,500 | 0.4 % |
| mean of their squares against 1 | 3 | 2e-6 |
| groups | 89 | 5e-5 |
| lattices: each free parameter of each group, and ln(b/c), p > 1e-6 | < 300 | 3e-4 |
| density factors, p > 1e-4 | 1 | 1e-4 |

Draws are conditioned by refusals: an atom that finds no free position, a cell that is too large, a symmetry that is
another. Counts are therefore taken with every position free, before any refusal; density factors and lattices without
bounds and verification. The frequencies of the groups survive all refusals and are taken after them.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from scipy.special import ndtr
from xrdcommon.identity import SampleIdentity
from xrdcommon.space_groups import crystal_system
from xrdgen.crystal import Crystal
from xrdgen.crystals import sampler_kernels
from xrdgen.crystals.count_tables import PSEUDO_COUNTS
from xrdgen.crystals.generator import CrystalGenerator, GeneratorSettings, empty_arrays
from xrdgen.crystals.sampler_kernels import PASSED
from xrdgen.crystals.settings import PRESETS
from xrdgen.crystals.tables import sampler_tables
from xrdgen.diffraction.settings import SimulationSettings
from xrdgen.elements import element_table
from xrdgen.production.produce import Asked
from xrdgen.statistics.model import Statistics
from xrdgen.symmetry.lattice import FREE_PARAMETERS

SIGMA = 5.0
"""Largest deviation that passes, in standard deviations."""

LEAST = 25
"""Expected counts below this are not normal enough for a threshold in standard deviations."""

DRAWS = 2_000


@pytest.fixture(scope="module")
def embedded() -> Statistics:
    """The default statistics of every command."""
    return Statistics.load("embedded:statistics")


@pytest.fixture(scope="module", params=PRESETS)
def preset(request: pytest.FixtureRequest) -> str:
    """Each preset in turn."""
    return str(request.param)


Drawn = dict[int, list[tuple[NDArray[np.int64], NDArray[np.int64]]]]


@pytest.fixture(scope="module")
def occupations(embedded: Statistics, preset: str) -> Drawn:
    """Two elements each, drawn as if no position were ever full: nothing is refused."""
    tables = sampler_tables(embedded, GeneratorSettings(preset=preset, max_sites=999))
    tables = tables._replace(dof=np.ones_like(tables.dof))
    stream = np.zeros(11, dtype=np.uint64)
    crystal = empty_arrays(999)
    drawn: Drawn = {}
    for group in embedded.classes():
        drawn[group] = []
        for _ in range(DRAWS):
            assert sampler_kernels.draw_occupation(stream, tables, group, 2, crystal) == PASSED
            n = int(crystal.n_sites[0])
            drawn[group].append((crystal.atomic_numbers[:n].copy(), crystal.letters[:n].copy()))
    return drawn


def deviations(found: NDArray[np.int64], weights: NDArray[np.float64]) -> Iterator[float]:
    """Yield the deviations of counts from their expectations in standard deviations; what is impossible must be 0."""
    assert not found[weights == 0.0].any()
    probability = weights / weights.sum()
    expected = probability * found.sum()
    for n, mean, p in zip(found, expected, probability, strict=True):
        if mean >= LEAST and found.sum() - mean >= LEAST:
            yield float((n - mean) / np.sqrt(mean * (1.0 - p)))


def assert_normal(found: list[float], least: int) -> None:
    """No deviation beyond `SIGMA`, and the mean of their squares 1 within as many of its standard deviations."""
    assert least <= len(found) < 10_000
    assert np.abs(found).max() < SIGMA
    assert abs(np.mean(np.square(found)) - 1.0) < SIGMA * np.sqrt(2.0 / len(found))


def leaning_on_the_pool(own: NDArray[np.float64], pool: NDArray[np.int64], preset: str) -> NDArray[np.float64]:
    """Return the weights that a preset claims, from the counts of a combination and of its whole group."""
    share = pool / pool.sum()
    return share if preset == "paper" else own + PSEUDO_COUNTS * share


def joint(table: NDArray[np.int64], group: int, width: int) -> dict[int, NDArray[np.float64]]:
    """Return the counts (width,) of the outcomes of each condition in one group."""
    counts: dict[int, NDArray[np.float64]] = {}
    for _, condition, outcome, n in table[table[:, 0] == group].tolist():
        counts.setdefault(condition, np.zeros(width))[outcome] += n
    return counts


def test_elements(embedded: Statistics, occupations: Drawn) -> None:
    """The first of two elements: none is taken yet."""
    with_radii = np.isfinite(element_table().atomic_volume[1:104])
    found = []
    for group, drawn in occupations.items():
        counts = np.bincount([z[0] - 1 for z, _ in drawn], minlength=103)
        found += deviations(counts, (embedded.elements[group - 1] * with_radii).astype(np.float64))
    assert_normal(found, 1_000)


def test_repetitions_given_the_element(embedded: Statistics, occupations: Drawn, preset: str) -> None:
    found = []
    width = embedded.repetitions.shape[1]
    for group, drawn in occupations.items():
        counts: dict[int, NDArray[np.int64]] = {}
        for z, _ in drawn:
            for element, r in zip(*np.unique(z, return_counts=True), strict=True):
                counts.setdefault(int(element), np.zeros(width, dtype=np.int64))[r] += 1
        own = joint(embedded.element_repetitions, group, width)
        for element, n in counts.items():
            weights = leaning_on_the_pool(own[element], embedded.repetitions[group - 1], preset)
            found += deviations(n, weights)
    assert_normal(found, 1_000)


def test_wyckoff_letters_given_the_number_of_sites(embedded: Statistics, occupations: Drawn, preset: str) -> None:
    found = []
    for group, drawn in occupations.items():
        counts: dict[int, NDArray[np.int64]] = {}
        for _, letters in drawn:
            counts.setdefault(len(letters), np.zeros(27, dtype=np.int64))
            counts[len(letters)] += np.bincount(letters, minlength=27)
        own = joint(embedded.site_letters, group, 27)
        for n_sites, n in counts.items():
            weights = leaning_on_the_pool(own.get(n_sites, np.zeros(27)), embedded.wyckoff[group - 1], preset)
            found += deviations(n, weights)
    assert_normal(found, 1_000)


def test_group_frequencies_stay_true(embedded: Statistics, preset: str) -> None:
    """After all refusals, those of the exact symmetry test included."""
    generator = CrystalGenerator(embedded, GeneratorSettings(preset=preset))
    n = 10_000
    groups = np.bincount([generator.draw(SampleIdentity(31, 0, 0, i)).space_group - 1 for i in range(n)], minlength=230)
    expected = np.where(np.isin(np.arange(1, 231), embedded.classes()), embedded.n_structures, 0).astype(np.float64)
    assert_normal(list(deviations(groups, expected)), 50)
    assert generator.rejections.sum() > 0


@pytest.fixture(scope="module")
def unbounded(embedded: Statistics, preset: str) -> list[Crystal]:
    """Crystals of all classes without bounds of volume and density; their symmetry is verified."""
    settings = GeneratorSettings(
        preset=preset, space_groups="uniform", max_volume=1e9, min_volume_per_atom=0.0, recheck=0.0
    )
    generator = CrystalGenerator(embedded, settings)
    return [generator.draw(SampleIdentity(32, 0, 0, index)) for index in range(9_000)]


def test_density_factors_given_the_atomic_volume(embedded: Statistics, preset: str, unbounded: list[Crystal]) -> None:
    """Ranks of the crystals in the conditional density, summed by brute force from the statistics: uniform."""
    ranks = []
    for crystal in unbounded:
        pairs = slice(*embedded.volume_start[crystal.space_group - 1 : crystal.space_group + 1])
        v, f = embedded.v_atomic[pairs], embedded.density_factor[pairs]
        at, factor = crystal.v_atomic, crystal.volume / crystal.v_atomic
        below_zero = -np.inf if preset == "improved" else 0.0  # what is drawn again
        if preset == "improved":
            v, f, at, factor = np.log(v), np.log(f), np.log(at), np.log(factor)
        rule = 1.06 * len(v) ** (-1 / 6)
        spread_f = min(f.std(), stats.iqr(f) / 1.349) if preset == "improved" else f.std()
        h_v = max(rule * v.std(), 0.02 if preset == "improved" else 1.0)
        h_f = max(rule * spread_f, 0.01)
        z = (at - v) / h_v
        weights = np.exp(-0.5 * (z**2 - (z**2).min()))
        cdf = ndtr((np.array([below_zero, factor])[:, None] - f) / h_f) @ weights / weights.sum()
        ranks.append((cdf[1] - cdf[0]) / (1.0 - cdf[0]))
    assert stats.kstest(ranks, "uniform").pvalue > 1e-4


def test_lattices_of_the_improved_preset_follow_their_group(embedded: Statistics) -> None:
    """Each free parameter is a mixture of normal distributions about the group's lattices; so is ln(b/c)."""
    from xrdgen.crystals import kde_kernels

    tables = sampler_tables(embedded, GeneratorSettings(preset="improved"))
    stream = np.zeros(11, dtype=np.uint64)
    tested = 0
    for group in embedded.classes():
        row = tables.lattice_row[group - 1]
        system = crystal_system(group)
        if system == "cubic":
            continue
        d = int(tables.n_free[row])
        cells = np.empty((1_000, 6))
        for cell in cells:
            support = tables.lattices[tables.lattice_start[row] : tables.lattice_start[row + 1], :d]
            layout = (tables.cell_source[row], tables.cell_fixed[row], tables.logarithmic[1])
            kde_kernels.draw_unit_cell(stream, support, tables.cholesky[row, :d, :d], *layout, cell)
        columns = [column for column in FREE_PARAMETERS[system] if column > 0]
        real = parameters(embedded.lattice[slice(*embedded.lattice_start[group - 1 : group + 1])], columns)
        drawn = parameters(cells, columns)
        n = len(real)
        floors = np.array([0.01 if column < 3 else 0.5 for column in columns])
        spread = np.minimum(real.std(axis=0), stats.iqr(real, axis=0) / 1.349)
        h = np.maximum(n ** (-1 / (d + 4)) * spread, floors)
        directions = [*np.eye(d)]
        if columns[:2] == [1, 2]:
            directions.append(np.array([1.0, -1.0] + [0.0] * (d - 2)))
        correlation = np.atleast_2d(np.corrcoef(real, rowvar=False))
        for direction in directions:
            width = float(np.sqrt(direction @ (h[:, None] * correlation * h) @ direction))
            centres = real @ direction

            def cdf(
                x: NDArray[np.float64], centres: NDArray[np.float64] = centres, width: float = width
            ) -> NDArray[np.float64]:
                return ndtr((x[:, None] - centres) / width).mean(axis=1)

            assert stats.kstest(drawn @ direction, cdf).pvalue > 1e-6, (group, direction)
            tested += 1
    assert 100 < tested < 300


def parameters(cells: NDArray[np.float64], columns: list[int]) -> NDArray[np.float64]:
    """Return ln(b/a), ln(c/a) and angles of cells (N, 6), those of `columns`."""
    values = cells.copy()
    values[:, :3] = np.log(cells[:, :3] / cells[:, :1])
    return values[:, columns]


def test_a_group_with_few_lattices_takes_those_of_its_system(statistics: Statistics) -> None:
    """Made-up statistics: 200 lattices in each triclinic group, 6 or 7 in each orthorhombic one."""
    tables = sampler_tables(statistics, GeneratorSettings(preset="improved"))
    n_support = np.diff(tables.lattice_start)[tables.lattice_row]
    assert n_support[[0, 1]].tolist() == [200, 200]
    assert n_support[[15, 61]].tolist() == [400, 400]
    assert len(np.unique(tables.lattice_row[15:74])) == 1
    paper = sampler_tables(statistics, GeneratorSettings())
    assert paper.lattice_row.max() == 6
    assert not paper.logarithmic.any()


def test_the_pool_of_the_group_stands_in_where_nothing_was_counted(statistics: Statistics) -> None:
    tables = sampler_tables(statistics, GeneratorSettings(preset="improved", max_sites=12))
    assert tables.wyckoff_row.shape == (230, 13)
    for group in (1, 62, 225):
        pool = np.cumsum(statistics.wyckoff[group - 1])
        rows = tables.wyckoff_row[group - 1]
        assert sorted({int(row) for row in rows} - {group - 1}) == [int(rows[n]) for n in (2, 5, 9)]
        assert tables.wyckoff[rows[3]].tolist() == pool.tolist()
        own = joint(statistics.site_letters, group, 27)[5]
        expected = (own + 5 * statistics.wyckoff[group - 1] / pool[-1]) / (own.sum() + 5)
        found = np.diff(tables.wyckoff[rows[5]], prepend=0) / tables.wyckoff[rows[5], -1]
        assert found == pytest.approx(expected, abs=1e-12)
        absent = int(np.flatnonzero(statistics.elements[group - 1] == 0)[0])
        assert tables.repetition_row[group - 1, absent] == group - 1


def test_compiled_and_python_kernels_draw_the_same_improved_crystals(
    statistics: Statistics, improved_crystals: list[Crystal], kernels_form: str
) -> None:
    generator = CrystalGenerator(statistics, GeneratorSettings(preset="improved", space_groups="uniform"))
    for index, crystal in enumerate(improved_crystals):
        again = generator.draw(SampleIdentity(8, 0, 0, index))
        assert again.space_group == crystal.space_group
        assert again.cell == pytest.approx(crystal.cell, rel=1e-13)
        assert again.positions.tolist() == crystal.positions.tolist()
        assert again.letters.tolist() == crystal.letters.tolist()


@pytest.fixture(scope="module")
def improved_crystals(statistics: Statistics) -> list[Crystal]:
    """Crystals drawn by the compiled kernels (made before a test can exchange them)."""
    generator = CrystalGenerator(statistics, GeneratorSettings(preset="improved", space_groups="uniform"))
    return [generator.draw(SampleIdentity(8, 0, 0, index)) for index in range(6)]


def test_a_production_asks_for_a_preset_of_its_crystals() -> None:
    _, generator = Asked(crystals="improved").settings(SimulationSettings(), GeneratorSettings())
    assert generator == GeneratorSettings(preset="improved")
    assert GeneratorSettings.from_dict(generator.to_dict()) == generator
    assert Asked().settings(SimulationSettings(), generator)[1].preset == "improved"

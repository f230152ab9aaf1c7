"""Drawn crystals against the statistics that they are drawn from (physics tests with sigma thresholds)."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from scipy.special import ndtr
from xrdcommon.identity import SampleIdentity
from xrdgen.crystals import sampler_kernels
from xrdgen.crystals.generator import REASONS, CrystalGenerator, GeneratorSettings, empty_arrays
from xrdgen.crystals.sampler_kernels import PASSED, CrystalArrays
from xrdgen.crystals.tables import SamplerTables, sampler_tables
from xrdgen.crystals.verify import Verdict
from xrdgen.statistics.model import Statistics
from xrdgen.symmetry import wyckoff

SIGNIFICANT = 0.002
"""Smallest p value that passes: seeds are fixed, so that a failure is a fault and not bad luck."""

UNBOUNDED = {"max_volume": 1e9, "max_sites": 99, "min_volume_per_atom": 0.0}


class AcceptAll:
    """The verifier of someone who wants every candidate: the distributions before verification."""

    def verify(self, group: int, crystal: CrystalArrays) -> Verdict:
        """Confirm."""
        return Verdict.CONFIRMED


@pytest.fixture(scope="module")
def tables(statistics: Statistics) -> SamplerTables:
    """The kernels' arrays of the made-up statistics."""
    return sampler_tables(statistics, GeneratorSettings(**UNBOUNDED))


def occupations(
    stream: NDArray[np.uint64], tables: SamplerTables, group: int, n_elements: int, n: int
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Draw elements and positions n times; refused ones are left out."""
    crystal = empty_arrays(99)
    drawn = []
    for _ in range(n):
        if sampler_kernels.draw_occupation(stream, tables, group, n_elements, crystal) == PASSED:
            count = int(crystal.n_sites[0])
            drawn.append((crystal.atomic_numbers[:count].copy(), crystal.letters[:count].copy()))
    return drawn


def assert_frequencies(values: list[int], counts: NDArray[np.int64]) -> None:
    """Compare drawn indices with counts by a chi-squared test."""
    found = np.bincount(values, minlength=len(counts))
    assert not found[counts == 0].any()
    expected = counts / counts.sum() * len(values)
    if np.count_nonzero(counts) > 1:
        assert stats.chisquare(found[counts > 0], expected[counts > 0]).pvalue > SIGNIFICANT


@pytest.mark.parametrize("group", [1, 14, 62, 166, 194, 225])
def test_elements_repetitions_and_positions_follow_the_statistics(
    group: int, statistics: Statistics, tables: SamplerTables, stream: NDArray[np.uint64]
) -> None:
    n_letters = int(np.diff(wyckoff.tables().start)[group - 1])
    drawn = occupations(stream, tables, group, 1, 20_000)
    assert len(drawn) == 20_000
    assert_frequencies([int(z[0]) - 1 for z, _ in drawn], statistics.elements[group - 1])
    assert_frequencies([len(z) for z, _ in drawn], statistics.repetitions[group - 1])
    assert_frequencies([int(letters[0]) for _, letters in drawn], statistics.wyckoff[group - 1][:n_letters])


@pytest.mark.parametrize("group", [14, 225])
def test_later_atoms_take_positions_that_are_left(
    group: int, statistics: Statistics, tables: SamplerTables, stream: NDArray[np.uint64]
) -> None:
    table = wyckoff.tables()
    dof = table.dof[table.rows(group)]
    counts = statistics.wyckoff[group - 1][: len(dof)]
    second: dict[int, list[int]] = {}
    for _, letters in occupations(stream, tables, group, 2, 20_000):
        fixed = letters[dof[letters] == 0]
        assert len(np.unique(fixed)) == len(fixed)
        second.setdefault(int(letters[0]), []).append(int(letters[1]))
    for first, letters_after in second.items():
        if len(letters_after) > 500:
            left = np.where((dof == 0) & (np.arange(len(dof)) == first), 0, counts)
            assert_frequencies(letters_after, left)


def test_elements_are_drawn_without_replacement(stream: NDArray[np.uint64]) -> None:
    """The second of two follows the weights of what the first left (also where rejections would never end)."""
    counts = np.array([1_000_000, 3, 1, 0, 2])
    cumulative = np.cumsum(counts)
    seconds = []
    for _ in range(3_000):
        chosen = np.array([1, 0], dtype=np.int64)
        seconds.append(sampler_kernels.pick_element(stream, cumulative, chosen, 1) - 1)
    assert_frequencies(seconds, np.array([0, 3, 1, 0, 2]))


def test_every_element_has_an_atom(tables: SamplerTables, stream: NDArray[np.uint64]) -> None:
    for group in range(1, 231):
        for z, letters in occupations(stream, tables, group, 4, 20):
            assert len(np.unique(z)) == 4
            assert len(z) == len(letters) >= 4


def test_without_a_free_position_the_crystal_is_drawn_again(statistics: Statistics, tables: SamplerTables) -> None:
    """Fm-3m with 4a alone occupied has room for one atom."""
    counts = np.zeros_like(tables.wyckoff)
    counts[:] = 1
    only_a = tables._replace(wyckoff=counts)
    stream = np.zeros(11, dtype=np.uint64)
    drawn = occupations(stream, only_a, 225, 1, 3_000)
    share = statistics.repetitions[224][1] / statistics.repetitions[224].sum()
    assert {len(z) for z, _ in drawn} == {1}
    assert abs(len(drawn) / 3_000 - share) < 4 * np.sqrt(share * (1 - share) / 3_000)


def test_too_many_atoms_are_refused(statistics: Statistics, stream: NDArray[np.uint64]) -> None:
    tables = sampler_tables(statistics, GeneratorSettings(max_sites=3))
    drawn = occupations(stream, tables, 14, 2, 500)
    assert 0 < len(drawn) < 500
    assert max(len(z) for z, _ in drawn) == 3


OBLIQUE = {"225f": (225, 5), "194k": (194, 10), "227g": (227, 6), "166h": (166, 7), "15e": (15, 4), "1a": (1, 0)}


@pytest.mark.parametrize("name", OBLIQUE)
def test_coordinates_are_uniform_on_the_position(name: str, tables: SamplerTables, stream: NDArray[np.uint64]) -> None:
    group, letter = OBLIQUE[name]
    assert name.endswith(wyckoff.letter(letter))
    row = wyckoff.tables().row(group, letter)
    varying = np.abs(wyckoff.tables().rotation[row]).sum(axis=1) > 0
    crystal = empty_arrays(1)
    crystal.n_sites[0], crystal.letters[0] = 1, letter
    points = np.empty((10_000, 3))
    for point in points:
        sampler_kernels.draw_coordinates(stream, tables, group, crystal)
        point[:] = crystal.positions[0]
    assert points.min() >= 0.0
    assert points.max() < 1.0
    for axis in np.flatnonzero(varying):
        assert stats.kstest(points[:, axis], "uniform").pvalue > SIGNIFICANT, axis
    assert np.ptp(points[:, ~varying], axis=0) == pytest.approx(0.0)


def test_coordinates_lie_on_the_position_they_claim(tables: SamplerTables, stream: NDArray[np.uint64]) -> None:
    crystal = empty_arrays(1)
    crystal.n_sites[0] = 1
    cell = np.array([7.1, 7.1, 7.1, 90.0, 90.0, 90.0])
    for group in range(1, 231, 3):
        for letter in range(int(np.diff(wyckoff.tables().start)[group - 1])):
            crystal.letters[0] = letter
            sampler_kernels.draw_coordinates(stream, tables, group, crystal)
            assert wyckoff.locate(group, crystal.positions[0], cell, 1e-7)[0] == letter


def test_volumes_follow_the_conditional_density(statistics: Statistics) -> None:
    """The distribution function of each crystal's density factor given its V_atomic is uniform over all crystals."""
    generator = CrystalGenerator(statistics, GeneratorSettings(space_groups="uniform", **UNBOUNDED), AcceptAll())
    tables = generator.tables
    ranks, groups = [], []
    for index in range(4_000):
        crystal = generator.draw(SampleIdentity(1, 0, 0, index))
        row = crystal.space_group - 1
        pairs = slice(tables.density_start[row], tables.density_start[row + 1])
        z = (crystal.v_atomic - tables.v_atomic[pairs]) / tables.bandwidth_v[row]
        weights = np.exp(-0.5 * (z**2 - (z**2).min()))
        at = np.array([0.0, crystal.volume / crystal.v_atomic])[:, None]
        cdf = ndtr((at - tables.density_factor[pairs]) / tables.bandwidth_f[row]) @ weights / weights.sum()
        ranks.append((cdf[1] - cdf[0]) / (1.0 - cdf[0]))
        groups.append(row)
    assert stats.kstest(ranks, "uniform").pvalue > SIGNIFICANT
    assert len(set(groups)) == 230
    assert_frequencies(groups, np.ones(230, dtype=np.int64))


def test_number_of_elements_and_natural_frequencies(statistics: Statistics) -> None:
    generator = CrystalGenerator(statistics, GeneratorSettings(**UNBOUNDED), AcceptAll())
    crystals = [generator.draw(SampleIdentity(2, 0, 0, index)) for index in range(6_000)]
    assert_frequencies([crystal.space_group - 1 for crystal in crystals], statistics.n_structures)
    numbers = [len(np.unique(crystal.atomic_numbers)) for crystal in crystals]
    assert_frequencies(numbers, statistics.n_elements[0])  # the same in every group of these statistics


def test_bounds_hold(statistics: Statistics) -> None:
    settings = GeneratorSettings(space_groups="uniform", max_volume=900.0, max_sites=6, min_volume_per_atom=9.0)
    generator = CrystalGenerator(statistics, settings, AcceptAll())
    for index in range(500):
        crystal = generator.draw(SampleIdentity(3, 0, 0, index))
        assert crystal.volume < 900.0
        assert crystal.n_sites <= 6
        assert crystal.volume / crystal.n_atoms > 9.0 * (1 - 1e-9)
    expected = [REASONS.index(name) for name in ("sites", "volume", "density_factor_redraws")]
    assert (generator.rejections.sum(axis=0)[expected] > 0).all()

"""Parameters have the laws that presets state; streams are apart; `pure` draws what it always drew."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from xrdcommon.identity import SampleIdentity
from xrdgen.diffraction.effects import parameter_kernels
from xrdgen.diffraction.effects.drawing import draw_parameters
from xrdgen.diffraction.effects.parameters import RANGE_NAMES, PatternParameters, stream_start
from xrdgen.diffraction.effects.ranges import Range
from xrdgen.diffraction.imperfections import EFFECTS, Imperfections
from xrdgen.diffraction.simulator import Simulator
from xrdgen.random_kernels import STREAM_WORDS

Form = Callable[[Any], Callable[..., Any]]
N = 4000


def identity(i: int) -> SampleIdentity:
    return SampleIdentity(run=2**63 + 9, producer=4, shard=12, index=i)


def drawn(imperfections: Imperfections, n: int = N) -> NDArray[np.float64]:
    """Parameters of n samples, (n, fields)."""
    ranges = imperfections.ranges(20.0, 100.0)
    return np.array([draw_parameters(identity(i), ranges, 5.0, 90.0) for i in range(n)])


@pytest.fixture(scope="module")
def measured() -> NDArray[np.float64]:
    return drawn(Imperfections.preset("measured"))


def column(table: NDArray[np.float64], name: str) -> NDArray[np.float64]:
    return table[:, PatternParameters._fields.index(name)]


def law_cdf(law: Range) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    """The distribution that a range states, limits included."""
    if law.law == "uniform":
        return stats.uniform(law.first, law.second - law.first).cdf
    if law.law == "log-uniform":
        return stats.loguniform(law.first, law.second).cdf
    base = {
        "normal": stats.norm(law.first, law.second),
        "log-normal": stats.lognorm(law.second, scale=law.first),
        "exponential": stats.expon(scale=law.first),
    }[law.law]
    low, high = base.cdf(law.low), base.cdf(law.high)
    return lambda x: (base.cdf(x) - low) / (high - low)


DIRECT = [
    "crystallite_size", "microstrain", "caglioti_u", "caglioti_w", "sample_lorentzian", "axial_divergence",
    "zero_shift", "displacement", "k_beta", "tungsten", "b_iso", "march_r", "background_level", "background_length",
    "noise_additive",
]  # fmt: skip


@pytest.mark.parametrize("name", DIRECT)
def test_distribution_is_the_stated_one(name: str, measured: NDArray[np.float64]) -> None:
    law = getattr(Imperfections.preset("measured"), name)
    values = column(measured, name)
    present = values[values != (1.0 if name == "march_r" else 0.0)]
    assert stats.binomtest(len(present), N, law.share).pvalue > 1e-3
    assert stats.kstest(present, law_cdf(law)).pvalue > 1e-3


def test_distributions_of_what_depends_on_others(measured: NDArray[np.float64]) -> None:
    preset = Imperfections.preset("measured")
    removed = column(measured, "background_removed")
    assert set(removed) == {0.0, 1.0}
    assert stats.binomtest(int(removed.sum()), N, preset.background_removed.share).pvalue > 1e-3
    assert (column(measured, "clipped") == removed).all()
    of_removed = removed > 0.0
    assert not column(measured, "residue")[~of_removed].any()
    assert stats.kstest(column(measured, "residue")[of_removed], law_cdf(preset.residue)).pvalue > 1e-3
    noise = column(measured, "noise_additive")
    offset = column(measured, "residue_offset")[of_removed] / noise[of_removed]
    assert stats.kstest(offset, law_cdf(preset.residue_offset)).pvalue > 1e-3
    ratio = column(measured, "noise_counting") / noise
    assert stats.kstest(ratio[ratio > 0.0], law_cdf(preset.noise_counting)).pvalue > 1e-3
    assert stats.binomtest(int((ratio > 0.0).sum()), N, preset.noise_counting.share).pvalue > 1e-3


def test_half_of_the_patterns_have_one_to_three_impurities(measured: NDArray[np.float64]) -> None:
    number = column(measured, "n_impurities").astype(int)
    expected = np.array([0.5, 1 / 3, 1 / 9, 1 / 18]) * N
    assert stats.chisquare(np.bincount(number, minlength=4), expected).pvalue > 1e-3
    for i in range(3):
        fraction = column(measured, f"impurity_fraction_{i + 1}")
        assert ((fraction > 0.0) == (number > i)).all()
        law = Imperfections.preset("measured").impurity_fraction
        assert stats.kstest(fraction[number > i], law_cdf(law)).pvalue > 1e-3


def test_texture_has_an_axis_of_low_indices(measured: NDArray[np.float64]) -> None:
    textured = column(measured, "march_r") != 1.0
    axes = np.stack([column(measured, f"texture_{i}") for i in "hkl"], axis=1)
    assert (axes[~textured] == [0.0, 0.0, 1.0]).all()
    kinds, counts = np.unique(axes[textured], axis=0, return_counts=True)
    assert len(kinds) == 13
    assert not any((kinds == -kind).all(axis=1).any() for kind in kinds)
    assert stats.chisquare(counts).pvalue > 1e-3


def test_truncated_ranges(measured: NDArray[np.float64]) -> None:
    first, last = column(measured, "range_first"), column(measured, "range_last")
    assert stats.binomtest(int((first > 5.0).sum()), N, 0.15).pvalue > 1e-3
    assert (first <= 13.0).all()
    assert stats.binomtest(int((last < 90.0).sum()), N, 0.1).pvalue > 1e-3
    ranges = Imperfections.preset("measured").ranges(20.0, 100.0)
    for i in range(300):
        short = draw_parameters(identity(i), ranges, 20.0, 40.0)
        assert short.range_last - short.range_first >= 10.0


def test_effects_are_independent(measured: NDArray[np.float64]) -> None:
    names = [
        "crystallite_size",
        "caglioti_w",
        "zero_shift",
        "displacement",
        "b_iso",
        "background_level",
        "noise_additive",
    ]
    ranks = stats.spearmanr(np.stack([column(measured, name) for name in names], axis=1)).statistic
    assert np.abs(ranks - np.eye(len(names))).max() < 4.5 / np.sqrt(N)


def test_pure_draws_the_size_that_it_always_drew() -> None:
    simulator = Simulator()
    ranges = Imperfections().ranges(simulator.settings.size_min, simulator.settings.size_max)
    for i in range(200):
        parameters = draw_parameters(identity(i), ranges, 5.0, 90.0)
        assert parameters.crystallite_size == simulator.crystallite_size(identity(i))
        neutral = PatternParameters(crystallite_size=parameters.crystallite_size, range_first=5.0, range_last=90.0)
        assert parameters == neutral


@pytest.mark.parametrize("effect", EFFECTS)
def test_switching_one_effect_off_leaves_all_other_draws(effect: str) -> None:
    preset = Imperfections.preset("measured")
    whole, without = drawn(preset, 60), drawn(preset.without(effect), 60)
    differs = {name for name in PatternParameters._fields if (column(whole, name) != column(without, name)).any()}
    own = {
        "size": {"crystallite_size"},
        "texture": {"march_r", "texture_h", "texture_k", "texture_l"},
        "impurity": {"n_impurities", *(f"impurity_fraction_{i}" for i in (1, 2, 3))},
        "noise": {"noise_additive", "noise_counting", "residue_offset"},  # the offset is a multiple of the noise
        "truncation": {"range_first", "range_last"},
    }.get(effect, set(EFFECTS[effect]))
    assert differs
    assert differs <= own


def test_plain_form_agrees(form: Form) -> None:
    ranges = Imperfections.preset("measured").ranges(20.0, 100.0)
    for i in range(20):
        key, counter = stream_start(identity(i))
        stream = np.zeros(STREAM_WORDS, dtype=np.uint64)
        with np.errstate(over="ignore"):  # words are multiplied modulo 2^64
            values = form(parameter_kernels.draw_parameters)(key, counter, stream, ranges, 5.0, 90.0)
        assert tuple(values) == pytest.approx(tuple(draw_parameters(identity(i), ranges, 5.0, 90.0)), rel=1e-14)


def test_rows_of_the_table_are_the_fields_in_order() -> None:
    from dataclasses import fields

    assert tuple(field.name for field in fields(Imperfections)) == RANGE_NAMES


def test_limits_that_a_law_hardly_reaches_are_kept() -> None:
    """A law almost wholly outside its limits gives up drawing and takes a limit; none leaves them."""
    narrow = Imperfections(zero_shift=Range("normal", 0.0, 5.0, low=-1e-6, high=1e-6))
    assert np.abs(column(drawn(narrow, 20), "zero_shift")).max() <= 1e-6

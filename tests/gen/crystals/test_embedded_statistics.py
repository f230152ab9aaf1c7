"""Crystals drawn from the statistics that are shipped: every class, verified, with the density of the real ones."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from scipy.special import ndtr
from xrdcommon.identity import SampleIdentity
from xrdgen.crystals.generator import N_ATTEMPT_REASONS, CrystalGenerator, GeneratorSettings
from xrdgen.crystals.sampler_kernels import CrystalArrays
from xrdgen.crystals.verify import ExactVerifier, SpglibVerifier, Verdict
from xrdgen.statistics.model import Statistics


@pytest.fixture(scope="module")
def embedded() -> Statistics:
    """The default statistics of every command."""
    return Statistics.load("embedded:statistics")


class AlsoSpglib(ExactVerifier):
    """The exact test; the first crystals of every group that it confirms are shown to spglib too."""

    def __init__(self) -> None:
        super().__init__(1e-4)
        self.spglib = SpglibVerifier(1e-4)
        self.shown = np.zeros(230, dtype=np.int64)

    def verify(self, group: int, crystal: CrystalArrays) -> Verdict:
        """Return the verdict of the exact test."""
        verdict = super().verify(group, crystal)
        if verdict is Verdict.CONFIRMED and self.shown[group - 1] < 2:
            self.shown[group - 1] += 1
            assert self.spglib.verify(group, crystal) is Verdict.CONFIRMED
        return verdict


def test_every_class_is_drawn_and_verified(embedded: Statistics) -> None:
    verifier = AlsoSpglib()
    generator = CrystalGenerator(embedded, GeneratorSettings(space_groups="uniform"), verifier)
    assert generator.classes == embedded.classes()
    n = 15 * len(generator.classes)
    for index in range(n):
        crystal = generator.draw(SampleIdentity(21, 0, 0, index))
        assert crystal.volume < 7000
        assert crystal.n_sites < 100
    assert generator.accepted.sum() == n
    assert (generator.accepted[np.array(generator.classes) - 1] > 0).all()
    assert (verifier.shown[np.array(generator.classes) - 1] > 0).all()
    attempts = n + generator.rejections[:, :N_ATTEMPT_REASONS].sum()
    assert attempts < 1.5 * n  # measured: 1.1


def test_density_factors_follow_the_real_ones(embedded: Statistics) -> None:
    """Rank of each crystal's density factor in its group's conditional density, brute force: uniform."""
    settings = GeneratorSettings(max_volume=1e9, min_volume_per_atom=0.0, verification="exact")
    generator = CrystalGenerator(embedded, settings)
    tables = generator.tables
    ranks = []
    for index in range(1_500):
        crystal = generator.draw(SampleIdentity(22, 0, 0, index))
        row = crystal.space_group - 1
        pairs = slice(tables.density_start[row], tables.density_start[row + 1])
        z = (crystal.v_atomic - tables.v_atomic[pairs]) / tables.bandwidth_v[row]
        weights = np.exp(-0.5 * (z**2 - (z**2).min()))
        at = np.array([0.0, crystal.volume / crystal.v_atomic])[:, None]
        cdf = ndtr((at - tables.density_factor[pairs]) / tables.bandwidth_f[row]) @ weights / weights.sum()
        ranks.append((cdf[1] - cdf[0]) / (1.0 - cdf[0]))
    assert stats.kstest(ranks, "uniform").pvalue > 0.002

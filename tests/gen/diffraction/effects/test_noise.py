"""Random words with known answers, deviates that are normal, noise of the size that its parameters say."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from xrdcommon.identity import SampleIdentity
from xrdgen.diffraction.effects import noise, noise_kernels
from xrdgen.diffraction.effects.parameters import PatternParameters, stream_start
from xrdgen.random_kernels import STREAM_WORDS

IDENTITY = SampleIdentity(run=7, producer=1, shard=3, index=11)


def deviates(identity: SampleIdentity, n_points: int) -> NDArray[np.float32]:
    key, counter = stream_start(identity)
    out = np.empty(-(-n_points // 4) * 4, dtype=np.float32)
    noise_kernels.fill_normals(key, counter, np.zeros(STREAM_WORDS, dtype=np.uint64), out)
    return out[:n_points]


# the known answers that come with Random123
@pytest.mark.parametrize(
    ("rounds", "counter", "key", "expected"),
    [
        (7, [0] * 4, [0] * 2, [0x5F6FB709, 0x0D893F64, 0x4F121F81, 0x4F730A48]),
        (10, [0] * 4, [0] * 2, [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
        (10, [0xFFFFFFFF] * 4, [0xFFFFFFFF] * 2, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
        (
            10,
            [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
            [0xA4093822, 0x299F31D0],
            [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
        ),
    ],
)
def test_known_answers(rounds: int, counter: list[int], key: list[int], expected: list[int]) -> None:
    words = noise.philox4x32(np.array(counter, dtype=np.uint64)[:, None], np.array(key, dtype=np.uint64), rounds)
    assert words[:, 0].tolist() == expected


def test_kernel_has_the_same_words() -> None:
    words = np.empty((4, 100), dtype=np.int32)
    k0, k1, c2, c3 = (np.uint64(value) for value in (0xDEADBEEF, 0x12345678, 0xFFFFFFFF, 0x80000001))
    noise_kernels.fill_words(k0, k1, c2, c3, 50, words)
    counter = np.zeros((4, 100), dtype=np.uint64)
    counter[0], counter[2], counter[3] = np.arange(50, 150), c2, c3
    assert (words.view(np.uint32) == noise.philox4x32(counter, np.array([k0, k1]))).all()


@pytest.mark.parametrize("n_points", [1, 4, 1023, 8501])
def test_kernel_agrees(n_points: int) -> None:
    np.testing.assert_allclose(deviates(IDENTITY, n_points), noise.normal_deviates(IDENTITY, n_points), atol=2e-4)


def test_deviates_are_normal_and_independent() -> None:
    samples = np.array([deviates(SampleIdentity(7, 1, 3, i), 8501) for i in range(100)], dtype=np.float64)
    assert stats.kstest(samples.ravel(), "norm").pvalue > 0.01
    n = samples.size
    assert abs(samples.mean()) < 4.0 / np.sqrt(n)
    assert abs((samples**2).mean() - 1.0) < 4.0 * np.sqrt(2.0 / n)
    assert abs((samples**4).mean() - 3.0) < 4.0 * np.sqrt(96.0 / n)
    # tails: beyond 4 sigma 6.3e-5 of them
    assert stats.binomtest(int((np.abs(samples) > 4.0).sum()), n, 2.0 * stats.norm.sf(4.0)).pvalue > 0.001
    # neighbours on the grid, the pairs of Box and Muller, neighbouring samples
    quarter = 8504 // 4
    for a, b in (
        (samples[:, :-1], samples[:, 1:]),
        (samples[:, :quarter], samples[:, quarter : 2 * quarter]),
        (samples[:-1], samples[1:]),
    ):
        assert abs((a * b).mean()) < 4.0 / np.sqrt(a.size)
        assert abs(((a**2 - 1.0) * (b**2 - 1.0)).mean()) < 4.0 * 2.0 / np.sqrt(a.size)


@pytest.mark.parametrize("other", [(8, 1, 3, 11), (7, 2, 3, 11), (7, 1, 4, 11), (7, 1, 3, 12)])
def test_every_part_of_the_identity_counts(other: tuple[int, int, int, int]) -> None:
    correlation = np.corrcoef(deviates(IDENTITY, 8501), deviates(SampleIdentity(*other), 8501))[0, 1]
    assert abs(correlation) < 4.0 / np.sqrt(8501)


def test_sigma_is_that_of_the_paper_s_two_steps() -> None:
    """Additive, then multiplicative noise, drawn apart (S4, steps 6 and 7)."""
    rng = np.random.default_rng(0)
    total, a, m = 0.6, 0.02, 0.16
    drawn = (total + a * rng.standard_normal(400_000)) * (1.0 + m * rng.standard_normal(400_000))
    parameters = PatternParameters(noise_additive=a, noise_multiplicative=m)
    sigma = noise.noise_sigma(np.array([0.5]), np.array([0.1]), parameters)
    assert drawn.std() == pytest.approx(sigma[0], rel=5e-3)


def test_counting_noise_is_that_of_counts() -> None:
    rng = np.random.default_rng(0)
    counts_at_maximum = 2500.0
    parameters = PatternParameters(noise_counting=counts_at_maximum**-0.5)
    for intensity in (1.0, 0.25, 0.04):
        drawn = rng.poisson(intensity * counts_at_maximum, 200_000) / counts_at_maximum
        sigma = noise.noise_sigma(np.array([intensity]), np.array([0.0]), parameters)
        assert drawn.std() == pytest.approx(sigma[0], rel=1e-2)


def test_residue_s_offset_clips_as_many_points_as_measured_files_have() -> None:
    """1 to 18 % of the points of processed patterns are 0: an offset of 0.9 to 2.4 sigma."""
    for offset, low, high in ((0.9, 0.17, 0.19), (2.4, 0.007, 0.010)):
        parameters = PatternParameters(noise_additive=0.01, background_removed=1.0)
        flat = np.zeros(8501)
        points = noise.measured_points(
            flat, flat + 0.1, flat + offset * 0.01, noise.normal_deviates(IDENTITY, 8501), parameters
        )
        share = (points < 0.0).mean()
        assert low - 0.012 < share < high + 0.012

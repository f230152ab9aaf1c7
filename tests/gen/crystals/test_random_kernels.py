"""The kernels' random numbers are NumPy's, and their deviates have the distributions they claim."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from xrdcommon.identity import Purpose, SampleIdentity, generator, philox_counter, philox_key
from xrdgen import random_kernels

MAX_WORD = 2**64 - 1
KEYS = [(0, 0), (1, 2), (MAX_WORD, 0x123456789ABCDEF0)]
COUNTERS = [(0, 0, 0, 0), (0, 1, 2, 3), (MAX_WORD, MAX_WORD, 7, 0), (MAX_WORD, MAX_WORD, MAX_WORD, MAX_WORD)]


def started(key: tuple[int, ...], counter: tuple[int, ...]) -> NDArray[np.uint64]:
    """Return a stream at the beginning."""
    stream = np.zeros(random_kernels.STREAM_WORDS, dtype=np.uint64)
    random_kernels.start_stream(stream, np.array(key, dtype=np.uint64), np.array(counter, dtype=np.uint64))
    return stream


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("counter", COUNTERS)
def test_words_are_those_of_numpy(key: tuple[int, ...], counter: tuple[int, ...], kernels_form: str) -> None:
    reference = np.random.Philox(key=np.array(key, dtype=np.uint64), counter=np.array(counter, dtype=np.uint64))
    stream = started(key, counter)
    words = [int(random_kernels.next_word(stream)) for _ in range(23)]
    assert words == reference.random_raw(23).tolist()


def test_uniform_deviates_are_those_of_the_identity() -> None:
    identity = SampleIdentity(run=2**63 + 5, producer=17, shard=42, index=1023)
    stream = started(
        philox_key(identity.run, identity.producer),
        philox_counter(identity.shard, identity.index, Purpose.PATTERN),
    )
    drawn = [random_kernels.uniform(stream) for _ in range(1000)]
    assert drawn == generator(identity, Purpose.PATTERN).random(1000).tolist()


def test_normal_deviates(stream: NDArray[np.uint64]) -> None:
    pairs = np.array([random_kernels.normal_pair(stream) for _ in range(100_000)])
    assert stats.kstest(pairs.ravel(), "norm").pvalue > 0.01
    assert abs(np.corrcoef(pairs.T)[0, 1]) < 4 / np.sqrt(len(pairs))
    assert abs(np.corrcoef((pairs**2).T)[0, 1]) < 4 / np.sqrt(len(pairs))
    assert stats.kstest((pairs**2).sum(axis=1), "chi2", args=(2,)).pvalue > 0.01


def test_normal_deviates_are_those_of_the_polar_method(kernels_form: str) -> None:
    """The same arithmetic on NumPy's uniform deviates, in both forms of the kernel."""
    uniform = np.random.Generator(
        np.random.Philox(key=np.array([1, 2], dtype=np.uint64), counter=np.zeros(4, np.uint64))
    )
    stream = started((1, 2), (0, 0, 0, 0))
    for _ in range(50):
        u, v = 2 * uniform.random(2) - 1
        while not 0 < u * u + v * v < 1:
            u, v = 2 * uniform.random(2) - 1
        s = u * u + v * v
        scale = np.sqrt(-2 * np.log(s) / s)
        assert random_kernels.normal_pair(stream) == pytest.approx((u * scale, v * scale), rel=1e-14)


def test_categories_have_their_weights(stream: NDArray[np.uint64]) -> None:
    weights = np.array([0, 3, 0, 10, 1, 0, 100, 0])
    picks = [random_kernels.categorical(stream, np.cumsum(weights)) for _ in range(50_000)]
    counts = np.bincount(picks, minlength=len(weights))
    assert not counts[weights == 0].any()
    expected = weights / weights.sum() * counts.sum()
    assert stats.chisquare(counts[weights > 0], expected[weights > 0]).pvalue > 0.01

"""Patterns become float16 bit for bit as NumPy and IEEE 754 have it."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from xrdcommon.errors import InputError
from xrdgen.samples import storage, storage_kernels
from xrdgen.samples.storage import StoredPatterns

ONE = 0x3F800000


def bits(values: NDArray[np.float16]) -> NDArray[np.uint16]:
    return values.view(np.uint16)


def hard_values() -> NDArray[np.float32]:
    """Every float16 in [0, 1], the middles between neighbours (ties), and the float32 next to those."""
    halves = np.arange(0x3C01, dtype=np.uint16).view(np.float16).astype(np.float32)
    middles = (halves[1:] + halves[:-1]) / 2
    around = [np.nextafter(middles, np.float32(0)), middles, np.nextafter(middles, np.float32(1))]
    return np.concatenate([halves, *around])


@pytest.mark.parametrize("form", ["compiled", "python"])
def test_rounding_is_to_nearest_even(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    values = hard_values()[None, :]
    if form == "python":
        monkeypatch.setattr(storage, "to_float16", storage_kernels.to_float16.py_func)  # type: ignore[attr-defined]
        values = values[:, ::97].copy()
    with np.errstate(over="ignore"):  # bits that are not chosen may wrap around
        stored = StoredPatterns(*values.shape).convert(values)
    np.testing.assert_array_equal(bits(stored), bits(values.astype(np.float16)))


def test_float32_bits_of_all_sizes() -> None:
    values = np.arange(0, ONE + 1, 1009, dtype=np.uint32).view(np.float32)[None, :]
    stored = StoredPatterns(*values.shape).convert(values)
    np.testing.assert_array_equal(bits(stored), bits(values.astype(np.float16)))


def test_a_short_block_uses_the_first_rows() -> None:
    patterns = np.random.default_rng(1).random((3, 4001), dtype=np.float32)
    stored = StoredPatterns(64, 4001).convert(patterns)
    np.testing.assert_array_equal(stored, patterns.astype(np.float16))


@pytest.mark.parametrize("value", [1.0000002, -1e-9, -0.0, np.nan, np.inf])
def test_values_that_are_no_pattern_are_refused(value: float) -> None:
    patterns = np.zeros((2, 5000), dtype=np.float32)
    patterns[1, 4321] = value
    with pytest.raises(InputError, match=r"outside \[0, 1\]"):
        StoredPatterns(2, 5000).convert(patterns)


def test_other_arrays_are_refused() -> None:
    stored = StoredPatterns(2, 10)
    for wrong in (np.zeros((2, 11), np.float32), np.zeros((3, 10), np.float32), np.zeros((10, 2), np.float32).T):
        with pytest.raises(InputError, match="need"):
            stored.convert(wrong)
    with pytest.raises(InputError, match="float64"):
        stored.convert(np.zeros((2, 10)))  # type: ignore[arg-type]

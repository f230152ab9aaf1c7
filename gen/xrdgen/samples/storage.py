"""Patterns as shards store them.

# B rows of a block    P grid points
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from xrdcommon.errors import InputError
from xrdcommon.fields import PATTERN_DTYPE

from xrdgen.samples.storage_kernels import to_float16

_WORK_SPACE = 2048
"""Values converted at a time: all that belongs to them stays in the first-level cache."""

_ONE = int(np.float32(1.0).view(np.uint32))


class StoredPatterns:
    """Converts blocks of patterns to float16 (nearest even, as NumPy does), into memory that is used again."""

    def __init__(self, rows: int, n_points: int) -> None:
        """Reserve memory for blocks of up to `rows` patterns of `n_points`."""
        self._stored = np.empty((rows, n_points), dtype=PATTERN_DTYPE)
        self._work = np.empty(_WORK_SPACE, dtype=np.float32)

    def convert(self, patterns: NDArray[np.float32]) -> NDArray[np.float16]:
        """Return patterns (B, P) as float16, valid until the next call.

        Raises:
            InputError: another shape or type, or a value outside [0, 1].

        """
        stored = self._stored[: len(patterns)]
        if patterns.shape != stored.shape or patterns.dtype != np.float32 or not patterns.flags.c_contiguous:
            raise InputError(
                f"patterns {patterns.shape} of {patterns.dtype}: need {stored.shape} of float32 in one piece"
            )
        values = patterns.reshape(-1)
        largest = to_float16(
            values, values.view(np.uint32), self._work, self._work.view(np.uint32), stored.reshape(-1).view(np.uint16)
        )
        if largest > _ONE:
            raise InputError("patterns hold values outside [0, 1]; nothing was written")
        return stored

"""Rows of a production, as a worker fills them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from xrdcommon.fields import empty_samples
from xrdcommon.grid import Grid
from xrdcommon.identity import SampleIdentity
from xrdgen.samples.reference_rows import ReferenceRows
from xrdgen.samples.rows import CrystalRows


class Filled(NamedTuple):
    """Rows: patterns (B, P) and records (B,)."""

    patterns: NDArray[np.float32]
    samples: NDArray[np.void]

    def tobytes(self) -> bytes:
        """All that is stored of them."""
        return self.patterns.tobytes() + self.samples.tobytes()


def filled(rows: CrystalRows | ReferenceRows, first: SampleIdentity, n: int, grid: Grid) -> Filled:
    """Fill n rows from one on."""
    patterns = np.empty((n, grid.n_points), dtype=np.float32)
    samples = empty_samples(n)
    rows.fill(first, patterns, samples)
    return Filled(patterns, samples)

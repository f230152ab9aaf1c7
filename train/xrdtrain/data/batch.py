"""What a source of training data gives and promises.

# B rows of this rank's part of a batch, P grid points
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from xrdcommon.grid import Grid
from xrdcommon.measurement import Measurement

from xrdtrain.data.progress import Crashes
from xrdtrain.labels import Classes

Cursor = dict[str, Any]
"""Where a source stands; plain JSON values, kept in checkpoints."""


@dataclass(frozen=True, slots=True)
class Batch:
    """This rank's part of one batch.

    Attributes:
        patterns: (B, P) float16 in [0, 1], pinned where there is a CUDA device.
        labels: (B,) class indices.
        samples: (B,) records of `SAMPLE_DTYPE`.
        mark: where the source stands once this batch has been trained on, for the source itself.

    """

    patterns: torch.Tensor
    labels: torch.Tensor
    samples: NDArray[np.void]
    mark: Cursor


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits in a spool."""

    shards: int
    samples: int


class Source(Protocol):
    """Gives batches in an order that depends on its cursor alone."""

    @property
    def grid(self) -> Grid:
        """2theta grid of the patterns."""

    @property
    def classes(self) -> Classes:
        """Space groups that occur."""

    @property
    def measurement(self) -> Measurement:
        """2theta grid and wavelength of the patterns."""

    @property
    def origin(self) -> dict[str, Any]:
        """What identifies the source, for the run's configuration."""

    @property
    def is_fixed(self) -> bool:
        """Whether epochs repeat the same patterns."""

    def start(self, cursor: Cursor | None) -> None:
        """Begin to read ahead from a cursor (None: from the beginning)."""

    def outgoing(self) -> int:
        """Return how many shards rank 0 has to pass on to the others."""

    def exchange(self, n: int) -> None:
        """Pass n shards on, from rank 0 to the others; all call it together."""

    def next(self, timeout: float) -> Batch | None:
        """Return the next batch, or None when none is ready within the timeout (seconds)."""

    def used(self, batch: Batch) -> None:
        """Note that a batch has been trained on."""

    def cursor(self) -> Cursor:
        """Return where the source stands after the last used batch."""

    def verify(self) -> None:
        """Make sure, before a checkpoint, that no other process has taken the run over."""

    def covered(self, step: int) -> None:
        """Note that a durable checkpoint holds the cursor: what was used before it may be deleted."""

    def uncovered(self) -> int:
        """Return how many used shards wait for a checkpoint."""

    def backlog(self) -> Backlog | None:
        """Return what waits, None for a fixed set."""

    def crashes(self) -> Crashes:
        """Return what crashes have cost the run, on rank 0."""

    def close(self, *, done: bool) -> None:
        """Stop reading; `done` gives untouched shards back."""


def empty_patterns(rows: int, n_points: int, *, pinned: bool) -> torch.Tensor:
    """Return an uninitialised (rows, n_points) float16 tensor in memory that a CUDA device reads directly."""
    return torch.empty((rows, n_points), dtype=torch.float16, pin_memory=pinned)

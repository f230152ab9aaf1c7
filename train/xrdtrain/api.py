"""The Python side of the command: open a spool or a fixed set as a PyTorch data set, load a run and predict.

from xrdtrain.api import load_run, open_fixed_set, open_spool_dataset
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset
from xrdcommon.fixed_sets.fixed_set import FixedSet
from xrdcommon.grid import Grid
from xrdcommon.spool.consumer import start_consumer
from xrdcommon.spool.spool import Spool

from xrdtrain.inference.candidates import Candidate
from xrdtrain.inference.load import Run, load_run
from xrdtrain.labels import Classes

__all__ = ["Candidate", "FixedSetDataset", "Run", "SpoolDataset", "load_run", "open_fixed_set", "open_spool_dataset"]


class SpoolDataset(IterableDataset[tuple[Tensor, int]]):
    """Fresh samples of a spool, each given once: pattern (P,) float32 and class index.

    What has been given counts as used and is deleted shard by shard, so there is no going back; `xrdtrain fit`
    deletes only what a checkpoint covers. Iteration ends when no shard is ready.
    """

    def __init__(self, spool: Spool, run_id: str) -> None:
        self._spool, self._run_id = spool, run_id
        self.grid: Grid = spool.grid
        self.classes = Classes(spool.classes)

    def __iter__(self) -> Iterator[tuple[Tensor, int]]:
        """Claim, give and delete shards; use one process (DataLoader with num_workers=0)."""
        with start_consumer(self._spool, self._run_id) as consumer:
            while window := consumer.held() or consumer.claim(1):
                name = window[0]
                shard = consumer.load(name)
                if shard is None:
                    continue
                labels = self.classes.index(shard.samples["space_group"].astype(np.int64))
                for row in range(consumer.rows_used(name), len(shard)):
                    yield torch.from_numpy(shard.patterns[row].astype(np.float32)), int(labels[row])
                consumer.cover({str(name): name.rows}, step=0)


class FixedSetDataset(Dataset[tuple[Tensor, int]]):
    """A fixed set: pattern (P,) float32 and space group number; `records` has everything else."""

    def __init__(self, data: FixedSet) -> None:
        self.data = data
        self.grid: Grid = data.grid
        self.ids: list[str] = data.ids

    @property
    def records(self) -> NDArray[Any]:
        """Records (N,) of `SAMPLE_DTYPE`."""
        return self.data.samples

    def __len__(self) -> int:
        """Return the number of patterns N."""
        return len(self.data)

    def __getitem__(self, row: int) -> tuple[Tensor, int]:
        """Return one pattern and its space group; IndexError outside."""
        if not -len(self) <= row < len(self):
            raise IndexError(row)
        row %= len(self)
        pattern = self.data.patterns(row, row + 1)[0].astype(np.float32)
        return torch.from_numpy(pattern), int(self.data.samples["space_group"][row])


def open_spool_dataset(path: str | Path, run_id: str) -> SpoolDataset:
    """Open a spool to take samples from, under a name of one's own.

    Raises:
        MissingFileError, SpoolError: no spool there, or not one.

    """
    return SpoolDataset(Spool.open(path), run_id)


def open_fixed_set(path: str | Path) -> FixedSetDataset:
    """Open a fixed set.

    Raises:
        MissingFileError, FormatError: no set there, or not one.

    """
    return FixedSetDataset(FixedSet.open(Path(path)))

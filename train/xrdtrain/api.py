"""The Python side of the command: open a spool or a fixed set as a PyTorch data set, load a run and predict.

from xrdtrain.api import load_run, open_fixed_set, open_spool_dataset
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Dataset
from xrdcommon.errors import InputError
from xrdcommon.fixed_sets.fixed_set import FixedSet
from xrdcommon.grid import Grid
from xrdcommon.spool.layout import MAIN
from xrdcommon.spool.spool import Spool

from xrdtrain.data.progress import OnCrash
from xrdtrain.data.stream import SpoolDataset
from xrdtrain.data.targets import CLASS_INDEX, DEFAULT, Sample, Targets, check_targets, to_float32
from xrdtrain.inference.candidates import Candidate
from xrdtrain.inference.load import Run, load_run
from xrdtrain.labels import Classes

__all__ = ["Candidate", "FixedSetDataset", "Run", "SpoolDataset", "load_run", "open_fixed_set", "open_spool_dataset"]


class FixedSetDataset(Dataset[Sample]):
    """A fixed set: pattern (P,) float32 and the fields asked for; `records` has everything else."""

    def __init__(self, data: FixedSet, fields: Sequence[str] = DEFAULT) -> None:
        self.data = data
        self.grid: Grid = data.grid
        self.ids: list[str] = data.ids
        self.fields = check_targets(fields)
        self.classes = Classes(np.unique(data.samples["space_group"])) if CLASS_INDEX in self.fields else None
        self._targets = Targets(self.fields, data.samples, self.classes)

    @property
    def records(self) -> NDArray[Any]:
        """Records (N,) of `SAMPLE_DTYPE`."""
        return self.data.samples

    def __len__(self) -> int:
        """Return the number of patterns N."""
        return len(self.data)

    def __getitem__(self, row: int) -> Sample:
        """Return one pattern and its fields; IndexError outside."""
        if not -len(self) <= row < len(self):
            raise IndexError(row)
        row %= len(self)
        return (to_float32(self.data.patterns(row, row + 1)[0]), *self._targets.of(row))


def open_spool_dataset(
    path: str | Path,
    run: str,
    *,
    fields: Sequence[str] = DEFAULT,
    wait: bool | float = True,
    shuffle: int = 0,
    seed: int = 0,
    feed: str = MAIN,
    on_crash: str = "discard",
    rank: int | None = None,
    world: int | None = None,
) -> SpoolDataset:
    """Open a spool to take samples from, each once, under a name of one's own.

    Args:
        path: the spool.
        run: name of the training, the same whenever it goes on.
        fields: what comes beside the pattern: fields of a sample (`space_group`, `lattice`, `volume`,
            `crystallite_size`, ...), `class_index` (of the space group, for a cross-entropy), `identity`.
        wait: for data that are not there yet: True (for ever), False (end), or seconds without any after which to end.
            In a distributed training wait, and stop all ranks after as many steps.
        shuffle: samples that are mixed, as whole shards; 0: the order of production. Samples are independent draws, so
            that no training needs it.
        seed: of the mixing.
        feed: queue of the spool; streams and trainings of one feed share its samples, each feed gets all.
        on_crash: what becomes of samples given and not committed by a process that ended: "discard" (none is given a
            second time) or "replay" (given again, for a training that went back to its checkpoint).
        rank: number of this process; by default that of torch.distributed or torchrun.
        world: number of processes.

    Raises:
        MissingFileError, SpoolError: no spool there, or not one, or a living process consumes under this name.
        InputError: a name, field or number that makes no sense.

    """
    try:
        choice = OnCrash(on_crash)
    except ValueError:
        raise InputError(f"on_crash '{on_crash}': discard or replay") from None
    return SpoolDataset(
        Spool.open(path),
        run,
        fields=fields,
        wait=wait,
        shuffle=shuffle,
        seed=seed,
        feed=feed,
        on_crash=choice,
        rank=rank,
        world=world,
    )


def open_fixed_set(path: str | Path, fields: Sequence[str] = DEFAULT) -> FixedSetDataset:
    """Open a fixed set.

    Args:
        path: the set.
        fields: what comes beside the pattern (see `open_spool_dataset`); class indices are those of the groups in it.

    Raises:
        MissingFileError, FormatError: no set there, or not one.
        InputError: a field that is not known.

    """
    return FixedSetDataset(FixedSet.open(Path(path)), fields)

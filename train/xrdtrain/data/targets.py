"""Which fields of a sample a data set gives beside the pattern, and as what.

# N samples, P grid points
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from xrdcommon.errors import InputError
from xrdcommon.fields import SAMPLE_FIELDS

from xrdtrain.labels import Classes

CLASS_INDEX = "class_index"
"""Index of the space group among the classes, for a cross-entropy; -1 where it is none of them."""

IDENTITY = "identity"
"""Stream, shard and row of the sample (3,) int64: what `SpoolDataset.note` takes."""

DEFAULT = ("space_group",)

Sample = tuple[Any, ...]
"""Pattern (P,) float32, then the fields asked for: int, float32 scalar tensor, or tensor of the field's shape."""


def check_targets(names: Sequence[str]) -> tuple[str, ...]:
    """Return the names of fields if all are known.

    Raises:
        InputError: one is not; the message lists them.

    """
    if isinstance(names, str):
        raise InputError(f"fields '{names}': give a sequence of names, for example ('{names}',)")
    known = [*(field.name for field in SAMPLE_FIELDS), CLASS_INDEX, IDENTITY]
    for name in names:
        if name not in known:
            raise InputError(f"field '{name}': not known; choose among {', '.join(known)}")
    return tuple(names)


class Targets:
    """The fields of many samples, turned into what a data set gives."""

    def __init__(self, names: Sequence[str], samples: NDArray[np.void], classes: Classes | None) -> None:
        """Take the fields out of records (N,)."""
        self._columns = [_column(name, samples, classes) for name in names]

    def of(self, row: int) -> tuple[Any, ...]:
        """Return the fields of one sample."""
        return tuple(column[row] for column in self._columns)


def _column(name: str, samples: NDArray[np.void], classes: Classes | None) -> list[int] | Tensor:
    if name == CLASS_INDEX:
        assert classes is not None
        indices: list[int] = classes.index(samples["space_group"].astype(np.int64)).tolist()
        return indices
    if name == IDENTITY:
        parts = [samples[part].astype(np.int64) for part in ("producer", "shard", "index")]
        return torch.from_numpy(np.stack(parts, axis=1))
    values = samples[name]
    if np.issubdtype(values.dtype, np.integer):
        numbers: list[int] = values.tolist()
        return numbers
    return torch.from_numpy(values.astype(np.float32))


def to_float32(pattern: NDArray[np.float16]) -> Tensor:
    """Return one pattern (P,), or several, as torch reads halves fastest."""
    return torch.from_numpy(np.ascontiguousarray(pattern)).float()

"""Space groups as class indices.

# N patterns, C classes
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from xrdcommon.errors import InputError
from xrdcommon.space_groups import N_GROUPS, check_group

OUTSIDE = -1
"""Index of a space group that is not a class."""


class Classes:
    """The space groups a network tells apart, in rising order; index i of the logits is group numbers[i]."""

    def __init__(self, numbers: Iterable[int]) -> None:
        groups = sorted({check_group(int(number)) for number in numbers})
        if len(groups) < 2:
            raise InputError(f"{len(groups)} classes: a classifier needs at least two space groups")
        self.numbers: NDArray[np.int16] = np.array(groups, dtype=np.int16)
        self._index = np.full(N_GROUPS + 1, OUTSIDE, dtype=np.int64)
        self._index[self.numbers] = np.arange(len(groups))

    def __len__(self) -> int:
        return len(self.numbers)

    def index(self, space_groups: NDArray[np.integer]) -> NDArray[np.int64]:
        """Return the class index (N,) of space groups (N,), `OUTSIDE` where the group is not a class.

        Raises:
            InputError: a number that is no space group.

        """
        if space_groups.size and not (space_groups.min() >= 1 and space_groups.max() <= N_GROUPS):
            low, high = int(space_groups.min()), int(space_groups.max())
            raise InputError(f"space groups {low} to {high} found: must be 1 to {N_GROUPS}")
        index: NDArray[np.int64] = self._index[space_groups]
        return index

    def tolist(self) -> list[int]:
        """Return the numbers for JSON."""
        return [int(number) for number in self.numbers]

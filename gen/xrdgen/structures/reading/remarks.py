"""Remarks that go with a structure: what was decided, left out or contradicts itself.

A remark is doubtful where the structure may not be the one that its authors meant: the file contradicts itself, its
formula sum is not what was read, something was decided without proof. Statistics, frozen sets and splits leave out the
rows that carry a doubtful remark (`is_doubtful`); other remarks change nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

SEPARATOR = " | "
DOUBTFUL = "doubtful: "
"""How a doubtful remark begins in the column `remarks`."""


@dataclass(frozen=True, slots=True)
class Remark:
    """One remark on a structure."""

    text: str
    doubtful: bool = False

    def __str__(self) -> str:
        """Return the remark as it stands in tables."""
        return f"{DOUBTFUL}{self.text}" if self.doubtful else self.text


def joined(remarks: Iterable[Remark]) -> str | None:
    """Return remarks as the column of the structure table has them, None where there are none."""
    texts = dict.fromkeys(str(remark).replace(SEPARATOR, " / ") for remark in remarks)
    return SEPARATOR.join(texts) or None


def is_doubtful(remarks: Any) -> bool:
    """Return whether a value of the column `remarks` holds a doubtful remark."""
    return isinstance(remarks, str) and any(part.startswith(DOUBTFUL) for part in remarks.split(SEPARATOR))


def doubtful_rows(table: pd.DataFrame) -> NDArray[np.bool_]:
    """Return which rows of a structure table are doubtful, (N,)."""
    if "remarks" not in table:
        return np.zeros(len(table), dtype=np.bool_)
    return np.array([is_doubtful(value) for value in table["remarks"]], dtype=np.bool_)

"""Ranked space groups as people read them: an enantiomorphic pair is one candidate, 152/154."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xrdcommon.extinction import extinction_symbol
from xrdcommon.space_groups import crystal_system, merged_group, merged_symbol, symbol


@dataclass(frozen=True, slots=True)
class Candidate:
    """One candidate.

    Attributes:
        space_group: number; the likelier member of an enantiomorphic pair.
        label: as printed, '152/154' where no pattern can tell the pair's members apart.
        symbol: short Hermann-Mauguin symbol, both for a pair.
        probability: of the candidate; those of a pair are added.

    """

    space_group: int
    label: str
    symbol: str
    probability: float

    @property
    def space_groups(self) -> tuple[int, ...]:
        """All numbers that the candidate stands for."""
        return tuple(int(number) for number in self.label.split("/"))

    @property
    def crystal_system(self) -> str:
        """The crystal system, trigonal apart from hexagonal."""
        return crystal_system(self.space_group)

    @property
    def extinction_symbol(self) -> str:
        """The extinction symbol in the standard setting; the same for both of a pair."""
        return extinction_symbol(self.space_group)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields for JSON."""
        return {
            **asdict(self),
            "space_groups": list(self.space_groups),
            "crystal_system": self.crystal_system,
            "extinction_symbol": self.extinction_symbol,
        }


def merge_enantiomorphs(groups: NDArray[np.integer[Any]], probability: NDArray[np.floating[Any]]) -> list[Candidate]:
    """Return candidates, the likeliest first, from ranked space groups (C,) and their probabilities (C,)."""
    total: dict[int, float] = {}
    first: dict[int, int] = {}
    for group, share in zip(groups.tolist(), probability.tolist(), strict=True):
        key = merged_group(group)
        first.setdefault(key, group)
        total[key] = total.get(key, 0.0) + share
    ranked = sorted(total.items(), key=lambda item: (-item[1], item[0]))
    return [Candidate(first[group], merged_symbol(group), _symbols(group), share) for group, share in ranked]


def _symbols(group: int) -> str:
    """Return the symbol, both of a pair."""
    return "/".join(symbol(int(number)) for number in merged_symbol(group).split("/"))

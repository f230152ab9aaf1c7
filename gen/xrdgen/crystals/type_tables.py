"""What the first draw of a crystal chooses among: space groups, or structure types with all their sites.

# D choices    N sites of all types
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from xrdcommon.errors import InputError
from xrdcommon.space_groups import symbol

from xrdgen.structures.families import family_number
from xrdgen.structures.types import StructureType, WeightedTypes, parse_type


class Choices(NamedTuple):
    """Choices of the first draw; a space group without a type has no sites here.

    Attributes:
        group: (D,) space groups.
        weights: (D,) cumulative.
        n_elements: (D,) elements of a type; 0 where they are open.
        site_start: (D + 1,) first site of a type.
        letters: (N,) index of the Wyckoff letter of a site.
        elements: (N,) number of its element within the type, -1 where they are open.

    """

    group: NDArray[np.int64]
    weights: NDArray[np.int64]
    n_elements: NDArray[np.int64]
    site_start: NDArray[np.int64]
    letters: NDArray[np.int64]
    elements: NDArray[np.int64]


def choices_of_groups(classes: NDArray[np.int64], weights: NDArray[np.int64]) -> Choices:
    """Return the choice among space groups (C,) with weights (C,)."""
    none = np.zeros(0, dtype=np.int64)
    n = len(classes)
    return Choices(
        classes, np.cumsum(weights), np.zeros(n, dtype=np.int64), np.zeros(n + 1, dtype=np.int64), none, none
    )


def choices_of_types(types: WeightedTypes, elements: NDArray[np.int64]) -> Choices:
    """Return the choice among structure types.

    Args:
        types: names and weights.
        elements: (230, 103) structures that contain an element, by group.

    Raises:
        InputError: a type of more elements than the statistics of its group know.

    """
    parsed = parse_all(types)
    for kind in parsed:
        known = known_elements(kind, elements)
        if kind.n_elements > known:
            raise InputError(
                f"structure type {kind.name}: {kind.n_elements} elements, the statistics of space group "
                f"{kind.space_group} ({symbol(kind.space_group)}) know {known}; leave it out, or build statistics from "
                "more structures"
            )
    open_elements = [kind.elements or (-1,) * len(kind.letters) for kind in parsed]
    return Choices(
        group=np.array([kind.space_group for kind in parsed], dtype=np.int64),
        weights=np.cumsum(np.array([weight for _, weight in types], dtype=np.int64)),
        n_elements=np.array([kind.n_elements for kind in parsed], dtype=np.int64),
        site_start=np.cumsum([0, *(len(kind.letters) for kind in parsed)], dtype=np.int64),
        letters=np.concatenate([kind.letters for kind in parsed], dtype=np.int64),
        elements=np.concatenate(open_elements, dtype=np.int64),
    )


def known_elements(kind: StructureType, elements: NDArray[np.int64]) -> int:
    """Return how many elements can be drawn in the space group of a type; elements (230, 103) as above."""
    return int(np.count_nonzero(elements[kind.space_group - 1]))


def parse_all(types: WeightedTypes) -> list[StructureType]:
    """Return the types behind names."""
    return [parse_type(name) for name, _ in types]


def type_families(types: WeightedTypes) -> NDArray[np.uint64]:
    """Return by which numbers records name the Wyckoff configurations of types, (D,)."""
    return np.array([family_number(kind.canonical.wyckoff_key) for kind in parse_all(types)], dtype=np.uint64)

"""Which structure types crystals can be drawn of, given the statistics: tried before a production relies on it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from xrdcommon.errors import InputError
from xrdcommon.identity import SampleIdentity

from xrdgen.crystals.generator import CrystalGenerator
from xrdgen.crystals.settings import GeneratorSettings
from xrdgen.crystals.tables import drawn_elements, represented_groups
from xrdgen.crystals.type_tables import Choices, known_elements
from xrdgen.structures.types import parse_type

if TYPE_CHECKING:
    from xrdgen.statistics.model import Statistics

TOO_FEW = "of groups with too few structures in the statistics"
TOO_MANY_ELEMENTS = "of more elements than the statistics of their group know"
NO_CRYSTAL = "of types that give no crystal"


def undrawable(
    names: Sequence[str],
    statistics: Statistics,
    settings: GeneratorSettings,
    advance: Callable[[int], object] = lambda _: None,
) -> dict[str, str]:
    """Return the structure types of which no crystal can be drawn, and why.

    A type gives no crystal if twenty thousand attempts fail, most often since its cell would be larger than any
    structure of its group.

    Args:
        names: of structure types.
        statistics: that crystals are drawn by.
        settings: preset and `min_structures`.
        advance: called after every type.

    Raises:
        InputError: a name that is none.

    """
    groups = set(represented_groups(statistics, settings))
    faults: dict[str, str] = {}
    elements = drawn_elements(statistics)
    for kind in map(parse_type, names):
        if kind.space_group not in groups:
            faults[kind.name] = TOO_FEW
        elif kind.n_elements > known_elements(kind, elements):
            faults[kind.name] = TOO_MANY_ELEMENTS
    left = tuple((name, 1) for name in sorted(set(names) - set(faults)))
    advance(len(faults))
    if not left:
        return faults
    values = {**settings.to_dict(), "structure_types": left, "space_groups": "natural"}
    generator = CrystalGenerator(statistics, GeneratorSettings.from_dict(values))
    every = generator.draw_tables
    for number, (name, _) in enumerate(left):
        choices = _only(every.sampler.choices, number)
        generator.draw_tables = every._replace(sampler=every.sampler._replace(choices=choices))
        try:
            generator.draw(SampleIdentity(0, 0, 0, number))
        except InputError:
            faults[name] = NO_CRYSTAL
        advance(1)
    return faults


def _only(choices: Choices, number: int) -> Choices:
    """Return one choice alone."""
    one = slice(number, number + 1)
    return choices._replace(
        group=choices.group[one],
        weights=np.ones(1, dtype=np.int64),
        n_elements=choices.n_elements[one],
        site_start=choices.site_start[number : number + 2],
    )

"""Rows of the report's tables."""

# C classes.

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
import spglib
from xrdcommon.extinction import extinction_group
from xrdcommon.space_groups import CRYSTAL_SYSTEMS, crystal_system, enantiomorph

from xrdtrain.report import analysis
from xrdtrain.report.run_folder import Evaluation
from xrdtrain.report.symbols import printed, printed_symbol

MOST_CONFUSIONS: Final = 25

_LAUE: Final = {
    "-1": "1 -1",
    "2/m": "2 m 2/m",
    "mmm": "222 mm2 mmm",
    "4/m": "4 -4 4/m",
    "4/mmm": "422 4mm -42m -4m2 4/mmm",
    "-3": "3 -3",
    "-3m": "32 3m -3m 321 3m1 -3m1 312 31m -31m",
    "6/m": "6 -6 6/m",
    "6/mmm": "622 6mm -62m -6m2 6/mmm",
    "m-3": "23 m-3",
    "m-3m": "432 -43m m-3m",
}
"""Laue class of each crystal class (International Tables A, table 3.2.1.2)."""


@cache
def laue_class(number: int) -> str:
    """Return the Laue class of a space group."""
    records = (spglib.get_spacegroup_type(hall_number) for hall_number in range(1, 531))
    record = next(record for record in records if record is not None and record.number == number)
    point_group = str(record.pointgroup_international)
    return next(laue for laue, members in _LAUE.items() if point_group in members.split())


def reason(true: int, predicted: int) -> str:
    """Tell what two space groups have in common that a powder diffractogram shows."""
    if enantiomorph(true) == predicted:
        return "mirror images: identical diffractograms"
    if extinction_group(true) == extinction_group(predicted):
        return "same absences: intensities alone tell them apart"
    if laue_class(true) == laue_class(predicted):
        return f"same Laue class {printed(laue_class(true))}: other absences"
    if crystal_system(true) == crystal_system(predicted):
        return "same crystal system: same line positions possible"
    if {crystal_system(true), crystal_system(predicted)} == {"trigonal", "hexagonal"}:
        return "same lattice metric (trigonal and hexagonal)"
    return "other crystal system"


@dataclass(frozen=True, slots=True)
class ConfusionRow:
    """A frequent wrong answer."""

    true: int
    predicted: int
    true_symbol: str
    predicted_symbol: str
    times: int
    share: float
    reason: str


def confusion_rows(test: Evaluation) -> list[ConfusionRow]:
    """Return the most frequent wrong answers."""
    counts = analysis.group_counts(test.labels)
    return [
        ConfusionRow(
            true,
            predicted,
            printed_symbol(true),
            printed_symbol(predicted),
            times,
            times / int(counts[true]),
            reason(true, predicted),
        )
        for true, predicted, times in analysis.frequent_confusions(test, MOST_CONFUSIONS)
    ]


def error_kinds(test: Evaluation) -> list[tuple[str, int]]:
    """Count all wrong answers among the classes by what the two groups have in common."""
    kinds: dict[str, int] = {}
    for true, predicted, times in analysis.frequent_confusions(test, len(test.labels)):
        kind = reason(true, predicted).split(":")[0]
        kind = "same Laue class" if kind.startswith("same Laue class") else kind
        kinds[kind] = kinds.get(kind, 0) + times
    return sorted(kinds.items(), key=lambda item: -item[1])


@dataclass(frozen=True, slots=True)
class GroupRow:
    """One space group."""

    number: int
    symbol: str
    system: str
    extinction: int
    is_class: bool
    count: int
    recall: float | None
    synthetic: float | None
    mistaken_for: str


def _known(value: float) -> float | None:
    """Return None for NaN."""
    return float(value) if np.isfinite(value) else None


def group_rows(test: Evaluation, synthetic: Evaluation | None) -> list[GroupRow]:
    """Return every class and every group of the test set, by number."""
    real = analysis.recall_by_group(test)
    other = None if synthetic is None else analysis.recall_by_group(synthetic)
    first_mistake: dict[int, str] = {}
    for true, predicted, times in analysis.frequent_confusions(test, len(test.labels)):
        first_mistake.setdefault(true, f"{predicted} {printed_symbol(predicted)} ({times})")
    classes = set(test.classes.tolist())
    groups = sorted(classes | set(np.flatnonzero(real.counts).tolist()))
    return [
        GroupRow(
            number=group,
            symbol=printed_symbol(group),
            system=crystal_system(group),
            extinction=extinction_group(group),
            is_class=group in classes,
            count=int(real.counts[group]),
            recall=_known(real.recall[group]),
            synthetic=None if other is None else _known(other.recall[group]),
            mistaken_for=first_mistake.get(group, ""),
        )
        for group in groups
    ]


@dataclass(frozen=True, slots=True)
class SystemRow:
    """One crystal system."""

    system: str
    count: int
    recall: float | None
    synthetic: float | None
    right_system: float | None


def system_rows(test: Evaluation, synthetic: Evaluation | None) -> list[SystemRow]:
    """Return the accuracy in every crystal system."""
    counts, recall = analysis.system_recall(test)
    matrix = analysis.system_confusion(test)
    other = np.full(len(CRYSTAL_SYSTEMS), np.nan) if synthetic is None else analysis.system_recall(synthetic)[1]
    return [
        SystemRow(
            system,
            int(counts[place]),
            _known(recall[place]),
            _known(other[place]),
            float(matrix[place, place] / counts[place]) if counts[place] else None,
        )
        for place, system in enumerate(CRYSTAL_SYSTEMS)
    ]

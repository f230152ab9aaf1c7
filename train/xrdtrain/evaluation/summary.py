"""Measures as lines for people."""

from __future__ import annotations

from typing import Any, TypeGuard


def percent(value: float | None) -> str:
    """Write a share, '-' where there is none."""
    return f"{value:.1%}" if _is_number(value) else "-"


def final_lines(results: dict[str, Any]) -> list[str]:
    """Return one paragraph for each set that was measured."""
    lines: list[str] = []
    for name, measures in results.items():
        guess = measures["most_frequent_group"]
        lines += [
            f"{name}: {measures['n']:,} patterns, {measures['n_outside_classes']:,} with space groups the network does "
            f"not know ({measures['n_classes']} classes)",
            f"  top-1 {percent(measures['top1'])}   top-5 {percent(measures['top5'])}   "
            f"top-1 over all patterns {percent(measures['top1_all'])}",
            f"  enantiomorphs merged {percent(measures['top1_enantiomorphs_merged'])} (ceiling unmerged "
            f"{percent(measures['top1_ceiling'])})   extinction group {percent(measures['extinction_group'])}   "
            f"crystal system {percent(measures['crystal_system'])}",
            f"  chance {percent(measures['chance'])}   always group {guess['space_group']} {percent(guess['top1'])}   "
            f"calibration error {percent(measures['calibration']['ece'])}",
        ]
        lines += _more_lines(measures)
        if "uncalibrated" in measures:
            sets = measures["candidate_sets"]["0.9"]
            lines.append(
                f"  before calibration: error {percent(measures['uncalibrated']['calibration']['ece'])}, top-1 "
                f"{percent(measures['uncalibrated']['top1'])}   sets for 90 % hold the true group in "
                f"{percent(sets['coverage'])}, {sets['mean_size']:.1f} groups on average"
            )
    return lines


def _more_lines(measures: dict[str, Any]) -> list[str]:
    """Return what families, absences and the way to the right group add."""
    families, extinction, outside = measures["families"], measures["extinction"], measures["outside_classes"]
    distance = measures["subgroup_distance"]
    if families is None:
        lines = ["  per structure family: not known (the set does not record the Wyckoff letters)"]
    else:
        lines = [
            f"  per structure family ({families['n']:,}): top-1 {percent(families['top1'])} (standard error "
            f"{percent(families['top1_error'])})   top-5 {percent(families['top5'])}   extinction group "
            f"{percent(families['extinction_group'])}   crystal system {percent(families['crystal_system'])}"
        ]
    distinct = measures.get("distinct")
    if distinct is not None and distinct["n"] < distinct["n_patterns"]:
        lines.append(
            f"  each compound once ({distinct['n']:,}): top-1 {percent(distinct['top1'])}   "
            f"top-5 {percent(distinct['top5'])}"
        )
    for name, part in measures.get("collections", {}).items():
        lines.append(f"  {name} alone ({part['n']:,}): top-1 {percent(part['top1'])}   top-5 {percent(part['top5'])}")
    lines.append(
        f"  within the right extinction group {percent(extinction['within'])}; where it holds several classes "
        f"{percent(extinction['within_shared'])} of {extinction['n_right_shared']:,} (by frequency alone "
        f"{percent(extinction['within_shared_by_frequency'])})"
    )
    if _is_number(distance["mean_of_errors"]) and _is_number(distance["mean_of_random_errors"]):
        lines.append(
            f"  errors are {distance['mean_of_errors']:.2f} steps of maximal subgroups from the truth (at random "
            f"{distance['mean_of_random_errors']:.2f}); symmetry too high by one step in "
            f"{distance['to_supergroup']:,}, too low in {distance['to_subgroup']:,}"
        )
    if outside["n"]:
        lines.append(
            f"  outside the classes: {outside['n']:,} patterns of {outside['n_groups']} groups, crystal system "
            f"{percent(outside['crystal_system'])}   extinction group {percent(outside['extinction_group'])}   "
            f"probability given to the first candidate {percent(outside['probability'])}"
        )
    return lines


def _is_number(value: float | None) -> TypeGuard[float]:
    """Return whether a measure could be had: none can of the errors of a set without any."""
    return value is not None and value == value


def system_lines(measures: dict[str, Any]) -> list[str]:
    """Return a table of the crystal systems of one set."""
    lines = [f"  {'crystal system':<14} {'n':>6} {'top-1':>7} {'top-5':>7} {'system':>7}"]
    for system, values in measures["per_crystal_system"].items():
        lines.append(
            f"  {system:<14} {values['n']:>6} {percent(values['top1']):>7} {percent(values['top5']):>7} "
            f"{percent(values['system']):>7}"
        )
    return lines

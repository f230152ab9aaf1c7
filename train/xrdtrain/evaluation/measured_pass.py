"""Measure a network on measured patterns, beside the static list of mineral groups.

# N patterns, G space groups of the network
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xrdcommon.errors import XrdError
from xrdcommon.files import atomic_writer

from xrdtrain.evaluation.measures import evaluate
from xrdtrain.inference.answer import Answerer
from xrdtrain.inference.prior import mineral_counts, static_ranking
from xrdtrain.inference.refusal import doubts
from xrdtrain.measured.emission import Radiation
from xrdtrain.measured.measured_set import MeasuredSet
from xrdtrain.measured.prepare import PreparedPattern, PrepareOptions, prepare

CHUNK = 256
RANKS = (1, 5, 10)


def evaluate_measured(
    answerer: Answerer,
    data: MeasuredSet,
    *,
    background: str = "auto",
    prior: str = "trained",
    advance: Callable[[int], None] = lambda n: None,
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Return all measures of a measured set, and the arrays behind them.

    Patterns that cannot be used count as wrong in everything that is said of all patterns. Patterns that do not say
    their wavelength are taken at the network's, which the measures say.

    Args:
        answerer: the network, or several of one axis.
        data: patterns and labels.
        background: see `PrepareOptions`.
        prior: see `prior.class_prior`.
        advance: told the patterns done.

    Raises:
        InputError, MissingFileError, FormatError: no such prior.

    """
    measurement, has_mask = answerer.measurements[0], answerer.masks[0]
    options = PrepareOptions(background)
    probability = np.zeros((len(data), len(answerer.groups)))
    refused: dict[str, str] = {}
    doubted = np.zeros(len(data), dtype=np.bool_)
    assumed = 0
    waiting: list[tuple[int, PreparedPattern]] = []

    def flush() -> None:
        if waiting:
            values = np.stack([prepared.values for _, prepared in waiting])
            masks = np.stack([prepared.mask for _, prepared in waiting])
            rows = [row for row, _ in waiting]
            probability[rows], against = answerer.probabilities([(values, masks)] * len(answerer.networks), prior)
            doubted[rows] |= np.logical_or.reduce(list(against.values()))
            waiting.clear()

    own = Radiation((measurement.wavelength,), "assumed, the network's own", assumed=True)
    for row, pattern in enumerate(data.patterns()):
        try:
            if isinstance(pattern, XrdError):
                raise pattern
            if pattern.radiation is None and len(pattern.two_theta):
                pattern = pattern.at(own)
                assumed += 1
            prepared = prepare(pattern, measurement.grid, measurement.wavelength, options, has_mask=has_mask)
            doubted[row] = bool(doubts(prepared))
            waiting.append((row, prepared))
        except XrdError as error:
            refused[data.ids[row]] = " ".join(str(error).split())
        if len(waiting) >= CHUNK:
            flush()
        advance(1)
    flush()
    answered: NDArray[np.bool_] = probability.max(axis=1) > 0.0
    order = np.argsort(-probability, axis=1, kind="stable")
    top = np.where(answered[:, None], answerer.groups[order], 0)
    ranked = np.take_along_axis(probability, order, axis=1)
    measures = {
        **evaluate(data.labels, answerer.groups, top, ranked.astype(np.float32)),
        **_all_ranks(data.labels, top),
        "n_refused": len(refused),
        "refused": refused,
        "n_unlike_training": int(doubted.sum()),
        "n_wavelength_assumed": assumed,
        "background": background,
        "prior": prior,
        "static_list_of_minerals": _static(data.labels),
    }
    if data.verified is not None and data.verified.any():
        chosen = data.verified
        measures["verified"] = {
            "n": int(chosen.sum()),
            **_all_ranks(data.labels[chosen], top[chosen]),
            "static_list_of_minerals": _static(data.labels[chosen]),
        }
    arrays: dict[str, NDArray[Any]] = {
        "labels": data.labels.astype(np.int16),
        "classes": answerer.groups.astype(np.int16),
        "probability": probability.astype(np.float16),
        "answered": answered,
        "doubted": doubted,
        "ids": np.array(data.ids),
    }
    return measures, arrays


def _all_ranks(labels: NDArray[np.int64], top: NDArray[np.int64]) -> dict[str, float]:
    """Return top-1, 5 and 10 over all patterns; those of groups that are no class, or refused, count as wrong."""
    return {f"top{k}_all": float((top[:, :k] == labels[:, None]).any(axis=1).mean()) for k in RANKS}


def _static(labels: NDArray[np.int64]) -> dict[str, float]:
    """Return what the list of groups by number of minerals gets without a look at a pattern."""
    ranking = np.array(static_ranking(mineral_counts()))
    return {f"top{k}_all": float(np.isin(labels, ranking[:k]).mean()) for k in RANKS}


def write_measured(path: Path, arrays: dict[str, NDArray[Any]]) -> None:
    """Write the arrays behind the measures of a set atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_writer(path) as stream:
        np.savez_compressed(stream, allow_pickle=False, **arrays)


def measured_lines(name: str, measures: dict[str, Any]) -> list[str]:
    """Return the lines printed for a measured set beside those of every set."""

    def shares(values: dict[str, Any]) -> str:
        return " / ".join(f"{values[f'top{k}_all']:.1%}" for k in RANKS)

    static = measures["static_list_of_minerals"]
    lines = [
        f"  {name}: all {measures['n']} patterns, top-1 / 5 / 10 {shares(measures)}   "
        f"mineral groups by frequency, no pattern looked at {shares(static)}",
        f"  background {measures['background']}, prior {measures['prior']}; refused {measures['n_refused']}, "
        f"unlike anything trained on {measures['n_unlike_training']}, "
        f"wavelength assumed {measures['n_wavelength_assumed']}",
    ]
    if "verified" in measures:
        verified = measures["verified"]
        lines.insert(
            1,
            f"  {name}: {verified['n']} verified, top-1 / 5 / 10 {shares(verified)}   "
            f"mineral groups by frequency {shares(verified['static_list_of_minerals'])}",
        )
    return lines

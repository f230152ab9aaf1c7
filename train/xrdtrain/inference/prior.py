"""How likely each space group is before a pattern is looked at.

A network learns the frequencies of its training with everything else. Where patterns come from elsewhere, log(prior /
trained prior) is added to its logits (Saerens, Latinne and Decaestecker, Neural Comput. 14 (2002) 21).

# C classes
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from xrdcommon.errors import FormatError, InputError, MissingFileError
from xrdcommon.space_groups import N_GROUPS, merged_group

TRAINED, UNIFORM, MINERALS = "trained", "uniform", "minerals"

ADDED = 0.5
"""Added to every count, so that a group that was not met is unlikely and not impossible (Jeffreys)."""

_LARGEST_FILE = 1 << 20


def class_prior(name: str, classes: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return the shares (C,) of space groups, which add up to 1.

    Args:
        name: `uniform`, `minerals` (minerals of the American Mineralogist Crystal Structure Database in each group), or
            a CSV file with the columns space_group and any of weight, count, minerals, probability.
        classes: (C,) space groups.

    Raises:
        MissingFileError: no such file.
        FormatError, InputError: not such a file, or nothing above zero among the classes.

    """
    if name == UNIFORM:
        return np.full(len(classes), 1.0 / len(classes))
    if name == MINERALS:
        weights = mineral_counts()
    else:
        weights = _read(Path(name))
        if not weights[classes].any():
            raise InputError(f"--prior {name}: no weight above zero for any space group that the network knows")
    chosen = weights[classes] + (ADDED if name == MINERALS else 0.0)
    if name != MINERALS:
        chosen = np.maximum(chosen, 1e-6 * chosen.max())  # a prior of zero would forbid whatever a pattern says
    result: NDArray[np.float64] = chosen / chosen.sum()
    return result


def mineral_counts() -> NDArray[np.float64]:
    """Return how many minerals there are in each space group, at index number (231,)."""
    text = (files("xrdtrain.inference") / "data" / "minerals.csv").read_text(encoding="utf-8")
    return _parse(text.splitlines(), "minerals.csv")


def static_ranking(weights: NDArray[np.float64]) -> list[int]:
    """Return space groups, one of each enantiomorphic pair, from the most frequent down."""
    merged: dict[int, float] = {}
    for number in range(1, N_GROUPS + 1):
        merged[merged_group(number)] = merged.get(merged_group(number), 0.0) + float(weights[number])
    return sorted((number for number in merged if merged[number] > 0.0), key=lambda number: (-merged[number], number))


def trained_prior(
    run: Path, classes: NDArray[np.integer], counts: NDArray[np.integer] | None = None
) -> NDArray[np.float64]:
    """Return the shares (C,) of the space groups in the training of a run, counted in what it kept of its samples.

    Args:
        run: run folder, or the file of a network.
        classes: (C,) space groups.
        counts: (231,) how often each was met, where a network that is one file says so.

    Raises:
        InputError: the run kept none yet.

    """
    counts = met_in_training(run) if counts is None else counts
    if counts is not None:
        weights = counts[classes] + ADDED
        result: NDArray[np.float64] = weights / weights.sum()
        return result
    raise InputError(
        f"{run}: no evaluation/synthetic.npz, so how often it met each space group is not known; "
        "finish the training, or predict with --prior trained"
    )


def met_in_training(run: Path) -> NDArray[np.int64] | None:
    """Return how often each space group (231,) was met among the samples that a run kept; None: it kept none."""
    for name in ("synthetic", "training"):
        path = run / "evaluation" / f"{name}.npz"
        if path.is_file():
            with np.load(path, allow_pickle=False) as arrays:
                return np.bincount(arrays["labels"].astype(np.int64), minlength=N_GROUPS + 1)
    return None


def _read(path: Path) -> NDArray[np.float64]:
    """Return the weights in a CSV file, at index number (231,)."""
    if not path.is_file():
        raise MissingFileError(f"--prior {path}: give trained, uniform, minerals, or a CSV file that exists")
    if path.stat().st_size > _LARGEST_FILE:
        raise FormatError(f"{path}: {path.stat().st_size / 1e6:.0f} MB, no list of 230 weights")
    return _parse(path.read_text(encoding="utf-8-sig", errors="replace").splitlines(), str(path))


def _parse(lines: Iterable[str], where: str) -> NDArray[np.float64]:
    """Return the weights in lines of CSV.

    Raises:
        FormatError: other columns, not space groups, or not weights.

    """
    reader = csv.DictReader(line for line in lines if line.strip() and not line.lstrip().startswith("#"))
    names = reader.fieldnames or []
    column = next((name for name in ("weight", "count", "minerals", "probability") if name in names), None)
    if "space_group" not in names or column is None:
        raise FormatError(f"{where}: columns {', '.join(names)}; need space_group and weight")
    weights = np.zeros(N_GROUPS + 1)
    for row in reader:
        try:
            number, weight = int(row["space_group"]), float(row[column])
        except (TypeError, ValueError) as error:
            raise FormatError(f"{where}: line {reader.line_num}: not a space group with a weight ({error})") from error
        if not (1 <= number <= N_GROUPS and np.isfinite(weight) and weight >= 0.0):
            raise FormatError(f"{where}: line {reader.line_num}: space group {number} with weight {weight:g}")
        weights[number] += weight
    return weights

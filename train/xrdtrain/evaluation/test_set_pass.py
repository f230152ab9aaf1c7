"""Measure a network on test sets and write what the report and others read.

# N patterns, K ranks kept, C classes; logits (N, C) of all classes are kept as float16
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from xrdcommon.files import atomic_writer
from xrdcommon.fixed_sets.format import decode_ids

from xrdtrain.distributed import Ranks
from xrdtrain.evaluation.descriptors import by_descriptor
from xrdtrain.evaluation.fixed_test_sets import TestSet
from xrdtrain.evaluation.measures import evaluate, quick
from xrdtrain.evaluation.parts import collection_measures, distinct_measures
from xrdtrain.inference.calibration import Calibration
from xrdtrain.inference.classifier import Precision, Ranking, rank_logits, rank_patterns
from xrdtrain.inference.load import Run
from xrdtrain.inputs.spec import InputSpec
from xrdtrain.inputs.transform import Preparation
from xrdtrain.labels import OUTSIDE, Classes

PER_EPOCH = 10_000
"""Patterns of a test set measured after an epoch (as the authors did); the end of a run takes all."""


def spread(n: int, limit: int | None) -> NDArray[np.int64]:
    """Return all rows, or `limit` of them spread evenly."""
    if limit is None or n <= limit:
        return np.arange(n)
    return np.linspace(0, n - 1, limit).round().astype(np.int64)


def rank_test_set(
    model: nn.Module,
    test: TestSet,
    *,
    ranks: Ranks,
    precision: Precision,
    spec: InputSpec,
    limit: int | None = None,
    advance: Callable[[int], None] = lambda n: None,
) -> tuple[NDArray[np.int64], Ranking]:
    """Rank the candidates of a test set, shared among the ranks; every rank gets rows (n,) and ranking."""
    rows = spread(len(test), limit)
    mine = rows[ranks.slice(len(rows))]
    part = rank_patterns(
        model,
        test.blocks(mine),
        test.labels[mine],
        device=ranks.device,
        precision=precision,
        prepare=Preparation(spec, test.data.grid),
        advance=advance,
    )
    parts = [piece for piece in ranks.gather(part) if len(piece.loss)]
    ranking = Ranking(
        np.concatenate([piece.top for piece in parts]),
        np.concatenate([piece.probability for piece in parts]),
        np.concatenate([piece.loss for piece in parts]),
        np.concatenate([piece.logits for piece in parts]),
    )
    return rows, ranking


def rank_by_run(run: Run, test: TestSet, advance: Callable[[int], None]) -> Ranking:
    """Rank the candidates of a whole test set with a network that was trained, in this process alone."""
    _, ranking = rank_test_set(
        run.model,
        test,
        ranks=Ranks(0, 1, run.device),
        precision=Precision(run.config.precision),
        spec=run.spec.input,
        advance=advance,
    )
    return ranking


def brief(test: TestSet, rows: NDArray[np.int64], ranking: Ranking, classes: Classes) -> dict[str, float]:
    """Return the measures of a test set that go into metrics.jsonl."""
    inside = test.labels[rows] != OUTSIDE
    groups = test.data.samples["space_group"][rows].astype(np.int64)
    loss = float(ranking.loss[inside].mean()) if inside.any() else float("nan")
    return {"loss": loss, **quick(groups, classes.numbers[ranking.top].astype(np.int64), inside)}


def predictions(test: TestSet, ranking: Ranking, classes: Classes) -> dict[str, NDArray[Any]]:
    """Return the arrays of evaluation/<name>.npz for a whole test set."""
    return {
        "labels": test.data.samples["space_group"].astype(np.int16),
        "classes": classes.numbers,
        "top": classes.numbers[ranking.top],
        "top_probability": ranking.probability.astype(np.float32),
        "loss": ranking.loss.astype(np.float32),
        "logits": ranking.logits,
        "samples": test.data.samples,
        "ids": test.data.id_bytes,
    }


def calibrated(arrays: dict[str, NDArray[Any]], calibration: Calibration) -> dict[str, NDArray[Any]]:
    """Return the arrays with the ranks and probabilities of calibrated logits; the logits stay the network's own."""
    top, probability = rank_logits(torch.from_numpy(calibration(arrays["logits"])), arrays["top"].shape[1])
    return {**arrays, "top": arrays["classes"][top.numpy()], "top_probability": probability.numpy()}


def measure(arrays: dict[str, NDArray[Any]]) -> dict[str, Any]:
    """Return all measures of one set of predictions (see `accuracy.evaluate`)."""
    labels, classes, top, samples = (arrays[name] for name in ("labels", "classes", "top", "samples"))
    inside = np.isin(labels, classes)
    right = top[inside] == labels[inside, None]
    measures = evaluate(labels, classes, top, arrays["top_probability"], samples["family"])
    return {
        **measures,
        "distinct": distinct_measures(samples[inside], right),
        "collections": collection_measures(decode_ids(arrays["ids"][inside]), right) if "ids" in arrays else {},
        "by_descriptor": by_descriptor(samples[inside], right),
    }


def write_predictions(path: Path, arrays: dict[str, NDArray[Any]]) -> None:
    """Write evaluation/<name>.npz atomically."""
    with atomic_writer(path) as stream:
        np.savez_compressed(stream, allow_pickle=False, **arrays)

"""How much a network would learn from each pattern of a test set: the norm of the gradient of its loss.

The gradient of the cross-entropy -ln p(true group) with respect to the weights, one pattern at a time: large where the
network is wrong or unsure, near zero where it knows. Of the last layer alone it is exact without a backward pass: the
outer product of p - y (probabilities minus the label) and the features that enter the layer, with 1 for the bias.

# N patterns, C classes, F features
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from xrdcommon.errors import InputError
from xrdcommon.files import write_bytes

from xrdtrain.evaluation.fixed_test_sets import TestSet
from xrdtrain.inference.capture import captured
from xrdtrain.inference.classifier import CHUNK
from xrdtrain.inference.load import Run
from xrdtrain.inputs.transform import Preparation

MOST = 10
"""Patterns named in the measures."""


class Weights(StrEnum):
    """Whose gradient is taken."""

    LAST = "last"
    """The last layer's, exactly, without a backward pass."""
    ALL = "all"
    """All weights', by one backward pass a pattern: for small networks."""


def parse_weights(text: str) -> Weights:
    """Read last or all.

    Raises:
        InputError: neither.

    """
    if text not in list(Weights):
        raise InputError(f"--gradients '{text}': last or all")
    return Weights(text)


def gradient_norms(
    run: Run, test: TestSet, weights: Weights, advance: Callable[[int], None] = lambda n: None
) -> NDArray[np.float32]:
    """Return the norm (N,) for each pattern, in float32 and without calibration; NaN where its group is no class.

    Args:
        run: the network.
        test: patterns and labels.
        weights: whose gradient.
        advance: told the patterns done.

    Raises:
        InputError: a network of the user's that does not name its last layer, or whose last layer is not linear.

    """
    prepare = Preparation(run.spec.input, test.data.grid)
    found = []
    row = 0
    for patterns, samples in test.blocks():
        for start in range(0, len(patterns), CHUNK):
            part = slice(start, start + CHUNK)
            stored = torch.from_numpy(np.ascontiguousarray(patterns[part]))
            x = prepare(stored, run.device, None if samples is None else samples[part])
            labels = torch.from_numpy(test.labels[row : row + len(x)]).to(run.device)
            norms = _of_last(run.model, x, labels) if weights is Weights.LAST else _of_all(run.model, x, labels)
            found.append(torch.where(labels >= 0, norms, torch.nan).cpu().numpy())
            row += len(x)
            advance(len(x))
    return np.concatenate(found).astype(np.float32) if found else np.empty(0, np.float32)


def _of_last(model: nn.Module, x: Tensor, labels: Tensor) -> Tensor:
    """Return the norms (B,) of the last layer's gradients."""
    with captured(model) as found, torch.inference_mode():
        logits = model(x).float()
    layer = model.get_submodule(str(model.output_layer))
    if not isinstance(layer, nn.Linear):
        raise InputError(f"gradients of the last layer: '{model.output_layer}' is no torch.nn.Linear; take all weights")
    features = torch.from_numpy(found[0]).to(logits.device)
    error = torch.softmax(logits, dim=1) - functional.one_hot(labels.clamp(min=0), logits.shape[1])
    length = features.square().sum(dim=1) + float(layer.bias is not None)
    norms: Tensor = error.square().sum(dim=1).mul(length).sqrt()
    return norms


def _of_all(model: nn.Module, x: Tensor, labels: Tensor) -> Tensor:
    """Return the norms (B,) of the gradients of all weights."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    norms = torch.full((len(x),), torch.nan, device=x.device)
    for row in torch.nonzero(labels >= 0).flatten().tolist():
        loss = functional.cross_entropy(model(x[row : row + 1]).float(), labels[row : row + 1])
        gradients = torch.autograd.grad(loss, parameters)
        norms[row] = torch.stack([gradient.square().sum() for gradient in gradients]).sum().sqrt()
    return norms


def gradient_measures(arrays: dict[str, NDArray[Any]], weights: Weights) -> dict[str, Any]:
    """Return what evaluation.json and --json say: mean, median, and the patterns with the largest norms."""
    norms = arrays["gradient_norm"]
    known = norms[np.isfinite(norms)]
    return {
        "weights": weights.value,
        "mean": float(known.mean()) if len(known) else float("nan"),
        "median": float(np.median(known)) if len(known) else float("nan"),
        "largest": [
            {"id": name, "space_group": true, "answer": said, "norm": norm}
            for name, true, said, norm in _rows(arrays)[:MOST]
        ],
    }


def _rows(arrays: dict[str, NDArray[Any]]) -> list[tuple[str, int, int, float]]:
    """Return name, space group, answer and norm of the patterns that have one, the largest first."""
    norms = arrays["gradient_norm"]
    order = np.argsort(-np.nan_to_num(norms, nan=-1.0), kind="stable")[: int(np.isfinite(norms).sum())]
    names = [bytes(name).rstrip(b"\0").decode("utf-8", "replace") for name in arrays["ids"][order]]
    return [
        (name, int(arrays["labels"][row]), int(arrays["top"][row, 0]), float(norms[row]))
        for name, row in zip(names, order.tolist(), strict=True)
    ]


def write_gradients(path: Path, arrays: dict[str, NDArray[Any]]) -> None:
    """Write a CSV file of all patterns whose group is a class, the largest norm first."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["id", "space_group", "answer", "gradient_norm"])
    writer.writerows((name, true, said, f"{norm:.6g}") for name, true, said, norm in _rows(arrays))
    write_bytes(path, text.getvalue().encode())


def gradient_lines(measures: dict[str, Any]) -> list[str]:
    """Return the lines printed for a set."""
    of = "the last layer" if measures["weights"] == Weights.LAST else "all weights"
    lines = [f"  gradient norm of {of}: mean {measures['mean']:.3g}, median {measures['median']:.3g}; largest:"]
    return lines + [
        f"    {item['id']}  group {item['space_group']}, answer {item['answer']}, {item['norm']:.3g}"
        for item in measures["largest"]
    ]

"""From stored patterns to logits and ranked space groups.

# N patterns, B rows of a chunk, P grid points, C classes, K ranks kept
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from xrdcommon.errors import InputError

from xrdtrain.inputs.transform import Preparation
from xrdtrain.precision import Precision as Precision

KEPT = 20
"""Ranked candidates kept of every pattern (the paper shows top-k up to 20)."""

CHUNK = 256


def resolve_precision(precision: Precision, device: torch.device) -> Precision:
    """Choose bfloat16 where the device computes with it, else float32.

    Raises:
        InputError: bf16 asked for on a CUDA device without it.

    """
    if device.type == "cuda":
        able = torch.cuda.is_bf16_supported(including_emulation=False)
        if precision is Precision.BF16 and not able:
            raise InputError(f"precision bf16: {torch.cuda.get_device_name(device)} does not have it; take fp32")
    else:
        able = bool(torch.cpu.get_capabilities().get("avx512_bf16") or torch.cpu.get_capabilities().get("amx_bf16"))
    if precision is Precision.AUTO:
        return Precision.BF16 if able else Precision.FP32
    return precision


def arithmetic(precision: Precision, device: torch.device) -> AbstractContextManager[object]:
    """Return the context in which the network computes."""
    if precision is Precision.BF16:
        return torch.autocast(device.type, dtype=torch.bfloat16)
    return nullcontext()


@dataclass(frozen=True, slots=True)
class Ranking:
    """Ranked candidates of N patterns.

    Attributes:
        top: (N, K) class indices, the likeliest first.
        probability: (N, K) their probabilities.
        loss: (N,) cross-entropy, NaN where the true group is not a class.
        logits: (N, C) of all classes.

    """

    top: NDArray[np.int64]
    probability: NDArray[np.float32]
    loss: NDArray[np.float32]
    logits: NDArray[np.float16]


def rank_logits(logits: Tensor, kept: int = KEPT) -> tuple[Tensor, Tensor]:
    """Return the likeliest classes (B, K) and their probabilities (B, K), K = min(kept, C)."""
    probability, top = torch.softmax(logits.float(), dim=1).topk(min(kept, logits.shape[1]), dim=1)
    return top, probability


Block = tuple[NDArray[np.float16], NDArray[np.void] | None]
"""Patterns (n, P) and their records (n,), which say what was measured; None: everything."""


def rank_patterns(
    model: nn.Module,
    blocks: Iterator[Block],
    labels: NDArray[np.int64],
    *,
    device: torch.device,
    precision: Precision,
    prepare: Preparation,
    kept: int = KEPT,
    advance: Callable[[int], None] = lambda n: None,
) -> Ranking:
    """Rank the space groups of patterns given in blocks; the model is left in training mode if it was.

    Args:
        model: network in its run's shape.
        blocks: patterns whose rows follow `labels`.
        labels: (N,) class indices, negative where the true group is not a class or not known.
        device: where the model is.
        precision: bf16 or fp32.
        prepare: brings the patterns into the network's form.
        kept: ranks whose probability is kept of each pattern; the logits of all are.
        advance: told the rows done.

    """
    training = model.training
    model.eval()
    tops, probabilities, losses, everything = [], [], [], []
    row = 0
    with torch.inference_mode():
        for patterns, samples in blocks:
            for start in range(0, len(patterns), CHUNK):
                part = slice(start, start + CHUNK)
                stored = torch.from_numpy(np.ascontiguousarray(patterns[part]))
                x = prepare(stored, device, None if samples is None else samples[part])
                with arithmetic(precision, device):
                    logits = model(x).float()
                top, probability = rank_logits(logits, kept)
                target = torch.from_numpy(labels[row : row + len(stored)]).to(device)
                chosen = logits.gather(1, target.clamp(min=0).unsqueeze(1)).squeeze(1)
                loss = torch.where(target >= 0, logits.logsumexp(1) - chosen, torch.nan)
                tops.append(top.cpu().numpy())
                probabilities.append(probability.cpu().numpy())
                losses.append(loss.cpu().numpy())
                everything.append(logits.half().cpu().numpy())
                row += len(stored)
                advance(len(stored))
    model.train(training)
    return Ranking(
        np.concatenate(tops) if tops else np.empty((0, kept), np.int64),
        np.concatenate(probabilities) if tops else np.empty((0, kept), np.float32),
        np.concatenate(losses) if tops else np.empty(0, np.float32),
        np.concatenate(everything) if tops else np.empty((0, 0), np.float16),
    )

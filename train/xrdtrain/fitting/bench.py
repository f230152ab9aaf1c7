"""How fast this machine trains a model, and how much of what it can compute that is: `xrdtrain bench`."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch.nn import functional
from xrdcommon.errors import InputError
from xrdcommon.grid import Grid
from xrdcommon.measurement import Measurement

from xrdtrain.fitting.optimisers import make_optimiser
from xrdtrain.inference.classifier import Precision, arithmetic, resolve_precision
from xrdtrain.inputs.transform import Preparation
from xrdtrain.models import get_preset
from xrdtrain.models.cost import operations_of

WARM_UP = 2
SIZES = (512, 1024, 2048, 4096)
"""Sides of the square matrices whose product is timed; the fastest counts."""


@dataclass(frozen=True, slots=True)
class Speed:
    """What `xrdtrain bench` found.

    Attributes:
        model: its name.
        device: where it computed.
        threads: of a CPU.
        precision: bf16 or fp32.
        batch: samples of a step.
        samples_per_second: of whole steps on patterns that are there already.
        operations_per_second: of the matrix products and convolutions in them.
        matrix_product_rate: operations a second of the device's own matrix product in that precision.
        share: the one over the other.

    """

    model: str
    device: str
    threads: int
    precision: str
    batch: int
    samples_per_second: float
    operations_per_second: float
    matrix_product_rate: float
    share: float

    def to_dict(self) -> dict[str, Any]:
        """Return the fields for JSON."""
        return asdict(self)


def bench(
    model: str, *, seconds: float, grid: Grid, n_classes: int, batch: int | None, precision: Precision, compiled: bool
) -> Speed:
    """Train a model with fresh weights on patterns of noise for some seconds.

    Args:
        model: name of a preset.
        seconds: to measure for, after two steps that are not counted.
        grid: of the patterns.
        n_classes: space groups.
        batch: samples of a step; None: the recipe's.
        precision: arithmetic.
        compiled: with torch.compile.

    Raises:
        InputError: no such model, a grid too short for it, or numbers that make no sense.

    """
    if not 0.0 < seconds <= 3600.0:
        raise InputError(f"--seconds {seconds:g}: must be above 0 and at most 3600")
    if batch is not None and batch < 1:
        raise InputError(f"--batch {batch}: must be at least 1")
    if not 2 <= n_classes <= 230:
        raise InputError(f"--classes {n_classes}: must be 2 to 230")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    preset = get_preset(model)
    rows = batch or preset.recipe.batch
    precision = resolve_precision(precision, device)
    spec = preset.spec(replace(Measurement(), grid=grid), tuple(range(1, n_classes + 1)))
    network: Any = spec.build().to(device).train()
    forward = torch.compile(network) if compiled else network
    optimiser = make_optimiser(preset.recipe, network, preset.recipe.learning_rate)
    prepare = Preparation(spec.input, grid)
    patterns = torch.rand(rows, grid.n_points).pow(8).half()
    labels = torch.arange(rows, device=device) % n_classes

    def step() -> None:
        with arithmetic(precision, device):
            logits = forward(prepare(patterns, device))
        loss = functional.cross_entropy(logits.float(), labels)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()

    for _ in range(WARM_UP):
        step()
    _wait(device)
    begin, done = time.perf_counter(), 0
    while done == 0 or time.perf_counter() - begin < seconds:
        step()
        _wait(device)
        done += 1
    rate = done * rows / (time.perf_counter() - begin)
    speed = rate * operations_of(spec)
    best = matrix_product_rate(device, precision)
    return Speed(model, str(device), torch.get_num_threads(), precision.value, rows, rate, speed, best, speed / best)


def matrix_product_rate(device: torch.device, precision: Precision) -> float:
    """Return the operations a second of square matrix products, the fastest of some sizes."""
    kind = torch.bfloat16 if precision is Precision.BF16 else torch.float32
    best = 0.0
    for side in SIZES:
        a, b = (torch.rand(side, side, device=device).to(kind) for _ in range(2))
        a @ b
        _wait(device)
        begin, done = time.perf_counter(), 0
        while done < 2 or time.perf_counter() - begin < 0.2:
            a @ b
            done += 1
        _wait(device)
        best = max(best, done * 2.0 * side**3 / (time.perf_counter() - begin))
    return best


def _wait(device: torch.device) -> None:
    """Wait until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)

"""Networks against table 1 of the paper, and what they do at the first step."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional
from xrdcommon.errors import InputError
from xrdtrain.fitting.optimisers import make_optimiser
from xrdtrain.fitting.schedule import END, learning_rate
from xrdtrain.inputs.spec import Transform
from xrdtrain.models import PRESETS, build, default_preset, get_preset, n_parameters
from xrdtrain.models.catalogue import catalogue
from xrdtrain.models.layers import (
    TRUNCATED_STD,
    SameConv1d,
    SameMaxPool1d,
    same_padding,
    taps_in_use,
    variance_scaling_,
)
from xrdtrain.models.park import Park
from xrdtrain.models.presets import PAPER_EPOCH, Schedule
from xrdtrain.models.resnet import EPSILON, ResNet

TABLE_1 = {
    "park-medium": 4_246_797,
    "park-big": 4_959_585,
    "resnet-10": 9_395_025,
    "resnet-50": 41_362_385,
    "resnet-101": 60_354_513,
}
SMALL = [name for name in PRESETS if name not in TABLE_1]


def test_parameters_of_the_paper() -> None:
    counts = {entry.name: entry.parameters for entry in catalogue()}
    assert {name: counts[name] for name in TABLE_1} == TABLE_1
    assert list(counts)[:5] == list(TABLE_1)


def test_models_command(run_command: Callable[..., Any]) -> None:
    done = run_command("xrdtrain", "models", "--json")
    assert done.returncode == 0, done.stderr
    listed = {item["name"]: item["parameters"] for item in json.loads(done.stdout)}
    assert {name: listed[name] for name in TABLE_1} == TABLE_1
    assert "41,362,385" in run_command("xrdtrain", "models").stdout


@pytest.mark.parametrize("name", ["resnet-10", "resnet-50", "resnet-101"])
def test_lengths_of_the_resnets(name: str) -> None:
    expected = [8501, 4251, 2126, 2126, 532, 133, 34]
    with torch.device("meta"):
        model = build(get_preset(name), 8501, 145)
        assert isinstance(model, ResNet)
        assert model.lengths == expected
        x = torch.empty(2, 1, 8501)
        seen = [8501]
        for layer in (model.stem, model.pool):
            x = layer(x)
            seen.append(x.shape[2])
        for block in model.blocks:
            x = block(x)
            if x.shape[2] != seen[-1] or len(seen) == 3:
                seen.append(x.shape[2])
        assert seen == expected


def test_training_of_the_paper() -> None:
    for name in TABLE_1:
        preset = get_preset(name)
        resnet = name.startswith("resnet")
        assert (preset.transform is Transform.SQUARE_ROOT) is resnet
        assert preset.recipe.batch == (145 if resnet else 870)
        assert preset.recipe.learning_rate == (1e-4 if resnet else 1e-3)
        assert preset.recipe.samples == (2000 if resnet else 1000) * PAPER_EPOCH
        assert preset.recipe.samples_per_epoch == PAPER_EPOCH == 900 * 145 == 150 * 870
        assert preset.recipe.mask is None


def test_group_norm_and_dropout_as_in_the_authors_code() -> None:
    model = build(get_preset("resnet-10"), 500, 10)
    norms = [module for module in model.modules() if isinstance(module, torch.nn.GroupNorm)]
    assert len(norms) == 1 + 4 * 3
    assert all(norm.num_groups == 32 and norm.eps == EPSILON == 1e-3 for norm in norms)
    park = get_preset("park-big")
    for dropout, expected in ((False, []), (True, [0.3, 0.3, 0.3, 0.5, 0.5])):
        network = build(park, 2000, 10, dropout=dropout)
        assert isinstance(network, Park)
        assert [m.p for m in network.modules() if isinstance(m, torch.nn.Dropout)] == expected


@pytest.mark.parametrize(("length", "kernel", "stride"), [(8501, 7, 2), (10, 3, 2), (11, 3, 2), (7, 9, 4), (8, 1, 4)])
def test_same_padding_is_that_of_tensorflow(length: int, kernel: int, stride: int) -> None:
    """Output i sees inputs i * stride - left ...; the odd point is padded on the right."""
    left, right = same_padding(length, kernel, stride)
    assert right - left in (0, 1)
    layer = SameConv1d(1, 1, kernel, length=length, stride=stride, bias=False)
    torch.nn.init.ones_(layer.weight)
    x = torch.arange(1.0, length + 1)
    y = layer(x[None, None])[0, 0]
    assert len(y) == math.ceil(length / stride) == layer.out_length
    padded = torch.nn.functional.pad(x, (left, right))
    expected = [padded[i * stride : i * stride + kernel].sum() for i in range(len(y))]
    torch.testing.assert_close(y, torch.stack(expected))
    pooled = SameMaxPool1d(kernel, length=length, stride=stride)(x[None, None])[0, 0]
    torch.testing.assert_close(
        pooled, torch.stack([padded[i * stride : i * stride + kernel].max() for i in range(len(y))])
    )


def dirty_memory() -> None:
    """Leave NaN in memory that is free: what is handed out next and never written shows."""
    for _ in range(4):
        torch.full((2_000_000,), math.nan)


@pytest.mark.parametrize(("kernel", "stride"), [(5, 4), (9, 4), (5, 1), (3, 2), (7, 2), (1, 4), (100, 5), (31, 16)])
def test_taps_that_meet_only_padding_take_no_part(kernel: int, stride: int) -> None:
    """Value, gradients and their precision are those of a padded convolution, whatever the length."""
    torch.manual_seed(0)
    for length in (1, 2, 3, 4, 5, 8, 13, 33):
        left, right = same_padding(length, kernel, stride)
        positions = range(math.ceil(length / stride))
        used = {point - step * stride + left for step in positions for point in range(length)} & set(range(kernel))
        first, last = taps_in_use(length, kernel, stride)
        assert used == set(range(first, last))
        layer = SameConv1d(32, 64, kernel, length=length, stride=stride, bias=False)
        x = torch.rand(64, 32, length)
        expected = functional.conv1d(functional.pad(x, (left, right)), layer.weight, stride=stride)
        torch.testing.assert_close(layer(x), expected, rtol=1e-4, atol=1e-5)
        (exact,) = torch.autograd.grad(expected.square().mean(), layer.weight)
        for enabled in (False, True):
            dirty_memory()
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
                y = layer(x)
            (found,) = torch.autograd.grad(y.float().square().mean(), layer.weight)
            unused = [tap for tap in range(kernel) if tap not in used]
            assert (found[:, :, unused] == 0).all()
            near = 0.05 if enabled else 1e-4
            torch.testing.assert_close(found, exact, rtol=near, atol=near * exact.abs().max().item())


@pytest.mark.slow
@pytest.mark.parametrize("bf16", [True, False])
@pytest.mark.parametrize("name", ["park-medium", "resnet-10", "resnet-50", *SMALL])
def test_steps_on_short_long_and_odd_grids_stay_finite(name: str, bf16: bool) -> None:
    """Also on 501 points, 20 to 25 degrees in steps of 0.01, where deep layers are shorter than their kernels."""
    torch.manual_seed(2)
    preset = get_preset(name)
    shortest = (851, 1000, 1702) if name.startswith("park") else (86, 333, 501, 502, 851)
    shortest = (501,) if name == "resnet-50" else shortest  # a step takes seconds
    for points in (*shortest, 4251) if name in SMALL else shortest:
        model = build(preset, points, 6)
        optimiser = make_optimiser(preset.recipe, model, 1e-4)
        for _ in range(2 if name == "resnet-50" else 3):
            dirty_memory()
            x = torch.rand((8, points) if len(preset.channels) == 1 else (8, 2, points)) ** 12
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
                logits = model(x)
            loss = functional.cross_entropy(logits.float(), torch.arange(8) % 6)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            for key, parameter in model.named_parameters():
                assert parameter.grad is not None
                assert torch.isfinite(parameter.grad).all(), (points, key)
            optimiser.step()
        assert torch.isfinite(loss)


def test_initial_weights() -> None:
    torch.manual_seed(0)
    weight = variance_scaling_(torch.empty(256, 64, 9))
    fan_in = 64 * 9
    assert weight.std().item() == pytest.approx(math.sqrt(1 / fan_in), rel=0.01)
    assert weight.abs().max().item() <= 2 * math.sqrt(1 / fan_in) / TRUNCATED_STD + 1e-6


@pytest.mark.parametrize("name", ["park-medium", "resnet-10", *SMALL])
def test_first_loss_is_that_of_a_guess_and_every_weight_learns(name: str) -> None:
    torch.manual_seed(1)
    preset, n_classes = get_preset(name), 40
    model = build(preset, 1701, n_classes)
    # sparse patterns as real ones are
    x = torch.from_numpy(np.random.default_rng(0).uniform(0, 1, (16, 1701)).astype(np.float32)) ** 12
    if len(preset.channels) == 2:
        x = torch.stack([x, torch.ones_like(x)], dim=1)
    loss = functional.cross_entropy(model(x), torch.arange(16))
    assert loss.item() == pytest.approx(math.log(n_classes), rel=0.35)
    loss.backward()  # type: ignore[no-untyped-call]
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.abs().max() > 0, key


def test_any_grid_and_clear_refusals() -> None:
    for points in (50, 333, 4251):
        assert build(get_preset("resnet-10-small"), points, 3)(torch.rand(2, points)).shape == (2, 3)
    with pytest.raises(InputError, match="too few points"):
        build(get_preset("park-big"), 200, 10)
    with pytest.raises(InputError, match="two space groups"):
        build(get_preset("resnet-10"), 851, 1)
    with pytest.raises(InputError, match="choose one of park-medium"):
        get_preset("resnet-34")
    assert default_preset().name in PRESETS


def test_learning_rates() -> None:
    halving = [learning_rate(Schedule.HALVING, 1e-4, n * 500 * PAPER_EPOCH, 0.0) for n in range(4)]
    assert halving == pytest.approx([1e-4, 5e-5, 2.5e-5, 1.25e-5])
    assert learning_rate(Schedule.HALVING, 1e-4, 500 * PAPER_EPOCH - 1, 0.0) == 1e-4
    assert learning_rate(Schedule.CONSTANT, 1e-3, 10**9, 1.0) == 1e-3
    cycle = [learning_rate(Schedule.ONE_CYCLE, 1.0, 0, progress) for progress in np.linspace(0, 1, 101)]
    assert max(cycle) == pytest.approx(1.0)
    assert cycle[0] < 0.1
    assert cycle[-1] == pytest.approx(END)
    assert np.argmax(cycle) == 10
    assert learning_rate(Schedule.ONE_CYCLE, 1.0, 0, 1.7) == pytest.approx(END)
    assert n_parameters(build(get_preset("resnet-10-small"), 851, 5)) > 5e5

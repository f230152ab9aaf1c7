"""The patch network: what its parts compute, and that fast memory layouts change nothing."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional
from xrdtrain.models import build, get_preset
from xrdtrain.models.matrix_convolution import convolve, pays
from xrdtrain.models.patch_resnet import EPSILON, ConvNorm, PatchResNet, PatchResNetSettings, PatternNorm

SHAPES = [(17, 5, 1), (17, 5, 4), (5, 5, 1), (2, 5, 1), (3, 5, 4), (1, 5, 1)]


def test_the_normalisation_is_that_of_one_group() -> None:
    torch.manual_seed(0)
    norm, x = PatternNorm(6), torch.randn(4, 6, 1, 11)
    torch.nn.init.normal_(norm.weight)
    torch.nn.init.normal_(norm.bias)
    expected = functional.group_norm(x, 1, norm.weight, norm.bias, EPSILON)
    torch.testing.assert_close(norm(x.to(memory_format=torch.channels_last)), expected)


@pytest.mark.parametrize(("length", "kernel", "stride"), SHAPES)
def test_convolutions_are_those_of_one_dimension(length: int, kernel: int, stride: int) -> None:
    torch.manual_seed(0)
    layer, x = ConvNorm(3, 4, kernel, length=length, stride=stride), torch.randn(2, 3, 1, length)
    y = layer(x.to(memory_format=torch.channels_last))
    assert y.shape == (2, 4, 1, layer.out_length) == (2, 4, 1, -(-length // stride))
    weight = layer.convolution.weight[:, :, 0]
    plain = functional.conv1d(x[:, :, 0], weight, stride=stride, padding=layer.convolution.padding[1])
    torch.testing.assert_close(y[:, :, 0], functional.group_norm(plain, 1, eps=EPSILON), rtol=1e-4, atol=1e-5)
    # every tap meets the input: a kernel that did not would have taps without a gradient
    (gradient,) = torch.autograd.grad(plain.square().sum(), layer.convolution.weight)
    assert (gradient.abs().amax(dim=(0, 1, 2)) > 0).all()


@pytest.mark.parametrize(("length", "kernel", "stride"), [*SHAPES, (40, 1, 4), (70, 1, 1)])
def test_a_training_step_in_bf16_takes_the_same_convolution_as_products(length: int, kernel: int, stride: int) -> None:
    """Values and gradients beside those of a convolution in float64 of the same rounded numbers."""
    torch.manual_seed(0)
    layer = ConvNorm(8, 6, kernel, length=length, stride=stride)
    weight, padding = layer.convolution.weight, layer.convolution.padding[1]
    x = torch.randn(5, 8, 1, length).bfloat16().float().to(memory_format=torch.channels_last).requires_grad_(True)
    with torch.no_grad():
        weight.copy_(weight.bfloat16().float())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert pays(x, layer.out_length, layer.convolution.kernel_size[1])
        y = convolve(x, weight, stride, padding)
    assert y.dtype is torch.bfloat16
    weights = torch.randn(y.shape)
    of_x, of_weight = torch.autograd.grad((y.float() * weights).sum(), (x, weight))
    exact_x, exact_weight = x.detach().double().requires_grad_(True), weight.detach().double().requires_grad_(True)
    exact = functional.conv2d(exact_x, exact_weight, None, (1, stride), (0, padding))
    sums = torch.autograd.grad((exact * weights.double()).sum(), (exact_x, exact_weight))
    for found, expected in ((y, exact), (of_x, sums[0]), (of_weight, sums[1])):
        assert found.shape == expected.shape
        assert float((found.double() - expected).detach().abs().max()) < 0.015 * float(expected.detach().abs().max())


def test_a_convolution_over_many_points_and_one_that_is_not_trained_stay_as_they_are() -> None:
    x = torch.randn(2, 3, 1, 80)
    assert not pays(x, 40, 5)  # not in bfloat16
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert not pays(x, 40, 5)
        assert pays(x, 20, 5)
        with torch.no_grad():
            assert not pays(x, 20, 5)


def test_the_stem_is_a_convolution_over_patches() -> None:
    torch.manual_seed(0)
    settings = PatchResNetSettings(window=8, stride=4)
    model = PatchResNet(settings, 50, 5, n_channels=2).eval()
    x = torch.rand(3, 2, 50)
    kernel = model.stem.weight.reshape(settings.widths[0], 2, 8)
    expected = functional.conv1d(functional.pad(x, model.pad), kernel, stride=4)
    seen: list[torch.Tensor] = []
    model.stem_norm.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0][:, :, 0]))
    model(x)
    torch.testing.assert_close(seen[0], expected)
    assert expected.shape[2] == 13  # one patch every four points, the last over the end


def test_bf16_and_fp32_agree_and_a_row_does_not_depend_on_its_batch() -> None:
    torch.manual_seed(0)
    model = build(get_preset("patch-resnet"), 2126, 20).eval()
    x = torch.rand(6, 2126) ** 8
    with torch.inference_mode():
        whole = model(x)
        torch.testing.assert_close(torch.cat([model(row[None]) for row in x]), whole, rtol=1e-4, atol=1e-5)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rough = model(x).float()
    assert (rough - whole).abs().max() < 0.1 * whole.std()

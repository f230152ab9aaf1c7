"""The patch network: what its parts compute, and that fast memory layouts change nothing."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional
from xrdtrain.models import build, get_preset
from xrdtrain.models.patch_resnet import EPSILON, ConvNorm, PatchResNet, PatchResNetSettings, PatternNorm

SHAPES = [(17, 5, 1), (17, 5, 4), (5, 5, 1), (2, 5, 1), (3, 5, 4), (1, 5, 1)]


def test_the_normalisation_is_that_of_one_group() -> None:
    torch.manual_seed(0)
    norm, x = PatternNorm(6), torch.randn(4, 6, 1, 11)
    torch.nn.init.normal_(norm.weight)
    torch.nn.init.normal_(norm.bias)
    expected = functional.group_norm(x, 1, norm.weight, norm.bias, EPSILON)
    torch.testing.assert_close(norm(x.to(memory_format=torch.channels_last)), expected)


@pytest.mark.parametrize(
    ("length", "kernel", "stride"), [(17, 5, 1), (17, 5, 4), (5, 5, 1), (2, 5, 1), (3, 5, 4), (1, 5, 1)]
)
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

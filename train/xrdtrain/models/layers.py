"""Layers with the conventions of TensorFlow, in which the paper's networks were written.

# B batch, C channels, L length
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional
from xrdcommon.errors import InputError

TRUNCATED_STD = 0.87962566103423978
"""Standard deviation of a unit normal cut off at two sigma (Keras' VarianceScaling divides by it)."""


def same_padding(length: int, kernel: int, stride: int) -> tuple[int, int]:
    """Return the points to pad on the left and on the right ("same" of TensorFlow: the odd one to the right)."""
    total = max((math.ceil(length / stride) - 1) * stride + kernel - length, 0)
    return total // 2, total - total // 2


def variance_scaling_(weight: Tensor) -> Tensor:
    """Fill with Keras' VarianceScaling(scale=1, fan_in, truncated normal); weight (C_out, C_in, kernel)."""
    std = math.sqrt(1.0 / weight[0].numel()) / TRUNCATED_STD
    with torch.no_grad():
        return nn.init.trunc_normal_(weight, std=std, a=-2.0 * std, b=2.0 * std)


def taps_in_use(length: int, kernel: int, stride: int) -> tuple[int, int]:
    """Return the first and the last (excluded) tap of a kernel that ever meets the input and not its padding alone."""
    left, _ = same_padding(length, kernel, stride)
    starts = [step * stride - left for step in range(math.ceil(length / stride))]
    first = max(0, -starts[-1])  # the last position reaches furthest with the early taps
    return first, min(kernel, length - starts[0])


class SameConv1d(nn.Conv1d):
    """Convolution with "same" padding of an input of known length: (B, C, L) -> (B, C', ceil(L / stride)).

    On an input shorter than its kernel some taps meet nothing but padding. They take no part in the product: their
    gradient is 0, and oneDNN's bfloat16 kernel (seen in torch 2.13 on a CPU with AMX) leaves it unwritten instead,
    which makes weights of whatever the memory held, sooner or later NaN.
    """

    def __init__(
        self, channels_in: int, channels_out: int, kernel: int, *, length: int, stride: int = 1, bias: bool
    ) -> None:
        left, right = same_padding(length, kernel, stride)
        symmetric = left == right
        super().__init__(channels_in, channels_out, kernel, stride=stride, padding=left if symmetric else 0, bias=bias)
        self.pad = None if symmetric else (left, right)
        first, last = taps_in_use(length, kernel, stride)
        self.taps = None if last - first == kernel else (first, last)
        self.tap_pad = (left - first, right - (kernel - last))
        self.out_length = math.ceil(length / stride)

    def forward(self, x: Tensor) -> Tensor:
        """Pad where the two sides differ, then convolve."""
        if self.taps is not None:
            weight = self.weight[:, :, self.taps[0] : self.taps[1]]
            return functional.conv1d(functional.pad(x, self.tap_pad), weight, self.bias, self.stride)
        return super().forward(x if self.pad is None else functional.pad(x, self.pad))


class SameMaxPool1d(nn.Module):
    """Maximum pooling with "same" padding of an input of known length that is not negative (after a ReLU)."""

    def __init__(self, kernel: int, *, length: int, stride: int) -> None:
        super().__init__()
        self.pad = same_padding(length, kernel, stride)
        self.kernel, self.stride = kernel, stride
        self.out_length = math.ceil(length / stride)

    def forward(self, x: Tensor) -> Tensor:
        """Pool; zeros pad, which never exceed what a ReLU left."""
        return functional.max_pool1d(functional.pad(x, self.pad), self.kernel, self.stride)


def pooled_length(length: int, kernel: int, stride: int, where: str) -> int:
    """Return the length after pooling without padding.

    Raises:
        InputError: nothing is left; the grid is too short for the network.

    """
    if length < kernel:
        raise InputError(
            f"{where}: only {length} points are left before a pooling of {kernel}; the grid has too few points "
            "for this model, take a finer grid or another model (see `xrdtrain models`)"
        )
    return (length - kernel) // stride + 1

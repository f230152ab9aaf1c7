"""A short convolution as matrix products, for training on a CPU in bfloat16.

oneDNN's backward pass of a convolution over few points takes three times what the products take that it consists of
(5 points, 256 channels, kernel 5, batch 128, one core with AMX: 26 ms against 8 ms); over many points it is the faster
one, because the products need every window as a row of its own.

# B batch, C input channels, O output channels, L input length, M output length, k kernel
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

LONGEST = 32
"""Output length up to which the products are the faster way; for a kernel of one point they always are."""


class _Products(torch.autograd.Function):
    """x (B, L, C), weight (O, k C) -> (B, M, O), all contiguous."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, kernel: int, stride: int, padding: int) -> Tensor:
        batch, length, channels = x.shape
        padded = functional.pad(x, (0, 0, padding, padding)) if padding else x
        out_length = (length + 2 * padding - kernel) // stride + 1
        strides = (padded.stride(0), stride * channels, 1)
        windows = padded.as_strided((batch, out_length, kernel * channels), strides)
        rows = windows.reshape(batch * out_length, kernel * channels)
        ctx.save_for_backward(rows, weight)
        ctx.shape = batch, length, channels, out_length, kernel, stride, padding
        return (rows @ weight.t()).view(batch, out_length, -1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        rows, weight = ctx.saved_tensors
        batch, length, channels, out_length, kernel, stride, padding = ctx.shape
        gradient = gradients[0].reshape(batch * out_length, -1)
        of_weight = gradient.t() @ rows
        of_windows = (gradient @ weight).view(batch, out_length, kernel, channels)
        of_padded = gradient.new_zeros(batch, length + 2 * padding, channels)
        end = (out_length - 1) * stride + 1
        for tap in range(kernel):
            of_padded[:, tap : tap + end : stride] += of_windows[:, :, tap]
        return of_padded[:, padding : padding + length], of_weight, None, None, None


def pays(x: Tensor, out_length: int, kernel: int) -> bool:
    """Return whether the products are to be taken: a training step in bfloat16 on a CPU, over few points."""
    return (
        (out_length <= LONGEST or kernel == 1)
        and x.device.type == "cpu"
        and torch.is_grad_enabled()
        and torch.is_autocast_enabled("cpu")
        and torch.get_autocast_dtype("cpu") is torch.bfloat16
        and not torch.compiler.is_compiling()
    )


def convolve(x: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
    """Convolve as `functional.conv2d` does under autocast to bfloat16: (B, C, 1, L) -> (B, O, 1, M), channels last.

    Args:
        x: channels last in memory.
        weight: (O, C, 1, k), channels last in memory.
        stride: points from window to window.
        padding: zeros at each end.

    """
    batch, channels, _, length = x.shape
    kernel = weight.shape[3]
    rows = x.permute(0, 2, 3, 1).reshape(batch, length, channels).to(torch.bfloat16)
    matrix = weight.permute(0, 2, 3, 1).reshape(weight.shape[0], kernel * channels).to(torch.bfloat16)
    out: Tensor = _Products.apply(rows.contiguous(), matrix, kernel, stride, padding)  # type: ignore[no-untyped-call]
    return out.unsqueeze(1).permute(0, 3, 1, 2)

"""A small residual network for a CPU: patches of the pattern, then residual blocks, channels last in memory.

Made for the matrix units of a CPU (bfloat16): the stem is one matrix product over overlapping patches instead of a
convolution with one input channel and a pooling, convolutions run on channels-last memory, and one normalisation takes
all points and channels of a pattern together (Wu & He, ECCV 2018, with one group): a layer normalisation there.

# B batch, K input channels, P points, L patches, C classes
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from xrdtrain.models.matrix_convolution import convolve, pays
from xrdtrain.models.peaks import PeakBranch

EPSILON = 1e-3
"""Of the normalisation, as in the paper's networks."""


@dataclass(frozen=True, slots=True)
class PatchResNetSettings:
    """Shape of a patch network.

    Attributes:
        widths: channels of each group of blocks.
        blocks: number of blocks of each group.
        strides: stride of the first block of each group.
        window: points of a patch.
        stride: points from patch to patch.
        kernel: length of the blocks' convolutions.
        dense: nodes of the layer before the logits, followed by a ReLU.
        peaks: strongest maxima that are given to that layer as a list too (see `models.peaks`).

    """

    widths: tuple[int, ...] = (32, 64, 128, 256)
    blocks: tuple[int, ...] = (1, 1, 1, 1)
    strides: tuple[int, ...] = (1, 4, 4, 4)
    window: int = 64
    stride: int = 32
    kernel: int = 5
    dense: int = 256
    peaks: int = 0


class PatternNorm(nn.Module):
    """Normalise over all points and channels of a pattern; scale and shift by channel: (B, C, 1, L) -> the same."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise; the memory stays channels last."""
        batch, channels, _, length = x.shape
        rows = x.permute(0, 2, 3, 1).reshape(batch, length * channels)
        shape = (length * channels,)
        y = functional.layer_norm(rows, shape, self.weight.repeat(length), self.bias.repeat(length), EPSILON)
        return y.view(batch, 1, length, channels).permute(0, 3, 1, 2)


class ConvNorm(nn.Module):
    """A convolution without bias and its normalisation: (B, C, 1, L) -> (B, C', 1, ceil(L / stride)).

    On a short input the kernel is cut so that every tap meets the input somewhere (see `layers.SameConv1d`); where one
    point is left, the kernel is as long as the input.
    """

    def __init__(self, channels_in: int, channels_out: int, kernel: int, *, length: int, stride: int) -> None:
        super().__init__()
        self.out_length = -(-length // stride)
        kernel = min(kernel, 2 * length - 1) if self.out_length > 1 or kernel == 1 else length
        padding = kernel // 2 if self.out_length > 1 else 0
        self.stride, self.padding = stride, padding
        self.convolution = nn.Conv2d(
            channels_in, channels_out, (1, kernel), stride=(1, stride), padding=(0, padding), bias=False
        )
        weight = self.convolution.weight.data
        self.convolution.weight.data = weight.contiguous(memory_format=torch.channels_last)
        self.norm = PatternNorm(channels_out)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve and normalise."""
        layer = self.convolution
        if pays(x, self.out_length, layer.kernel_size[1]):
            return self.norm(convolve(x, layer.weight, self.stride, self.padding))  # type: ignore[no-any-return]
        return self.norm(layer(x))  # type: ignore[no-any-return]


class Block(nn.Module):
    """A residual block; it projects its input where the shape changes."""

    def __init__(self, channels: int, width: int, kernel: int, *, length: int, stride: int) -> None:
        super().__init__()
        self.first = ConvNorm(channels, width, kernel, length=length, stride=stride)
        self.out_length = self.first.out_length
        self.second = ConvNorm(width, width, kernel, length=self.out_length, stride=1)
        changes = channels != width or stride > 1
        self.projection = ConvNorm(channels, width, 1, length=length, stride=stride) if changes else None

    def forward(self, x: Tensor) -> Tensor:
        """Add the path to the (projected) input."""
        shortcut = x if self.projection is None else self.projection(x)
        return functional.relu(self.second(functional.relu(self.first(x))) + shortcut)


class PatchResNet(nn.Module):
    """Patches, groups of blocks, flatten, dense, logits: (B, P) or (B, K, P) -> (B, C)."""

    output_layer = "logits"

    def __init__(self, settings: PatchResNetSettings, n_points: int, n_classes: int, *, n_channels: int = 1) -> None:
        super().__init__()
        self.window, self.stride = settings.window, settings.stride
        length = -(-n_points // self.stride)
        pad = (length - 1) * self.stride + self.window - n_points
        self.pad = (pad // 2, pad - pad // 2)
        self.stem = nn.Linear(self.window * n_channels, settings.widths[0], bias=False)
        self.stem_norm = PatternNorm(settings.widths[0])
        self.blocks = nn.Sequential()
        channels = settings.widths[0]
        for width, count, stride in zip(settings.widths, settings.blocks, settings.strides, strict=True):
            for number in range(count):
                step = stride if number == 0 else 1
                block = Block(channels, width, settings.kernel, length=length, stride=step)
                self.blocks.append(block)
                channels, length = width, block.out_length
        self.stages = tuple(f"blocks.{number}" for number in range(len(self.blocks)))
        self.peaks = PeakBranch(settings.peaks, n_points) if settings.peaks else None
        listed = 0 if self.peaks is None else self.peaks.width
        self.dense = nn.Linear(channels * length + listed, settings.dense)
        self.logits = nn.Linear(settings.dense, n_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        nn.init.kaiming_normal_(self.stem.weight)
        for layer in (self.dense, self.logits):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def features(self, x: Tensor) -> Tensor:
        """Return what enters the last layer, (B, F), of patterns (B, P), or of channels (B, K, P)."""
        pattern = x if x.dim() == 2 else x[:, 0]
        kind = x.device.type
        if kind != "meta" and torch.is_autocast_enabled(kind):  # patches are copied in the type they are multiplied in
            x = x.to(torch.get_autocast_dtype(kind))
        x = x.unsqueeze(1) if x.dim() == 2 else x
        patches = functional.pad(x, self.pad).unfold(2, self.window, self.stride)  # (B, K, L, window)
        batch, _, length, _ = patches.shape
        rows = self.stem(patches.transpose(1, 2).reshape(batch * length, -1))
        x = rows.view(batch, 1, length, -1).permute(0, 3, 1, 2)
        x = self.blocks(functional.relu(self.stem_norm(x)))
        x = x.permute(0, 2, 3, 1).flatten(1)
        if self.peaks is not None:
            x = torch.cat([x, self.peaks(pattern).to(x.dtype)], dim=1)
        return functional.relu(self.dense(x))

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (B, C) of patterns (B, P), or of channels (B, K, P)."""
        return self.logits(self.features(x))  # type: ignore[no-any-return]

"""One-dimensional ResNets of the paper (S2.1, table S1; He et al., CVPR 2016; Wu & He, ECCV 2018).

Kernels of 3x3 become 9, strides of 2 become 4 between groups; group normalisation instead of batch
normalisation; a dense layer of 256 nodes without activation before the logits. Stem and first pooling keep the
strides of the two-dimensional network. Lengths of 8501 points: 4251, 2126, 2126, 532, 133, 34.

# B batch, P points of the axis, D channels of the input, L length, C classes
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from xrdtrain.models.layers import SameConv1d, SameMaxPool1d, variance_scaling_
from xrdtrain.models.peaks import PeakBranch

EPSILON = 1e-3
"""Of the group normalisation (the default of the layer that the authors used)."""


@dataclass(frozen=True, slots=True)
class ResNetSettings:
    """Shape of a ResNet.

    Attributes:
        blocks: number of blocks of each group.
        bottleneck: bottleneck blocks (1x1, 9, 1x1 to four times the width) instead of residual ones (9, 9).
        width: filters of the stem and of the first group; each later group doubles them.
        groups: groups of the group normalisation.
        kernel: length of the blocks' convolutions.
        strides: stride of the first block of each group.
        stem_kernel: length of the first convolution.
        stem_stride: its stride.
        pool_input: average this many grid points into one before the stem (1: none; small presets only).
        dense: nodes of the layer before the logits.
        dense_activation: a ReLU after that layer. The authors' code has none, which makes the last two layers one
            linear map; small networks gain by it.
        peaks: strongest maxima that are given to that layer as a list too (see `models.peaks`).

    """

    blocks: tuple[int, int, int, int]
    bottleneck: bool
    width: int = 64
    groups: int = 32
    kernel: int = 9
    strides: tuple[int, int, int, int] = (1, 4, 4, 4)
    stem_kernel: int = 7
    stem_stride: int = 2
    pool_input: int = 1
    dense: int = 256
    dense_activation: bool = False
    peaks: int = 0


class ConvNorm(nn.Module):
    """A convolution without bias and its group normalisation: (B, C, L) -> (B, C', ceil(L / stride))."""

    def __init__(
        self, channels_in: int, channels_out: int, kernel: int, groups: int, *, length: int, stride: int = 1
    ) -> None:
        super().__init__()
        self.convolution = SameConv1d(channels_in, channels_out, kernel, length=length, stride=stride, bias=False)
        self.norm = nn.GroupNorm(groups, channels_out, eps=EPSILON)
        self.out_length = self.convolution.out_length

    def forward(self, x: Tensor) -> Tensor:
        """Convolve and normalise."""
        return self.norm(self.convolution(x))  # type: ignore[no-any-return]


class Block(nn.Module):
    """A residual block; the first of a group projects its input by a 1x1 convolution with the same stride."""

    def __init__(
        self, channels: int, filters: int, settings: ResNetSettings, *, length: int, stride: int, project: bool
    ) -> None:
        super().__init__()
        self.channels = 4 * filters if settings.bottleneck else filters
        # (channels in, channels out, kernel, stride) of the path; the middle one of a bottleneck is strided
        shapes = (
            [
                (channels, filters, 1, 1),
                (filters, filters, settings.kernel, stride),
                (filters, self.channels, 1, 1),
            ]
            if settings.bottleneck
            else [(channels, filters, settings.kernel, stride), (filters, filters, settings.kernel, 1)]
        )
        self.path = nn.ModuleList()
        reached = length
        for channels_in, channels_out, kernel, step in shapes:
            layer = ConvNorm(channels_in, channels_out, kernel, settings.groups, length=reached, stride=step)
            self.path.append(layer)
            reached = layer.out_length
        self.projection = (
            ConvNorm(channels, self.channels, 1, settings.groups, length=length, stride=stride) if project else None
        )
        self.out_length = reached

    def forward(self, x: Tensor) -> Tensor:
        """Add the path to the (projected) input."""
        shortcut = x if self.projection is None else self.projection(x)
        for layer in self.path[:-1]:
            x = functional.relu(layer(x), inplace=True)
        return functional.relu(self.path[-1](x) + shortcut, inplace=True)


class ResNet(nn.Module):
    """Stem, four groups of blocks, flatten, dense, logits: (B, P) or (B, D, P) -> (B, C)."""

    output_layer = "logits"

    def __init__(self, settings: ResNetSettings, n_points: int, n_classes: int, *, n_channels: int = 1) -> None:
        super().__init__()
        self.pool_input = settings.pool_input
        length = -(-n_points // settings.pool_input)
        self.lengths = [n_points]
        self.input_pad = length * settings.pool_input - n_points
        self.stem = ConvNorm(
            n_channels,
            settings.width,
            settings.stem_kernel,
            settings.groups,
            length=length,
            stride=settings.stem_stride,
        )
        self.pool = SameMaxPool1d(3, length=self.stem.out_length, stride=2)
        self.lengths += [self.stem.out_length, self.pool.out_length]
        channels, length = settings.width, self.pool.out_length
        self.blocks = nn.Sequential()
        for group, (count, stride) in enumerate(zip(settings.blocks, settings.strides, strict=True)):
            for number in range(count):
                block = Block(
                    channels,
                    settings.width << group,
                    settings,
                    length=length,
                    stride=stride if number == 0 else 1,
                    project=number == 0,
                )
                self.blocks.append(block)
                channels, length = block.channels, block.out_length
            self.lengths.append(length)
        self.stages = tuple(f"blocks.{number}" for number in range(len(self.blocks)))
        self.peaks = PeakBranch(settings.peaks, n_points) if settings.peaks else None
        listed = 0 if self.peaks is None else self.peaks.width
        self.dense = nn.Linear(channels * length + listed, settings.dense)
        self.activation: nn.Module = nn.ReLU() if settings.dense_activation else nn.Identity()
        self.logits = nn.Linear(settings.dense, n_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv1d):
                variance_scaling_(module.weight)
            elif isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)

    def features(self, x: Tensor) -> Tensor:
        """Return what enters the last layer, (B, F), of patterns (B, P) or, of several channels, (B, D, P)."""
        x = x.unsqueeze(1) if x.dim() == 2 else x
        pattern = x[:, 0]
        if self.pool_input > 1:
            x = functional.avg_pool1d(functional.pad(x, (0, self.input_pad)), self.pool_input)
        x = self.pool(functional.relu(self.stem(x), inplace=True))
        x = self.blocks(x).flatten(1)
        if self.peaks is not None:
            x = torch.cat([x, self.peaks(pattern).to(x.dtype)], dim=1)
        return self.activation(self.dense(x))  # type: ignore[no-any-return]

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (B, C) of patterns (B, P) or, of several channels, (B, D, P)."""
        return self.logits(self.features(x))  # type: ignore[no-any-return]

"""The convolutional networks of Park et al. (IUCrJ 4 (2017) 486), as the paper uses them (S2.1, figure S1).

# B batch, P points of the axis, D channels of the input, C classes
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from xrdtrain.models.layers import SameConv1d, pooled_length


@dataclass(frozen=True, slots=True)
class ParkSettings:
    """Shape of a park network.

    Attributes:
        hidden: nodes of the two hidden layers.
        channels: filters of each of the three convolutions.
        kernels: their lengths in grid points.
        strides: their strides.
        pools: (window, stride) of the average pooling after each.

    """

    hidden: tuple[int, int]
    channels: int = 80
    kernels: tuple[int, int, int] = (100, 50, 25)
    strides: tuple[int, int, int] = (5, 5, 2)
    pools: tuple[tuple[int, int], ...] = ((3, 2), (3, 3), (3, 3))


class Park(nn.Module):
    """Three convolutions with average pooling, two hidden layers, logits: (B, P) or (B, D, P) -> (B, C)."""

    def __init__(
        self, settings: ParkSettings, n_points: int, n_classes: int, *, n_channels: int = 1, dropout: bool = False
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels, length = n_channels, n_points
        shapes = zip(settings.kernels, settings.strides, settings.pools, strict=True)
        for number, (kernel, stride, (window, step)) in enumerate(shapes, 1):
            convolution = SameConv1d(channels, settings.channels, kernel, length=length, stride=stride, bias=True)
            layers += [convolution, nn.ReLU(inplace=True), nn.AvgPool1d(window, step)]
            if dropout:
                layers.append(nn.Dropout(0.3))
            channels = settings.channels
            length = pooled_length(convolution.out_length, window, step, f"convolution {number} of park")
        layers.append(nn.Flatten())
        width = channels * length
        for nodes in settings.hidden:
            layers += [nn.Linear(width, nodes), nn.ReLU(inplace=True)]
            if dropout:
                layers.append(nn.Dropout(0.5))
            width = nodes
        self.output_layer = f"layers.{len(layers)}"
        layers.append(nn.Linear(width, n_classes))
        self.layers = nn.Sequential(*layers)
        for module in self.modules():
            if isinstance(module, nn.Conv1d | nn.Linear):
                nn.init.xavier_uniform_(module.weight)  # Keras' default
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def features(self, x: Tensor) -> Tensor:
        """Return what enters the last layer, (B, F), of patterns (B, P) or, of several channels, (B, D, P)."""
        return self.layers[:-1](x.unsqueeze(1) if x.dim() == 2 else x)  # type: ignore[no-any-return]

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (B, C) of patterns (B, P) or, of several channels, (B, D, P)."""
        return self.layers(x.unsqueeze(1) if x.dim() == 2 else x)  # type: ignore[no-any-return]

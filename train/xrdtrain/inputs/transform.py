"""From stored patterns to a network's input, on the device that the network computes on.

# B rows, P points of the source, Q points of the axis, C channels of the input
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from xrdcommon.grid import Grid

from xrdtrain.inputs.axis import AxisChange
from xrdtrain.inputs.masking import measured_ranges, shown
from xrdtrain.inputs.spec import Channel, InputSpec, Transform
from xrdtrain.inputs.squared_sine import on_squared_sine


class Preparation:
    """Brings the patterns of one source into the form that a network takes.

    Where axis and grid are the same and everything is shown, this is a cast and the transform. Else what is shown is
    scaled to a maximum of 1 again, as it would be after a measurement of that range.
    """

    def __init__(self, spec: InputSpec, source: Grid) -> None:
        """Prepare for patterns on a grid that covers the network's axis (see `axis.check_covers`)."""
        self.spec, self.source = spec, source
        self._change = AxisChange(source, spec.measurement.grid)
        self._axis = torch.from_numpy(spec.measurement.grid.two_theta.astype(np.float32))

    def __call__(
        self,
        patterns: Tensor,
        device: torch.device,
        samples: NDArray[np.void] | None = None,
        hidden: NDArray[np.float64] | None = None,
    ) -> Tensor:
        """Return the input (B, Q), or (B, C, Q) of several channels, of patterns (B, P) in [0, 1].

        Args:
            patterns: float16 or float32, on any device.
            device: where the network computes.
            samples: (B,) records that say what was measured; None: everything.
            hidden: (B, 4) from `RandomMask.draw`; None: nothing.

        """
        x = self._change(patterns.to(device, non_blocking=True).to(torch.float32))
        if self._axis.device != x.device:
            self._axis = self._axis.to(x.device)
        ranges = None if samples is None else measured_ranges(samples, self.source)
        mask = shown(self._axis, self.source, ranges, hidden)
        if mask is not None:
            x = x * mask
        if mask is not None or not self._change.same:
            x = x / x.amax(dim=1, keepdim=True).clamp(min=torch.finfo(torch.float32).tiny)
        return with_channels(self.spec, x, mask)


def with_channels(spec: InputSpec, x: Tensor, mask: Tensor | None) -> Tensor:
    """Transform intensities (B, Q) and add the network's other channels.

    Args:
        spec: of the network.
        x: intensities, 0 where nothing was measured.
        mask: (B, Q) where it was; None: everywhere.

    """
    if spec.transform is Transform.SQUARE_ROOT:
        x = x.sqrt()
    if len(spec.channels) == 1:
        return x
    made = {
        Channel.PATTERN: lambda: x,
        Channel.MASK: lambda: torch.ones_like(x) if mask is None else mask.to(x.dtype),
        Channel.SQUARED_SINE: lambda: on_squared_sine(x, spec.measurement.grid),
    }
    return torch.stack([made[channel]() for channel in spec.channels], dim=1)

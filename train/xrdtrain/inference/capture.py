"""What a network makes of patterns on the way to its logits: the features before its last layer, and all stages.

# n patterns of a forward pass, C channels of a stage, F features or summaries
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from xrdcommon.errors import InputError

from xrdtrain.models.spec import Network


@contextmanager
def captured(network: Network, stages: Sequence[str] = ()) -> Iterator[list[NDArray[np.float32]]]:
    """Collect what enters a network's last layer, (n, F) for each forward pass inside the block.

    Args:
        network: it names its last layer.
        stages: names of modules of which mean, maximum and standard deviation of every channel stand before it.

    Raises:
        InputError: a network of the user's that does not name its last layer.

    """
    name = getattr(network, "output_layer", None)
    if not isinstance(name, str):
        raise InputError("the network does not name its last layer; set `output_layer` to its name in the network")
    found: list[NDArray[np.float32]] = []
    parts: list[Tensor] = []

    def keep(_module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
        points = output.detach().float().flatten(2)
        parts.extend([points.mean(dim=2), points.amax(dim=2), points.std(dim=2, correction=0)])

    def close(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        found.append(torch.cat([*parts, inputs[0].detach().float()], dim=1).cpu().numpy())
        parts.clear()

    handles = [network.get_submodule(stage).register_forward_hook(keep) for stage in stages]
    handles.append(network.get_submodule(name).register_forward_pre_hook(close))
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def summarised(network: Network) -> AbstractContextManager[list[NDArray[np.float32]]]:
    """Collect mean, maximum and deviation of every channel of every stage, and then what enters the last layer.

    Stages are those that a network names in `stages`; without them there is the last layer alone.

    Raises:
        InputError: a network of the user's that does not name its last layer.

    """
    return captured(network, getattr(network, "stages", ()))

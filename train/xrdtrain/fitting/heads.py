"""What a network may learn beside the space group: heads on what enters its last layer, dropped after the training.

- crystal-system: which of the seven, by cross-entropy.
- extinction-group: which of those of the classes, by cross-entropy.
- lattice: ln a, ln b, ln c, the cosines of the angles and ln V of the conventional cell, by Huber's loss (Ann. Math.
  Statist. 35 (1964) 73) of values that are scaled to a spread of about 1.
- crystallite-size: ln L, likewise.

A sample that does not record a value does not count for that head.

# B rows, F features, K outputs of a head
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from xrdcommon.errors import InputError
from xrdcommon.extinction import extinction_group
from xrdcommon.space_groups import CRYSTAL_SYSTEMS, N_GROUPS, crystal_system

from xrdtrain.models.spec import Network

_ANGSTROM: Final = (2.2, 0.6)
"""Mean and spread of ln(length / Å) that cell lengths are scaled by: 9 Å, and a factor of 1.8."""

_COSINE: Final = (0.0, 0.3)
_VOLUME: Final = (6.6, 1.2)
_SIZE: Final = (3.9, 0.8)
"""Of ln(L / nm): 50 nm, and a factor of 2.2."""

_SCALES: Final = {
    "lattice": np.array([_ANGSTROM] * 3 + [_COSINE] * 3 + [_VOLUME]),
    "crystallite-size": np.array([_SIZE]),
}
Outputs = dict[str, Tensor]


def measures(name: str, samples: NDArray[np.void]) -> NDArray[np.float32]:
    """Return what a head of measures is to learn, (B, K), scaled; NaN where it is not recorded."""
    with np.errstate(divide="ignore", invalid="ignore"):
        if name == "crystallite-size":
            values = np.log(samples["crystallite_size"].astype(np.float64))[:, None]
        else:
            lattice = samples["lattice"].astype(np.float64)
            volume = np.log(samples["volume"].astype(np.float64))
            values = np.column_stack([np.log(lattice[:, :3]), np.cos(np.radians(lattice[:, 3:])), volume])
        mean, spread = _SCALES[name].T
        scaled = (values - mean) / spread
    return np.where(np.isfinite(scaled), scaled, np.nan).astype(np.float32)


class Heads(nn.Module):
    """One layer for each thing that is learned: features (B, F) to outputs (B, K) of each."""

    def __init__(self, names: tuple[str, ...], n_features: int, classes: tuple[int, ...]) -> None:
        super().__init__()
        self._names = names
        tables = {
            "crystal-system": lambda group: CRYSTAL_SYSTEMS.index(crystal_system(group)),
            "extinction-group": extinction_group,
        }
        self._index: dict[str, NDArray[np.int64]] = {}
        self.layers = nn.ModuleDict()
        for name in names:
            if name in tables:
                found = {group: tables[name](group) for group in classes}
                values = sorted(set(found.values()))
                index = np.zeros(N_GROUPS + 1, dtype=np.int64)
                index[list(found)] = [values.index(value) for value in found.values()]
                self._index[name] = index
                n = len(values)
            else:
                n = len(_SCALES[name])
            self.layers[name] = nn.Linear(n_features, n)

    def forward(self, features: Tensor) -> Outputs:
        """Return what each head says."""
        return {name: self.layers[name](features) for name in self._names}

    def losses(self, outputs: Mapping[str, Tensor], samples: NDArray[np.void], rows: Tensor) -> Tensor:
        """Return the sum over rows and heads of the losses.

        Args:
            outputs: of this module, for all rows.
            samples: (B,) records.
            rows: (B,) 1 for a row that counts, else 0.

        """
        total = rows.new_zeros(())
        for name, output in outputs.items():
            said = output.float()
            if name in self._index:
                wanted = torch.from_numpy(self._index[name][samples["space_group"]]).to(said.device)
                each = functional.cross_entropy(said, wanted, reduction="none")
            else:
                values = torch.from_numpy(measures(name, samples)).to(said.device)
                known = ~values.isnan()
                error = functional.smooth_l1_loss(said, values.where(known, said.detach()), reduction="none")
                each = error.mean(dim=1)
            total = total + (each * rows).sum()
        return total


class WithHeads(nn.Module):
    """A network and its heads: patterns to logits and what the heads say."""

    def __init__(self, network: Network, names: tuple[str, ...], classes: tuple[int, ...]) -> None:
        """Put heads on a network.

        Raises:
            InputError: a network of the user's own that does not say what enters its last layer.

        """
        super().__init__()
        last = getattr(network, "output_layer", None)
        layer: Any = network.get_submodule(last) if isinstance(last, str) else None
        if not hasattr(network, "features") or not isinstance(layer, nn.Linear):
            raise InputError(
                "--option heads: the network needs a method `features` that gives what enters its last layer, and "
                "`output_layer`, the name of that layer (a torch.nn.Linear)"
            )
        self.network = network
        self.heads = Heads(names, layer.in_features, classes)
        self._last = (layer,)  # in a tuple: it is the network's own

    def forward(self, x: Tensor) -> tuple[Tensor, Outputs]:
        """Return logits (B, C) and the heads' outputs."""
        features = self.network.features(x)  # type: ignore[operator]
        return self._last[0](features), self.heads(features)

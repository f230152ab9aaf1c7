"""Patterns that another crystal's is added to (mixup; Zhang et al., ICLR 2018), with labels shared accordingly.

A pattern p of a mixed sample becomes (1 - f) p + f q, scaled to a maximum of 1, with f uniform in [0, 1/2): a mixture
of two phases, each scaled to its maximum, not to its content. Its label is 1 - f for p's space group and f for q's.
The partner q is the row as far from the end of this process's part of the batch as p is from its beginning.

What is mixed is drawn by Philox (Salmon et al., SC 2011) with the run's seed as key and the number of the sample in the
training as counter.

# B rows of this rank's part of a batch, P points
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from xrdtrain.inputs.masking import FIRST, LAST

_PURPOSE = 0x6D6978
"""Second word of the key: no other draw from the same seed has it."""

_DRAWS = 4
"""Numbers reserved for each sample: Philox's block."""


def draw_fractions(share: float, seed: int, first: int, n: int) -> NDArray[np.float32]:
    """Return the partner's fraction f (n,) of samples `first` to `first + n` of a training; 0: not mixed.

    Args:
        share: of the samples that are mixed.
        seed: of the run.
        first: number of the first sample.
        n: samples.

    """
    key = np.array([seed, _PURPOSE], dtype=np.uint64)
    counter = np.array([first, 0, 0, 0], dtype=np.uint64)
    u = np.random.Generator(np.random.Philox(key=key, counter=counter)).random((n, _DRAWS))
    return np.where(u[:, 0] < share, 0.5 * u[:, 1], 0.0).astype(np.float32)


def mix(patterns: Tensor, samples: NDArray[np.void], fractions: NDArray[np.float32]) -> tuple[Tensor, NDArray[np.void]]:
    """Return patterns (B, P), float32, and records (B,) with partners added.

    The records keep what they say of their own crystal; their measured range is what both crystals were measured in.

    Args:
        patterns: (B, P) in [0, 1].
        samples: (B,) records.
        fractions: (B,) of the partner.

    """
    mixed = np.flatnonzero(fractions)
    x = patterns.float()
    if not len(mixed):
        return x, samples
    x = x.clone() if x is patterns else x
    rows = torch.from_numpy(mixed).to(x.device)
    f = torch.from_numpy(fractions[mixed]).to(x.device).unsqueeze(1)
    sums = torch.lerp(x[rows], x[len(x) - 1 - rows], f)
    x[rows] = sums / sums.amax(dim=1, keepdim=True).clamp(min=torch.finfo(torch.float32).tiny)
    records = samples.copy()
    for name, both in ((FIRST, np.fmax), (LAST, np.fmin)):  # NaN stands for the end of the grid
        records[name][mixed] = both(samples[name][mixed], samples[name][len(samples) - 1 - mixed])
    return x, records

"""Which points of a pattern were measured: from its record, and hidden at random in training.

What is hidden is drawn by Philox (Salmon et al., SC 2011) with the run's seed as key and the number of the sample in
the training as counter, so that a training that goes on, with any number of processes, hides the same.

# B rows, Q points of the axis
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from xrdcommon.errors import FormatError, InputError
from xrdcommon.grid import Grid

FIRST, LAST = "range_first", "range_last"
"""Fields of a record: the first and the last measured angle, degrees 2theta."""

_PURPOSE = 0x6D61736B
"""Second word of the key: no other draw from the same seed has it."""

_DRAWS = 8
"""Numbers reserved for each sample; a multiple of Philox's block of four."""


@dataclass(frozen=True, slots=True)
class RandomMask:
    """How ranges are hidden in training.

    Attributes:
        share: of the samples that lose something.
        ends: largest share of the axis that each end loses; either is spared in half of these samples.
        gap: largest share of the axis that is left out somewhere between, in half of these samples.

    """

    share: float = 0.5
    ends: float = 0.3
    gap: float = 0.1

    def __post_init__(self) -> None:
        """Refuse shares that are none, or leave nothing.

        Raises:
            InputError: outside [0, 1], or more than 0.9 of the axis may be hidden.

        """
        for name, value in asdict(self).items():
            if not 0.0 <= value <= 1.0:
                raise InputError(f"masking {name} {value}: must be a share, 0 to 1")
        if 2.0 * self.ends + self.gap > 0.9:
            raise InputError(f"masking hides up to {2.0 * self.ends + self.gap:g} of the axis; at most 0.9")

    def to_dict(self) -> dict[str, float]:
        """Return the fields for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> RandomMask:
        """Read back what `to_dict` wrote.

        Raises:
            FormatError: something is missing or no number.

        """
        try:
            return cls(float(fields["share"]), float(fields["ends"]), float(fields["gap"]))
        except (KeyError, TypeError, ValueError) as error:
            raise FormatError(f"masking {fields}: {error}; it was written by another version") from error

    def draw(self, seed: int, first: int, n: int) -> NDArray[np.float64]:
        """Return what is hidden from samples `first` to `first + n` of a training.

        Returns:
            (n, 4) shares of the axis: the first and the last shown, then the beginning and the end of the gap.

        """
        key = np.array([seed, _PURPOSE], dtype=np.uint64)
        counter = np.array([first * (_DRAWS // 4), 0, 0, 0], dtype=np.uint64)
        u = np.random.Generator(np.random.Philox(key=key, counter=counter)).random((n, _DRAWS))
        chosen = u[:, 0] < self.share
        low = np.where(chosen & (u[:, 1] < 0.5), u[:, 2] * self.ends, 0.0)
        high = 1.0 - np.where(chosen & (u[:, 3] < 0.5), u[:, 4] * self.ends, 0.0)
        width = np.where(chosen & (u[:, 5] < 0.5), u[:, 6] * self.gap, 0.0)
        begin = low + u[:, 7] * (high - low - width)
        return np.stack([low, high, begin, begin + width], axis=1)


def measured_ranges(samples: NDArray[np.void], source: Grid) -> NDArray[np.float32] | None:
    """Return first and last measured angle, (B, 2) in degrees 2theta; None where all records have the whole grid.

    Args:
        samples: (B,) records; one that names no range, as those of earlier versions, or NaN has the whole grid.
        source: grid of the patterns.

    """
    names = samples.dtype.names or ()
    if FIRST not in names or LAST not in names:
        return None
    limits = np.stack([samples[FIRST], samples[LAST]], axis=1).astype(np.float32)
    whole = np.array([source.two_theta_min, source.two_theta_max], dtype=np.float32)
    limits = np.where(np.isnan(limits), whole, limits)
    if (limits[:, 0] <= whole[0]).all() and (limits[:, 1] >= whole[1]).all():
        return None
    return limits


def shown(
    axis: Tensor, source: Grid, ranges: NDArray[np.float32] | None, hidden: NDArray[np.float64] | None
) -> Tensor | None:
    """Return which points are shown, (B, Q), None where all are.

    Args:
        axis: (Q,) degrees 2theta, on the device of the result.
        source: grid that the pattern came on; a point within half a step of a measured one counts as measured.
        ranges: (B, 2) measured angles, None for all.
        hidden: (B, 4) from `RandomMask.draw`, None for nothing.

    """
    result = None
    if ranges is not None:
        slack = 0.5 * source.step
        limits = torch.from_numpy(ranges).to(axis.device)
        result = (axis >= limits[:, :1] - slack) & (axis <= limits[:, 1:] + slack)
    if hidden is not None and (hidden != [0.0, 1.0, 0.0, 0.0]).any():
        start, end = float(axis[0]), float(axis[-1])
        low, high, begin, stop = torch.from_numpy((start + (end - start) * hidden).T).float().to(axis.device)[..., None]
        kept = (axis >= low) & (axis <= high) & ~((axis >= begin) & (axis < stop))
        result = kept if result is None else result & kept
    return result

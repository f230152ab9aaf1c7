"""The strongest maxima of a pattern as a list, and a network that reads it in any order (Zaheer et al., NeurIPS 2017).

A maximum is a point above all to its left and not below any to its right within a thousandth of the axis. Each is
described by its position, its height and, for its width, by the mean of the points around it over its height. One
small network reads each; the mean and the largest of what it says are taken over the maxima.

# B patterns, P points, N maxima, F numbers that describe one
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

OCTAVES = 10
"""Sines and cosines of the position, each of half the period of the one before."""

HIDDEN = 64
OUT = 128


class PeakBranch(nn.Module):
    """Maxima of a pattern, each read alike, and what they say together: (B, P) -> (B, width)."""

    def __init__(self, n: int, n_points: int) -> None:
        super().__init__()
        self.n = min(n, n_points)
        self.reach = max(1, round(n_points / 1000))
        self.n_points = n_points
        self.width = 2 * OUT
        self.first = nn.Linear(3 + 2 * OCTAVES, HIDDEN)
        self.second = nn.Linear(HIDDEN, OUT)

    def peaks(self, pattern: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return positions from 0 to 1, heights and widths of the N strongest maxima (B, N); of height 0 are none."""
        x = pattern.float()
        side = self.reach
        padded = functional.pad(x, (side, side)).unsqueeze(1)
        before = functional.max_pool1d(padded[..., : -side - 1], side, 1).squeeze(1)
        after = functional.max_pool1d(padded[..., side + 1 :], side, 1).squeeze(1)
        strength = torch.where((x > before) & (x >= after), x, torch.zeros_like(x))
        height, index = strength.topk(self.n, dim=1)
        around = functional.avg_pool1d(padded, 2 * side + 1, 1).squeeze(1).gather(1, index)
        return index.float() / (self.n_points - 1), height, around / height.clamp(min=1e-6)

    def forward(self, pattern: Tensor) -> Tensor:
        """Read the maxima."""
        position, height, width = self.peaks(pattern)
        there = (height > 0.0).unsqueeze(2)
        periods = math.pi * 2.0 ** torch.arange(OCTAVES, device=pattern.device, dtype=torch.float32)
        angle = position.unsqueeze(2) * periods
        described = torch.cat([torch.stack([position, height, width], dim=2), angle.sin(), angle.cos()], dim=2)
        said = functional.relu(self.second(functional.relu(self.first(described)))) * there
        mean = said.sum(dim=1) / there.sum(dim=1).clamp(min=1)
        return torch.cat([mean, said.amax(dim=1)], dim=1)

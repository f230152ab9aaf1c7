"""What stands out of a pattern's noise: lines, their number and height, and what is broad.

# M measured points, L lines
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d, uniform_filter1d

NARROW = 3.0
"""Degrees; a maximum with a larger FWHM is a hump (crystallites of 3 nm give 2.8 degrees, glasses 5 to 12)."""

SMOOTHING = 0.04
"""Degrees, sigma of the filter before lines are sought: below the width of most lines."""

SIGNIFICANT = 6.0
"""Prominence of a line, in standard deviations of the smoothed noise around it."""

LEAST_SHARE = 0.01
"""Of the strongest line, below which a line is not counted."""

_FOURTH = np.array([1.0, -4.0, 6.0, -4.0, 1.0]) / np.sqrt(70.0)
"""Fourth difference, which lines of five points or more hardly touch; white noise keeps its standard deviation."""

_QUARTER = 0.3186
"""A quarter of the absolute values of a normal variable of unit standard deviation are below this."""


@dataclass(frozen=True, slots=True)
class Lines:
    """What stands out of a pattern.

    Attributes:
        positions: (L,) degrees 2theta of the narrow lines.
        n_broad: maxima wider than `NARROW`.
        signal_to_noise: height of the strongest line in standard deviations of one point's noise; 0 for none.
        narrow_share: share of the intensity above the lowest level that lies in narrow lines.

    """

    positions: NDArray[np.float64]
    n_broad: int
    signal_to_noise: float
    narrow_share: float

    def __len__(self) -> int:
        """Return the number of narrow lines L."""
        return len(self.positions)


def noise(intensity: NDArray[np.float64], window: int) -> NDArray[np.float64]:
    """Return the standard deviation of the noise of single points (M,), from fourth differences of neighbours.

    Args:
        intensity: (M,).
        window: points over which it is averaged.

    """
    fourth = np.zeros_like(intensity)
    if len(intensity) > 4:
        fourth[2:-2] = np.convolve(intensity, _FOURTH, mode="valid")
    size = np.abs(fourth)
    # lines only make differences larger, so the smaller ones tell the noise; zeros are points clipped at zero
    typical = float(np.quantile(size[size > 0.0], 0.25)) / _QUARTER if size.any() else 0.0
    # counting noise grows with the square root of the local level; lines do not count as noise
    level = uniform_filter1d(np.maximum(intensity, 0.0), window, mode="nearest")
    reference = float(np.median(level[level > 0.0])) if (level > 0.0).any() else 1.0
    reference = max(reference, typical, np.finfo(np.float64).tiny)  # less where the background was removed
    sigma: NDArray[np.float64] = typical * np.sqrt(np.maximum(level / reference, 1.0))
    return sigma


def find_lines(angles: NDArray[np.float64], intensity: NDArray[np.float64]) -> Lines:
    """Find what stands out of a pattern.

    Args:
        angles: (M,) degrees 2theta, rising and nearly equidistant.
        intensity: (M,) measured, its background may be in it.

    """
    from scipy.signal import find_peaks, peak_widths  # slow to load, and every training would wait for it

    step = max(float(np.median(np.diff(angles))), 1e-6)
    width = SMOOTHING / step
    smooth = gaussian_filter1d(intensity, width, mode="nearest") if width > 0.3 else intensity
    # the filter leaves this share of the standard deviation of white noise
    left = min(1.0, (2.0 * np.sqrt(np.pi) * width) ** -0.5) if width > 0.3 else 1.0
    sigma = noise(intensity, max(3, round(1.0 / step)))
    span = float(smooth.max() - np.median(smooth))
    if span <= 0.0 or not (sigma > 0.0).all():
        return Lines(np.empty(0), 0, 0.0, 0.0)
    found, properties = find_peaks(smooth, prominence=LEAST_SHARE * span)
    prominence = properties["prominences"]
    kept = prominence > SIGNIFICANT * left * sigma[found]
    found, prominence = found[kept], prominence[kept]
    if not len(found):
        return Lines(np.empty(0), 0, 0.0, 0.0)
    fwhm, _, low, high = peak_widths(smooth, found, rel_height=0.5)
    narrow = fwhm * step <= NARROW
    area = np.where(narrow, prominence * (high - low), 0.0).sum()
    whole = float(np.maximum(smooth - np.quantile(smooth, 0.02), 0.0).sum())
    strongest = float(prominence.max() / max(float(sigma[found[prominence.argmax()]]), 1e-300))
    return Lines(angles[found[narrow]], int((~narrow).sum()), strongest, min(1.0, float(area) / max(whole, 1e-300)))

"""What a file of an instrument says: one measured pattern, with its radiation and where each fact came from.

# M measured points
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xrdtrain.measured.emission import Radiation
from xrdtrain.measured.positions import s_of


class Axis(StrEnum):
    """What the first column of a pattern is."""

    TWO_THETA = "2theta"
    THETA = "theta"
    RADIANS = "radians"
    THETA_RADIANS = "theta-radians"
    CENTIDEGREES = "centidegrees"
    Q = "q"
    Q_NM = "q-nm"
    D = "d"
    S = "s"


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """What the user says about files that do not say it themselves.

    Attributes:
        axis: what the first column is; None where it is to be recognised.
        radiation: None where the file is to say it.
        scan: which of several scans, counted from 1; None for the first, which is then said.
        columns: which columns, counted from 1, hold the axis and the intensity; None where they are to be recognised.

    """

    axis: Axis | None = None
    radiation: Radiation | None = None
    scan: int | None = None
    columns: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Scan:
    """Columns of a file as they stand there, before the axis is brought to 2theta.

    Attributes:
        x: (M,) first column in its own unit; empty where the file has intensities alone.
        intensity: (M,) as stored.
        esd: (M,) estimated standard deviations, None where the file has none.
        axis: what x is; None where nothing in the file says it.
        axis_from: the words in the file that say so, for messages.
        radiation: None where the file does not say it.
        scans: how many scans the file holds.
        remarks: what a person should know about how it was read.

    """

    x: NDArray[np.float64]
    intensity: NDArray[np.float64]
    esd: NDArray[np.float64] | None = None
    axis: Axis | None = None
    axis_from: str = ""
    radiation: Radiation | None = None
    scans: int = 1
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MeasuredPattern:
    """A measured pattern.

    Attributes:
        file: where it was read.
        two_theta: (M,) degrees, rising; empty where the file has Q, d or s and no wavelength is known.
        s: (M,) sin(theta) / lambda in 1/Å, rising; empty where no wavelength is known.
        intensity: (M,) as stored.
        esd: (M,) or None.
        radiation: wavelengths and where they came from; None where nobody has said it yet.
        axis: what the file's first column was.
        remarks: what a person should know about how it was read.
        on_grid: the file has one column of intensities on the network's own grid.

    """

    file: Path
    two_theta: NDArray[np.float64]
    s: NDArray[np.float64]
    intensity: NDArray[np.float64]
    esd: NDArray[np.float64] | None = None
    radiation: Radiation | None = None
    axis: Axis = Axis.TWO_THETA
    remarks: tuple[str, ...] = field(default=())
    on_grid: bool = False

    @property
    def wavelength(self) -> float | None:
        """Wavelength in Å that positions are counted in (K-alpha 1 of a doublet)."""
        return None if self.radiation is None else self.radiation.wavelength

    def at(self, radiation: Radiation) -> MeasuredPattern:
        """Return the pattern with its radiation, and s from it where its axis is an angle."""
        s = s_of(self.two_theta, radiation.wavelength) if len(self.two_theta) else self.s
        return replace(self, radiation=radiation, s=s)

    def __len__(self) -> int:
        """Return the number of points M."""
        return len(self.intensity)

"""The 2theta grid on which diffractograms are sampled."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xrdcommon.errors import InputError

MAX_POINTS = 1_000_000


@dataclass(frozen=True, slots=True)
class Grid:
    """An equidistant 2theta grid in degrees, both ends included (paper, section 2.2: 8501 points)."""

    two_theta_min: float = 5.0
    two_theta_max: float = 90.0
    step: float = 0.01

    def __post_init__(self) -> None:
        """Refuse a grid that no diffractometer could measure.

        Raises:
            InputError: limits outside (0, 180) degrees, a step that is not positive or does not divide the range.

        """
        values = (self.two_theta_min, self.two_theta_max, self.step)
        if not all(np.isfinite(values)):
            raise InputError(f"grid {values}: not finite; give 2theta limits and step in degrees")
        if not 0.0 < self.two_theta_min < self.two_theta_max < 180.0:
            raise InputError(
                f"grid {self.two_theta_min} to {self.two_theta_max} degrees 2theta: need 0 < min < max < 180"
            )
        if self.step <= 0.0:
            raise InputError(f"grid step {self.step} degrees: must be positive")
        intervals = (self.two_theta_max - self.two_theta_min) / self.step
        if intervals < 1 or abs(intervals - round(intervals)) > 1e-6 * max(1.0, intervals):
            raise InputError(
                f"grid step {self.step} does not divide {self.two_theta_min} to {self.two_theta_max} degrees"
            )
        if intervals >= MAX_POINTS:
            raise InputError(f"grid of {intervals + 1:.0f} points: more than {MAX_POINTS}; take a larger step")

    @property
    def n_points(self) -> int:
        """Number of points P."""
        return round((self.two_theta_max - self.two_theta_min) / self.step) + 1

    @property
    def two_theta(self) -> NDArray[np.float64]:
        """Positions (P,) in degrees 2theta."""
        return np.linspace(self.two_theta_min, self.two_theta_max, self.n_points)

    def to_dict(self) -> dict[str, float]:
        """Return the fields for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Grid:
        """Read back what `to_dict` wrote."""
        return cls(float(fields["two_theta_min"]), float(fields["two_theta_max"]), float(fields["step"]))

    def __str__(self) -> str:
        """Describe the grid in one phrase."""
        return f"{self.two_theta_min:g} to {self.two_theta_max:g} degrees 2theta in steps of {self.step:g}"

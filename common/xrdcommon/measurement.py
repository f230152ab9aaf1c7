"""How a diffractogram was measured or simulated: its 2theta grid and its radiation."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from xrdcommon.errors import FormatError, InputError
from xrdcommon.grid import Grid

CU_K_ALPHA_1: Final = 1.5406
"""Å; the paper's wavelength (section 2.2), and that of sources which do not name theirs."""

SAME_WAVELENGTH: Final = 1e-6
"""Å; wavelengths that differ by more are different radiations."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """A 2theta grid with a wavelength, which together say what a point of a diffractogram means.

    Attributes:
        grid: angles.
        wavelength: Å.

    """

    grid: Grid = field(default_factory=Grid)
    wavelength: float = CU_K_ALPHA_1

    def __post_init__(self) -> None:
        """Refuse a wavelength that is none.

        Raises:
            InputError: not a positive, finite number.

        """
        if not (math.isfinite(self.wavelength) and self.wavelength > 0.0):
            raise InputError(f"wavelength {self.wavelength:g} Å: must be positive and finite")

    @property
    def s(self) -> NDArray[np.float64]:
        """sin(theta) / lambda of every point, (P,), in 1/Å; the d-spacing there is 1 / (2 s)."""
        values: NDArray[np.float64] = np.sin(np.radians(self.grid.two_theta / 2.0)) / self.wavelength
        return values

    def two_theta_of(self, s: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return where sin(theta) / lambda (M,) in 1/Å appears, (M,) in degrees 2theta; NaN where it cannot."""
        sine = self.wavelength * s
        return np.degrees(2.0 * np.arcsin(np.where(np.abs(sine) <= 1.0, sine, np.nan)))

    def same_radiation(self, other: Measurement) -> bool:
        """Return whether both have the same wavelength, within `SAME_WAVELENGTH`."""
        return abs(self.wavelength - other.wavelength) <= SAME_WAVELENGTH

    def require_radiation(self, what: str, ours: Measurement, our_name: str) -> None:
        """Refuse patterns of another radiation.

        Args:
            what: the patterns, for the message.
            ours: what they are compared with.
            our_name: whose that is, for the message.

        Raises:
            InputError: the wavelengths differ.

        """
        if not self.same_radiation(ours):
            raise InputError(
                f"{what}: wavelength {self.wavelength:g} Å, but {our_name} has {ours.wavelength:g} Å; "
                "freeze the structures again with the same --wavelength"
            )

    def to_dict(self) -> dict[str, Any]:
        """Return the fields for JSON."""
        return {"grid": self.grid.to_dict(), "wavelength": self.wavelength}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Measurement:
        """Read back what `to_dict` wrote.

        Raises:
            FormatError: something is missing or no number.

        """
        try:
            return cls(Grid.from_dict(fields["grid"]), float(fields["wavelength"]))
        except (KeyError, TypeError, ValueError) as error:
            if isinstance(error, InputError):
                raise
            raise FormatError(f"measurement {fields}: needs a grid and a wavelength") from error

    @classmethod
    def of_simulation(cls, grid: Grid, simulation: Mapping[str, Any] | None) -> Measurement:
        """Return the measurement of a source from its grid and the settings of its simulation, as stored with it.

        A source that does not name a wavelength has the default, `CU_K_ALPHA_1`.

        Raises:
            FormatError: the wavelength there is not a number.

        """
        found = (simulation or {}).get("wavelength")
        try:
            return cls(grid, CU_K_ALPHA_1 if found is None else float(found))
        except (TypeError, ValueError) as error:
            if isinstance(error, InputError):
                raise
            raise FormatError(f"wavelength {found!r}: not a number in Å") from error

    def __str__(self) -> str:
        """Describe the measurement in one phrase."""
        return f"{self.grid}, {self.wavelength:g} Å"

"""Settings of a simulation: grid, wavelength, crystallite sizes."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any

from xrdcommon.errors import InputError
from xrdcommon.grid import Grid
from xrdcommon.measurement import CU_K_ALPHA_1, Measurement

ANGSTROMS_PER_NM = 10.0


def check_fraction(lorentzian_fraction: float) -> None:
    """Refuse a share of the Lorentzian that is none.

    Raises:
        InputError: outside [0, 1], or not a number.

    """
    if not 0.0 <= lorentzian_fraction <= 1.0:
        raise InputError(
            f"Lorentzian fraction {lorentzian_fraction}: must be 0 (Gaussian peaks) to 1 (Lorentzian peaks)"
        )


@dataclass(frozen=True, slots=True)
class SimulationSettings:
    """What a diffractogram depends on besides the crystal (paper, section 2.2).

    Attributes:
        grid: 2theta points, degrees.
        wavelength: Å.
        size_min: smallest crystallite size, nm.
        size_max: largest crystallite size, nm; sizes are drawn uniformly from [size_min, size_max).
        scherrer_constant: K of the Scherrer equation.
        lorentzian_fraction: share of the Lorentzian in the area of each pseudo-Voigt peak: 0 is a Gaussian, 1 a
            Lorentzian. (The paper's eta weights the Gaussian, that of most programs the Lorentzian.)

    """

    grid: Grid = field(default_factory=Grid)
    wavelength: float = CU_K_ALPHA_1
    size_min: float = 20.0
    size_max: float = 100.0
    scherrer_constant: float = 0.9
    lorentzian_fraction: float = 0.0

    def __post_init__(self) -> None:
        """Refuse settings that no measurement could have.

        Raises:
            InputError: not finite, not positive, sizes in the wrong order, peaks narrower than a grid step, a fraction
                outside [0, 1].

        """
        for name in ("wavelength", "size_min", "size_max", "scherrer_constant"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0.0):
                raise InputError(f"{name} {value}: must be a positive number")
        check_fraction(self.lorentzian_fraction)
        if self.size_min > self.size_max:
            raise InputError(f"crystallite sizes {self.size_min:g} to {self.size_max:g} nm: need min <= max")
        narrowest = math.degrees(self.scherrer_fwhm(self.size_max))
        if narrowest < self.grid.step:
            raise InputError(
                f"crystallite size {self.size_max:g} nm: peaks of {narrowest:.2g} degrees FWHM fall between grid "
                f"points {self.grid.step:g} degrees apart; take smaller crystallites or a smaller step"
            )

    @property
    def measurement(self) -> Measurement:
        """Grid and wavelength."""
        return Measurement(self.grid, self.wavelength)

    def scherrer_fwhm(self, crystallite_size: float) -> float:
        """Return K lambda / L in radians 2theta, the FWHM at theta = 0, for a size in nm."""
        return self.scherrer_constant * self.wavelength / (crystallite_size * ANGSTROMS_PER_NM)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> SimulationSettings:
        """Read back what `to_dict` wrote."""
        return cls(
            grid=Grid.from_dict(fields["grid"]),
            # files from before this field hold Gaussian peaks
            lorentzian_fraction=float(fields.get("lorentzian_fraction", 0.0)),
            **{name: float(fields[name]) for name in ("wavelength", "size_min", "size_max", "scherrer_constant")},
        )

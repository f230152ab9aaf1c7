"""Diffractograms by pymatgen's lines and an exact sum of peaks in double precision (paper, section 2.2).

    symbol      meaning                                                     source
    I           |F|^2 (1 + cos^2 2 theta) / (sin^2 theta cos theta)         pymatgen, XRDCalculator (every hkl counts)
    FWHM        K lambda / (L cos theta), on the 2 theta axis               Scherrer (1918); Patterson (1939)
    y           sum of I [(1 - eta) Gaussian + eta Lorentzian], maximum 1   paper, section 2.2 (eta = 0)
    eta         share of the Lorentzian; both have area 1 and this FWHM     `SimulationSettings.lorentzian_fraction`

# R lines    P grid points
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray
from xrdcommon.identity import Purpose, SampleIdentity

from xrdgen.diffraction.settings import ANGSTROMS_PER_NM, SimulationSettings
from xrdgen.reference.crystal import ReferenceCrystal
from xrdgen.reference.stream import RandomStream

SEEN = 5.5
"""A line reaches the grid if a grid point lies within this many sigma of it; fainter tails alone make no pattern."""

SUMMED = 9.0
"""Gaussians are summed to this many sigma, where they are 3e-18 of their height."""

ABSENT = 1e-20
"""Lines with less than this share of F(000)^2 are systematically absent (rounding leaves about 1e-28)."""

LAST_TWO_THETA = 179.9
"""Degrees; the Lorentz factor diverges at 180."""

LAST_TAIL = 170.0
"""Degrees; Lorentzian tails of lines beyond are left out: intensity and width diverge together towards 180."""

SAME_ANGLE = 1e-9
"""Lines within this of each other, in degrees, are one: equivalent reflections differ by rounding only."""

SIGMA_PER_FWHM = 1.0 / math.sqrt(8.0 * math.log(2.0))


class ReferenceSimulator:
    """Simulates crystals under fixed settings."""

    def __init__(self, settings: SimulationSettings | None = None) -> None:
        self.settings = settings or SimulationSettings()

    def crystallite_size(self, identity: SampleIdentity) -> float:
        """Return the size (nm) of a sample, uniform in [size_min, size_max)."""
        share = RandomStream(identity, Purpose.PATTERN).uniform()
        return self.settings.size_min + (self.settings.size_max - self.settings.size_min) * share

    def sigma(self, two_theta: NDArray[np.float64], crystallite_size: float) -> NDArray[np.float64]:
        """Return the standard deviations (R,) in degrees 2theta of lines, for a crystallite size in nm."""
        size = crystallite_size * ANGSTROMS_PER_NM
        fwhm = self.settings.scherrer_constant * self.settings.wavelength / (size * np.cos(np.radians(two_theta / 2.0)))
        return np.asarray(np.degrees(fwhm) * SIGMA_PER_FWHM)

    def lines(self, crystal: ReferenceCrystal, first: float, last: float) -> NDArray[np.float64]:
        """Return pymatgen's lines between two angles as (2, R): 2theta in degrees, intensity (not scaled).

        Systematically absent ones are left out.
        """
        from pymatgen.analysis.diffraction.xrd import XRDCalculator

        structure = crystal.to_pymatgen()
        radius = 2.0 * math.sin(math.radians(last / 2.0)) / self.settings.wavelength
        reciprocal = structure.lattice.reciprocal_lattice_crystallographic
        distances = np.array([point[1] for point in reciprocal.get_points_in_sphere([[0, 0, 0]], [0, 0, 0], radius)])
        innermost = 2.0 * math.sin(math.radians(first / 2.0)) / self.settings.wavelength
        if not ((distances > 1e-8) & (distances >= innermost)).any():
            return np.zeros((2, 0))  # pymatgen asks for the strongest of no lines
        with every_line_kept():
            pattern = XRDCalculator(self.settings.wavelength).get_pattern(
                structure, scaled=False, two_theta_range=(first, last)
            )
        two_theta, intensity = np.array([pattern.x, pattern.y])
        theta = np.radians(two_theta / 2.0)
        lorentz_polarisation = (1.0 + np.cos(2.0 * theta) ** 2) / (np.sin(theta) ** 2 * np.cos(theta))
        electrons = sum(site.specie.Z for site in structure)
        present = intensity / lorentz_polarisation > ABSENT * electrons**2
        return np.array([two_theta[present], intensity[present]])

    def pattern(self, crystal: ReferenceCrystal, crystallite_size: float) -> NDArray[np.float64] | None:
        """Return the diffractogram (P,), maximum 1; None if no reflection reaches the grid.

        Args:
            crystal: to be simulated.
            crystallite_size: nm.

        """
        first, last = self._reach(crystallite_size)
        positions, areas = self.lines(crystal, first, last)
        widths = self.sigma(positions, crystallite_size)
        grid = self.settings.grid
        beyond = np.maximum(grid.two_theta_min - positions, positions - grid.two_theta_max)
        if not (beyond < SEEN * widths).any():
            return None
        two_theta = grid.two_theta
        eta = self.settings.lorentzian_fraction
        y = np.zeros(grid.n_points)
        for position, width, area in zip(positions, widths, areas, strict=True):
            near = slice(*np.searchsorted(two_theta, [position - SUMMED * width, position + SUMMED * width]))
            z = (two_theta[near] - position) / width
            y[near] += (1.0 - eta) * area / (width * math.sqrt(2.0 * math.pi)) * np.exp(-0.5 * z**2)
            if eta > 0.0:
                gamma = 0.5 * width / SIGMA_PER_FWHM
                y += eta * area / (math.pi * gamma) / (1.0 + ((two_theta - position) / gamma) ** 2)
        return np.asarray(y / y.max())

    def _reach(self, crystallite_size: float) -> tuple[float, float]:
        """Return the first and last 2theta (degrees) of lines whose peaks have a part on the grid; tails have always.

        Near 180 degrees Scherrer's width diverges and would reach any grid again; that has no meaning and is left out.
        """
        angles = np.linspace(0.0, LAST_TWO_THETA, 100_000)
        widths = SUMMED * self.sigma(angles, crystallite_size)
        grid = self.settings.grid
        first = angles[angles + widths >= grid.two_theta_min][0]
        out_of_reach = angles[(angles > grid.two_theta_max) & (angles - widths > grid.two_theta_max)]
        last = float(out_of_reach.min(initial=LAST_TWO_THETA))
        if self.settings.lorentzian_fraction > 0.0:
            return 0.0, max(last, LAST_TAIL)
        return float(first), last


@contextmanager
def every_line_kept() -> Iterator[None]:
    """Keep pymatgen from merging lines within 1e-5 degrees and from dropping those under 1e-5 of the strongest."""
    from pymatgen.analysis.diffraction.core import AbstractDiffractionPatternCalculator as Calculator

    before = Calculator.TWO_THETA_TOL, Calculator.SCALED_INTENSITY_TOL
    Calculator.TWO_THETA_TOL, Calculator.SCALED_INTENSITY_TOL = SAME_ANGLE, -1.0
    try:
        yield
    finally:
        Calculator.TWO_THETA_TOL, Calculator.SCALED_INTENSITY_TOL = before

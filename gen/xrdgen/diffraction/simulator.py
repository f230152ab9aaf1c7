"""Diffractograms and reflection lists of crystals (paper, section 2.2).

Physics as pymatgen's XRDCalculator has it: its atomic scattering parameters, Lorentz-polarisation factor, multiplicity,
no Debye-Waller factor by default; Gaussian or pseudo-Voigt peaks of the Scherrer width. The arithmetic is in the
kernels; here input is checked.

# A atom rows    R reflections    P grid points
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from xrdcommon.errors import InputError
from xrdcommon.grid import Grid
from xrdcommon.identity import Purpose, SampleIdentity, generator
from xrdcommon.measurement import CU_K_ALPHA_1

from xrdgen.crystal import Crystal
from xrdgen.diffraction import validation_kernels as check
from xrdgen.diffraction.faults import check_shapes, describe_fault, describe_missing_reflections
from xrdgen.diffraction.form_factors import form_factor_table, has_form_factor
from xrdgen.diffraction.group_tables import GroupTables, group_tables
from xrdgen.diffraction.line_kernels import ABSENT
from xrdgen.diffraction.peaks import Diffractogram, Peaks
from xrdgen.diffraction.reach_kernels import Instrument, d_star_squared_limits
from xrdgen.diffraction.settings import ANGSTROMS_PER_NM, SimulationSettings, check_fraction
from xrdgen.diffraction.simulation_kernels import simulate_pattern
from xrdgen.diffraction.structure_factor_kernels import structure_factors
from xrdgen.symmetry.lattice_kernels import cell_volume

__all__ = [
    "Diffractogram",
    "NoReflectionError",
    "Peaks",
    "Scatterers",
    "SimulationSettings",
    "Simulator",
    "simulate",
]

WEAKEST_PEAK = 1e-9
"""Lines weaker than this, in percent of the strongest, count as absent (rounding leaves about 1e-27)."""

MAX_REFLECTIONS = 5_000_000
"""More lines than this would not fit the memory of a worker."""

MAX_SECONDS = 10.0
"""A crystal that takes longer than this is refused: a mistake, or nothing for one core."""

SECONDS_PER_TERM = 2.5e-10
"""Of a (reflection, atom) term, by the plane, coset and part of F (`group_tables`). Large cells on a 2.3 GHz core: P1
0.8, P-1 0.8, P2_1/c 0.7, Pnma 1.2, R-3c 0.8, Fm-3m 1.4, P2_13 1.4, Ia-3d 3 times this."""


class NoReflectionError(InputError):
    """No reflection of a crystal reaches the grid."""


@dataclass(frozen=True, slots=True)
class Scatterers:
    """A checked crystal as the kernels take it.

    Attributes:
        cell: (6,) Å and degrees.
        positions: (A, 3) fractional.
        atomic_numbers: (A,).
        b_iso: (A,) Å^2.
        weights: (A,) occupancy x multiplicity / order of the group.
        space_group: International Tables number.

    """

    cell: NDArray[np.float64]
    positions: NDArray[np.float64]
    atomic_numbers: NDArray[np.int64]
    b_iso: NDArray[np.float64]
    weights: NDArray[np.float64]
    space_group: int


class Simulator:
    """Simulates crystals under fixed settings; tables of groups and form factors are prepared once.

    Attributes:
        settings: the settings.
        instrument: the numbers that kernels need of them.
        groups: tables of the 230 groups.
        form_factors: (119, T) table of all elements.

    """

    def __init__(self, settings: SimulationSettings | None = None) -> None:
        self.settings = SimulationSettings() if settings is None else settings
        grid = self.settings.grid
        self.instrument = Instrument(
            wavelength=float(self.settings.wavelength),
            scherrer_constant=float(self.settings.scherrer_constant),
            two_theta_min=float(grid.two_theta_min),
            two_theta_max=float(grid.two_theta_max),
            step=float(grid.step),
        )
        self.groups: GroupTables = group_tables()
        # widest reach: any share of the Lorentzian may be asked for
        self.form_factors = form_factor_table(self.reach(1.0)[1] / 4.0)
        self._has_form_factor = has_form_factor()

    def reach(self, lorentzian_fraction: float) -> tuple[float, float]:
        """Return the smallest and largest 1/d^2 (1/Å^2) that the smallest crystallites bring onto the grid."""
        return d_star_squared_limits(
            self.instrument, float(self.settings.size_min) * ANGSTROMS_PER_NM, float(lorentzian_fraction)
        )

    def arrays(self, crystal: Crystal, lorentzian_fraction: float | None = None) -> Scatterers:
        """Check a crystal and return it as the kernels take it.

        Args:
            crystal: in the standard setting.
            lorentzian_fraction: the work is estimated for it; that of the settings where not given.

        Raises:
            InputError: see `pattern`.

        """
        check_shapes(crystal)
        number = int(crystal.space_group)
        # fresh arrays: contiguous and writable, so that every kernel is compiled once only
        cell = np.array(crystal.cell, dtype=np.float64)
        positions = np.array(crystal.positions, dtype=np.float64, order="C")
        atomic_numbers = np.array(crystal.atomic_numbers, dtype=np.int64)
        occupancies = np.array(crystal.occupancies, dtype=np.float64)
        sites = np.array(crystal.sites, dtype=np.int64)
        b_iso = np.zeros(len(positions)) if crystal.b_iso is None else np.array(crystal.b_iso, dtype=np.float64)
        fault, row = check.first_fault(
            number, cell, positions, atomic_numbers, occupancies, sites, b_iso, self._has_form_factor
        )
        if fault != check.SOUND:
            raise InputError(describe_fault(fault, row, crystal))
        self.refuse_endless_work(cell, number, len(positions), lorentzian_fraction)
        weights = occupancies * crystal.multiplicities / self.groups.order[number - 1]
        return Scatterers(cell, positions, atomic_numbers, b_iso, weights, number)

    def pattern(
        self,
        crystal: Crystal,
        crystallite_size: float,
        out: NDArray[np.float32] | None = None,
        lorentzian_fraction: float | None = None,
    ) -> NDArray[np.float32]:
        """Return the diffractogram (P,), float32, maximum 1.

        Args:
            crystal: in the standard setting.
            crystallite_size: nm, within the sizes of the settings.
            out: (P,) float32, contiguous, filled and returned where given.
            lorentzian_fraction: share of the Lorentzian in the area of each line; that of the settings where not given.

        Raises:
            InputError: a cell without volume or against its symmetry, no atoms, positions that are not numbers,
                elements without form factor, occupancies outside (0, 1], displacement parameters outside
                [0, MAX_B_ISO], a cell too large to simulate, a size outside the settings, a fraction outside [0, 1].
            NoReflectionError: no reflection that is not extinct within 5.5 sigma of the grid.

        """
        grid = self.settings.grid
        if lorentzian_fraction is None:
            lorentzian_fraction = self.settings.lorentzian_fraction
        check_fraction(lorentzian_fraction)
        smallest, largest = self.settings.size_min, self.settings.size_max
        if not smallest <= crystallite_size <= largest:
            raise InputError(
                f"crystallite size {crystallite_size} nm: the settings allow {smallest:g} to {largest:g} nm"
            )
        if out is None:
            out = np.empty(grid.n_points, dtype=np.float32)
        elif out.shape != (grid.n_points,) or out.dtype != np.float32 or not out.flags.c_contiguous:
            raise InputError(f"output array of shape {out.shape} and type {out.dtype}: need ({grid.n_points},) float32")
        arrays = self.arrays(crystal, lorentzian_fraction)
        reached = simulate_pattern(
            arrays.cell,
            arrays.positions,
            arrays.atomic_numbers,
            arrays.b_iso,
            arrays.weights,
            arrays.space_group,
            float(crystallite_size) * ANGSTROMS_PER_NM,
            float(lorentzian_fraction),
            self.instrument,
            self.groups,
            self.form_factors,
            out,
        )
        if not reached:
            raise NoReflectionError(describe_missing_reflections(crystal, grid, self.settings.wavelength))
        return out

    def peaks(self, crystal: Crystal) -> Peaks:
        """Return the reflection lines within the grid, lines at the same angle kept apart.

        Raises:
            InputError: see `pattern`.

        """
        arrays = self.arrays(crystal, 0.0)
        smallest, largest = self.reach(0.0)
        hkl, multiplicity, s_squared, f_squared = structure_factors(
            arrays.cell,
            arrays.positions,
            arrays.atomic_numbers,
            arrays.b_iso,
            arrays.weights,
            arrays.space_group,
            self.groups,
            self.form_factors,
            smallest,
            largest,
            True,
        )
        theta = np.arcsin(self.instrument.wavelength * np.sqrt(s_squared))
        two_theta = np.degrees(2.0 * theta)
        lorentz_polarisation = (1.0 + np.cos(2.0 * theta) ** 2) / (np.sin(theta) ** 2 * np.cos(theta))
        intensity = multiplicity * f_squared * lorentz_polarisation
        grid = self.settings.grid
        inside = (two_theta >= grid.two_theta_min) & (two_theta <= grid.two_theta_max)
        strongest = intensity[inside].max(initial=0.0)
        electrons = arrays.atomic_numbers @ arrays.weights * self.groups.order[arrays.space_group - 1]
        if strongest <= ABSENT * electrons**2:
            raise NoReflectionError(describe_missing_reflections(crystal, grid, self.settings.wavelength))
        intensity *= 100.0 / strongest
        chosen = np.flatnonzero(inside & (intensity > WEAKEST_PEAK))
        chosen = chosen[np.argsort(two_theta[chosen], kind="stable")]
        return Peaks(
            hkl=hkl[chosen],
            d=0.5 / np.sqrt(s_squared[chosen]),
            two_theta=two_theta[chosen],
            multiplicity=multiplicity[chosen],
            f_squared=f_squared[chosen],
            intensity=intensity[chosen],
        )

    def crystallite_size(self, identity: SampleIdentity) -> float:
        """Return the size (nm) of a sample, uniform in [size_min, size_max), from the sample's pattern stream."""
        share = generator(identity, Purpose.PATTERN).random()
        return self.settings.size_min + (self.settings.size_max - self.settings.size_min) * share

    def refuse_endless_work(
        self,
        cell: NDArray[np.float64],
        number: int,
        n_atoms: int,
        lorentzian_fraction: float | None = None,
        farthest: float | None = None,
    ) -> None:
        """Estimate the work of a crystal from the volume of the limiting sphere.

        Args:
            cell: (6,) Å and degrees.
            number: space group.
            n_atoms: rows of the asymmetric unit.
            lorentzian_fraction: that of the settings where not given.
            farthest: largest 1/d^2 (1/Å^2) of the reflections; that of the settings where not given.

        Raises:
            InputError: more than `MAX_REFLECTIONS` or `MAX_SECONDS`.

        """
        equivalents = self.groups.laue_order[number - 1] * (
            self.groups.centring_start[number] - self.groups.centring_start[number - 1]
        )
        share = self.settings.lorentzian_fraction if lorentzian_fraction is None else lorentzian_fraction
        sphere = 4.0 / 3.0 * math.pi * (self.reach(share)[1] if farthest is None else farthest) ** 1.5
        reflections = sphere * cell_volume(cell) / float(equivalents)
        terms = reflections * n_atoms
        planes = self.groups.plane_start[number] - self.groups.plane_start[number - 1]
        cosets = self.groups.coset_start[number] - self.groups.coset_start[number - 1]
        parts = 1 if self.groups.centric[number - 1] else 2
        seconds = SECONDS_PER_TERM * float(planes * cosets * parts) * terms
        if reflections > MAX_REFLECTIONS or seconds > MAX_SECONDS:
            raise InputError(
                f"space group {number}, cell of {cell_volume(cell):.3g} Å^3, {n_atoms} atoms in the asymmetric "
                f"unit: about {reflections:.2g} reflections and {seconds:.2g} s for {terms:.2g} terms, more than "
                f"{MAX_REFLECTIONS:.0e} or {MAX_SECONDS:g} s; take a smaller cell or a smaller 2theta range"
            )


def simulate(
    crystal: Crystal,
    crystallite_size: float = 50.0,
    grid: Grid | None = None,
    wavelength: float = CU_K_ALPHA_1,
    b_iso: float | None = None,
    lorentzian_fraction: float = 0.0,
) -> Diffractogram:
    """Simulate one crystal: pattern and lines.

    The lines carry hkl, d, 2theta, multiplicity, |F|^2 and intensity (see `Peaks`):

        result = simulate(crystal, crystallite_size=60.0, lorentzian_fraction=0.5)
        result.two_theta, result.intensity, result.peaks.hkl, result.peaks.f_squared

    Args:
        crystal: in the standard setting.
        crystallite_size: nm.
        grid: 2theta points; 5 to 90 degrees in steps of 0.01 where not given.
        wavelength: Å.
        b_iso: displacement parameter of all atoms, Å^2; the crystal's own where not given.
        lorentzian_fraction: 0 for Gaussian peaks, 1 for Lorentzian ones.

    Raises:
        InputError: see `Simulator.pattern` and `SimulationSettings`.

    """
    if b_iso is not None:
        crystal = crystal.with_b_iso(b_iso)
    simulator = Simulator(
        SimulationSettings(
            grid=Grid() if grid is None else grid,
            wavelength=wavelength,
            size_min=crystallite_size,
            size_max=crystallite_size,
            lorentzian_fraction=lorentzian_fraction,
        )
    )
    return Diffractogram(
        two_theta=simulator.settings.grid.two_theta,
        intensity=simulator.pattern(crystal, crystallite_size),
        peaks=simulator.peaks(crystal),
    )

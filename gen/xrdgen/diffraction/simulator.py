"""Diffractograms and reflection lists of crystals (SPEC section 4; paper, section 2.2).

Physics as pymatgen's XRDCalculator has it: its atomic scattering parameters, Lorentz-polarisation factor, multiplicity,
no Debye-Waller factor by default; Gaussian peaks of the Scherrer width. The arithmetic is in the kernels; here input is
checked.

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
from xrdcommon.space_groups import check_group, crystal_system

from xrdgen.crystals.crystal import Crystal
from xrdgen.diffraction import validation_kernels as check
from xrdgen.diffraction.form_factors import form_factor_table, has_form_factor
from xrdgen.diffraction.group_tables import GroupTables, group_tables
from xrdgen.diffraction.profile_kernels import CUTOFF, FWHM_TO_SIGMA
from xrdgen.diffraction.settings import ANGSTROMS_PER_NM, CU_K_ALPHA_1, SimulationSettings
from xrdgen.diffraction.simulation_kernels import Instrument, simulate_pattern
from xrdgen.diffraction.structure_factor_kernels import structure_factors
from xrdgen.elements import symbol
from xrdgen.symmetry.lattice_kernels import cell_volume

__all__ = [
    "CrystalArrays",
    "Diffractogram",
    "NoReflectionError",
    "Peaks",
    "SimulationSettings",
    "Simulator",
    "reach",
    "simulate",
]

WEAKEST_PEAK = 1e-9
"""Lines weaker than this, in percent of the strongest, count as absent (rounding leaves about 1e-27)."""

MAX_REFLECTIONS = 5_000_000
"""More lines than this would not fit the memory of a worker."""

MAX_TERMS = 20_000_000_000
"""More (reflection, atom) terms than this would take longer than about ten seconds."""

LAST_TWO_THETA = 179.9
"""Reflections nearer to 180 degrees than this are left out: their Lorentz factor and width diverge."""


class NoReflectionError(InputError):
    """No reflection of a crystal reaches the grid."""


@dataclass(frozen=True, slots=True)
class Peaks:
    """Reflection lines within the grid, by increasing 2theta; equivalent reflections are one line.

    Attributes:
        hkl: (R, 3) indices of one of the equivalents.
        d: (R,) spacing, Å.
        two_theta: (R,) degrees.
        multiplicity: (R,) number of equivalent reflections.
        f_squared: (R,) |F|^2 of the conventional cell, electrons squared.
        intensity: (R,) multiplicity x |F|^2 x Lorentz-polarisation, the strongest 100.

    """

    hkl: NDArray[np.int64]
    d: NDArray[np.float64]
    two_theta: NDArray[np.float64]
    multiplicity: NDArray[np.int64]
    f_squared: NDArray[np.float64]
    intensity: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Diffractogram:
    """A simulated pattern with its lines.

    Attributes:
        two_theta: (P,) degrees.
        intensity: (P,) float32, maximum 1.
        peaks: the lines.

    """

    two_theta: NDArray[np.float64]
    intensity: NDArray[np.float32]
    peaks: Peaks


@dataclass(frozen=True, slots=True)
class CrystalArrays:
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


def reach(settings: SimulationSettings) -> tuple[float, float]:
    """Return the smallest and largest 2theta (degrees) of reflections whose tail reaches the grid.

    With the smallest crystallites a reflection at 2theta spreads CUTOFF sigma, sigma = sigma_0 / cos(theta).
    """
    grid = settings.grid
    sigma_0 = math.degrees(settings.scherrer_fwhm(settings.size_min)) * FWHM_TO_SIGMA
    first = grid.two_theta_min - CUTOFF * sigma_0 / math.cos(math.radians(grid.two_theta_min / 2.0))
    beyond = np.linspace(min(grid.two_theta_max, LAST_TWO_THETA), LAST_TWO_THETA, 20_001)
    out_of_reach = beyond - CUTOFF * sigma_0 / np.cos(np.radians(beyond / 2.0)) > grid.two_theta_max
    last = beyond[out_of_reach.argmax()] if out_of_reach.any() else LAST_TWO_THETA
    return max(first, 0.0), float(last)


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
        grid, wavelength = self.settings.grid, self.settings.wavelength
        min_d_star_squared, max_d_star_squared = (
            (2.0 * math.sin(math.radians(two_theta / 2.0)) / wavelength) ** 2 for two_theta in reach(self.settings)
        )
        self.instrument = Instrument(
            wavelength=float(wavelength),
            scherrer_constant=float(self.settings.scherrer_constant),
            two_theta_min=float(grid.two_theta_min),
            step=float(grid.step),
            min_d_star_squared=min_d_star_squared,
            max_d_star_squared=max_d_star_squared,
        )
        self.groups: GroupTables = group_tables()
        self.form_factors = form_factor_table(max_d_star_squared / 4.0)
        self._has_form_factor = has_form_factor()

    def arrays(self, crystal: Crystal) -> CrystalArrays:
        """Check a crystal and return it as the kernels take it.

        Raises:
            InputError: see `pattern`.

        """
        number = check_group(int(crystal.space_group))
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
            raise InputError(_describe(fault, row, crystal))
        self.refuse_endless_work(cell, number, len(positions))
        weights = occupancies * crystal.multiplicities / self.groups.order[number - 1]
        return CrystalArrays(cell, positions, atomic_numbers, b_iso, weights, number)

    def pattern(
        self, crystal: Crystal, crystallite_size: float, out: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        """Return the diffractogram (P,), float32, maximum 1.

        Args:
            crystal: in the standard setting.
            crystallite_size: nm, within the sizes of the settings.
            out: (P,) float32, contiguous, filled and returned where given.

        Raises:
            InputError: a cell without volume or against its symmetry, no atoms, positions that are not numbers,
                elements without form factor, occupancies outside (0, 1], displacement parameters outside
                [0, MAX_B_ISO], a cell too large to simulate, a size outside
                the settings.
            NoReflectionError: no reflection in reach of the grid.

        """
        smallest, largest = self.settings.size_min, self.settings.size_max
        if not smallest <= crystallite_size <= largest:
            raise InputError(
                f"crystallite size {crystallite_size} nm: the settings allow {smallest:g} to {largest:g} nm"
            )
        if out is None:
            out = np.empty(self.settings.grid.n_points, dtype=np.float32)
        elif out.shape != (self.settings.grid.n_points,) or out.dtype != np.float32 or not out.flags.c_contiguous:
            raise InputError(
                f"output array of shape {out.shape} and type {out.dtype}: need ({self.settings.grid.n_points},) float32"
            )
        arrays = self.arrays(crystal)
        reached = simulate_pattern(
            arrays.cell,
            arrays.positions,
            arrays.atomic_numbers,
            arrays.b_iso,
            arrays.weights,
            arrays.space_group,
            float(crystallite_size) * ANGSTROMS_PER_NM,
            self.instrument,
            self.groups,
            self.form_factors,
            out,
        )
        if not reached:
            raise NoReflectionError(self._no_reflection(crystal))
        return out

    def peaks(self, crystal: Crystal) -> Peaks:
        """Return the reflection lines within the grid, lines at the same angle kept apart.

        Raises:
            InputError: see `pattern`.

        """
        arrays = self.arrays(crystal)
        hkl, multiplicity, s_squared, f_squared = structure_factors(
            arrays.cell,
            arrays.positions,
            arrays.atomic_numbers,
            arrays.b_iso,
            arrays.weights,
            arrays.space_group,
            self.groups,
            self.form_factors,
            self.instrument.min_d_star_squared,
            self.instrument.max_d_star_squared,
            True,
        )
        theta = np.arcsin(self.instrument.wavelength * np.sqrt(s_squared))
        two_theta = np.degrees(2.0 * theta)
        lorentz_polarisation = (1.0 + np.cos(2.0 * theta) ** 2) / (np.sin(theta) ** 2 * np.cos(theta))
        intensity = multiplicity * f_squared * lorentz_polarisation
        grid = self.settings.grid
        inside = (two_theta >= grid.two_theta_min) & (two_theta <= grid.two_theta_max)
        strongest = intensity[inside].max(initial=0.0)
        if strongest <= 0.0:
            raise NoReflectionError(self._no_reflection(crystal))
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

    def refuse_endless_work(self, cell: NDArray[np.float64], number: int, n_atoms: int) -> None:
        """Estimate the work of a crystal from the volume of the limiting sphere.

        Args:
            cell: (6,) Å and degrees.
            number: space group.
            n_atoms: rows of the asymmetric unit.

        Raises:
            InputError: more than `MAX_REFLECTIONS` or `MAX_TERMS`.

        """
        equivalents = self.groups.laue_order[number - 1] * (
            self.groups.centring_start[number] - self.groups.centring_start[number - 1]
        )
        sphere = 4.0 / 3.0 * math.pi * self.instrument.max_d_star_squared**1.5
        reflections = sphere * cell_volume(cell) / float(equivalents)
        terms = reflections * n_atoms
        if reflections > MAX_REFLECTIONS or terms > MAX_TERMS:
            raise InputError(
                f"space group {number}, cell of {cell_volume(cell):.3g} Å^3, {n_atoms} atoms in the asymmetric "
                f"unit: about {reflections:.2g} reflections and {terms:.2g} terms, more than {MAX_REFLECTIONS:.0e} "
                f"and {MAX_TERMS:.0e}; take a smaller cell or a smaller 2theta range"
            )

    def _no_reflection(self, crystal: Crystal) -> str:
        """Say that nothing reaches the grid."""
        a, b, c = crystal.cell[:3]
        return (
            f"space group {crystal.space_group}, cell {a:.4g} x {b:.4g} x {c:.4g} Å: no reflection at "
            f"{self.settings.grid} with wavelength {self.settings.wavelength:g} Å; "
            "take a wider range or a shorter wavelength"
        )


def _describe(fault: int, row: int, crystal: Crystal) -> str:
    """Put a fault of `first_fault` into one line."""
    cell = ", ".join(f"{value:g}" for value in crystal.cell)
    if fault == check.CELL_NOT_FINITE:
        return f"cell ({cell}): not all numbers are finite; give a, b, c in Å and angles in degrees"
    if fault == check.CELL_WITHOUT_VOLUME:
        return f"cell ({cell}): has no volume; check lengths and angles"
    if fault == check.CELL_AGAINST_SYMMETRY:
        system = crystal_system(crystal.space_group)
        return (
            f"cell ({cell}): not {system} in the standard setting, as space group {crystal.space_group} asks for; "
            "standardise the structure first"
        )
    if fault == check.NO_ATOMS:
        return f"space group {crystal.space_group}: the structure has no atoms; nothing scatters"
    if fault == check.POSITION_NOT_FINITE:
        return f"atom row {row}: position {crystal.positions[row].tolist()} is not finite; give fractional coordinates"
    if fault == check.UNKNOWN_ELEMENT:
        known = has_form_factor()
        unknown = sorted({int(z) for z in crystal.atomic_numbers if not (0 < z < known.size and known[z])})
        names = ", ".join(symbol(z) if 0 < z < known.size else f"Z = {z}" for z in unknown)
        return f"no form factor for {names}; pymatgen has those of H to Cf only"
    if fault == check.OCCUPANCY_OUT_OF_RANGE:
        return f"atom row {row}: occupancy {crystal.occupancies[row]:g} is outside (0, 1]; correct it"
    if fault == check.B_ISO_OUT_OF_RANGE and crystal.b_iso is not None:
        return (
            f"atom row {row}: displacement parameter B = {crystal.b_iso[row]:g} Å^2 is outside "
            f"[0, {check.MAX_B_ISO:g}]; correct it (B = 8 pi^2 U)"
        )
    if fault == check.B_ISO_OF_OTHER_LENGTH and crystal.b_iso is not None:
        return f"{len(crystal.b_iso)} displacement parameters B for {len(crystal.positions)} atom rows; give one a row"
    total = crystal.occupancies[crystal.sites == crystal.sites[row]].sum()
    return f"site {crystal.sites[row]}: occupancies add up to {total:g}, more than 1; correct them"


def simulate(
    crystal: Crystal,
    crystallite_size: float = 50.0,
    grid: Grid | None = None,
    wavelength: float = CU_K_ALPHA_1,
    b_iso: float | None = None,
) -> Diffractogram:
    """Simulate one crystal: pattern and lines.

    Args:
        crystal: in the standard setting.
        crystallite_size: nm.
        grid: 2theta points; 5 to 90 degrees in steps of 0.01 where not given.
        wavelength: Å.
        b_iso: displacement parameter of all atoms, Å^2; the crystal's own where not given.

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
        )
    )
    return Diffractogram(
        two_theta=simulator.settings.grid.two_theta,
        intensity=simulator.pattern(crystal, crystallite_size),
        peaks=simulator.peaks(crystal),
    )

"""Diffractograms with imperfections, by plain sums in double precision.

    step                    how
    reflections             every point of the reciprocal lattice in reach, both of a Friedel pair
    |F|^2                   a sum over the atoms of a primitive cell, pymatgen's form factors
    texture                 each reflection's own weight: the sum over equivalents is their mean
    emission lines          each from d
    line -> profile         `diffraction.effects`, pseudo-Voigts on every grid point
    phases -> points        `diffraction.effects.points`, then clipping, range and scale

What acts on a line is taken from the float64 functions of `diffraction.effects`, which the kernels do not call; the
parameters of a pattern are drawn by their kernel.

# H lattice points    M atoms of a primitive cell    R lines    P grid points
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from xrdcommon.identity import SampleIdentity

from xrdgen.diffraction.effects import points
from xrdgen.diffraction.effects.asymmetry import asymmetry_nodes
from xrdgen.diffraction.effects.emission import Emission, emission_weights
from xrdgen.diffraction.effects.parameters import PatternParameters
from xrdgen.diffraction.effects.shifts import shift
from xrdgen.diffraction.effects.texture import march_dollase
from xrdgen.diffraction.effects.widths import line_shapes
from xrdgen.diffraction.settings import SimulationSettings
from xrdgen.elements import symbol
from xrdgen.reference.crystal import ReferenceCrystal, lattice_vectors
from xrdgen.reference.diffraction import ABSENT, LAST_TAIL, LAST_TWO_THETA, SEEN, SIGMA_PER_FWHM

FLOOR_STEPS = 2.0
"""Smallest FWHM of a line in grid steps."""

SAME_LENGTH = 1e-10
"""Reflections whose 1/d (1/Å) differs by less are drawn as one line."""

Reals = NDArray[np.float64]


class Reflections(NamedTuple):
    """Lines of a crystal before any wavelength: 1/d (R,) in 1/Å, ascending, and the sum of weight |F|^2 (R,)."""

    length: Reals
    strength: Reals


@cache
def _scattering() -> dict[str, list[list[float]]]:
    """Return pymatgen's atomic scattering parameters."""
    import pymatgen.analysis.diffraction

    path = Path(pymatgen.analysis.diffraction.__path__[0]) / "atomic_scattering_params.json"
    fits: dict[str, list[list[float]]] = json.loads(path.read_text(encoding="utf-8"))
    return fits


def form_factor(z: int, s_squared: Reals) -> Reals:
    """Return f = Z - 41.78214 s^2 sum a exp(-b s^2), as pymatgen has it."""
    a, b = np.array(_scattering()[symbol(z)]).T
    return np.asarray(z - 41.78214 * s_squared * (np.exp(-np.outer(s_squared, b)) @ a))


def reflections(
    crystal: ReferenceCrystal, farthest: float, parameters: PatternParameters, textured: bool
) -> Reflections:
    """Return the lines with 1/d up to a limit (1/Å), thermal motion and texture applied.

    Args:
        crystal: to be simulated.
        farthest: 1/Å.
        parameters: of the pattern.
        textured: whether its texture is this crystal's.

    """
    vectors, positions, numbers = crystal.primitive_cell()
    reciprocal = np.linalg.inv(vectors).T
    bound = np.floor(farthest * np.linalg.norm(vectors, axis=1)).astype(int)
    ranges = [np.arange(-n, n + 1) for n in bound]
    hkl = np.stack(np.meshgrid(*ranges, indexing="ij"), axis=-1).reshape(-1, 3)
    length = np.linalg.norm(hkl @ reciprocal, axis=1)
    inside = (length > 1e-9) & (length <= farthest)
    hkl, length = hkl[inside], length[inside]
    s_squared = length**2 / 4.0
    amplitude = np.zeros(len(hkl), dtype=np.complex128)
    for z in np.unique(numbers):
        phases = np.exp(2j * np.pi * (hkl @ positions[numbers == z].T)).sum(axis=1)
        amplitude += form_factor(int(z), s_squared) * phases
    f_squared = np.abs(amplitude) ** 2
    strength = np.where(f_squared > ABSENT * float(numbers.sum()) ** 2, f_squared, 0.0)
    strength = strength * np.exp(-2.0 * parameters.b_iso * s_squared)
    if textured and parameters.march_r != 1.0:
        axes = np.linalg.inv(lattice_vectors(crystal.cell)).T
        normal = np.array([parameters.texture_h, parameters.texture_k, parameters.texture_l]) @ axes
        cosines = (hkl @ reciprocal) @ normal / (length * np.linalg.norm(normal))
        strength = strength * march_dollase(cosines, parameters.march_r)
    order = np.argsort(length, kind="stable")
    length, strength = length[order], strength[order]
    starts = np.flatnonzero(np.diff(length, prepend=-1.0) > SAME_LENGTH)
    if len(starts) == 0:
        return Reflections(np.zeros(0), np.zeros(0))
    sums = np.add.reduceat(strength, starts)
    present = sums > 0.0
    return Reflections(length[starts][present], sums[present])


class ImperfectReference:
    """Simulates crystals with imperfections under fixed settings."""

    def __init__(self, settings: SimulationSettings, emission: Emission, shortest_length: float) -> None:
        """Take the settings.

        Args:
            settings: grid, Scherrer constant.
            emission: wavelengths of the tube.
            shortest_length: `Imperfections.shortest_length`.

        """
        self.settings = settings
        self.emission = emission
        self._shortest_length = shortest_length

    def lines_of(self, crystal: ReferenceCrystal, parameters: PatternParameters, *, textured: bool) -> Reals | None:
        """Return the profile (P,) of one phase, in its own unit; None if no reflection is on the grid."""
        grid = self.settings.grid
        x = grid.two_theta
        floor = FLOOR_STEPS * grid.step
        weights = emission_weights(parameters)
        used = [(wavelength, weight) for wavelength, weight in zip(self.emission, weights, strict=True) if weight > 0.0]
        has_tail = parameters.lorentzian_fraction > 0.0 or parameters.thompson_cox_hastings > 0.0
        last = math.sin(math.radians((LAST_TAIL if has_tail else LAST_TWO_THETA) / 2.0))
        found = reflections(crystal, 2.0 * last / min(wavelength for wavelength, _ in used), parameters, textured)
        y = np.zeros(grid.n_points)
        reached = False
        for wavelength, weight in used:
            sine = 0.5 * wavelength * found.length
            seen = sine < last
            theta = np.arcsin(sine[seen])
            two_theta = np.degrees(2.0 * theta)
            fwhm, share = line_shapes(theta, parameters, wavelength, floor, self.settings.scherrer_constant)
            polarisation = (1.0 + np.cos(2.0 * theta) ** 2) / (np.sin(theta) ** 2 * np.cos(theta))
            area = weight * found.strength[seen] * polarisation
            moved = shift(theta, parameters)
            for i in range(len(theta)):
                offsets, parts = asymmetry_nodes(float(two_theta[i]), float(fwhm[i]), parameters.axial_divergence)
                for offset, part in zip(offsets, parts, strict=True):
                    z = (x - two_theta[i] - moved[i] - offset) / fwhm[i]
                    nearest = np.abs(z[[0, -1]]).min() if z[0] * z[-1] > 0.0 else 0.0
                    reached |= bool(nearest < SEEN * SIGMA_PER_FWHM)
                    y += area[i] * part / fwhm[i] * pseudo_voigt(z, float(share[i]))
        return y if reached and y.max() > 0.0 else None

    def pattern(
        self,
        crystal: ReferenceCrystal,
        parameters: PatternParameters,
        identity: SampleIdentity,
        impurity: Callable[[int, Callable[[ReferenceCrystal], bool]], None],
    ) -> tuple[Reals, PatternParameters] | None:
        """Return the diffractogram (P,) and its parameters; None if there is nothing to see.

        Args:
            crystal: to be simulated.
            parameters: of the pattern.
            identity: names the random streams of background and noise.
            impurity: draws the impurity of a number until the function that is given accepts one.

        """
        main = self.lines_of(crystal, parameters, textured=True)
        if main is None:
            return None
        wanted = (parameters.impurity_fraction_1, parameters.impurity_fraction_2, parameters.impurity_fraction_3)
        fractions = [0.0, 0.0, 0.0]
        others = np.zeros_like(main)
        for number, fraction in enumerate(wanted):
            profiles: list[Reals] = []

            def has_lines(candidate: ReferenceCrystal, profiles: list[Reals] = profiles) -> bool:
                profile = self.lines_of(candidate, parameters, textured=False)
                if profile is not None:
                    profiles.append(profile)
                return profile is not None

            if fraction > 0.0:
                impurity(number, has_lines)
            if profiles:
                others += fraction * profiles[0] / profiles[0].max()
                fractions[number] = fraction
        mixture = (1.0 - sum(fractions)) * main / main.max() + others
        parameters = parameters._replace(
            n_impurities=float(sum(fraction > 0.0 for fraction in fractions)),
            impurity_fraction_1=fractions[0],
            impurity_fraction_2=fractions[1],
            impurity_fraction_3=fractions[2],
        )
        return self._points(mixture / mixture.max(), parameters, identity), parameters

    def _points(self, lines: Reals, parameters: PatternParameters, identity: SampleIdentity) -> Reals:
        """Return points (P,) in [0, 1] of lines (P,) of maximum 1."""
        grid = self.settings.grid
        y = lines
        p = parameters
        effects = (
            p.background_level,
            p.hump_height,
            p.residue,
            p.noise_additive,
            p.noise_counting,
            p.noise_multiplicative,
        )
        changed = any(effect > 0.0 for effect in effects)
        if changed:
            y = points.measure(lines, parameters, identity, grid, self._shortest_length)
        x = grid.two_theta
        measured = (x >= parameters.range_first - 1e-9) & (x <= parameters.range_last + 1e-9)
        smallest = y[measured].min() if changed and parameters.clipped == 0.0 else 0.0
        y = np.where(measured, np.maximum(y - smallest, 0.0), 0.0)
        return np.asarray(y / y.max())


def pseudo_voigt(z: Reals, share: float) -> Reals:
    """Return a pseudo-Voigt (P,) of area 1 at z, in units of its FWHM; `share` is the Lorentzian's."""
    gaussian = 2.0 * math.sqrt(math.log(2.0) / math.pi) * np.exp(-4.0 * math.log(2.0) * z**2)
    lorentzian = 2.0 / math.pi / (1.0 + 4.0 * z**2)
    return np.asarray((1.0 - share) * gaussian + share * lorentzian)

"""The lines that an X-ray tube emits beside the one that a pattern is computed for.

    symbol          meaning                                                                         source
    lambda_e        wavelength of emission line e: K-alpha 1, K-alpha 2, K-beta 1, W L-alpha 1, Å    [B]
    r_e             its intensity over that of K-alpha 1; 0.5 for K-alpha 2                          [B], [H]
    sin theta_e     lambda_e / (2 d): every line is computed from d, none is moved from another      Bragg's law

[B] Bearden, Rev. Mod. Phys. 39 (1967) 78; copper's K-alpha as rounded by the paper, S4. [H] Hölzer et al., Phys. Rev. A
56 (1997) 4554. Each line has the Lorentz-polarisation factor of its own angle, and no natural width of its own.

# E = 4 emission lines    R reflections
"""

from __future__ import annotations

import csv
from functools import cache
from importlib import resources
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from xrdcommon.errors import InputError

from xrdgen.diffraction.effects.parameters import PatternParameters

Reals = NDArray[np.float64]

TUNGSTEN_L_ALPHA_1 = 1.47639
"""Å [B]; tungsten from the cathode settles on old anodes."""

SAME_WAVELENGTH = 3e-4
"""A wavelength is a tube's K-alpha 1 if it differs by less than this share."""


class Emission(NamedTuple):
    """Wavelengths in Å; a tuple so that kernels take it as one argument. 0 where a tube has no such line."""

    k_alpha_1: float
    k_alpha_2: float
    k_beta: float
    tungsten: float


class Tube(NamedTuple):
    """Lines of one anode, Å."""

    k_alpha_1: float
    k_alpha_2: float
    k_beta: float


@cache
def tubes() -> dict[str, Tube]:
    """Return the lines of each anode by its symbol."""
    text = resources.files("xrdgen").joinpath("data", "emission_lines.csv").read_text(encoding="utf-8")
    return {
        row["anode"]: Tube(float(row["k_alpha_1"]), float(row["k_alpha_2"]), float(row["k_beta"]))
        for row in csv.DictReader(text.splitlines())
    }


def emission_of(wavelength: float, *, doublet: bool) -> Emission:
    """Return the lines of the tube whose K-alpha 1 a wavelength is.

    Args:
        wavelength: Å.
        doublet: whether further lines are wanted. With them K-alpha 1 is the tabulated one, so that both lines of the
            doublet come from one source (copper: 1.54056, where the paper's pure patterns have 1.5406).

    Raises:
        InputError: further lines are wanted of a wavelength that no tabulated tube emits.

    """
    if not doublet:
        return Emission(wavelength, 0.0, 0.0, 0.0)
    for tube in tubes().values():
        if abs(wavelength / tube.k_alpha_1 - 1.0) < SAME_WAVELENGTH:
            return Emission(*tube, TUNGSTEN_L_ALPHA_1)
    known = ", ".join(f"{anode} {tube.k_alpha_1:g}" for anode, tube in tubes().items())
    raise InputError(
        f"wavelength {wavelength:g} Å: its K-alpha 2 is not known; take one of {known}, or switch the further lines "
        "off (no-k-alpha-2,no-k-beta,no-tungsten)"
    )


def emission_weights(parameters: PatternParameters) -> Reals:
    """Return the intensity of each emission line (E,) over that of K-alpha 1."""
    return np.array([1.0, parameters.k_alpha_2, parameters.k_beta, parameters.tungsten])


def bragg_angles(d: Reals, wavelength: float) -> Reals:
    """Return theta (R,) in radians; NaN where lambda > 2 d, which reflects nowhere."""
    sine = 0.5 * wavelength / d
    return np.asarray(np.arcsin(np.where(sine <= 1.0, sine, np.nan)))

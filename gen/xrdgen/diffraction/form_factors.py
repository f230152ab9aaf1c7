"""Atomic form factors of pymatgen, tabulated once on an even grid of s^2.

    symbol      variable            meaning                                         reference
    s           -                   sin(theta) / lambda = 1 / (2 d), 1/Å            Int. Tables C, 6.1.1
    f(s^2)      table[Z, i]         Z - 41.78214 s^2 sum_k a_k exp(-b_k s^2)        pymatgen, XRDCalculator and
                                                                                    atomic_scattering_params.json
    x           -                   s^2 / FORM_FACTOR_STEP + 1, place in the table  -

The table begins one step below s^2 = 0 and ends beyond the largest s^2 in use, so that the cubic interpolation of
`structure_factor_kernels.form_factor` has a neighbour on both sides; its error stays under 1e-8 electrons.

# Z atomic number, 0 .. 118    N table points
"""

from __future__ import annotations

import json
import math
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from xrdcommon.errors import FormatError

from xrdgen.elements import atomic_number

FORM_FACTOR_STEP = 1e-4
"""Step of the table in s^2, 1/Å^2."""

MAX_Z = 118

MOTT_FACTOR = 41.78214
"""Turns the fitted electron form factors into those of X-rays (Mott-Bethe relation), as pymatgen has it."""


@cache
def _parameters() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return a and b, (119, 4) each; rows of elements without parameters are NaN."""
    # found, not imported: a worker needs the numbers of pymatgen and not its hundred megabytes
    package = find_spec("pymatgen.analysis.diffraction")
    if package is None or not package.submodule_search_locations:
        raise FormatError("pymatgen.analysis.diffraction: not found; reinstall pymatgen")
    path = Path(package.submodule_search_locations[0]) / "atomic_scattering_params.json"
    with path.open(encoding="utf-8") as stream:
        fits = json.load(stream)
    pairs = np.full((MAX_Z + 1, 4, 2), np.nan)
    for symbol, fit in fits.items():
        if symbol != "D":  # deuterium scatters X-rays as hydrogen does
            pairs[atomic_number(symbol)] = fit
    if np.isnan(pairs[1:93]).any():
        raise FormatError(f"{path}: lacks form factors of elements below Z = 93; reinstall pymatgen")
    return pairs[..., 0], pairs[..., 1]


def form_factors(s_squared: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return f of every element, (119, N); NaN where pymatgen has no parameters.

    Args:
        s_squared: (N,) (sin(theta) / lambda)^2 in 1/Å^2.

    """
    a, b = _parameters()
    table = np.empty((MAX_Z + 1, s_squared.size))
    for z in range(MAX_Z + 1):  # an element at a time: the four terms of all at once would take 0.5 GB
        table[z] = z - MOTT_FACTOR * s_squared * (a[z] @ np.exp(-np.outer(b[z], s_squared)))
    return table


def form_factor_table(max_s_squared: float) -> NDArray[np.float64]:
    """Return the table (119, N) that covers s^2 from 0 to `max_s_squared` (1/Å^2) for cubic interpolation."""
    points = math.ceil(max_s_squared / FORM_FACTOR_STEP) + 4
    places = np.arange(-1, points - 1, dtype=np.float64)
    return form_factors(places * FORM_FACTOR_STEP)


def has_form_factor() -> NDArray[np.bool_]:
    """Return (119,): whether pymatgen knows the form factor of each atomic number."""
    return ~np.isnan(_parameters()[0][:, 0])

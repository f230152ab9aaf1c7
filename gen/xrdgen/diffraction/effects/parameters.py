"""The parameters of one pattern: what `parameter_kernels` draws, the stages use and the record keeps.

All are float64, so that kernels can go through them by number; flags are 0 or 1. Neutral values, at which an effect
does nothing, are the defaults.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from xrdcommon.identity import Purpose, SampleIdentity, philox_counter, philox_key

MAX_IMPURITIES = 3
"""Impurity crystals of a pattern."""

MAX_DRAWS = 20
"""Crystals drawn for an impurity; if none has a reflection on the grid there is no such impurity."""


class PatternParameters(NamedTuple):
    """Everything about one pattern that is not the crystal; the record has the same names and units."""

    crystallite_size: float = 0.0
    """L of the Scherrer equation, nm; 0: no broadening by size."""
    microstrain: float = 0.0
    """e of FWHM = 4 e tan(theta)."""
    caglioti_u: float = 0.0
    """U of FWHM^2 = U tan^2(theta) + V tan(theta) + W; square degrees on the 2theta axis."""
    caglioti_v: float = 0.0
    """Square degrees."""
    caglioti_w: float = 0.0
    """Square degrees."""
    thompson_cox_hastings: float = 0.0
    """1: the share of the Lorentzian follows from the widths; 0: it is `lorentzian_fraction`."""
    lorentzian_fraction: float = 0.0
    """Share of the Lorentzian in the area of each line (1 - eta of the paper), where not from the widths."""
    sample_lorentzian: float = 0.0
    """Share m of size and strain broadening that is Lorentzian, the rest being Gaussian; with TCH only."""
    axial_divergence: float = 0.0
    """S/L = H/L of Finger, Cox & Jephcoat: half-heights of sample and detector over the radius."""
    zero_shift: float = 0.0
    """Degrees 2theta, added to every line."""
    displacement: float = 0.0
    """Degrees 2theta: lines move by displacement cos(theta); -2 s / R of a displaced sample."""
    k_alpha_2: float = 0.0
    """Intensity of K-alpha 2 over that of K-alpha 1."""
    k_beta: float = 0.0
    """Intensity of K-beta over that of K-alpha 1."""
    tungsten: float = 0.0
    """Intensity of tungsten L-alpha 1 over that of K-alpha 1."""
    b_iso: float = 0.0
    """Isotropic displacement parameter B of all atoms, Å^2, added to their own."""
    march_r: float = 1.0
    """r of March and Dollase; 1: no texture."""
    texture_h: float = 0.0
    """Normal of the preferred planes (h k l), reciprocal lattice."""
    texture_k: float = 0.0
    texture_l: float = 1.0
    n_impurities: float = 0.0
    """0 to 3."""
    impurity_fraction_1: float = 0.0
    """a_i of I = (1 - sum a_i) I_main + sum a_i I_i, each I of maximum 1; 0 where there is none."""
    impurity_fraction_2: float = 0.0
    impurity_fraction_3: float = 0.0
    background_level: float = 0.0
    """Mean of the background over the range, in units of the maximum of the lines."""
    background_length: float = 0.0
    """Length scale of its Gaussian process, degrees."""
    hump_height: float = 0.0
    """Of the amorphous hump, in units of the maximum of the lines."""
    hump_position: float = 0.0
    """Degrees 2theta."""
    hump_width: float = 0.0
    """FWHM, degrees."""
    background_removed: float = 0.0
    """1: background and hump were subtracted after measuring, leaving their noise and a residue."""
    residue: float = 0.0
    """Standard deviation of the slow residue of the removed background, in units of the maximum."""
    residue_length: float = 0.0
    """Its length scale, degrees."""
    residue_offset: float = 0.0
    """Constant part of the residue, in units of the maximum."""
    clipped: float = 0.0
    """1: negative points were set to 0; 0: where there is noise, the minimum is subtracted."""
    noise_additive: float = 0.0
    """Standard deviation of each point at intensity 0, in units of the maximum."""
    noise_counting: float = 0.0
    """Standard deviation at the maximum of noise that grows with the square root of the intensity."""
    noise_multiplicative: float = 0.0
    """Standard deviation at the maximum of noise that grows with the intensity."""
    range_first: float = 0.0
    """First measured 2theta, degrees; points below are 0."""
    range_last: float = 180.0
    """Last measured 2theta, degrees; points above are 0."""


PURPOSE_OF: Mapping[str, Purpose] = {
    "crystallite_size": Purpose.PATTERN,
    "microstrain": Purpose.STRAIN,
    "caglioti_u": Purpose.CAGLIOTI,
    "caglioti_v": Purpose.CAGLIOTI,
    "caglioti_w": Purpose.CAGLIOTI,
    "thompson_cox_hastings": Purpose.PEAK_SHAPE,
    "lorentzian_fraction": Purpose.PEAK_SHAPE,
    "sample_lorentzian": Purpose.PEAK_SHAPE,
    "axial_divergence": Purpose.ASYMMETRY,
    "zero_shift": Purpose.ZERO_SHIFT,
    "displacement": Purpose.DISPLACEMENT,
    "k_alpha_2": Purpose.K_ALPHA_2,
    "k_beta": Purpose.K_BETA,
    "tungsten": Purpose.TUNGSTEN,
    "b_iso": Purpose.THERMAL,
    "march_r": Purpose.TEXTURE,
    "impurities": Purpose.IMPURITY_FRACTIONS,
    "impurity_fraction": Purpose.IMPURITY_FRACTIONS,
    "background_level": Purpose.BACKGROUND,
    "background_length": Purpose.BACKGROUND,
    "hump_height": Purpose.HUMP,
    "hump_position": Purpose.HUMP,
    "hump_width": Purpose.HUMP,
    "background_removed": Purpose.REMOVAL,
    "residue": Purpose.REMOVAL,
    "residue_length": Purpose.REMOVAL,
    "residue_offset": Purpose.REMOVAL,
    "clipped": Purpose.REMOVAL,
    "noise_additive": Purpose.NOISE,
    "noise_counting": Purpose.NOISE,
    "noise_multiplicative": Purpose.NOISE,
    "late_start": Purpose.TRUNCATION,
    "early_end": Purpose.TRUNCATION,
}
"""Rows of the table of ranges, in the order of `Imperfections`, and the random stream that each is drawn from."""

RANGE_NAMES = tuple(PURPOSE_OF)
"""Names of the rows."""


def stream_start(identity: SampleIdentity) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Return key (2,) and counter (4,) of a sample as kernels take them; they set the purpose themselves."""
    key = np.array(philox_key(identity.run, identity.producer), dtype=np.uint64)
    return key, np.array(philox_counter(identity.shard, identity.index, Purpose.PATTERN), dtype=np.uint64)

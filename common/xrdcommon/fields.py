"""Registry of every array stored with a diffractogram: one place for writer, reader and data sets.

A sample is a pattern (P,) and one record of `SAMPLE_DTYPE`. Stream shards hold 64 of them a member, fixed sets
hold one array a field.

What is stored names its fields, and is read by name (`known_fields`), so that records may grow: a field that was not
written yet has its default, and one that this version does not know is left out. Conversion of a fixed set copies
both kinds as they are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xrdcommon.errors import FormatError

N_ELEMENTS = 103
"""Length of a composition vector: index Z - 1, hydrogen to lawrencium."""

PATTERN_DTYPE = np.dtype("<f2")
"""Storage of patterns in [0, 1]; relative error at most 4.9e-4 above 1e-4 of the maximum."""

FIRST_VERSION = "0.1.0"
"""Fixed sets and checkpoints of this version do not name their fields: they have those that were there then."""


@dataclass(frozen=True, slots=True)
class Field:
    """One stored array.

    Attributes:
        name: of the array.
        dtype: NumPy type of its numbers.
        shape: of one sample's value.
        meaning: what it says, with its unit.
        default: what is read where it was not written; None: nothing can be read without it.
        since: version that wrote it first.

    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    meaning: str
    default: float | None
    since: str = FIRST_VERSION


UNKNOWN = math.nan
"""Default of a measure: not recorded."""

IMPERFECTION_VERSION = "0.2.0"
"""First version whose diffractograms had more imperfections than a crystallite size."""


def _parameter(name: str, meaning: str, default: float = 0.0) -> Field:
    """Return the field of a parameter of a pattern; its default says that the effect is not there."""
    return Field(name, "<f4", (), meaning, default, IMPERFECTION_VERSION)


SAMPLE_FIELDS = (
    Field("space_group", "<i2", (), "International Tables number, 1 to 230", None),
    Field("crystallite_size", "<f4", (), "mean crystallite thickness L of the Scherrer equation, nm", UNKNOWN),
    Field("lattice", "<f4", (6,), "a, b, c in Å, alpha, beta, gamma in degrees; conventional cell", UNKNOWN),
    Field("volume", "<f4", (), "volume of the conventional cell, Å^3", UNKNOWN),
    Field("n_sites", "<i2", (), "crystallographic sites in the asymmetric unit; 0 where not recorded", 0),
    Field("n_atoms", "<i4", (), "positions in the conventional cell (a shared site counts once); 0 likewise", 0),
    Field("density_factor", "<f4", (), "V / V_atomic (paper, S1), NaN where a radius is unknown", UNKNOWN),
    Field("composition", "<f4", (N_ELEMENTS,), "atoms of each element in the conventional cell, index Z - 1", 0),
    Field("run", "<u8", (), "identity: root seed of the run (0 for real crystals)", 0),
    Field("producer", "<u8", (), "identity: producer number (0 for real crystals)", 0),
    Field("shard", "<u8", (), "identity: shard of the producer (0 for real crystals)", 0),
    Field("index", "<u8", (), "identity: row in the shard (row in the table for real crystals)", 0),
    _parameter("microstrain", "e of FWHM = 4 e tan(theta)"),
    _parameter("caglioti_u", "U of FWHM^2 = U tan^2(theta) + V tan(theta) + W, square degrees on the 2theta axis"),
    _parameter("caglioti_v", "V, square degrees"),
    _parameter("caglioti_w", "W, square degrees"),
    _parameter("thompson_cox_hastings", "1: the share of the Lorentzian follows from the widths"),
    _parameter("lorentzian_fraction", "else this share of the area of each line; NaN: not recorded", UNKNOWN),
    _parameter("sample_lorentzian", "Lorentzian share of the broadening by size and strain"),
    _parameter("axial_divergence", "S/L = H/L of the low-angle asymmetry"),
    _parameter("zero_shift", "degrees 2theta"),
    _parameter("displacement", "degrees 2theta at theta = 0; lines move by this times cos(theta)"),
    _parameter("k_alpha_2", "intensity over that of K-alpha 1"),
    _parameter("k_beta", "the same"),
    _parameter("tungsten", "the same, of tungsten's L-alpha 1"),
    _parameter("b_iso", "isotropic displacement parameter B of all atoms, Å^2"),
    _parameter("march_r", "r of March and Dollase; 1: no texture", 1.0),
    _parameter("texture_h", "normal of the preferred planes h k l"),
    _parameter("texture_k", "the same"),
    _parameter("texture_l", "the same", 1.0),
    _parameter("n_impurities", "impurity crystals"),
    _parameter("impurity_fraction_1", "maximum of the first impurity over that of the lines' sum"),
    _parameter("impurity_fraction_2", "of the second"),
    _parameter("impurity_fraction_3", "of the third"),
    _parameter("background_level", "mean background, in units of the lines' maximum as all that follow"),
    _parameter("background_length", "length scale of its Gaussian process, degrees"),
    _parameter("hump_height", "of the amorphous hump"),
    _parameter("hump_position", "degrees 2theta"),
    _parameter("hump_width", "FWHM, degrees"),
    _parameter("background_removed", "1: background and hump were subtracted after measuring"),
    _parameter("residue", "standard deviation of what this left"),
    _parameter("residue_length", "its length scale, degrees"),
    _parameter("residue_offset", "its mean"),
    _parameter("clipped", "1: negative points were set to 0"),
    _parameter("noise_additive", "standard deviation of the noise at intensity 0"),
    _parameter("noise_counting", "standard deviation at the maximum, grows with the root of the intensity"),
    _parameter("noise_multiplicative", "standard deviation at the maximum, grows with the intensity"),
    _parameter("range_first", "first measured 2theta, degrees; points below are 0; NaN: all were", UNKNOWN),
    _parameter("range_last", "last measured 2theta, degrees; points above are 0; NaN: all were", UNKNOWN),
    Field("family", "<u8", (), "hash of space group and Wyckoff letters of the sites; 0: not recorded", 0, "0.2.0"),
)


def record_dtype(fields: tuple[Field, ...]) -> np.dtype[np.void]:
    """Return the type of a packed record of fields, in their order."""
    return np.dtype([(field.name, field.dtype, field.shape) for field in fields])


SAMPLE_DTYPE = record_dtype(SAMPLE_FIELDS)
"""Record of one sample; rows of a stream member and columns of a fixed set."""

FIRST_DTYPE = record_dtype(tuple(field for field in SAMPLE_FIELDS if field.since == FIRST_VERSION))
"""Record of version 0.1.0."""


def empty_samples(n: int) -> NDArray[np.void]:
    """Return n records of `SAMPLE_DTYPE` to be filled: defaults, and zero where a field has none."""
    record = np.zeros(1, dtype=SAMPLE_DTYPE)
    for field in SAMPLE_FIELDS:
        record[field.name] = 0 if field.default is None else field.default
    return np.repeat(record, n)


def known_fields(stored: NDArray[Any]) -> NDArray[np.void]:
    """Return records (n,) of `SAMPLE_DTYPE` from stored ones: by name, with defaults for what was not written.

    Records of `SAMPLE_DTYPE` are returned as they are; fields that this version does not know are left out.

    Raises:
        FormatError: no records, without a field that has no default, or with a value of another shape or type.

    """
    if stored.dtype == SAMPLE_DTYPE:
        return stored
    if stored.dtype.names is None:
        raise FormatError(f"{stored.dtype} in place of records of named fields")
    samples = empty_samples(len(stored))
    for field in SAMPLE_FIELDS:
        known = SAMPLE_DTYPE[field.name]
        if field.name not in stored.dtype.names:
            if field.default is None:
                raise FormatError(f"records without {field.name!r}")
            continue
        found = stored.dtype[field.name]
        if found.shape != known.shape or not np.can_cast(found.base, known.base, "same_kind"):
            raise FormatError(f"field {field.name!r} of type {found}: this version reads {known}")
        samples[field.name] = stored[field.name]
    return samples


def describe(dtype: np.dtype[Any]) -> list[list[Any]]:
    """Return name, type and shape of the fields of packed records, as JSON values (see `described_dtype`)."""
    names = dtype.names or ()
    return [[name, dtype[name].base.str, list(dtype[name].shape)] for name in names]


def described_dtype(fields: list[list[Any]] | None) -> np.dtype[np.void]:
    """Return the type of packed records that `describe` described; that of version 0.1.0, which did not, for None.

    Raises:
        FormatError: not such a description.

    """
    if fields is None:
        return FIRST_DTYPE
    try:
        dtype = np.dtype([(str(name), str(kind), tuple(map(int, shape))) for name, kind, shape in fields])
    except (TypeError, ValueError) as error:
        raise FormatError(f"fields {fields}: not name, type and shape of each") from error
    if dtype.hasobject or not dtype.names:
        raise FormatError(f"fields {fields}: no records of numbers")
    return dtype

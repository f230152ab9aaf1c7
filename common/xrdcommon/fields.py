"""Registry of every array stored with a diffractogram: one place for writer, reader and data sets.

A sample is a pattern (P,) and one record of `SAMPLE_DTYPE`. Stream shards hold 64 of them a member, fixed sets
hold one array a field.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

N_ELEMENTS = 103
"""Length of a composition vector: index Z - 1, hydrogen to lawrencium."""

PATTERN_DTYPE = np.dtype("<f2")
"""Storage of patterns in [0, 1]; relative error at most 4.9e-4 above 1e-4 of the maximum."""


@dataclass(frozen=True, slots=True)
class Field:
    """One stored array: its name, NumPy type (with the shape of one sample's value) and meaning."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    meaning: str


SAMPLE_FIELDS = (
    Field("space_group", "<i2", (), "International Tables number, 1 to 230"),
    Field("crystallite_size", "<f4", (), "mean crystallite thickness L of the Scherrer equation, nm"),
    Field("lattice", "<f4", (6,), "a, b, c in Å, alpha, beta, gamma in degrees; conventional cell"),
    Field("volume", "<f4", (), "volume of the conventional cell, Å^3"),
    Field("n_sites", "<i2", (), "crystallographic sites in the asymmetric unit"),
    Field("n_atoms", "<i4", (), "positions in the conventional cell (a shared site counts once)"),
    Field("density_factor", "<f4", (), "V / V_atomic (paper, S1), NaN where a radius is unknown"),
    Field("composition", "<f4", (N_ELEMENTS,), "atoms of each element in the conventional cell, index Z - 1"),
    Field("run", "<u8", (), "identity: root seed of the run (0 for real crystals)"),
    Field("producer", "<u8", (), "identity: producer number (0 for real crystals)"),
    Field("shard", "<u8", (), "identity: shard of the producer (0 for real crystals)"),
    Field("index", "<u8", (), "identity: row in the shard (row in the table for real crystals)"),
)

SAMPLE_DTYPE = np.dtype([(field.name, field.dtype, field.shape) for field in SAMPLE_FIELDS])
"""Record of one sample; rows of a stream member and columns of a fixed set."""

"""Names that options take; apart, so that the command line needs no kernels to know them."""

from __future__ import annotations

from enum import StrEnum


class Variant(StrEnum):
    """Which parts of a real crystal are drawn anew (paper, section 3.3)."""

    REFERENCE = "reference"
    COORDINATES = "coordinates"
    LATTICE = "lattice"
    BOTH = "both"


class Labels(StrEnum):
    """Whose space group labels a diffractogram."""

    SPGLIB = "spglib"
    PUBLISHED = "published"

"""Verifying the space group of a crystal."""

from __future__ import annotations

import warnings
from enum import IntEnum
from typing import Any, Protocol

import numpy as np
import spglib
from numpy.typing import NDArray

from xrdgen.crystals import sampler_kernels
from xrdgen.crystals.cosets import coset_tables
from xrdgen.crystals.primitive import primitive_tables
from xrdgen.crystals.primitive_kernels import primitive_atoms
from xrdgen.crystals.sampler_kernels import CrystalArrays
from xrdgen.crystals.symmetry_test_kernels import DOUBTFUL, symmetry_verdict
from xrdgen.symmetry.lattice import vectors

_SPGLIB_ERROR: type[Exception] = getattr(spglib, "SpglibError", RuntimeError)


class Verdict(IntEnum):
    """What a verification says; the values are the reasons of `sampler_kernels`."""

    CONFIRMED = sampler_kernels.PASSED
    OTHER_GROUP = sampler_kernels.SYMMETRY
    UNDETERMINED = sampler_kernels.UNDETERMINED


class Verifier(Protocol):
    """Decides whether a crystal has exactly the space group it was drawn in."""

    def verify(self, group: int, crystal: CrystalArrays) -> Verdict:
        """Return the verdict on a crystal of the sampler."""


def find_space_group(
    lattice: NDArray[np.float64], positions: NDArray[np.float64], numbers: NDArray[np.int64], symprec: float
) -> int | None:
    """Return spglib's space-group number, None where it finds none (atoms closer than symprec, for example).

    Args:
        lattice: (3, 3) vectors as rows, Å.
        positions: (M, 3) fractional.
        numbers: (M,) kinds of atoms.
        symprec: tolerance in Å.

    """
    cell: Any = (lattice, positions, numbers)  # spglib's annotation asks for lists, which would be slow
    with warnings.catch_warnings():
        # spglib 2.7 to 2.9 announce that errors will be raised; both ways are handled here
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            dataset = spglib.get_symmetry_dataset(cell, symprec=symprec)
        except _SPGLIB_ERROR:
            return None
    return None if dataset is None else int(dataset.number)


class SpglibVerifier:
    """spglib on the primitive cell."""

    def __init__(self, symprec: float) -> None:
        self.symprec = symprec
        self._tables = primitive_tables()

    def verify(self, group: int, crystal: CrystalArrays) -> Verdict:
        """Return the verdict of spglib at `symprec`."""
        positions, numbers = primitive_atoms(self._tables, group, crystal)
        lattice = self._tables.basis[group - 1] @ vectors(crystal.cell)
        found = find_space_group(lattice, positions, numbers, self.symprec)
        if found is None:
            return Verdict.UNDETERMINED
        return Verdict.CONFIRMED if found == group else Verdict.OTHER_GROUP


class ExactVerifier:
    """The exact test of `symmetry_test_kernels`; spglib where the lattice itself is doubtful.

    Attributes:
        asked: how many verdicts were spglib's.

    """

    def __init__(self, symprec: float) -> None:
        self.symprec = symprec
        self.asked = 0
        self._primitive = primitive_tables()
        self._cosets = coset_tables()
        self._spglib = SpglibVerifier(symprec)

    def verify(self, group: int, crystal: CrystalArrays) -> Verdict:
        """Return the verdict at `symprec`."""
        code = symmetry_verdict(self._primitive, self._cosets, group, crystal, self.symprec)
        if code == DOUBTFUL:
            self.asked += 1
            return self._spglib.verify(group, crystal)
        return Verdict(code)

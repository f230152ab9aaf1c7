"""What is wrong with a crystal or its simulation, in one line each: what, where, remedy."""

from __future__ import annotations

import numpy as np
from xrdcommon.errors import InputError
from xrdcommon.grid import Grid
from xrdcommon.space_groups import check_group, crystal_system

from xrdgen.crystal import Crystal
from xrdgen.diffraction import validation_kernels as check
from xrdgen.diffraction.form_factors import has_form_factor
from xrdgen.elements import symbol
from xrdgen.symmetry import wyckoff


def check_shapes(crystal: Crystal) -> None:
    """Make sure that the arrays of a crystal fit together, before kernels read them.

    Raises:
        InputError: no whole space-group number, an array of another shape, or a letter that the group does not have.

    """
    if not isinstance(crystal.space_group, int | np.integer):
        raise InputError(f"space group {crystal.space_group}: must be a whole number, 1 to 230")
    check_group(int(crystal.space_group))
    n = len(crystal.positions)
    wanted = {"cell": (6,), "positions": (n, 3)}
    wanted |= dict.fromkeys(("atomic_numbers", "occupancies", "letters", "sites"), (n,))
    for name, shape in wanted.items():
        found = np.shape(getattr(crystal, name))
        if found != shape and n:
            raise InputError(f"crystal of {n} atom rows: {name} has shape {found}; need {shape}")
    table = wyckoff.tables()
    n_letters = int(table.start[crystal.space_group] - table.start[crystal.space_group - 1])
    letters = np.asarray(crystal.letters)
    outside = np.flatnonzero((letters < 0) | (letters >= n_letters))
    if len(outside):
        raise InputError(
            f"atom row {outside[0]}: index {letters[outside[0]]} of the Wyckoff letter; space group "
            f"{crystal.space_group} has 0 to {n_letters - 1}"
        )


def describe_fault(fault: int, row: int, crystal: Crystal) -> str:
    """Put a fault of `validation_kernels.first_fault` into one line."""
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
        return f"space group {crystal.space_group}: the structure has no atoms, nothing scatters; add them"
    if fault == check.POSITION_NOT_FINITE:
        return f"atom row {row}: position {crystal.positions[row].tolist()} is not finite; give fractional coordinates"
    if fault == check.UNKNOWN_ELEMENT:
        known = has_form_factor()
        unknown = sorted({int(z) for z in crystal.atomic_numbers if not (0 < z < known.size and known[z])})
        names = ", ".join(symbol(z) if 0 < z < known.size else f"Z = {z}" for z in unknown)
        return f"no form factor for {names}; pymatgen has those of H to Cf only; replace or leave out the element"
    if fault == check.OCCUPANCY_OUT_OF_RANGE:
        return f"atom row {row}: occupancy {crystal.occupancies[row]:g} is outside (0, 1]; correct it"
    if fault == check.B_ISO_OUT_OF_RANGE and crystal.b_iso is not None:
        return (
            f"atom row {row}: displacement parameter B = {crystal.b_iso[row]:g} Å^2 is outside "
            f"[0, {check.MAX_B_ISO:g}]; correct it (B = 8 pi^2 U)"
        )
    if fault == check.B_ISO_OF_OTHER_LENGTH and crystal.b_iso is not None:
        return (
            f"{len(crystal.b_iso)} displacement parameters B for {len(crystal.positions)} atom rows; give one per row"
        )
    total = crystal.occupancies[crystal.sites == crystal.sites[row]].sum()
    return f"site {crystal.sites[row]}: occupancies add up to {total:g}, more than 1; correct them"


def describe_missing_reflections(crystal: Crystal, grid: Grid, wavelength: float) -> str:
    """Say that no reflection of a crystal comes near the grid."""
    a, b, c = crystal.cell[:3]
    return (
        f"space group {crystal.space_group}, cell {a:.4g} x {b:.4g} x {c:.4g} Å: no reflection at "
        f"{grid} with wavelength {wavelength:g} Å; take a wider range or a shorter wavelength"
    )

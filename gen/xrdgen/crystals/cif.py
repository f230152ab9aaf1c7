"""Write crystals as CIF: asymmetric unit and symmetry operations, readable by any viewer.

Source of the format: CIF core dictionary 2.4 and symmetry dictionary, International Tables G.
"""

from __future__ import annotations

from fractions import Fraction
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from xrdcommon.errors import InputError
from xrdcommon.files import write_bytes
from xrdcommon.space_groups import symbol as group_symbol

from xrdgen.crystal import Crystal
from xrdgen.elements import symbol as element_symbol
from xrdgen.symmetry import wyckoff
from xrdgen.symmetry.operations import TRANSLATION_DENOMINATOR, operations

_AXES = "xyz"


def operation_text(rotation: NDArray[np.int64], translation24: NDArray[np.int64]) -> str:
    """Return an operation as text, for example '-y,x-y,z+1/3'.

    Args:
        rotation: (3, 3) whole numbers.
        translation24: (3,) in 24ths.

    """
    parts = []
    for row, shift in zip(rotation, translation24, strict=True):
        text = ""
        for coefficient, axis in zip(row, _AXES, strict=True):
            if coefficient:
                sign = "-" if coefficient < 0 else "+" if text else ""
                text += sign + ("" if abs(coefficient) == 1 else str(abs(int(coefficient)))) + axis
        if shift:
            text += f"+{Fraction(int(shift), TRANSLATION_DENOMINATOR)}"
        parts.append(text)
    return ",".join(parts)


@cache
def operation_texts(group: int) -> tuple[str, ...]:
    """Return all operations of a group as text, the identity first."""
    ops = operations(group)
    texts = [operation_text(r, t) for r, t in zip(ops.rotations, ops.translations24, strict=True)]
    return tuple(sorted(texts, key=lambda text: text != "x,y,z"))


def cif_text(crystal: Crystal, name: str, remarks: tuple[str, ...] = ()) -> str:
    """Return one data block.

    Args:
        crystal: what to write.
        name: of the block; characters other than letters, digits, '-', '_' and '.' become '_'.
        remarks: comment lines above the block.

    """
    block = "".join(c if c.isascii() and (c.isalnum() or c in "-_.") else "_" for c in name)
    lines = [f"# {remark}" for remark in remarks]
    lines += [f"data_{block}"]
    cell_names = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
    lines += [f"_cell_{key} {value:.8f}" for key, value in zip(cell_names, crystal.cell, strict=True)]
    lines += [
        f"_cell_volume {crystal.volume:.6f}",
        f"_chemical_formula_sum '{crystal.formula}'",
        "_cell_formula_units_Z 1",
        f"_space_group_IT_number {crystal.space_group}",
        f"_space_group_name_H-M_alt '{group_symbol(crystal.space_group)}'",
        "loop_",
        "_space_group_symop_operation_xyz",
    ]
    lines += [f"'{text}'" for text in operation_texts(crystal.space_group)]
    lines += ["loop_"]
    columns = ("label", "type_symbol", "site_symmetry_multiplicity", "Wyckoff_symbol")
    lines += [f"_atom_site_{column}" for column in (*columns, "fract_x", "fract_y", "fract_z", "occupancy")]
    for row, multiplicity in enumerate(crystal.multiplicities):
        element = element_symbol(int(crystal.atomic_numbers[row]))
        position = " ".join(f"{x:.10f}" for x in crystal.positions[row])
        letter = wyckoff.letter(int(crystal.letters[row]))
        lines.append(f"{element}{row + 1} {element} {multiplicity} {letter} {position} {crystal.occupancies[row]:.6g}")
    return "\n".join(lines) + "\n"


def write_cifs(path: Path, crystals: list[Crystal], names: list[str]) -> list[Path]:
    """Write `path` for one crystal, `stem-1.cif`, `stem-2.cif` ... for several (viewers read one block a file).

    Raises:
        InputError: the path does not end in .cif.

    """
    if path.suffix.lower() != ".cif":
        raise InputError(f"{path}: crystals are written as CIF; the name must end in .cif")
    paths = [path]
    if len(crystals) > 1:
        paths = [path.with_name(f"{path.stem}-{number}{path.suffix}") for number in range(1, len(crystals) + 1)]
    for target, crystal, name in zip(paths, crystals, names, strict=True):
        remark = f"drawn at random by xrdgen, identity {name}: not a known structure"
        write_bytes(target, cif_text(crystal, f"xrdgen_{name}", (remark,)).encode())
    return paths

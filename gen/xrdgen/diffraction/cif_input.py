"""CIF files as crystals in the project's standard setting, for simulation."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from xrdcommon.errors import FormatError, InputError, MissingFileError, XrdError

from xrdgen.crystal import Crystal
from xrdgen.structures.cif import ENTRY_ERRORS, ReadCrystal, read_crystal
from xrdgen.structures.reading.document import Block, content_of, read_blocks
from xrdgen.structures.standardise import DEFAULT_SYMPREC

NO_DISPLACEMENT = "none"
OF_THE_FILE = "cif"


@dataclass(frozen=True, slots=True)
class NamedCrystal:
    """A crystal and the name it goes by in files and plots.

    Attributes:
        name: stem of the file, with -1, -2 ... where the file holds several structures.
        path: the file.
        crystal: in the standard setting.
        remarks: what was decided, left out or contradicts itself.

    """

    name: str
    path: Path
    crystal: Crystal
    remarks: tuple[str, ...]


def displacement_of(text: str) -> str | float:
    """Return what `--displacement` asks for: `none`, `cif` or B in Å^2.

    Raises:
        InputError: neither.

    """
    if text in (NO_DISPLACEMENT, OF_THE_FILE):
        return text
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value >= 0.0):
        raise InputError(f"displacement '{text}': give none, cif or B = 8 pi^2 U in Å^2, 0 or more")
    return value


def read_crystals(
    path: Path,
    symprec: float = DEFAULT_SYMPREC,
    b_iso: float = 0.0,
    displacement: str | float = NO_DISPLACEMENT,
) -> list[NamedCrystal]:
    """Read all structures of a CIF and bring them into the standard setting.

    Data blocks that cannot be read are named in the remarks of the first that can.

    Args:
        path: CIF with one or more data blocks.
        symprec: tolerance of the symmetry search, Å.
        b_iso: displacement parameter of all atoms, Å^2.
        displacement: `cif` takes those of the file, a number is B of all atoms, `none` leaves them to `b_iso`.

    Raises:
        MissingFileError: no such file.
        FormatError: not a CIF, or no data block whose structure can be read; the message names the first.

    """
    if not path.is_file():
        what = "a folder" if path.is_dir() else "no such file"
        raise MissingFileError(f"{path}: {what}; name a CIF")
    try:
        blocks = read_blocks(content_of(path))
    except XrdError as error:
        raise FormatError(f"{path}: {error}; name a CIF with cell and atoms") from error
    read: list[tuple[Block, ReadCrystal]] = []
    faults: list[str] = []
    for block in blocks:
        try:
            read.append((block, read_crystal(block, symprec)))
        except ENTRY_ERRORS as error:
            faults.append(f"data_{block.name}: {' '.join(str(error).split()) or type(error).__name__}")
    if not read:
        raise FormatError(f"{path}: {faults[0]}; correct the file")
    named = []
    for number, (_, found) in enumerate(read, start=1):
        name = path.stem if len(read) == 1 else f"{path.stem}-{number}"
        crystal, said = _displaced(found.crystal, b_iso, displacement)
        remarks = [str(remark) for remark in found.remarks] + said
        remarks += [f"left out: {fault}" for fault in faults] if number == 1 else []
        named.append(NamedCrystal(name, path, crystal, tuple(remarks)))
    return named


def _displaced(crystal: Crystal, b_iso: float, displacement: str | float) -> tuple[Crystal, list[str]]:
    """Return a crystal with the displacement parameters asked for, and what there is to say."""
    if displacement != OF_THE_FILE:
        return crystal.with_b_iso(b_iso if isinstance(displacement, str) else displacement), []
    if crystal.b_iso is None:
        return crystal, ["the file has no displacement parameters: all atoms at rest"]
    unknown, negative = np.isnan(crystal.b_iso), crystal.b_iso < 0.0
    said = []
    if unknown.any():
        said.append(f"{int(unknown.sum())} atom rows without displacement parameter: at rest")
    if negative.any():
        said.append(f"{int(negative.sum())} negative displacement parameters: at rest")
    return replace(crystal, b_iso=np.where(unknown | negative, 0.0, crystal.b_iso)), said

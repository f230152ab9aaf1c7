"""CIF files as crystals in the project's standard setting."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

from xrdcommon.errors import FormatError, InputError, MissingFileError, XrdError

from xrdgen.crystals.crystal import Crystal


@dataclass(frozen=True, slots=True)
class NamedCrystal:
    """A crystal and the name it goes by in files and plots.

    Attributes:
        name: stem of the file, with -2, -3 ... for further structures of one file.
        path: the file.
        crystal: in the standard setting.
        remarks: what the reader warned of.

    """

    name: str
    path: Path
    crystal: Crystal
    remarks: tuple[str, ...]


def read_crystals(path: Path) -> list[NamedCrystal]:
    """Read all structures of a CIF and bring them into the standard setting.

    Raises:
        MissingFileError: no such file.
        FormatError: not a CIF with a structure.
        InputError: a structure that cannot be standardised.

    """
    from pymatgen.io.cif import CifParser

    from xrdgen.structures.standardise import standardise

    if not path.is_file():
        raise MissingFileError(f"{path}: no such file; name a CIF")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            structures = CifParser(path).parse_structures(primitive=False, on_error="raise")
        except (ValueError, KeyError, IndexError, AssertionError, TypeError, OSError, ZeroDivisionError) as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise FormatError(f"{path}: not a CIF with a structure ({reason}); correct the file") from error
    if not structures:
        raise FormatError(f"{path}: holds no structure; name a CIF with cell and atoms")
    remarks = tuple(dict.fromkeys(" ".join(str(warning.message).split()) for warning in caught))
    named = []
    for number, structure in enumerate(structures, start=1):
        name = path.stem if len(structures) == 1 else f"{path.stem}-{number}"
        try:
            crystal = standardise(structure)
        except XrdError as error:
            raise InputError(f"{path}: {error}") from error
        named.append(NamedCrystal(name, path, crystal, remarks))
    return named

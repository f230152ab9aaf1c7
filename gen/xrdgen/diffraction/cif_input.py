"""CIF files as crystals in the project's standard setting."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

from xrdcommon.errors import FormatError, MissingFileError, XrdError

from xrdgen.crystal import Crystal
from xrdgen.structures.cif import ENTRY_ERRORS, entries, parse_structure
from xrdgen.structures.standardise import DEFAULT_SYMPREC, standardise

_REPETITION = "Issues encountered while parsing CIF"
"""How pymatgen begins the warning that repeats all others."""


@dataclass(frozen=True, slots=True)
class NamedCrystal:
    """A crystal and the name it goes by in files and plots.

    Attributes:
        name: stem of the file, with -1, -2 ... where the file holds several structures.
        path: the file.
        crystal: in the standard setting.
        remarks: what pymatgen warned of.

    """

    name: str
    path: Path
    crystal: Crystal
    remarks: tuple[str, ...]


def read_crystals(path: Path, symprec: float = DEFAULT_SYMPREC, b_iso: float = 0.0) -> list[NamedCrystal]:
    """Read all structures of a CIF and bring them into the standard setting.

    Args:
        path: CIF with one or more data blocks.
        symprec: tolerance of the symmetry search, Å.
        b_iso: displacement parameter of all atoms, Å^2; those of the file are not read.

    Raises:
        MissingFileError: no such file.
        FormatError: not a CIF, or a data block whose structure cannot be read or standardised.

    """
    if not path.is_file():
        what = "a folder" if path.is_dir() else "no such file"
        raise MissingFileError(f"{path}: {what}; name a CIF")
    try:
        blocks = list(entries(path.read_text(encoding="utf-8", errors="replace")))
    except XrdError as error:
        raise FormatError(f"{path}: {error}; name a CIF with cell and atoms") from error
    named = []
    for number, block in enumerate(blocks, start=1):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                crystal = standardise(parse_structure(block.text)[0], symprec).with_b_iso(b_iso)
            except ENTRY_ERRORS as error:
                reason = " ".join(str(error).split()) or type(error).__name__
                raise FormatError(f"{path}: data_{block.name}: {reason}; correct the file") from error
        texts = [" ".join(str(warning.message).split()) for warning in caught]
        remarks = tuple(dict.fromkeys(text for text in texts if not text.startswith(_REPETITION)))
        name = path.stem if len(blocks) == 1 else f"{path.stem}-{number}"
        named.append(NamedCrystal(name, path, crystal, remarks))
    return named

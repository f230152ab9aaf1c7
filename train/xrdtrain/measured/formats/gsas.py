"""GSAS data (STD, ESD, FXYE records) through the library, the wavelength from the parameter file beside them."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from xrdcommon.errors import FormatError

from xrdtrain.measured.emission import Radiation, of_wavelengths
from xrdtrain.measured.formats import library, words
from xrdtrain.measured.formats.guard import decode
from xrdtrain.measured.formats.scans import choose
from xrdtrain.measured.pattern import Axis, ReadOptions, Scan

BANK = re.compile(r"^BANK\s+\d+\s+\d+\s+\d+\s+(\S+)", re.MULTILINE)
_FLIGHT = ("RALF", "SLOG", "TIME_MAP", "LOG6", "LPSD")
PARAMETER_SUFFIXES = (".prm", ".instprm", ".iprm", ".inst", ".ins")
_LARGEST_PARAMETERS = 1 << 20
_ICONS = re.compile(r"^INS\s+\d+\s*ICONS\s+([\d.]+)(?:\s+([\d.]+))?", re.MULTILINE)
_HTYPE = re.compile(r"^INS\s+HTYPE\s+(P\w+)", re.MULTILINE)
_NAMED = re.compile(r"instrument[^\n:]{0,30}?[:\s]\s*(\S+\.(?:prm|instprm|iprm|inst))", re.IGNORECASE)


def read_gsas(content: bytes, path: Path, options: ReadOptions) -> Scan:
    """Read a bank of a GSAS file.

    Raises:
        FormatError: time of flight or other neutrons, damaged, or no such bank.

    """
    text = decode(content)
    types = BANK.findall(text)
    index, remarks = choose(len(types), options, path)
    if types[index].upper() in _FLIGHT:
        raise FormatError(
            f"{path}: binned by {types[index]}, a neutron time-of-flight measurement; the networks know X-rays only"
        )
    start = list(BANK.finditer(text))[index].start()
    first, *rows = text[start:].splitlines()
    if first.split()[-1].upper() == "FXY":
        x, intensity = _pairs(rows, path)
    else:
        x, intensity = library.columns(content, path, name="scan.gsas", scan=index)
    words.refuse_neutrons(text[:2000], path)
    radiation, note = _beside(path, text[:2000])
    radiation = radiation or words.radiation_in(text[:2000])
    return Scan(x, intensity, axis=Axis.TWO_THETA, axis_from="GSAS", radiation=radiation, scans=len(types),
                remarks=remarks + note)  # fmt: skip


def _pairs(lines: list[str], path: Path) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return 2theta in degrees and intensity of FXY records, which the library does not know.

    Raises:
        FormatError: fewer than two rows, or something else than numbers in them.

    """
    rows = []
    for line in lines:
        words = line.split()
        if not words or words[0] == "BANK":
            break
        try:
            rows.append((float(words[0]) / 100.0, float(words[1])))  # hundredths of degrees
        except (ValueError, IndexError) as error:
            raise FormatError(f"{path}: '{line[:40]}' is no row of an FXY record; mend or delete it") from error
    if len(rows) < 2:
        raise FormatError(f"{path}: an FXY record without rows; export it again")
    values = np.array(rows)
    return values[:, 0], values[:, 1]


def _beside(path: Path, header: str) -> tuple[Radiation | None, tuple[str, ...]]:
    """Return the radiation of the instrument parameter file that belongs to a data file, and a remark on it.

    It is the file of the same name, else the one that the header names, else the only one in the folder.

    Raises:
        FormatError: it describes neutrons.

    """
    near = [file for file in sorted(path.parent.iterdir()) if file.suffix.lower() in PARAMETER_SUFFIXES]
    named = _NAMED.search(header)
    same = [file for file in near if file.stem.lower() == path.stem.lower()]
    if not same and named is not None:
        same = [file for file in near if file.name.lower() == Path(named[1].replace("\\", "/")).name.lower()]
    chosen = (same or (near if len(near) == 1 else []))[:1]
    if not chosen or chosen[0].stat().st_size > _LARGEST_PARAMETERS:
        return None, ()
    file = chosen[0]
    radiation = read_parameters(decode(file.read_bytes()), file)
    return radiation, () if radiation is None or same else (f"wavelength from {file.name}, the only one beside it",)


def read_parameters(text: str, path: Path) -> Radiation | None:
    """Return the radiation of an instrument parameter file of GSAS or GSAS-II, None where it has none.

    Raises:
        FormatError: it describes neutrons.

    """
    keys = dict(re.findall(r"^\s*([\w./]+):\s*([^\n#]+?)\s*$", text, re.MULTILINE))
    kind = (_HTYPE.findall(text) or [keys.get("Type", "")])[0].upper()
    if kind.startswith("PN"):
        raise FormatError(f"{path}: instrument type {kind}, neutrons; the networks know X-ray intensities only")
    match = _ICONS.search(text)
    if match is not None:
        return of_wavelengths((float(match[1]), float(match[2] or 0.0)), path.name)
    try:
        values = tuple(float(keys[name]) for name in ("Lam1", "Lam2", "Lam") if name in keys)
    except ValueError as error:
        raise FormatError(f"{path}: a wavelength that is not a number ({error})") from error
    return of_wavelengths(values, path.name) if values else None

"""Which reader a file needs: its first bytes decide, its name only where they say nothing."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from xrdcommon.errors import FormatError, InputError

from xrdtrain.measured.formats import library
from xrdtrain.measured.formats.arrays import read_npy, read_npz
from xrdtrain.measured.formats.brml import read_brml
from xrdtrain.measured.formats.bruker_raw import read_bruker_raw
from xrdtrain.measured.formats.gsas import BANK, PARAMETER_SUFFIXES, read_gsas
from xrdtrain.measured.formats.guard import decode, looks_binary, open_archive
from xrdtrain.measured.formats.powder_cif import read_powder_cif
from xrdtrain.measured.formats.rigaku import read_ras, read_rasx
from xrdtrain.measured.formats.text import read_text
from xrdtrain.measured.formats.uxd import read_uxd
from xrdtrain.measured.formats.words import axis_of_name
from xrdtrain.measured.formats.xrdml import read_xrdml
from xrdtrain.measured.pattern import Axis, ReadOptions, Scan

SUFFIXES = (
    ".xy", ".xye", ".csv", ".txt", ".dat", ".prn", ".asc", ".xrdml", ".raw", ".brml", ".uxd", ".ras", ".rasx",
    ".gsas", ".gsa", ".gda", ".fxye", ".gs", ".xra", ".chi", ".cif", ".npy", ".npz", ".tsv", ".int",
    ".xdd", ".xyd", ".udf", ".cpi", ".mdi", ".esg",
)  # fmt: skip
"""Names by which a folder's patterns are found."""

FOREIGN = {
    b"\x89PNG": "a picture (PNG)",
    b"\xff\xd8\xff": "a picture (JPEG)",
    b"GIF8": "a picture (GIF)",
    b"II*\x00": "a picture (TIFF)",
    b"MM\x00*": "a picture (TIFF)",
    b"BM": "a picture (BMP)",
    b"%PDF": "a PDF document",
    b"\x1f\x8b": "a gzip archive",
    b"\xd0\xcf\x11\xe0": "an old Office document",
    b"\x7fELF": "a program",
    b"\x89HDF": "an HDF5 file",
}

OFFICE = {
    "xl/workbook.xml": "an Excel workbook",
    "word/document.xml": "a Word document",
    "ppt/presentation.xml": "a PowerPoint presentation",
    "content.xml": "an OpenDocument file",
}
"""Members by which zipped documents are told."""

Reader = Callable[[bytes, Path, ReadOptions], Scan]


def read_scan(content: bytes, path: Path, options: ReadOptions) -> Scan:
    """Read the columns of a file of any known format.

    Raises:
        FormatError: unknown, damaged, or not a powder pattern of X-rays.

    """
    try:
        return _reader(content, path)(content, path, options)
    except InputError as error:
        if str(path) in str(error) or isinstance(error, FormatError):
            raise
        raise FormatError(f"{path}: {error}") from error  # a value in it that cannot be, such as a wavelength of 5.5 Å


def _reader(content: bytes, path: Path) -> Reader:
    """Return the reader that the first bytes ask for.

    Raises:
        FormatError: none of them.

    """
    suffix = path.suffix.lower()
    if suffix in PARAMETER_SUFFIXES:
        raise FormatError(f"{path}: an instrument parameter file, no pattern; name the data file")
    head = content[:4096]
    if suffix == ".npy" or head.startswith(b"\x93NUMPY"):
        return read_npy
    if head.startswith(b"PK"):
        return _zipped(content, path)
    if head.startswith((b"RAW4.00", b"RAW1.01", b"RAW2", b"RAW ")):
        return read_bruker_raw
    if head.startswith(b"RAW_1.0"):
        raise FormatError(
            f"{path}: a Stoe raw file (RAW_1.0x), a format that is not described openly; export it from WinXPOW as .xy"
        )
    for mark, what in FOREIGN.items():
        if head.startswith(mark) and (mark != b"BM" or looks_binary(content)):
            raise FormatError(f"{path}: {what}, no pattern; give the measured data, for example .xy or .xrdml")
    if looks_binary(content):
        raise FormatError(f"{path}: not a pattern (binary of unknown format); export it as .xy, .xrdml or .csv")
    text = decode(content[:65536])
    start = text.lstrip("\ufeff \t\r\n")
    if start.startswith("<") or suffix == ".xrdml":
        return read_xrdml
    if start.startswith("*RAS_DATA_START") or "*RAS_HEADER_START" in text:
        return read_ras
    if re.search(r"^_FILEVERSION\s*=", text, re.MULTILINE) or re.search(r"^_(2THETA)?(COUNTS|CPS)\s*$", text, re.M):
        return read_uxd
    if suffix == ".cif" or re.match(r"(#[^\n]*\n|\s)*data_\S", text):
        return read_powder_cif
    if BANK.search(decode(content[: 1 << 20])):
        return read_gsas
    return read_chi if suffix == ".chi" else read_text


def read_chi(content: bytes, path: Path, options: ReadOptions) -> Scan:
    """Read a FIT2D .chi file: four lines of header, the second names the axis."""
    lines = decode(content).splitlines()
    axis, certain = axis_of_name(lines[1].strip()) if len(lines) > 1 else (None, False)
    if axis is not Axis.TWO_THETA:
        scan = read_text(content, path, replace(options, axis=options.axis or (axis if certain else None)))
        return scan if not certain or options.axis is not None else replace(scan, axis=axis, axis_from=lines[1].strip())
    x, intensity = library.columns(content, path)
    return Scan(x, intensity, axis=Axis.TWO_THETA, axis_from=lines[1].strip())


def _zipped(content: bytes, path: Path) -> Reader:
    """Return the reader of a zip archive by what is in it.

    Raises:
        FormatError: a bomb, or no instrument's archive.

    """
    names = open_archive(content, path).namelist()
    if any(re.search(r"RawData\d+\.xml$", name) for name in names):
        return read_brml
    if any(re.search(r"Profile\d+\.txt$", name) for name in names):
        return read_rasx
    if names and all(name.endswith(".npy") for name in names):
        return read_npz
    for name, what in OFFICE.items():
        if name in names:
            raise FormatError(f"{path}: {what}, no pattern; save the one table in it as .csv")
    raise FormatError(f"{path}: an archive without a scan of BRML or RASX; unpack it and name the patterns in it")

"""Bruker and Siemens RAW: versions 1 and 2 by hand, 3 and 4 through the library with their headers read here.

Offsets: DIFFRAC plus XCH manual, release 2002, appendix A (versions 1 to 3); version 4 is a chain of segments
(uint32 type, uint32 length) from byte 61 on.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xrdcommon.errors import FormatError

from xrdtrain.measured.emission import LONGEST, SHORTEST, Radiation, of_anode, of_wavelengths
from xrdtrain.measured.formats import library
from xrdtrain.measured.formats.scans import check_axis, choose
from xrdtrain.measured.pattern import Axis, ReadOptions, Scan

MOST_RANGES = 4096
_V3_SCANS = {
    0: "LockedCoupled", 1: "UnlockedCoupled", 2: "DetectorScan", 3: "RockingCurve", 4: "ChiScan", 5: "PhiScan",
    6: "XScan", 7: "YScan", 8: "ZScan", 12: "PsiScan", 13: "HklScan", 14: "ReciprocalSpace", 20: "UnlockedCoupled",
}  # fmt: skip
_V3_STATUS = {2: "still active", 3: "aborted", 4: "interrupted"}
_RANGE_MARKS = (0, 160)


def read_bruker_raw(content: bytes, path: Path, options: ReadOptions) -> Scan:
    """Read a range of a RAW file of any version.

    Raises:
        FormatError: cut short, damaged, no powder scan, or none at all.

    """
    try:
        if content.startswith(b"RAW4.00"):
            return _version4(content, path, options)
        if content.startswith(b"RAW1.01"):
            return _version3(content, path, options)
        ranges, radiation = _ranges2(content, path) if content.startswith(b"RAW2") else _ranges1(content, path)
    except struct.error as error:
        raise FormatError(f"{path}: cut short inside its header; export it again") from error
    index, remarks = choose(len(ranges), options, path)
    x, intensity, note = ranges[index]
    return Scan(x, intensity, axis=Axis.TWO_THETA, axis_from="RAW", radiation=radiation, scans=len(ranges),
                remarks=remarks + note)  # fmt: skip


Range = tuple[NDArray[np.float64], NDArray[np.float64], tuple[str, ...]]


def _at(layout: str, content: bytes, offset: int) -> Any:
    """Return one little-endian value at an offset."""
    return struct.unpack_from("<" + layout, content, offset)[0]


def _text(content: bytes, offset: int, length: int) -> str:
    """Return a field of text that ends at its first NUL."""
    return content[offset : offset + length].split(b"\0")[0].decode("latin-1").strip()


def _radiation(anode: str, *values: float) -> Radiation | None:
    """Return the radiation of a header; zeros and nonsense count as not given."""
    kept = tuple(float(value) for value in values if SHORTEST <= value <= LONGEST)
    if kept:
        return of_wavelengths(kept, "the file", anode or None)
    return of_anode(anode, "the anode that the file names") if anode else None


def _steps(content: bytes, path: Path, start: float, step: float, points: int, offset: int) -> Range:
    """Return equidistant points whose float32 counts begin at an offset.

    Raises:
        FormatError: the numbers cannot be a scan.

    """
    if not (np.isfinite(start) and np.isfinite(step) and 0.0 < step < 10.0 and -90.0 < start < 180.0 and points > 0):
        raise FormatError(f"{path}: {points} points from {start:g} in steps of {step:g}: a damaged header")
    there = max(0, (len(content) - offset) // 4)
    note: tuple[str, ...] = ()
    if there < points:
        note = (f"the file ends early: {there} of {points} points",)
    if there < 2:
        raise FormatError(f"{path}: ends before its first points; export it again")
    with np.errstate(invalid="ignore"):  # a damaged count is refused later, with all that are not finite
        counts = np.frombuffer(content, dtype="<f4", count=min(points, there), offset=offset).astype(np.float64)
    x: NDArray[np.float64] = start + step * np.arange(len(counts), dtype=np.float64)
    return x, counts, note


def _ranges1(content: bytes, path: Path) -> tuple[list[Range], Radiation | None]:
    """Read version 1: headers of 156 bytes, each followed by its counts."""
    ranges: list[Range] = []
    radiation: Radiation | None = None
    offset = 4
    while len(ranges) < MOST_RANGES:
        if ranges and content[offset : offset + 4] == b"RAW ":
            offset += 4  # early files do not repeat the mark
        points, step, start = _at("I", content, offset), _at("f", content, offset + 8), _at("f", content, offset + 20)
        if radiation is None:
            radiation = _radiation("", _at("f", content, offset + 68), _at("f", content, offset + 72))
        follows = _at("I", content, offset + 148)
        ranges.append(_steps(content, path, start, step, points, offset + 152))
        offset += 152 + 4 * points
        if not follows or offset + 152 > len(content):
            break
    return ranges, radiation


def _ranges2(content: bytes, path: Path) -> tuple[list[Range], Radiation | None]:
    """Read version 2: a header of 256 bytes, then ranges whose headers say their length."""
    ranges: list[Range] = []
    radiation = _radiation(_text(content, 188, 2), _at("f", content, 190), _at("f", content, 194))
    offset = 256
    for _ in range(min(_at("H", content, 4), MOST_RANGES)):
        if offset + 48 > len(content):
            break
        length, points = _at("H", content, offset), _at("H", content, offset + 2)
        if length < 48:
            raise FormatError(f"{path}: a range header of {length} bytes: damaged; export it again")
        step, start = _at("f", content, offset + 12), _at("f", content, offset + 16)
        ranges.append(_steps(content, path, start, step, points, offset + length))
        offset += length + 4 * points
    return ranges, radiation


def _version3(content: bytes, path: Path, options: ReadOptions) -> Scan:
    """Read version 3 ('RAW1.01'): a header of 712 bytes, then the ranges."""
    n_ranges = _at("i", content, 12)
    if not 0 <= n_ranges <= MOST_RANGES:
        raise FormatError(f"{path}: {n_ranges} ranges: a damaged header; export it again")
    index, remarks = choose(n_ranges, options, path)
    offset = 712
    for _ in range(index):
        offset += (
            _at("i", content, offset)
            + _at("i", content, offset + 256)
            + _at("i", content, offset + 4) * _at("i", content, offset + 252)
        )
    code = _at("i", content, offset + 196)
    remarks += check_axis(_V3_SCANS.get(code, f"scan type {code}"), path)
    planned, record = _at("i", content, offset + 4), _at("i", content, offset + 252)
    try:
        x, intensity = library.columns(content, path, name="scan.raw", scan=index)
    except FormatError:
        start = offset + _at("i", content, offset) + _at("i", content, offset + 256)
        if record != 4 or len(content) >= start + 4 * planned:
            raise
        # what there is of a file that ends early
        x, intensity, note = _steps(
            content, path, _at("d", content, offset + 16), _at("d", content, offset + 176), planned, start
        )
        remarks += note
    status = _V3_STATUS.get(_at("i", content, 8))
    if status is not None:
        remarks += (f"the measurement was {status}: {len(x)} points to {x[-1]:g} degrees",)
    used = _at("d", content, offset + 240)
    lines = (_at("d", content, 624), _at("d", content, 632))
    anode = _text(content, 608, 4)
    radiation = _radiation(anode, *(lines if SHORTEST <= lines[0] <= LONGEST else (used,)))
    return Scan(x, intensity, axis=Axis.TWO_THETA, axis_from="RAW", radiation=radiation, scans=n_ranges,
                remarks=remarks)  # fmt: skip


def _version4(content: bytes, path: Path, options: ReadOptions) -> Scan:
    """Read version 4: the chain of segments up to the first range gives the wavelengths, the library the numbers."""
    radiation: Radiation | None = None
    offset, scan_types = 61, []
    while offset + 8 <= len(content):
        kind, length = _at("I", content, offset), _at("I", content, offset + 4)
        if kind in _RANGE_MARKS:
            scan_types.append(_text(content, offset + 32, 24))
            points, size = _at("i", content, offset + 88), _at("i", content, offset + 136)
            header = _at("i", content, offset + 140)
            if points < 0 or size < 0 or header < 0:
                break
            offset += 160 + header + points * size
            continue
        if kind == 30:
            radiation = _radiation(_text(content, offset + 116, 4), *struct.unpack_from("<2d", content, offset + 80))
        offset += max(length, 8)
    index, remarks = choose(max(1, len(scan_types)), options, path)
    if index < len(scan_types):
        remarks += check_axis(scan_types[index], path)
    x, intensity = library.columns(content, path, name="scan.raw", scan=index)
    return Scan(x, intensity, axis=Axis.TWO_THETA, axis_from="RAW", radiation=radiation,
                scans=max(1, len(scan_types)), remarks=remarks)  # fmt: skip

"""Rigaku RAS and RASX: header of keys and values; the numbers through the library, by hand where it fails."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from xrdcommon.errors import FormatError

from xrdtrain.measured.emission import Radiation, of_anode, of_wavelengths
from xrdtrain.measured.formats import library
from xrdtrain.measured.formats.guard import decode, member, open_archive, parse_xml
from xrdtrain.measured.formats.scans import check_axis, choose, stopped
from xrdtrain.measured.pattern import Axis, ReadOptions, Scan

_KEY = re.compile(r'^\*([A-Z0-9_-]+)\s+"?([^"\n]*)"?', re.MULTILINE)
_PROFILE = re.compile(r"(^|/)Profile(\d+)\.txt$")


def read_ras(content: bytes, path: Path, options: ReadOptions) -> Scan:
    """Read a scan of a RAS file.

    Raises:
        FormatError: no powder scan, or none at all.

    """
    text = decode(content)
    parts = text.split("*RAS_HEADER_START")[1:] or [text]
    parts = [part for part in parts if "*RAS_INT_START" in part]
    index, remarks = choose(len(parts), options, path)
    keys = dict(_KEY.findall(parts[index]))
    shown, internal = (keys.get(name, "") for name in ("MEAS_SCAN_AXIS_X", "MEAS_SCAN_AXIS_X_INTERNAL"))
    said = check_axis(shown, path)  # either may be the one that is known
    remarks += check_axis(internal, path) and said if shown and internal else check_axis(shown or internal, path)
    try:
        x, intensity = library.columns(content, path, name="scan.ras", scan=index)
    except FormatError:
        x, intensity = _rows(parts[index], path)  # a scan cut short, or an end mark that is missing
    remarks += _planned(keys, len(x))
    return Scan(x, intensity, axis=Axis.TWO_THETA, axis_from="RAS", radiation=_radiation(keys), scans=len(parts),
                remarks=remarks + _attenuated(parts[index]))  # fmt: skip


def read_rasx(content: bytes, path: Path, options: ReadOptions) -> Scan:
    """Read a scan of a RASX file.

    Raises:
        FormatError: damaged, too large once unpacked, no powder scan, or none at all.

    """
    archive = open_archive(content, path)
    profiles = sorted(
        (name for name in archive.namelist() if _PROFILE.search(name)),
        key=lambda name: (name.rpartition("/")[0], int(_PROFILE.search(name)[2])),  # type: ignore[index]
    )
    index, remarks = choose(len(profiles), options, path)
    folder = profiles[index].rpartition("/")[0]
    keys: dict[str, str] = {}
    for name in archive.namelist():
        # the misspelling is Rigaku's
        if name.rpartition("/")[0] == folder and re.search(r"Mea?surementConditions\d*\.xml$", name):
            root = parse_xml(member(archive, name, path), path)
            for pair in root.iter("Pair"):
                texts = [element.text or "" for element in pair]
                if len(texts) == 2:
                    keys[texts[0].lstrip("*")] = texts[1]
            tags = {
                "HW_XG_WAVE_LENGTH_ALPHA1": "WavelengthKalpha1",
                "HW_XG_WAVE_LENGTH_ALPHA2": "WavelengthKalpha2",
                "HW_XG_TARGET_NAME": "TargetName",
                "MEAS_SCAN_AXIS_X": "AxisName",
                "MEAS_SCAN_START": "Start",
                "MEAS_SCAN_STOP": "Stop",
                "MEAS_SCAN_STEP": "Step",
            }
            for key, tag in tags.items():
                element = next(root.iter(tag), None)
                if element is not None and element.text:
                    keys[key] = element.text
    remarks += check_axis(keys.get("MEAS_SCAN_AXIS_X", ""), path)
    x, intensity = library.columns(content, path, name="scan.rasx", scan=index)
    remarks += _planned(keys, len(x)) + _attenuated(decode(member(archive, profiles[index], path)))
    return Scan(x, intensity, axis=Axis.TWO_THETA, axis_from="RASX", radiation=_radiation(keys), scans=len(profiles),
                remarks=remarks)  # fmt: skip


def _rows(part: str, path: Path) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the whole rows below *RAS_INT_START.

    Raises:
        FormatError: fewer than two.

    """
    rows = []
    for line in part.split("*RAS_INT_START", 1)[1].splitlines():
        if line.startswith("*"):
            break
        words = line.split()
        try:
            rows.append((float(words[0]), float(words[1])))
        except (ValueError, IndexError):
            continue  # a row that was being written when the scan was stopped
    if len(rows) < 2:
        raise FormatError(f"{path}: no rows of 2theta and intensity below *RAS_INT_START; export it again")
    values = np.array(rows)
    return values[:, 0], values[:, 1]


def _attenuated(rows: str) -> tuple[str, ...]:
    """Return a remark where the third column, an attenuator's factor, is not 1 throughout."""
    factors = set()
    for line in rows.splitlines():
        words = line.split()
        if len(words) == 3 and not line.startswith("*"):
            factors.add(words[2])
    try:
        changed = {float(word) for word in factors} - {1.0}
    except ValueError:
        return ()
    return ("an attenuator was used; intensities are taken as stored",) if changed else ()


def _number(keys: dict[str, str], name: str) -> float:
    """Return a number of the header, 0 where there is none."""
    try:
        return float(keys.get(name, "0"))
    except ValueError:
        return 0.0


def _planned(keys: dict[str, str], points: int) -> tuple[str, ...]:
    """Return a remark where fewer points were measured than planned."""
    step = _number(keys, "MEAS_SCAN_STEP")
    span = _number(keys, "MEAS_SCAN_STOP") - _number(keys, "MEAS_SCAN_START")
    # a continuous scan may end a step or two before its stop
    return stopped(points, round(span / step) - 1) if step > 0.0 and span > 0.0 else ()


def _radiation(keys: dict[str, str]) -> Radiation | None:
    """Return the wavelengths of the header, else those of the target."""
    target = keys.get("HW_XG_TARGET_NAME") or None
    kind = keys.get("MEAS_COND_XG_WAVE_TYPE", "Ka").lower()
    if "b" in kind and _number(keys, "HW_XG_WAVE_LENGTH_BETA") > 0.0:
        return of_wavelengths((_number(keys, "HW_XG_WAVE_LENGTH_BETA"),), "the file", target)
    first = _number(keys, "HW_XG_WAVE_LENGTH_ALPHA1")
    if first > 0.0:
        values = (first,) if kind.endswith("1") else (first, _number(keys, "HW_XG_WAVE_LENGTH_ALPHA2"))
        return of_wavelengths(values, "the file", target)
    return None if target is None else of_anode(target, "the target that the file names")

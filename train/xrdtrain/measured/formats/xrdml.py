"""PANalytical XRDML: wavelengths and scans from its XML, the numbers through the library."""

from __future__ import annotations

from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np
from numpy.typing import NDArray
from xrdcommon.errors import FormatError

from xrdtrain.measured.emission import Radiation, of_anode, of_wavelengths
from xrdtrain.measured.formats import library
from xrdtrain.measured.formats.guard import parse_xml
from xrdtrain.measured.formats.scans import check_axis, choose
from xrdtrain.measured.pattern import Axis, ReadOptions, Scan


def read_xrdml(content: bytes, path: Path, options: ReadOptions) -> Scan:
    """Read a scan of an XRDML file.

    Raises:
        FormatError: not XRDML, no powder scan, or none at all.

    """
    root = parse_xml(content, path)
    if root.tag != "xrdMeasurements":
        raise FormatError(f"{path}: XML of another kind ('{root.tag}'), not XRDML; export as XRDML or .xy")
    found = [
        (measurement, scan)
        for measurement in root.iter("xrdMeasurement")
        for scan in measurement.iter("scan")
        if scan.find("dataPoints") is not None
    ]
    index, remarks = choose(len(found), options, path)
    measurement, scan = found[index]
    remarks += check_axis(scan.get("scanAxis", ""), path)
    status = scan.get("status") or measurement.get("status") or ""
    x, intensity = library.columns(content, path, name="scan.xrdml", scan=index)
    intensity, note = _by_time(scan, intensity, path)
    remarks += note
    if status and status.lower() not in ("completed", "not finished yet"):
        remarks += (f"the scan was stopped early (status {status}): {len(x)} points to {x[-1]:g} degrees",)
    return Scan(
        x, intensity, axis=Axis.TWO_THETA, axis_from="XRDML", radiation=_radiation(measurement, path), scans=len(found),
        remarks=remarks,
    )  # fmt: skip


def _numbers(text: str, what: str, path: Path) -> tuple[float, ...]:
    """Return numbers between blanks.

    Raises:
        FormatError: something else stands there.

    """
    try:
        return tuple(float(word) for word in text.split())
    except ValueError as error:
        raise FormatError(f"{path}: {what} is not a number ({error}); export it again") from error


def _by_time(scan: Element, intensity: NDArray[np.float64], path: Path) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """Return counts a second where points were counted for different times (`countingTimes`), and a remark.

    Raises:
        FormatError: times that are no times of these points.

    """
    element = scan.find(".//countingTimes")
    counts = next((e for tag in ("counts", "intensities") for e in scan.iter(tag)), None)
    if element is None or (counts is not None and counts.get("unit", "counts") != "counts"):
        return intensity, ()
    times = np.array(_numbers(element.text or "", "countingTimes", path))
    if len(times) != len(intensity) or not (times > 0.0).all():
        raise FormatError(f"{path}: {len(times)} counting times of {len(intensity)} points; export it again")
    if times.min() == times.max():
        return intensity, ()
    if _falls(scan):
        times = times[::-1]  # the library gives rising angles
    return intensity / times, ("points were counted for different times; counts were divided by them",)


def _falls(scan: Element) -> bool:
    """Return whether 2theta falls along a scan."""
    for positions in scan.iter("positions"):
        if positions.get("axis") == "2Theta":
            words = (positions.findtext("listPositions") or "").split()
            first, last = (
                (words[0], words[-1])
                if words
                else (positions.findtext("startPosition") or "0", positions.findtext("endPosition") or "0")
            )
            return float(first) > float(last)
    return False


def _radiation(measurement: Element, path: Path) -> Radiation | None:
    """Return the wavelengths of `usedWavelength`, else those of the anode.

    Raises:
        FormatError: a wavelength that is not a number.

    """
    anode = measurement.findtext(".//anodeMaterial") or None
    used = measurement.find("usedWavelength")
    if used is not None:
        intended = used.get("intended", "K-Alpha")
        if "beta" in intended.lower():
            tags: tuple[str, ...] = ("kBeta",)
        else:
            tags = ("kAlpha1",) if intended.strip().endswith("1") else ("kAlpha1", "kAlpha2")
        values = tuple(_numbers(used.findtext(tag) or "0", tag, path)[0] for tag in tags)
        if values[0] > 0.0:
            return of_wavelengths(values, "the file", anode)
    return None if anode is None else of_anode(anode, "the anode that the file names")

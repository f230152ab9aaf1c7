"""PANalytical XRDML: wavelengths and scans from its XML, the numbers through the library."""

from __future__ import annotations

from pathlib import Path
from xml.etree.ElementTree import Element

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
    if status and status.lower() not in ("completed", "not finished yet"):
        remarks += (f"the scan was stopped early (status {status}): {len(x)} points to {x[-1]:g} degrees",)
    return Scan(
        x, intensity, axis=Axis.TWO_THETA, axis_from="XRDML", radiation=_radiation(measurement), scans=len(found),
        remarks=remarks,
    )  # fmt: skip


def _radiation(measurement: Element) -> Radiation | None:
    """Return the wavelengths of `usedWavelength`, else those of the anode."""
    anode = measurement.findtext(".//anodeMaterial") or None
    used = measurement.find("usedWavelength")
    if used is not None:
        intended = used.get("intended", "K-Alpha")
        if "beta" in intended.lower():
            tags: tuple[str, ...] = ("kBeta",)
        else:
            tags = ("kAlpha1",) if intended.strip().endswith("1") else ("kAlpha1", "kAlpha2")
        values = tuple(float(used.findtext(tag) or 0.0) for tag in tags)
        if values[0] > 0.0:
            return of_wavelengths(values, "the file", anode)
    return None if anode is None else of_anode(anode, "the anode that the file names")

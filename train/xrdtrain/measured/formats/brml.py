"""Bruker BRML: a zip of XML; the numbers through the library, wavelengths from the mounted tube."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree.ElementTree import Element

from xrdtrain.measured.emission import Radiation, of_anode, of_wavelengths
from xrdtrain.measured.formats import library
from xrdtrain.measured.formats.guard import member, open_archive, parse_xml
from xrdtrain.measured.formats.scans import check_axis, choose, stopped
from xrdtrain.measured.pattern import Axis, ReadOptions, Scan

_RAW_DATA = re.compile(r"(^|/)RawData(\d+)\.xml$")
_MEASUREMENT = re.compile(r"(^|/)MeasurementContainer\.xml$")
_TUBES = (".//Tube", ".//MountedTube", ".//TubeInfoData", ".")
"""Where the mounted tube stands, the surest place first."""


def read_brml(content: bytes, path: Path, options: ReadOptions) -> Scan:
    """Read a scan of a BRML file.

    Raises:
        FormatError: damaged, too large once unpacked, no powder scan, or none at all.

    """
    archive = open_archive(content, path)
    names = sorted(
        (name for name in archive.namelist() if _RAW_DATA.search(name)),
        key=lambda name: (name.rpartition("/")[0], int(_RAW_DATA.search(name)[2])),  # type: ignore[index]
    )
    index, remarks = choose(len(names), options, path)
    root = parse_xml(member(archive, names[index], path), path)
    information = next(root.iter("ScanInformation"), None)
    if information is not None:
        axes = [str(axis.get("AxisId")) for axis in information.iter("ScanAxisInfo")]
        if "TwoTheta" not in axes:
            remarks += check_axis(axes[0] if axes else information.get("ScanName", ""), path)
    x, intensity = library.columns(content, path, name="scan.brml", scan=index)
    planned = [int(info.get("Steps") or 0) for info in root.iter("SubScanInfo")]
    remarks += stopped(len(x), sum(planned))
    radiation = _radiation(root)
    if radiation is None:
        for name in (name for name in archive.namelist() if _MEASUREMENT.search(name)):
            radiation = radiation or _radiation(parse_xml(member(archive, name, path), path))
    return Scan(x, intensity, axis=Axis.TWO_THETA, axis_from="BRML", radiation=radiation, scans=len(names),
                remarks=remarks)  # fmt: skip


def _radiation(root: Element) -> Radiation | None:
    """Return the wavelengths of the mounted tube, else of its anode; None where neither is there."""
    anode = None
    for place in _TUBES:
        for tube in root.findall(place):
            material = next((e.get("Value") for e in tube.iter("TubeMaterial") if e.get("Value")), None)
            anode = anode or material
            values = []
            for tag in ("WaveLengthAlpha1", "WaveLengthAlpha2"):
                element = next((e for e in tube.iter(tag) if e.get("Value")), None)
                values.append(0.0 if element is None else float(element.get("Value", "0").replace(",", ".")))
            if values[0] > 0.0:
                return of_wavelengths(tuple(values), "the file", anode)
    return None if anode is None else of_anode(anode, "the anode that the file names")

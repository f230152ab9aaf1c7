"""Bruker UXD: text of keys and values; the numbers through the library."""

from __future__ import annotations

import re
from pathlib import Path

from xrdtrain.measured.emission import of_anode, of_wavelengths
from xrdtrain.measured.formats import library
from xrdtrain.measured.formats.guard import decode
from xrdtrain.measured.formats.scans import check_axis, choose, stopped
from xrdtrain.measured.pattern import Axis, ReadOptions, Scan

_KEY = re.compile(r"^_([A-Z0-9_]+)\s*=\s*'?([^'\n]*)'?", re.MULTILINE)
_DATA = re.compile(r"^_(?:2THETA)?(?:COUNTS|CPS)\s*$", re.MULTILINE)


def read_uxd(content: bytes, path: Path, options: ReadOptions) -> Scan:
    """Read a range of a UXD file.

    Raises:
        FormatError: no powder scan, or none at all.

    """
    text = decode(content).replace("\r\n", "\n").replace("\r", "\n")
    starts = [match.start() for match in _DATA.finditer(text)]
    index, remarks = choose(len(starts), options, path)
    head = dict(_KEY.findall(text[: starts[0]]))
    own = dict(_KEY.findall(text[starts[index - 1] : starts[index]])) if index else head
    keys = {**head, **own}
    remarks += check_axis(keys.get("DRIVE", ""), path)
    x, intensity = library.columns(content, path, name="scan.uxd", scan=index)
    remarks += stopped(len(x), int(_number(own, "STEPCOUNT")))
    anode = keys.get("ANODE") or None
    unit = 10.0 if keys.get("WL_UNIT", "A").lower().startswith("n") else 1.0
    values = tuple(unit * _number(keys, name) for name in ("WL1", "WL2"))
    radiation = None
    if values[0] > 0.0:
        radiation = of_wavelengths(values, "the file", anode)
    elif anode is not None:
        radiation = of_anode(anode, "the anode that the file names")
    return Scan(x, intensity, axis=Axis.TWO_THETA, axis_from="UXD", radiation=radiation, scans=len(starts),
                remarks=remarks)  # fmt: skip


def _number(keys: dict[str, str], name: str) -> float:
    """Return a number of the header, 0 where there is none."""
    try:
        return float(keys.get(name, "0"))
    except ValueError:
        return 0.0

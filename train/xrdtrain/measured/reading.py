"""Read a measured pattern: the file's columns, brought to 2theta and s, with its radiation.

# M points
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from xrdcommon.errors import FormatError, InputError

from xrdtrain.measured import axes
from xrdtrain.measured.emission import Radiation, may_be_neutrons
from xrdtrain.measured.formats.guard import read_bytes
from xrdtrain.measured.formats.recognise import read_scan
from xrdtrain.measured.pattern import Axis, MeasuredPattern, ReadOptions, Scan
from xrdtrain.measured.positions import s_of

MOSTLY_NEGATIVE = 0.5
"""Depth of the deepest point below zero, of the maximum, beyond which intensities are no counts."""

TURNED = "turned round"


def read_measured(path: Path, options: ReadOptions | None = None) -> MeasuredPattern:
    """Read one pattern of one file, of any format that `recognise` knows.

    Args:
        path: the file.
        options: what the user says about it.

    Raises:
        MissingFileError: no such file.
        FormatError, InputError: not a powder pattern of X-rays; says what it is and what helps.

    """
    options = options or ReadOptions()
    content = read_bytes(path)
    scan = read_scan(content, path, options)
    if scan.scans > 1 and options.scan is None:
        scan = _with_following(scan, content, path, options)
    return finish(scan, path, options)


MOST_PIECES = 50
"""Scans of one file that are joined at most."""

LEVEL = 1.3
"""Ratio of the intensities where two scans meet, beyond which they were counted for different times."""


def _with_following(scan: Scan, content: bytes, path: Path, options: ReadOptions) -> Scan:
    """Return the scans of a file as one where each goes on where the one before it ended, else the first."""
    if scan.scans > MOST_PIECES:
        return scan
    pieces = [scan]
    for number in range(2, scan.scans + 1):
        try:
            piece = read_scan(content, path, replace(options, scan=number))
        except FormatError:
            return scan  # the remark that there are several stays
        if not _follows(pieces[-1], piece):
            return scan
        pieces.append(piece)
    remarks = tuple(remark for remark in scan.remarks if not remark.startswith("holds "))
    return replace(
        scan,
        x=np.concatenate([piece.x for piece in pieces]),
        intensity=np.concatenate([piece.intensity for piece in pieces]),
        esd=None,
        remarks=(*remarks, f"its {scan.scans} scans follow each other and were joined; choose one with --scan"),
    )


def _follows(first: Scan, second: Scan) -> bool:
    """Return whether a scan goes on where another ended: in the next step, and on the same level."""
    if len(first.x) < FEW or len(second.x) < FEW or first.radiation != second.radiation or first.axis != second.axis:
        return False
    step = float(np.median(np.diff(first.x)))
    if not 0.0 < float(second.x[0] - first.x[-1]) <= 1.5 * step:
        return False
    levels = [float(np.median(values)) for values in (first.intensity[-FEW:], second.intensity[:FEW])]
    return min(levels) > 0.0 and max(levels) <= LEVEL * min(levels) + 3.0 * max(levels) ** 0.5


FEW = 10
"""Points on either side of where two scans meet."""


MOST_PEAKS, UNEVEN = 500, 1.05
"""Rows, and how uneven they are at least, that make a list of peaks."""

COARSEST = 0.5
"""Degrees 2theta between measured points beyond which lines fall between them."""


def finish(scan: Scan, path: Path, options: ReadOptions, *, coarsest: float = COARSEST) -> MeasuredPattern:
    """Bring the columns of a file to 2theta and s.

    Args:
        scan: the columns.
        path: of the file, for messages.
        options: what the user says of it.
        coarsest: degrees 2theta between points that are still taken.

    Raises:
        FormatError, InputError: an axis, order or intensities that are no pattern.

    """
    radiation = scan.radiation or options.radiation
    remarks = scan.remarks + _both(options.radiation, scan.radiation)
    if radiation is not None and may_be_neutrons(radiation):
        remarks += (
            f"{radiation.wavelength:g} Å is no line of an X-ray tube: if these are neutrons, the answer means nothing",
        )
    if len(scan.x) == 0:
        return MeasuredPattern(
            path, np.empty(0), np.empty(0), scan.intensity, scan.esd, radiation, Axis.TWO_THETA, remarks, on_grid=True
        )
    if scan.x.shape != scan.intensity.shape or len(scan.x) < 2:
        raise InputError(f"{path}: {len(scan.x)} angles and {len(scan.intensity)} intensities; need as many of both")
    if not (np.isfinite(scan.x).all() and np.isfinite(scan.intensity).all()):
        raise FormatError(f"{path}: values that are not finite; remove them")
    axis = options.axis or scan.axis or Axis.TWO_THETA
    said = options.axis is not None or scan.axis is not None
    steps = np.abs(np.diff(scan.x))
    uneven = bool(scan.x[0] > scan.x[-1] and steps[0] > axes.UNEVEN * max(float(steps[-1]), 1e-12))
    if axis is Axis.D and (scan.x <= 0).any():
        raise FormatError(f"{path}: d-spacings of {scan.x.min():g}; they must be above zero")
    x = axes.angle_to_two_theta(axis, scan.x) if axes.is_angle(axis) else axes.to_s(axis, scan.x)
    x, columns, more = axes.ordered(x, [scan.intensity, scan.esd], path, scan.intensity)
    if axis is Axis.D:
        more = tuple(remark for remark in more if TURNED not in remark)  # d falls where s rises
    intensity, esd = columns
    assert intensity is not None
    remarks += more
    if axes.is_angle(axis):
        axes.check_degrees(x, said, path, uneven=uneven)
        inside = x > 0.0  # scans may begin below zero, where there is nothing to see
        x, intensity, esd = x[inside], intensity[inside], None if esd is None else esd[inside]
        two_theta, s = x, np.empty(0) if radiation is None else s_of(x, radiation.wavelength)
    else:
        inside = x > 0.0
        s, intensity, esd = x[inside], intensity[inside], None if esd is None else esd[inside]
        two_theta = np.empty(0)
    if axis is not Axis.TWO_THETA:
        remarks += (f"axis {axis.value} ({'--axis' if options.axis is not None else scan.axis_from}), converted",)
    _check_step(two_theta, path, coarsest)
    check_intensity(intensity, path)
    return MeasuredPattern(path, two_theta, s, intensity, esd, radiation, axis, remarks)


def _check_step(two_theta: NDArray[np.float64], path: Path, coarsest: float) -> None:
    """Refuse steps between which lines are lost.

    Raises:
        FormatError: coarser than the coarsest that is taken.

    """
    if len(two_theta) > 1:
        step = float(np.median(np.diff(two_theta)))
        if step > coarsest:
            if len(two_theta) <= MOST_PEAKS and step > UNEVEN * float(np.diff(two_theta).min()):
                raise FormatError(
                    f"{path}: {len(two_theta)} uneven angles, a list of peaks and no pattern; give the measured points"
                )
            raise FormatError(f"{path}: steps of {step:g} degrees 2theta lose lines; measure in {coarsest:g} or less")


def check_intensity(intensity: NDArray[np.float64], path: Path) -> None:
    """Refuse intensities without a line in them.

    Raises:
        InputError: nothing above zero, all the same, or as far below zero as above.

    """
    high, low = float(intensity.max()), float(intensity.min())
    if high <= 0.0:
        raise InputError(f"{path}: no intensity above zero; is the sign or the column right?")
    if high == low:
        raise InputError(f"{path}: the intensity is {high:g} at every point; is the column right?")
    if low < -MOSTLY_NEGATIVE * high:
        raise InputError(
            f"{path}: intensities from {low:g} to {high:g}: no counts, perhaps a difference curve; "
            "give the measured ones"
        )


def _both(given: Radiation | None, read: Radiation | None) -> tuple[str, ...]:
    """Return a remark where the user names another wavelength than the file, which is taken then."""
    if given is None or read is None or abs(given.wavelength / read.wavelength - 1.0) < 1e-3:
        return ()
    return (f"the file says {read}, {given.source} says {given}: the file's was taken",)

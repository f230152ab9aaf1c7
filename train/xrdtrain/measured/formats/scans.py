"""What all vendors' files share: choosing a scan, refusing what is no powder scan."""

from __future__ import annotations

from pathlib import Path

from xrdcommon.errors import FormatError

from xrdtrain.measured.pattern import ReadOptions

TWO_THETA_AXES = frozenset(
    {
        "2theta", "twotheta", "gonio", "coupled", "lockedcoupled", "unlockedcoupled", "detectorscan", "tt",
        "2thetaomega", "2thetatheta", "omega2theta", "theta2theta", "thetatheta", "twothetatheta", "twothetaomega",
        "omegatwotheta", "twothetaomegascan", "thetatwotheta", "unlockedcoupledhrxrd", "psdfixedscan", "2thetascan",
        "twothetascan", "thetathetascan",
    }
)  # fmt: skip
"""Names of scan axes along which 2theta runs, lower case, letters and digits alone."""

OTHER_AXES = {
    "omega": "a rocking curve (omega scan), as of films and single crystals",
    "thetas": "a rocking curve (the tube's arm alone moves)",
    "theta": "a rocking curve (theta scan at a fixed detector)",
    "rockingcurve": "a rocking curve",
    "thetascan": "a rocking curve",
    "omegascan": "a rocking curve (omega scan)",
    "phi": "a phi scan, a ring of a pole figure",
    "phiscan": "a phi scan, a ring of a pole figure",
    "beta": "a rotation in the plane, a ring of a pole figure",
    "chi": "a chi scan, an arc of a pole figure",
    "chiscan": "a chi scan, an arc of a pole figure",
    "khi": "a chi scan, an arc of a pole figure",
    "alpha": "a tilt, an arc of a pole figure",
    "psi": "a psi tilt, as for residual stress",
    "psiscan": "a psi tilt, as for residual stress",
    "x": "a shift of the sample",
    "y": "a shift of the sample",
    "z": "a scan of the sample's height",
    "xscan": "a shift of the sample",
    "yscan": "a shift of the sample",
    "zscan": "a scan of the sample's height",
    "hklscan": "a scan in reciprocal space",
    "reciprocalspace": "a map of reciprocal space",
    "reciprocalspacescan": "a map of reciprocal space",
    "twothetachi": "an in-plane scan of a film",
    "twothetachiphi": "an in-plane scan of a film",
}
"""What scans along other axes are."""


def check_axis(name: str, path: Path) -> tuple[str, ...]:
    """Return remarks on a scan axis named in a file.

    Raises:
        FormatError: along it 2theta does not run.

    """
    key = "".join(character for character in name.lower() if character.isalnum())
    if not key or key in TWO_THETA_AXES:
        return ()
    what = OTHER_AXES.get(key)
    if what is not None:
        raise FormatError(f"{path}: the scan axis is {name}: {what}, no powder pattern; give a theta-2theta scan")
    return (f"scan axis '{name}' is not known here and was taken as 2theta",)


def choose(n_scans: int, options: ReadOptions, path: Path) -> tuple[int, tuple[str, ...]]:
    """Return the index of the scan to read, counted from 0, and remarks.

    Raises:
        FormatError: no scan, or not the one asked for.

    """
    if n_scans == 0:
        raise FormatError(f"{path}: holds no scan; it is a programme or was stopped before its first point")
    number = options.scan or 1
    if not 1 <= number <= n_scans:
        raise FormatError(f"{path}: holds {n_scans} scans, --scan {number} is none of them")
    if n_scans > 1 and options.scan is None:
        return 0, (f"holds {n_scans} scans, the first was read; choose with --scan",)
    return number - 1, ()


def stopped(points: int, planned: int) -> tuple[str, ...]:
    """Return a remark where fewer points were measured than planned."""
    if 0 < points < planned - 1:
        return (f"the scan was stopped early: {points} of {planned} points",)
    return ()

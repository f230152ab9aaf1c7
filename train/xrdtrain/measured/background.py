"""Background of a measured pattern, by pybaselines.

# M measured points
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from xrdcommon.errors import InputError

from xrdtrain.measured.lines import noise

AUTO, NONE = "auto", "none"
AUTO_METHOD = "arpls"
"""Asymmetrically reweighted penalised least squares (Baek et al., Analyst 140 (2015) 250).

Of snip, arpls, airpls, drpls, iarpls, psalsa, mor, fabc and others of several stiffnesses it left the least error in 40
synthetic patterns with humps, slopes and counting noise: .0026 of the maximum (median), .0012 with the true background.
"""

STIFFNESS, AT_STEP = 3e5, 0.02
"""Penalty of a step in degrees; it grows with the fourth power of the number of points in a degree."""

WINDOW = 1.0
"""Degrees; half-width of the windows of morphological methods, some lines wide."""

ZERO = 1e-4
"""Of the maximum; smaller intensities count as zero."""

REMOVED = 0.005
"""Share of points at or below zero from which the background of a file counts as removed already."""

WHITTAKER = ("arpls", "asls", "airpls", "drpls", "iarpls", "aspls", "psalsa", "derpsalsa")
WINDOWED = ("snip", "mor", "imor", "rolling_ball", "mormol", "tophat")
AIR_SMOOTHING, LEAST_AIR = 0.1, 0.3
"""Degrees: sigma of the filter on the fall at the first angles, and the shortest such fall."""

METHODS = (*WHITTAKER, *WINDOWED, "fabc", "std_distribution", "modpoly", "imodpoly")
LEAST_POINTS = 50


def check_method(name: str) -> str:
    """Return the name of a method of background removal.

    Raises:
        InputError: not one.

    """
    if name not in (AUTO, NONE, *METHODS):
        raise InputError(f"--background {name}: give auto, none or one of {', '.join(METHODS)} (pybaselines)")
    return name


def already_removed(intensity: NDArray[np.float64]) -> bool:
    """Return whether a pattern (M,) has none: many points at or below zero, as raw counts on a background never do."""
    return bool((intensity <= ZERO * intensity.max()).mean() >= REMOVED)


def background(
    angles: NDArray[np.float64], intensity: NDArray[np.float64], method: str, path: Path
) -> NDArray[np.float64] | None:
    """Return the background (M,), None where none is to be removed.

    Args:
        angles: (M,) degrees, rising.
        intensity: (M,).
        method: `auto` removes it by arpls, and air scatter at the first angles, unless the file's own was removed
            already; `none`; a method.
        path: for messages.

    Raises:
        InputError: no such method, or it fails on this pattern.

    """
    check_method(method)
    if method == NONE or (method == AUTO and (already_removed(intensity) or len(angles) < LEAST_POINTS)):
        return None
    from pybaselines import Baseline  # slow to load (SciPy's signals, Numba), and every training would wait for it
    from pybaselines.utils import ParameterWarning

    name = AUTO_METHOD if method == AUTO else method
    step = float(np.median(np.diff(angles)))
    options: dict[str, Any] = {}
    if name in WHITTAKER:
        options = {"lam": STIFFNESS * (AT_STEP / step) ** 4, "max_iter": 100}
    elif name in WINDOWED:
        half = max(2, round(WINDOW / step))
        options = {"max_half_window" if name == "snip" else "half_window": half}
        if name == "snip":
            options |= {"decreasing": True, "smooth_half_window": max(1, round(0.2 / step))}
    scale = float(intensity.max())
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore", ParameterWarning)  # patterns without noise end its iterations early
            found, _ = getattr(Baseline(angles, check_finite=False), name)(intensity / scale, **options)
    except (ValueError, ArithmeticError, np.linalg.LinAlgError) as error:
        raise InputError(
            f"{path}: --background {name} fails on it ({' '.join(str(error).split())[:80]}); try another or none"
        ) from error
    result = np.asarray(found, dtype=np.float64) * scale
    if not np.isfinite(result).all():
        raise InputError(f"{path}: --background {name} finds none; try another or none")
    return _with_air_scatter(angles, intensity, result) if method == AUTO else result


def _with_air_scatter(
    angles: NDArray[np.float64], intensity: NDArray[np.float64], base: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return a background that follows the fall of air scatter and direct beam at the first angles.

    A smooth background cannot rise there as steeply as they do. What falls from the first point on, and does not rise
    by more than its noise, is no line.
    """
    step = float(np.median(np.diff(angles)))
    smooth = gaussian_filter1d(intensity, max(AIR_SMOOTHING / step, 0.5), mode="nearest")
    sigma = noise(intensity, max(3, round(1.0 / step)))
    above = smooth - base > 2.0 * sigma
    end = int(np.argmin(above)) if not above.all() else len(above)
    lowest = np.minimum.accumulate(smooth[:end])
    rises = np.flatnonzero(smooth[:end] > lowest + 3.0 * sigma[:end])
    if len(rises):
        end = int(np.argmin(smooth[: rises[0] + 1]))
    if end * step < LEAST_AIR:
        return base
    result = base.copy()
    result[:end] = np.maximum(np.maximum(base, smooth), intensity)[:end]
    return result

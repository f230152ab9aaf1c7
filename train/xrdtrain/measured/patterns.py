"""Patterns from files, brought onto a network's grid.

# M measured points, P grid points
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xrdcommon.errors import FormatError, InputError, MissingFileError
from xrdcommon.grid import Grid

SUFFIXES = (".xy", ".csv", ".txt", ".dat", ".npy")
LEAST_OVERLAP = 0.5
"""Share of the grid that a measured pattern must cover."""
COARSEST = 0.5
"""Degrees 2theta between measured points beyond which lines fall between them."""


def read_pattern(path: Path) -> NDArray[np.float64]:
    """Read one column (M, 1) of intensities, or two (M, 2): 2theta in degrees, intensity.

    Text may be separated by blanks or commas; lines that begin with a letter, # or ' before the numbers are skipped.

    Raises:
        MissingFileError: no such file.
        FormatError: not such columns.

    """
    if not path.is_file():
        raise MissingFileError(f"{path}: no such pattern; give a file with two columns, 2theta and intensity")
    if path.suffix.lower() not in SUFFIXES:
        raise FormatError(f"{path}: cannot read '{path.suffix}'; give one of {', '.join(SUFFIXES)}")
    try:
        if path.suffix.lower() == ".npy":
            with path.open("rb") as stream:
                if stream.read(6) != b"\x93NUMPY":
                    raise ValueError("not a NumPy array file")
            values: NDArray[np.float64] = np.load(path, allow_pickle=False).astype(np.float64)
            if values.ndim == 2 and values.shape[0] == 2 and values.shape[1] > 2:
                values = values.T
        else:
            values = _text(path)
    except (ValueError, OSError, EOFError, TypeError) as error:
        raise FormatError(f"{path}: not a pattern ({error}); two columns, 2theta and intensity") from error
    values = values[:, None] if values.ndim == 1 else values
    if values.ndim != 2 or values.shape[1] not in (1, 2) or len(values) < 2:
        raise FormatError(f"{path}: shape {values.shape}; need one column of intensities or two with 2theta first")
    return values


def _text(path: Path) -> NDArray[np.float64]:
    """Read the numbers of a text file, its header skipped."""
    rows: list[list[float]] = []
    for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
        words = line.replace(",", " ").replace(";", " ").split()
        if not words or words[0][0] in "#!'\"":
            continue
        try:
            rows.append([float(word) for word in words[:2]])
        except ValueError:
            if rows:
                raise ValueError(f"line {number}: '{line.strip()[:40]}'") from None
    return np.array(rows, dtype=np.float64)


def on_grid(
    two_theta: NDArray[np.floating[Any]], intensity: NDArray[np.floating[Any]], grid: Grid, what: str
) -> NDArray[np.float32]:
    """Interpolate a pattern onto a grid and scale it to [0, 1] as the training patterns are.

    Args:
        two_theta: (M,) degrees, rising.
        intensity: (M,) of any scale; negative values become 0.
        grid: the network's grid; points outside the measured range become 0.
        what: name of the pattern for messages.

    Raises:
        InputError: shapes, order, range or step do not fit, or nothing is above zero.

    """
    two_theta, intensity = two_theta.astype(np.float64), intensity.astype(np.float64)
    if two_theta.ndim != 1 or two_theta.shape != intensity.shape or len(two_theta) < 2:
        raise InputError(f"{what}: {two_theta.shape} angles and {intensity.shape} intensities; need as many of both")
    if not (np.isfinite(two_theta).all() and np.isfinite(intensity).all()):
        raise InputError(f"{what}: values that are not finite; remove them")
    if not (np.diff(two_theta) > 0).all():
        raise InputError(f"{what}: 2theta must rise from point to point; sort the file")
    points = grid.two_theta
    inside = measured_points(two_theta, grid)
    if inside.mean() < LEAST_OVERLAP:
        raise InputError(
            f"{what}: measured {two_theta[0]:g} to {two_theta[-1]:g} degrees 2theta, the network needs {grid}; "
            "less than half of it is covered"
        )
    values = np.where(inside, np.interp(points, two_theta, intensity), 0.0).clip(min=0.0)
    if values.max() <= 0.0:
        raise InputError(f"{what}: no intensity above zero")
    step = float(np.median(np.diff(two_theta)))
    if step > max(COARSEST, 2.0 * grid.step):
        raise InputError(f"{what}: steps of {step:g} degrees 2theta lose lines; measure in {COARSEST:g} or less")
    scaled: NDArray[np.float32] = (values / values.max()).astype(np.float32)
    return scaled


def measured_points(two_theta: NDArray[np.floating[Any]], grid: Grid) -> NDArray[np.bool_]:
    """Return which points (P,) of a grid lie within half a step of the measured range (M,)."""
    points = grid.two_theta
    inside: NDArray[np.bool_] = (points >= two_theta[0] - grid.step / 2) & (points <= two_theta[-1] + grid.step / 2)
    return inside


def describe_change(two_theta: NDArray[np.floating[Any]], grid: Grid) -> str | None:
    """Say how a pattern's points differ from the grid; None where they are the same."""
    points = grid.two_theta
    if len(two_theta) == len(points) and np.abs(two_theta - points).max() < grid.step / 100:
        return None
    step = float(np.median(np.diff(two_theta)))
    text = (
        f"{two_theta[0]:g} to {two_theta[-1]:g} degrees in steps of {step:.4g} interpolated onto the network's grid, "
        f"{grid}"
    )
    if two_theta[0] > points[0] + grid.step or two_theta[-1] < points[-1] - grid.step:
        text += "; what was not measured counts as zero"
    return text

"""NumPy files: .npy with one or two columns, .npz with two_theta and intensity."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xrdcommon.errors import FormatError

from xrdtrain.measured.formats.guard import open_archive
from xrdtrain.measured.pattern import Axis, ReadOptions, Scan


def read_npy(content: bytes, path: Path, options: ReadOptions) -> Scan:
    """Read (M,), (M, 2), (M, 3) or (2, M) numbers.

    Raises:
        FormatError: not such an array.

    """
    values = _load(content, path)
    if values.ndim == 2 and values.shape[0] in (2, 3) and values.shape[1] > 3:
        values = values.T
    values = values[:, None] if values.ndim == 1 else values
    if values.ndim != 2 or values.shape[1] not in (1, 2, 3) or len(values) < 2:
        raise FormatError(f"{path}: shape {values.shape}; need one column of intensities or two with 2theta first")
    if values.shape[1] == 1:
        return Scan(np.empty(0), values[:, 0])
    return Scan(values[:, 0], values[:, 1], values[:, 2] if values.shape[1] == 3 else None)


def read_npz(content: bytes, path: Path, options: ReadOptions) -> Scan:
    """Read one pattern under the names two_theta (or x) and intensity (or y).

    Raises:
        FormatError: other names, several patterns, or not numbers.

    """
    open_archive(content, path)  # bounded before NumPy unpacks anything
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            found: dict[str, NDArray[Any]] = {name: arrays[name] for name in arrays.files}
    except (ValueError, OSError, EOFError, TypeError, KeyError) as error:
        raise FormatError(f"{path}: not a pattern ({error}); two arrays, two_theta and intensity") from error
    x = next((found[name] for name in ("two_theta", "x") if name in found), None)
    y = next((found[name] for name in ("intensity", "y") if name in found), None)
    if x is None or y is None:
        raise FormatError(f"{path}: holds {', '.join(sorted(found)) or 'nothing'}; need two_theta and intensity")
    if y.ndim == 2 and x.ndim == 1:
        number = options.scan
        if number is None:
            raise FormatError(
                f"{path}: a set of {len(y)} patterns; measure it with `xrdtrain evaluate --test NAME={path.name}`, "
                "or choose one with --scan"
            )
        if not 1 <= number <= len(y):
            raise FormatError(f"{path}: holds {len(y)} patterns, --scan {number} is none of them")
        y = y[number - 1]
    if x.ndim != 1 or x.shape != y.shape or not (np.isrealobj(x) and np.isrealobj(y)):
        raise FormatError(f"{path}: two_theta {x.shape} and intensity {y.shape}; need as many of both")
    return Scan(x.astype(np.float64), y.astype(np.float64), axis=Axis.TWO_THETA, axis_from="two_theta")


def _load(content: bytes, path: Path) -> NDArray[np.float64]:
    """Return an array of numbers.

    Raises:
        FormatError: not one.

    """
    try:
        if not content.startswith(b"\x93NUMPY"):
            raise ValueError("not a NumPy array file")
        loaded: NDArray[np.float64] = np.load(io.BytesIO(content), allow_pickle=False).astype(np.float64)
    except (ValueError, OSError, EOFError, TypeError) as error:
        raise FormatError(f"{path}: not a pattern ({error}); two columns, 2theta and intensity") from error
    return loaded

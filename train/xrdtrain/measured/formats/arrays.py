"""NumPy files: .npy with one or two columns, .npz with two_theta and intensity."""

from __future__ import annotations

import io
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xrdcommon.errors import FormatError

from xrdtrain.measured.emission import of_wavelengths
from xrdtrain.measured.formats.guard import open_archive
from xrdtrain.measured.pattern import Axis, ReadOptions, Scan

POSITIONS = {
    "two_theta": Axis.TWO_THETA, "twotheta": Axis.TWO_THETA, "2theta": Axis.TWO_THETA, "tth": Axis.TWO_THETA,
    "angle": Axis.TWO_THETA, "angles": Axis.TWO_THETA, "x": Axis.TWO_THETA, "q": Axis.Q, "d": Axis.D, "s": Axis.S,
}  # fmt: skip
"""Names of positions in a .npz file, the first that is there counts; q in 1/Å, d in Å."""

NOT_READ = (ValueError, OSError, EOFError, TypeError, KeyError, SyntaxError, tokenize.TokenError, zipfile.BadZipFile,
            zlib.error, NotImplementedError, MemoryError, OverflowError)  # fmt: skip
"""What NumPy raises for files that are damaged, or not its own; its header is parsed as Python."""

INTENSITIES = ("intensity", "intensities", "counts", "y", "i")


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
    except NOT_READ as error:
        raise FormatError(f"{path}: not a pattern ({error}); two arrays, two_theta and intensity") from error
    named = {name.lower(): value for name, value in found.items()}
    said, axis = next(((name, kind) for name, kind in POSITIONS.items() if name in named), ("", Axis.TWO_THETA))
    x = named.get(said)
    y = next((named[name] for name in INTENSITIES if name in named), None)
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
    radiation = None
    if "wavelength" in named:
        value = named["wavelength"]
        if value.size != 1 or value.dtype.kind not in "iuf":
            raise FormatError(f"{path}: wavelength {value}: must be one number in Å")
        radiation = of_wavelengths((float(value.reshape(())),), "the file")
    return Scan(x.astype(np.float64), y.astype(np.float64), axis=axis, axis_from=said, radiation=radiation)


def _load(content: bytes, path: Path) -> NDArray[np.float64]:
    """Return an array of numbers.

    Raises:
        FormatError: not one.

    """
    try:
        if not content.startswith(b"\x93NUMPY"):
            raise ValueError("not a NumPy array file")
        loaded: NDArray[Any] = np.load(io.BytesIO(content), allow_pickle=False)
        if loaded.dtype.kind not in "iufb":
            raise ValueError(f"values of type {loaded.dtype}")
    except NOT_READ as error:
        raise FormatError(f"{path}: not a pattern ({error}); two columns, 2theta and intensity") from error
    return loaded.astype(np.float64)

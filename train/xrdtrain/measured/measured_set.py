"""Sets of measured patterns with labels: one .npz file, or a folder with a CSV file of labels.

# N patterns, M measured points
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xrdcommon.errors import FormatError, InputError, XrdError
from xrdcommon.space_groups import N_GROUPS

from xrdtrain.measured.emission import Radiation, parse_radiation
from xrdtrain.measured.formats.arrays import NOT_READ
from xrdtrain.measured.formats.guard import open_archive, read_bytes
from xrdtrain.measured.pattern import Axis, MeasuredPattern, ReadOptions, Scan
from xrdtrain.measured.reading import finish, read_measured

LABEL_COLUMNS = ("space_group", "sg")
WAVELENGTH_COLUMNS = ("wavelength", "wavelength_angstrom")

Opened = Callable[[], MeasuredPattern]
"""Reads one pattern; raises an XrdError where it cannot be used."""


@dataclass(frozen=True, slots=True)
class MeasuredSet:
    """Measured patterns with their space groups.

    Attributes:
        path: file or folder.
        ids: name of each pattern.
        labels: (N,) space groups.
        verified: (N,) whether a label was confirmed, None where the set does not say.
        readers: read each pattern when it is wanted.

    """

    path: Path
    ids: list[str]
    labels: NDArray[np.int64]
    verified: NDArray[np.bool_] | None
    readers: list[Opened]

    def __len__(self) -> int:
        """Return the number of patterns N."""
        return len(self.labels)

    def patterns(self) -> Iterator[MeasuredPattern | XrdError]:
        """Yield each pattern, or why it cannot be used."""
        for reader in self.readers:
            try:
                yield reader()
            except XrdError as error:
                yield error


def is_measured_set(path: Path) -> bool:
    """Return whether a path is a set of measured patterns: an .npz file, or a folder with a CSV file of labels."""
    if path.is_dir():
        return not (path / "zarr.json").exists() and any(_has_labels(file) for file in path.glob("*.csv"))
    return path.is_file() and path.suffix.lower() == ".npz"


def open_measured_set(path: Path, radiation: Radiation | None = None) -> MeasuredSet:
    """Open a set of measured patterns.

    Args:
        path: an .npz file with two_theta (M,) or (N, M), intensity (N, M), sg (N,), and perhaps verified (N,) and
            wavelength (Å); or a folder of patterns with a CSV file that has the columns file and space_group, and
            perhaps wavelength.
        radiation: of patterns that do not say theirs.

    Raises:
        MissingFileError, FormatError, InputError: not such a set.

    """
    return _folder(path, radiation) if path.is_dir() else _archive(path, radiation)


def _archive(path: Path, radiation: Radiation | None) -> MeasuredSet:
    """Open an .npz file."""
    content = read_bytes(path)
    open_archive(content, path)  # bounded before NumPy unpacks anything
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            found: dict[str, NDArray[Any]] = {name: arrays[name] for name in arrays.files}
    except NOT_READ as error:
        raise FormatError(f"{path}: cannot be read ({error}); need two_theta, intensity and sg") from error
    label = next((name for name in ("sg", "space_group") if name in found), None)
    if label is None or "two_theta" not in found or "intensity" not in found:
        raise FormatError(f"{path}: holds {', '.join(sorted(found))}; need two_theta, intensity and sg")
    x, y, labels = found["two_theta"], found["intensity"], found[label]
    if y.ndim != 2 or x.shape not in ((y.shape[1],), y.shape) or labels.shape != (len(y),):
        raise FormatError(f"{path}: two_theta {x.shape}, intensity {y.shape}, sg {labels.shape}: do not fit")
    verified = found.get("verified")
    if verified is not None and verified.shape != labels.shape:
        raise FormatError(f"{path}: verified {verified.shape} for {labels.shape} labels")
    if "wavelength" in found:
        radiation = Radiation((float(np.ravel(found["wavelength"])[0]),), "the set")
    options = ReadOptions(radiation=radiation)

    def reader(row: int) -> Opened:
        def read() -> MeasuredPattern:
            angles = x if x.ndim == 1 else x[row]
            scan = Scan(angles.astype(np.float64), y[row].astype(np.float64), axis=Axis.TWO_THETA)
            return finish(scan, Path(f"{path}:{row}"), options)

        return read

    return MeasuredSet(
        path,
        [str(row) for row in range(len(y))],
        _checked(labels.astype(np.int64), path),
        None if verified is None else verified.astype(np.bool_),
        [reader(row) for row in range(len(y))],
    )


def _folder(path: Path, radiation: Radiation | None) -> MeasuredSet:
    """Open a folder with a CSV file of labels; rows without a space group are left out."""
    files = [file for file in sorted(path.glob("*.csv")) if _has_labels(file)]
    if len(files) != 1:
        raise InputError(f"{path}: {len(files)} CSV files with the columns file and space_group; need one")
    with files[0].open(encoding="utf-8-sig", newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if (_label(row) or "").strip()]
    if not rows:
        raise InputError(f"{files[0]}: no row with a space group")
    try:
        labels = np.array([int(str(_label(row))) for row in rows], dtype=np.int64)
    except ValueError as error:
        raise FormatError(f"{files[0]}: a space group that is no number ({error})") from error

    def reader(row: dict[str, Any]) -> Opened:
        def read() -> MeasuredPattern:
            file = path / str(row["file"])
            pattern = read_measured(file)
            said = _radiation_of(row) or radiation
            if pattern.radiation is None and said is not None:
                pattern = read_measured(file, ReadOptions(radiation=said))
            return pattern

        return read

    verified = None
    if "verified" in rows[0]:
        verified = np.array([str(row["verified"]).strip().lower() in ("1", "true", "yes") for row in rows])
    return MeasuredSet(
        path, [str(row["file"]) for row in rows], _checked(labels, files[0]), verified, [reader(row) for row in rows]
    )


def _label(row: dict[str, Any]) -> str | None:
    """Return a row's label, None where it has none."""
    return next((row[name] for name in LABEL_COLUMNS if name in row), None)


def _radiation_of(row: dict[str, Any]) -> Radiation | None:
    """Return the radiation in a row of labels: a number, a name, or words of which one is either."""
    text = next((str(row[name]) for name in WAVELENGTH_COLUMNS if row.get(name)), "")
    for word in reversed(text.split()[:2]) if text.lower().startswith("anode") else text.split()[:1]:
        try:
            return parse_radiation(word, "the labels")
        except InputError:
            continue  # a word that is no radiation
    return None


def _has_labels(file: Path) -> bool:
    """Return whether a CSV file has the columns of labels."""
    with file.open(encoding="utf-8-sig", errors="replace") as stream:
        names = [name.strip().strip('"') for name in stream.readline(4096).strip().split(",")]
    return "file" in names and any(name in names for name in LABEL_COLUMNS)


def _checked(labels: NDArray[np.int64], path: Path) -> NDArray[np.int64]:
    """Return labels that are space groups.

    Raises:
        FormatError: one is not.

    """
    if labels.size == 0 or labels.min() < 1 or labels.max() > N_GROUPS:
        raise FormatError(f"{path}: labels must be space groups, 1 to {N_GROUPS}")
    return labels

"""Files shipped with the package, and the `embedded:` prefix by which commands name them."""

from __future__ import annotations

from pathlib import Path

from xrdcommon.errors import InputError, MissingFileError

PREFIX = "embedded:"
_DATA = Path(__file__).parent / "data"
_FILES = {
    "amcsd": "amcsd.parquet",
    "statistics": "statistics.npz",
    "statistics-materials-project": "statistics-materials-project.npz",
    "statistics-whole": "statistics-whole.npz",
}


def amcsd_path() -> Path:
    """Return the path of the shipped AMCSD structure table."""
    return _DATA / _FILES["amcsd"]


def statistics_path() -> Path:
    """Return the path of the default statistics."""
    return _DATA / _FILES["statistics"]


def resolve(text: str | Path) -> Path:
    """Return the path that an argument names: `embedded:NAME` or a path of the user's.

    Raises:
        InputError: there is no embedded file of this name.
        MissingFileError: the user's path does not exist.

    """
    if str(text).startswith(PREFIX):
        name = str(text)[len(PREFIX) :]
        if name not in _FILES:
            raise InputError(f"{text}: no such embedded file; there are {', '.join(PREFIX + key for key in _FILES)}")
        return _DATA / _FILES[name]
    path = Path(text)
    if not path.exists():
        raise MissingFileError(f"{path}: no such file or folder")
    return path

"""The numbers of vendors' files through geddes (MIT), the one place that knows it."""

from __future__ import annotations

from pathlib import Path

import geddes
import numpy as np
from numpy.typing import NDArray
from xrdcommon.errors import FormatError


def columns(
    content: bytes, path: Path, *, name: str | None = None, scan: int = 0, block: str | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return 2theta (M,) in degrees, rising, and intensity (M,) of one scan.

    Args:
        content: bytes of the file.
        path: for messages.
        name: what the library may take as the file's name; its own by default.
        scan: which one, counted from 0.
        block: data block of a CIF.

    Raises:
        FormatError: the library cannot read it.

    """
    try:
        found = geddes.read_bytes(content, name or path.name, index=scan, block=block)
    except (ValueError, OSError, OverflowError, MemoryError) as error:
        reason = " ".join(str(error).split()).removeprefix("Parse error: ")
        raise FormatError(f"{path}: cannot be read ({reason[:200]})") from error
    return np.asarray(found.x, dtype=np.float64), np.asarray(found.y, dtype=np.float64)

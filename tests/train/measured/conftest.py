"""What tests of measured patterns share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

REPOSITORY = Path(__file__).resolve().parents[3]


def beside(*parts: str) -> Path | None:
    """Return a file or folder of the data that lie beside the checkout, however deep it is; None without them."""
    for folder in REPOSITORY.parents:
        place = folder.joinpath("shared", *parts)
        if place.exists():
            return place
    return None


@pytest.fixture(scope="session")
def instrument_files() -> Path:
    """Files as instruments wrote them, with labels.csv."""
    place = beside("data", "instrument")
    if place is None:
        pytest.skip("no shared/data/instrument beside this checkout")
    return place


@pytest.fixture(scope="session")
def pattern_cases() -> Path:
    """One pattern in many forms, with patterns.csv beside it."""
    place = beside("cases", "patterns")
    if place is None:
        pytest.skip("no shared/cases/patterns beside this checkout")
    return place


TwoColumns = tuple[np.ndarray, np.ndarray]


@pytest.fixture(scope="session")
def lines() -> TwoColumns:
    """Two theta (4251,), 5 to 90 degrees in steps of 0.02, and a pattern of six lines."""
    x = 5.0 + 0.02 * np.arange(4251)
    y = sum(
        height * np.exp(-(((x - centre) / 0.06) ** 2))
        for centre, height in ((20.86, 220), (26.64, 1000), (36.55, 80), (39.47, 80), (50.14, 130), (59.96, 90))
    )
    return x, np.round(y, 2)


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str | bytes], Path]:
    """Write a file and return its path."""

    def put(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return put

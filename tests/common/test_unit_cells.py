"""Unit cells between the stages: what is written is read, what cannot be drawn is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from xrdcommon.errors import FormatError, MissingFileError
from xrdcommon.grid import Grid
from xrdcommon.unit_cells import UnitCell, read_unit_cells, write_unit_cells

GRID = Grid(10.0, 12.0, 0.5)


def cells() -> list[UnitCell]:
    real = UnitCell(
        "AMCSD:1",
        225,
        np.diag([5.64, 5.64, 5.64]),
        np.array([[0.0, 0.0, 0.0], [0.5, 0.5, 0.5]]),
        ("Na", "Cl"),
        np.array([1.66, 1.02]),
    )
    pattern = np.array([0.0, 0.25, 1.0, 0.5, 0.0])
    synthetic = UnitCell(
        "000000000000002a:0:17:5",
        1,
        np.array([[4.0, 0.0, 0.0], [0.1, 5.0, 0.0], [0.2, 0.3, 6.0]]),
        np.array([[0.12345, 0.5, 0.99999]]),
        ("U",),
        np.array([1.96]),
        GRID,
        pattern,
    )
    return [real, synthetic]


def test_what_is_written_is_read(tmp_path: Path) -> None:
    write_unit_cells(tmp_path / "cells.json", cells())
    found = read_unit_cells(tmp_path / "cells.json")
    assert list(found) == ["AMCSD:1", "000000000000002a:0:17:5"]
    for one in cells():
        other = found[one.name]
        assert (other.space_group, other.elements, other.grid) == (one.space_group, one.elements, one.grid)
        for name in ("vectors", "positions", "radii"):
            np.testing.assert_allclose(getattr(other, name), getattr(one, name), atol=1e-5)
    assert found["AMCSD:1"].pattern is None
    np.testing.assert_allclose(found["000000000000002a:0:17:5"].pattern, cells()[1].pattern)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"atoms": []}, "0 atoms"),
        ({"atoms": [["U", 0.1, 0.2, 0.3]]}, "atoms"),
        ({"atoms": [["U", 0.1, 0.2, None, 1.9]]}, "finite"),
        ({"atoms": [["U", 0.1, 0.2, 0.3, 1e9]]}, "radius"),
        ({"vectors": [[1, 0, 0], [2, 0, 0], [0, 0, 1]]}, "no volume"),
        ({"vectors": [[1, 0, 0]]}, r"vectors \(1, 3\)"),
        ({"pattern": [0.0, 1.0]}, "pattern that is none"),
        ({"pattern": [0.0, 1.0, 2.0, 0.0, 0.0]}, "pattern that is none"),
        ({"grid": {"two_theta_min": 5}}, "cannot be read"),
        ({"name": ...}, "KeyError"),
    ],
)
def test_what_cannot_be_drawn_is_named(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    write_unit_cells(tmp_path / "cells.json", cells())
    content = json.loads((tmp_path / "cells.json").read_text())
    item = {key: value for key, value in {**content["crystals"][1], **change}.items() if value is not ...}
    content["crystals"][1] = item
    (tmp_path / "cells.json").write_text(json.dumps(content))
    with pytest.raises(FormatError, match=rf"cells\.json, crystal 2: .*{message}"):
        read_unit_cells(tmp_path / "cells.json")


def test_other_files_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "cells.json"
    with pytest.raises(MissingFileError, match="no such file"):
        read_unit_cells(file)
    for content, message in (
        ("[]", "not a file of unit cells"),
        ('{"xrdstream_unit_cells": 9}', "format 9"),
        ("{", "JSON"),
    ):
        file.write_text(content)
        with pytest.raises(FormatError, match=message):
            read_unit_cells(file)

"""Unit cells as one stage hands them to the other, to be drawn: a JSON file of crystals with all their atoms.

`xrdgen cells` writes it: of real crystals by their names, of synthetic ones by their identities, these with their
diffractograms, which were used up in training. `xrdtrain report` draws them.
"""

# M positions in the conventional cell, P grid points

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from xrdcommon.errors import FormatError
from xrdcommon.files import read_json, write_bytes
from xrdcommon.grid import Grid

FORMAT: Final = 1
MOST_ATOMS: Final = 20_000


@dataclass(frozen=True, slots=True)
class UnitCell:
    """The conventional cell of a crystal.

    Attributes:
        name: of a structure in a fixed set, or identity of a synthetic sample.
        space_group: International Tables number.
        vectors: (3, 3) of the lattice as rows, Å.
        positions: (M, 3) fractional, in [0, 1).
        elements: M chemical symbols; of a mixed site that of its most abundant species.
        radii: (M,) of the atoms, Å, for a drawing.
        grid: of the diffractogram, None where there is none.
        pattern: (P,) diffractogram in [0, 1], None where there is none.

    """

    name: str
    space_group: int
    vectors: NDArray[np.float64]
    positions: NDArray[np.float64]
    elements: tuple[str, ...]
    radii: NDArray[np.float64]
    grid: Grid | None = None
    pattern: NDArray[np.float64] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the cell as JSON values; coordinates are rounded to 1e-5."""
        atoms = [
            [element, *(round(float(x), 5) for x in position), round(float(radius), 3)]
            for element, position, radius in zip(self.elements, self.positions, self.radii, strict=True)
        ]
        found: dict[str, Any] = {
            "name": self.name,
            "space_group": self.space_group,
            "vectors": [[round(float(x), 6) for x in vector] for vector in self.vectors],
            "atoms": atoms,
        }
        if self.grid is not None and self.pattern is not None:
            found["grid"] = self.grid.to_dict()
            found["pattern"] = [round(float(value), 5) for value in self.pattern]
        return found


def write_unit_cells(path: Path, cells: Iterable[UnitCell]) -> None:
    """Write cells atomically."""
    content = {"xrdstream_unit_cells": FORMAT, "crystals": [cell.to_dict() for cell in cells]}
    write_bytes(path, (json.dumps(content, separators=(",", ":"), allow_nan=False) + "\n").encode())


def read_unit_cells(path: Path) -> dict[str, UnitCell]:
    """Read cells, by name.

    Raises:
        MissingFileError: no such file.
        FormatError: not such a file, of another format, or with values that cannot be drawn.

    """
    content = read_json(path)
    remedy = "make it again with `xrdgen cells`"
    if not isinstance(content, dict) or "xrdstream_unit_cells" not in content:
        raise FormatError(f"{path}: not a file of unit cells; {remedy}")
    if content["xrdstream_unit_cells"] != FORMAT:
        raise FormatError(
            f"{path}: unit cells of format {content['xrdstream_unit_cells']}, this version reads {FORMAT}; {remedy}"
        )
    cells = {}
    for number, item in enumerate(content.get("crystals", ()), start=1):
        try:
            cell = _cell(item)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise FormatError(f"{path}, crystal {number}: cannot be read ({error!r}); {remedy}") from error
        cells[cell.name] = cell
    return cells


def _cell(item: dict[str, Any]) -> UnitCell:
    """Return one cell.

    Raises:
        ValueError, KeyError, TypeError, IndexError: it is none.

    """
    atoms = item["atoms"]
    if not 1 <= len(atoms) <= MOST_ATOMS:
        raise ValueError(f"{len(atoms)} atoms")
    vectors = np.array(item["vectors"], dtype=np.float64)
    numbers = np.array([atom[1:] for atom in atoms], dtype=np.float64)
    if vectors.shape != (3, 3) or numbers.shape != (len(atoms), 4):
        raise ValueError(f"vectors {vectors.shape}, atoms {numbers.shape}")
    if not np.isfinite(vectors).all() or not np.isfinite(numbers).all() or not abs(np.linalg.det(vectors)) > 1e-3:
        raise ValueError("numbers that are not finite, or no volume")
    if not ((numbers[:, 3] > 0.0) & (numbers[:, 3] < 10.0)).all():
        raise ValueError("radius of an atom")
    grid = Grid.from_dict(item["grid"]) if "grid" in item else None
    pattern = np.array(item["pattern"], dtype=np.float64) if grid is not None else None
    if grid is not None and pattern is not None and (
        pattern.shape != (grid.n_points,) or not ((pattern >= 0.0) & (pattern <= 1.0)).all()
    ):  # fmt: skip
        raise ValueError("pattern that is none")
    return UnitCell(
        name=str(item["name"]),
        space_group=int(item["space_group"]),
        vectors=vectors,
        positions=numbers[:, :3] % 1.0,
        elements=tuple(str(atom[0])[:3] for atom in atoms),
        radii=numbers[:, 3],
        grid=grid,
        pattern=pattern,
    )

"""Read pyxtal's Wyckoff tables once into arrays: `python -m xrdgen.symmetry.wyckoff_recipe`.

The result, `data/wyckoff.npz`, is shipped with the package: importing pyxtal costs seconds in every worker.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from xrdcommon.console import say, track
from xrdcommon.files import atomic_writer

from xrdgen.symmetry.operations import TRANSLATION_DENOMINATOR
from xrdgen.symmetry.wyckoff import TABLES_PATH


def tables_from_pyxtal() -> dict[str, NDArray[np.int64]]:
    """Return the arrays that `xrdgen.symmetry.wyckoff` reads, straight from pyxtal."""
    from pyxtal.symmetry import Group

    start, op_start = [0], [0]
    multiplicity: list[int] = []
    dof: list[int] = []
    rotations: list[NDArray[np.float64]] = []
    translations: list[NDArray[np.float64]] = []
    for number in track(range(1, 231), "Wyckoff positions of pyxtal", 230):
        positions = list(Group(number))[::-1]  # pyxtal begins with the general position, the tables with a
        for position in positions:
            matrices = np.array([operation.affine_matrix for operation in position.ops])
            multiplicity.append(len(matrices))
            dof.append(int(position.get_dof()))
            rotations.append(matrices[:, :3, :3])
            translations.append(matrices[:, :3, 3])
            op_start.append(op_start[-1] + len(matrices))
        start.append(start[-1] + len(positions))
    rotation = np.concatenate(rotations)
    translation24 = np.concatenate(translations) * TRANSLATION_DENOMINATOR
    for exact in (rotation, translation24):
        if np.abs(exact - np.rint(exact)).max() > 1e-4:
            raise ArithmeticError("pyxtal's Wyckoff tables hold a coefficient that is not a whole number")
    return {
        "start": np.array(start, dtype=np.int64),
        "multiplicity": np.array(multiplicity, dtype=np.int64),
        "dof": np.array(dof, dtype=np.int64),
        "op_start": np.array(op_start, dtype=np.int64),
        "op_rotation": np.rint(rotation).astype(np.int64),
        "op_translation24": np.rint(translation24).astype(np.int64) % TRANSLATION_DENOMINATOR,
    }


def write_tables(path: Path) -> None:
    """Write the tables as a compressed .npz of small integers."""
    tables = tables_from_pyxtal()
    small = {
        name: array.astype(np.int8 if name.startswith("op_r") or "24" in name else np.int32)
        for name, array in tables.items()
    }
    with atomic_writer(path) as stream:
        np.savez_compressed(stream, allow_pickle=False, **small)
    say(f"{path}: {len(tables['multiplicity'])} positions, {len(tables['op_rotation'])} operations")


if __name__ == "__main__":
    write_tables(TABLES_PATH)

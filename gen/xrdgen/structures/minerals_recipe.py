"""Count minerals in each space group: the prior of `xrdtrain predict --prior minerals`.

python -m xrdgen.structures.minerals_recipe train/xrdtrain/inference/data/minerals.csv

A mineral counts once in each space group in which the embedded AMCSD table (`embedded:amcsd`) has it, however many
refinements there are.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from xrdcommon.files import write_bytes

from xrdgen.structures.table import read_table

HEAD = (
    "# Pairs of mineral and space group in the American Mineralogist Crystal Structure Database (embedded:amcsd);\n"
    "# cite Downs & Hall-Wallace, Am. Mineral. 88 (2003) 247. Made by python -m xrdgen.structures.minerals_recipe\n"
    "space_group,minerals\n"
)


def count_minerals() -> dict[int, int]:
    """Return how many minerals there are in each space group, by its number."""
    table = read_table("embedded:amcsd")
    pairs = table[["name", "space_group"]].dropna().drop_duplicates()
    counts = np.bincount(pairs["space_group"].to_numpy(dtype=np.int64))
    return {group: int(n) for group, n in enumerate(counts) if n}


def main(path: Path) -> None:
    """Write the counts."""
    rows = "".join(f"{group},{n}\n" for group, n in count_minerals().items())
    write_bytes(path, (HEAD + rows).encode("utf-8"))


if __name__ == "__main__":
    main(Path(sys.argv[1]))

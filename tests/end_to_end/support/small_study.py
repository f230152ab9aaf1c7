"""A study at a small scale, as a user starts it, and what it has made."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from xrdgen.structures.table import read_table, write_table

GRID = "--two-theta-min 10 --two-theta-max 50 --step 0.05"
"""Long enough for the park networks."""
SHORT_GRID = "--two-theta-min 10 --two-theta-max 30 --step 0.05"
BATCH = 32
GROUPS = (14, 62, 166, 225)
OF_EACH = 45
"""Structures of each group in the fixture `structures`."""

Carry = Callable[..., "SmallStudy"]


def small(**values: object) -> list[str]:
    """Return the options of a small study, with values of `--set`."""
    given = {"min_structures": 15, "grid": GRID, "fit_options": f"--batch {BATCH}", **values}
    words = ["--scale", "1e-6", "--seeds", "1"]
    for name, value in given.items():
        words += ["--set", f"{name}={value}"]
    return words


@dataclass(frozen=True)
class SmallStudy:
    """A study that has ended.

    Attributes:
        folder: of the study.
        rows: of its table.
        said: on standard error.

    """

    folder: Path
    rows: list[dict[str, Any]]
    said: str

    @property
    def table(self) -> str:
        """What a user reads."""
        return (self.folder / "table.md").read_text()

    def columns(self, *names: str) -> list[tuple[Any, ...]]:
        """Return some columns of the table, numbers to six places."""
        cells = [[row[name] for name in names] for row in self.rows]
        return [tuple(round(cell, 6) if isinstance(cell, float) else cell for cell in row) for row in cells]

    def config(self, run: str) -> dict[str, Any]:
        """Return the configuration of a training."""
        found: dict[str, Any] = json.loads((self.folder / "runs" / run / "config.json").read_text())
        return found

    def network(self, run: str) -> dict[str, Any]:
        """Return what a network is."""
        found: dict[str, Any] = json.loads((self.folder / "runs" / run / "network.json").read_text())
        return found

    def spool(self, run: str) -> dict[str, Any]:
        """Return the configuration of a training's spool."""
        content = json.loads((self.folder / "spools" / run / "spool.json").read_text())
        found: dict[str, Any] = content["configuration"]
        return found

    def drawn(self, run: str) -> NDArray[Any]:
        """Return the records of the synthetic samples that a network was trained on."""
        with np.load(self.folder / "runs" / run / "evaluation" / "synthetic.npz") as archive:
            records: NDArray[Any] = archive["samples"]
        return records


def write_some(path: Path, numbers: Mapping[int, int]) -> Path:
    """Write so many small real structures of each space group."""
    table = read_table("embedded:amcsd")
    fitting = table[(table["n_atoms"] <= 60) & ~table["over_occupancy"]]
    chosen = [fitting[fitting["space_group"] == group].sample(n, random_state=1) for group, n in numbers.items()]
    write_table(path, pd.concat(chosen, ignore_index=True))
    return path


def with_arms(name: str, arms: Sequence[str], folder: Path) -> Path:
    """Write a copy of a shipped experiment with some of its arms alone; all else stays as it is."""
    text = (resources.files("xrdtrain.experiments") / f"{name}.toml").read_text()
    head, *found = text.split("\n[[arm]]\n")
    last, mark, published = found[-1].partition("\n[published]\n")
    by_name = {arm.split('"')[1]: arm for arm in (*found[:-1], last)}
    kept = [by_name[arm] for arm in arms]
    figures = [line for line in published.splitlines() if line.partition(" =")[0] in arms]
    path = folder / f"{name}.toml"
    path.write_text("\n[[arm]]\n".join([head, *kept]) + (mark + "\n".join(figures) if figures else ""))
    return path

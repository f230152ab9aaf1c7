"""Fixed sets on which a network is measured; never used to choose anything.

# N patterns
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from xrdcommon.errors import InputError
from xrdcommon.fixed_sets.fixed_set import FixedSet
from xrdcommon.measurement import Measurement

from xrdtrain.inference.classifier import Block
from xrdtrain.inputs.axis import check_covers
from xrdtrain.labels import Classes

BLOCK = 1024

EMBEDDED_NAME = "amcsd"
RESERVED = ("synthetic", "training")
"""Names of what `fit` itself writes into RUN/evaluation."""


@dataclass(frozen=True, slots=True)
class TestSet:
    """A fixed set with its labels as classes of a network.

    Attributes:
        name: as given with --test.
        data: the opened set.
        labels: (N,) class indices, negative where the group is not a class.

    """

    __test__ = False  # not a pytest class

    name: str
    data: FixedSet
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.data)

    def blocks(self, rows: NDArray[np.int64] | None = None) -> Iterator[Block]:
        """Yield patterns (n, P) and records (n,) of all rows, or of rising rows (n,), block by block."""
        if rows is None:
            for start in range(0, len(self.data), BLOCK):
                part = slice(start, min(start + BLOCK, len(self.data)))
                yield self.data.patterns(part.start, part.stop), self.data.samples[part]
        else:
            for start in range(0, len(rows), BLOCK):
                chosen = rows[start : start + BLOCK]
                yield self.data.take(chosen), self.data.samples[chosen]


def embedded_path() -> Path:
    """Return the real test set that comes with the package (AMCSD structures of unseen families)."""
    return Path(str(files("xrdtrain") / "embedded" / "amcsd-test.zarr"))


def parse_tests(arguments: Sequence[str]) -> dict[str, Path]:
    """Read NAME=PATH arguments; a bare path is named after its folder, `embedded` is the embedded real set.

    Raises:
        InputError: a name twice, empty, reserved or not a file name.

    """
    tests: dict[str, Path] = {}
    for argument in arguments:
        name, equals, path = argument.partition("=")
        if not equals:
            name, path = (EMBEDDED_NAME, argument) if argument == "embedded" else (Path(argument).stem, argument)
        if not name or not path or "/" in name or name.startswith("."):
            raise InputError(f"--test '{argument}': give NAME=PATH, for example rruff=rruff.zarr")
        if name in tests or name in RESERVED:
            raise InputError(f"--test '{argument}': the name '{name}' is taken; choose another")
        tests[name] = embedded_path() if path == "embedded" else Path(path)
    return tests


def open_test_sets(
    tests: dict[str, Path], *, measurement: Measurement, classes: Classes, reference: str
) -> list[TestSet]:
    """Open test sets and check that the network can read them.

    Args:
        tests: name to path.
        measurement: the network's axis and wavelength, which the sets must cover.
        classes: the network's classes.
        reference: what the messages call it, for example "the spool".

    Raises:
        InputError: another wavelength, or a range that does not cover the axis.
        MissingFileError, FormatError: no such set, or not one.

    """
    opened = []
    for name, path in tests.items():
        data = FixedSet.open(path)
        theirs = Measurement.of_simulation(data.grid, data.attributes.get("simulation"))
        check_covers(f"test set {name} ({path})", theirs, measurement, reference)
        labels = classes.index(data.samples["space_group"].astype(np.int64))
        opened.append(TestSet(name, data, labels))
    return opened

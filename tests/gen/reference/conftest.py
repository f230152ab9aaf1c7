"""Both engines side by side, on made-up statistics that know all 230 groups."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from xrdcommon.identity import SampleIdentity
from xrdcommon.space_groups import crystal_system
from xrdgen.crystal import Crystal
from xrdgen.crystals.generator import REASONS, CrystalGenerator
from xrdgen.crystals.settings import GeneratorSettings
from xrdgen.elements import symbol
from xrdgen.reference.generator import ReferenceGenerator
from xrdgen.statistics.build import Filters, count_structures
from xrdgen.statistics.model import Statistics
from xrdgen.structures.table import CELL_COLUMNS
from xrdgen.symmetry import wyckoff

SAMPLES = float(os.environ.get("XRD_REFERENCE_SAMPLES", "1"))
"""How many times the samples of an ordinary run are compared; more by hand."""

POSITION_TOLERANCE = 1e-9

Outcomes = dict[int, dict[str, int]]


class BothEngines:
    """Draws every crystal twice and compares."""

    def __init__(self, statistics: Statistics, settings: GeneratorSettings) -> None:
        self.fast = CrystalGenerator(statistics, settings)
        self.reference = ReferenceGenerator(statistics, settings)

    def compare(self, identities: Iterable[SampleIdentity]) -> list[Crystal]:
        """Return the reference's crystals, equal to those of the kernels."""
        crystals = []
        for identity in identities:
            fast, slow = self.fast.draw(identity), self.reference.draw(identity).to_crystal()
            assert fast.space_group == slow.space_group, identity
            assert fast.atomic_numbers.tolist() == slow.atomic_numbers.tolist(), identity
            assert fast.letters.tolist() == slow.letters.tolist(), identity
            np.testing.assert_allclose(fast.cell, slow.cell, rtol=0.0, atol=POSITION_TOLERANCE, err_msg=str(identity))
            apart = fast.positions - slow.positions
            np.testing.assert_allclose(apart - np.rint(apart), 0.0, atol=POSITION_TOLERANCE, err_msg=str(identity))
            crystals.append(slow)
        return crystals

    def outcomes(self) -> tuple[Outcomes, Outcomes]:
        """Return by group how many crystals either engine accepted, rejected (by reason) and checked again."""
        fast: Outcomes = {}
        for row in np.flatnonzero(self.fast.accepted):
            counts = dict(zip(REASONS, map(int, self.fast.rejections[row]), strict=True))
            counts |= {"accepted": int(self.fast.accepted[row]), "rechecked": int(self.fast.rechecked[row])}
            fast[int(row) + 1] = {outcome: n for outcome, n in counts.items() if n}
        slow = {group: {o: n for o, n in counts.items() if n} for group, counts in self.reference.counts.items()}
        return fast, slow


@pytest.fixture(scope="session")
def both_engines() -> Callable[[Statistics, GeneratorSettings], BothEngines]:
    return BothEngines


@pytest.fixture(scope="session")
def samples() -> float:
    """Multiple of the ordinary numbers of samples."""
    return SAMPLES


@pytest.fixture(scope="session")
def statistics() -> Statistics:
    """Statistics of made-up structures in all groups: few elements and sites, so that symmetry is often too high."""
    rng = np.random.default_rng(11)
    table = wyckoff.tables()
    structures = []
    for group in range(1, 231):
        start, stop = table.start[group - 1], table.start[group]
        weights = 1.0 / (1.0 + table.dof[start:stop])  # fixed positions more often than free ones
        for number in range(50):
            letters, elements = [], []
            for z in rng.choice([8, 14, 26, 29, 56], size=rng.choice([1, 2, 3], p=[0.35, 0.45, 0.2]), replace=False):
                n = rng.choice([1, 2, 3, 4], p=[0.6, 0.25, 0.1, 0.05])
                letters += rng.choice(stop - start, size=n, p=weights / weights.sum()).tolist()
                elements += [int(z)] * n
            multiplicities = table.multiplicity[start + np.array(letters)]
            volume = float(min(multiplicities.sum() * rng.uniform(8.0, 25.0), 6900.0))
            cell = _unit_cell(crystal_system(group), rng) * ([volume ** (1.0 / 3.0)] * 3 + [1.0] * 3)
            sites = [
                {"species": {symbol(z): 1.0}, "letter": wyckoff.letter(letter), "multiplicity": int(multiplicity)}
                for z, letter, multiplicity in zip(elements, letters, multiplicities, strict=True)
            ]
            structures.append(
                {
                    "source": "made up",
                    "id": f"{group}-{number}",
                    "space_group": group,
                    "volume": volume,
                    "sites": json.dumps(sites),
                    **dict(zip(CELL_COLUMNS, cell, strict=True)),
                    **dict.fromkeys(FAMILY_COLUMNS, f"{group}-{number}"),
                }
            )
    return count_structures(pd.DataFrame(structures), Filters())


FAMILY_COLUMNS = ("wyckoff_key", "name", "structure_type", "collection_code", "prototype_iso")


def _unit_cell(system: str, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return a cell (6,) of unit volume with the metric of a crystal system."""
    lengths, angles = rng.lognormal(0.0, 0.25, 3), rng.normal(95.0, 9.0, 3)
    if system != "triclinic":
        angles[[0, 2]] = 90.0
    if system not in ("triclinic", "monoclinic"):
        angles[1] = 90.0
    if system in ("tetragonal", "trigonal", "hexagonal"):
        lengths[1] = lengths[0]
    if system in ("trigonal", "hexagonal"):
        angles[2] = 120.0
    if system == "cubic":
        lengths[:] = 1.0
    cosines = np.cos(np.radians(angles))
    volume = lengths.prod() * np.sqrt(1.0 - (cosines**2).sum() + 2.0 * cosines.prod())
    return np.concatenate([lengths / np.cbrt(volume), angles])

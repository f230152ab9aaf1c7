"""Crystals to measure on: those beside the checkout, where they are, and random ones that everybody can draw."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
from xrdcommon.identity import SampleIdentity
from xrdgen import embedded
from xrdgen.crystal import Crystal
from xrdgen.crystals.generator import CrystalGenerator
from xrdgen.elements import atomic_number
from xrdgen.statistics.model import Statistics
from xrdgen.symmetry import wyckoff

SHARED = Path(__file__).resolve().parents[3] / "shared"
SHARED_CRYSTALS = SHARED / "bench" / "crystals.json.gz"
PROTOTYPE = SHARED / "prototype" / "fast_pattern.py"
GOLDEN_RATIO = 0.6180339887


def shared_crystals() -> list[Crystal]:
    """The crystals of the benchmark set beside the checkout; none where they are not."""
    from pymatgen.core import Lattice

    if not SHARED_CRYSTALS.exists():
        return []
    return [
        Crystal(
            space_group=entry["sg"],
            cell=np.array(Lattice(entry["lattice"]).parameters).round(8),
            positions=np.array([position for _, position, _ in entry["asu"]]),
            atomic_numbers=np.array([atomic_number(element) for element, _, _ in entry["asu"]]),
            occupancies=np.ones(len(entry["asu"])),
            letters=np.array([wyckoff.letter_index(label[-1]) for _, _, label in entry["asu"]]),
            sites=np.arange(len(entry["asu"])),
        )
        for entry in json.loads(gzip.decompress(SHARED_CRYSTALS.read_bytes()))
    ]


def natural_crystals(n: int) -> list[Crystal]:
    """Random crystals of the embedded statistics, space groups in their natural frequencies; always the same."""
    generator = CrystalGenerator(Statistics.load(embedded.statistics_path()))
    return [generator.draw(SampleIdentity(2023, 0, 0, index)) for index in range(n)]


def crystallite_size(number: int) -> float:
    """Crystallite size of a crystal by its number in a set, nm: spread evenly over 20 to 100."""
    return 20.0 + 80.0 * (GOLDEN_RATIO * number % 1.0)

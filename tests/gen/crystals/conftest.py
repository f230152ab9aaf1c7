"""Statistics for all 230 groups, made up so that every draw can be checked against them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from importlib import import_module
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from xrdcommon.space_groups import CRYSTAL_SYSTEMS, crystal_system
from xrdgen import random_kernels
from xrdgen.statistics.model import Statistics, add_sparse
from xrdgen.symmetry import wyckoff

N_SUPPORT = 60
SYSTEM_SPREAD = {"lengths": 0.12, "angles": 8.0}


def joint_counts(
    rng: np.random.Generator,
    elements: NDArray[np.int64],
    repetitions: NDArray[np.int64],
    positions: NDArray[np.int64],
) -> dict[str, NDArray[np.int64]]:
    """Spread the counts of every group at random over elements and over numbers of sites (2, 5 and 9)."""
    of_element, of_sites, n_sites = [], [], []
    for row in range(230):
        pairs = np.repeat(np.arange(repetitions.shape[1]), repetitions[row])
        present = rng.permutation(np.repeat(np.arange(1, 104), elements[row]))
        of_element += [(row + 1, z, r, 1) for z, r in zip(present, pairs, strict=True)]
        letters = np.repeat(np.arange(27), positions[row])
        of_sites += [(row + 1, n, k, 1) for n, k in zip(rng.choice([2, 5, 9], len(letters)), letters, strict=True)]
        n_sites += [(row + 1, 2, 30), (row + 1, 5, 20), (row + 1, 9, row + 10)]
    sites = np.array(n_sites)
    return {
        "element_repetitions": add_sparse(np.array(of_element)),
        "site_letters": add_sparse(np.array(of_sites)),
        "n_sites": sites,
        "n_atoms": sites * [1, 4, 1],
    }


@pytest.fixture(scope="session")
def statistics() -> Statistics:
    """Made-up statistics: 60 structures a group, every Wyckoff position occupied, one to four elements."""
    rng = np.random.default_rng(7)
    table = wyckoff.tables()
    n_elements = np.zeros((230, 6), dtype=np.int64)
    elements = np.zeros((230, 103), dtype=np.int64)
    repetitions = np.zeros((230, 7), dtype=np.int64)
    positions = np.zeros((230, 27), dtype=np.int64)
    v_atomic, factor = [], []
    for row in range(230):
        n_elements[row, 1:5] = [10, 25, 15, 10]
        elements[row, rng.choice(96, 12, replace=False)] = rng.integers(1, 40, 12)
        repetitions[row, 1:6] = [elements[row].sum() - 75, 40, 20, 10, 5]
        n_letters = table.start[row + 1] - table.start[row]
        positions[row, :n_letters] = rng.integers(5, 40, n_letters)
        v_atomic.append(rng.lognormal(np.log(800), 0.8, N_SUPPORT - 1))
        v_atomic.append([40000.0])  # nothing is refused for its atomic volume
        factor.append(rng.normal(1.3, 0.2, N_SUPPORT).clip(0.6))
    lattices, start = [], [0]
    for system in CRYSTAL_SYSTEMS:
        n = 0 if system == "cubic" else 400
        cells = np.column_stack(
            [np.exp(rng.normal(0, SYSTEM_SPREAD["lengths"], (n, 3))), rng.normal(95, SYSTEM_SPREAD["angles"], (n, 3))]
        )
        if system != "triclinic":
            cells[:, [3, 5]] = 90.0
        if system not in ("triclinic", "monoclinic"):
            cells[:, 4] = 90.0
        if system in ("tetragonal", "trigonal", "hexagonal"):
            cells[:, 1] = cells[:, 0]
        if system in ("trigonal", "hexagonal"):
            cells[:, 5] = 120.0
        cosines = np.cos(np.radians(cells[:, 3:]))
        volume = cells[:, :3].prod(axis=1) * np.sqrt(1 - (cosines**2).sum(axis=1) + 2 * cosines.prod(axis=1))
        cells[:, :3] /= np.cbrt(volume)[:, None]
        lattices.append(cells)
        # shared out evenly: a group of a small system has an estimate of its own, one of a large system has not
        groups = sum(crystal_system(group) == system for group in range(1, 231))
        start = [*start, *(start[-1] + n * k // groups for k in range(1, groups + 1))]
    values: dict[str, Any] = {
        "n_structures": np.arange(60, 290, dtype=np.int64),
        "n_elements": n_elements,
        "elements": elements,
        "repetitions": repetitions,
        "wyckoff": positions,
        **joint_counts(rng, elements, repetitions, positions),
        "volume_start": np.arange(231, dtype=np.int64) * N_SUPPORT,
        "v_atomic": np.concatenate(v_atomic),
        "density_factor": np.concatenate(factor),
        "lattice_start": np.array(start, dtype=np.int64),
        "lattice": np.concatenate(lattices),
        "header": {},
    }
    return Statistics(**{field.name: values[field.name] for field in fields(Statistics)})


KERNEL_MODULES = (
    "xrdgen.random_kernels",
    "xrdgen.crystals.kde_kernels",
    "xrdgen.crystals.sampler_kernels",
    "xrdgen.crystals.primitive_kernels",
    "xrdgen.crystals.symmetry_test_kernels",
    "xrdgen.crystals.drawing_kernels",
    "xrdgen.crystals.generator",
    "xrdgen.crystals.verify",
)


@pytest.fixture(params=["compiled", "python"])
def kernels_form(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Run a test with the compiled kernels and with their Python forms."""
    if request.param == "compiled":
        yield "compiled"
        return
    for name in KERNEL_MODULES:
        module = import_module(name)
        for attribute, value in list(vars(module).items()):
            if hasattr(value, "py_func"):
                monkeypatch.setattr(module, attribute, value.py_func)
    with np.errstate(over="ignore"):  # arithmetic modulo 2^64 is meant
        yield "python"


@pytest.fixture
def stream() -> NDArray[np.uint64]:
    """A random stream with a fixed seed."""
    words = np.zeros(random_kernels.STREAM_WORDS, dtype=np.uint64)
    random_kernels.start_stream(words, np.array([5, 6], dtype=np.uint64), np.zeros(4, dtype=np.uint64))
    return words

"""Small spools and fixed sets whose patterns can be learned in seconds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from xrdcommon.fields import empty_samples
from xrdcommon.fixed_sets.fixed_set import write_fixed_set
from xrdcommon.grid import Grid
from xrdcommon.spool.producer import Draft, Stream
from xrdcommon.spool.spool import Spool
from xrdtrain.fitting.fit import FitRequest, fit
from xrdtrain.inference.classifier import Precision

GRID = Grid(5.0, 90.0, 0.1)
CLASSES = (2, 14, 62, 152, 154, 225)
PHYSICS = {"wavelength": 1.5406}


def patterns_of(groups: NDArray[Any], grid: Grid, random: np.random.Generator) -> NDArray[np.float32]:
    """Peaks at places that the group decides, with random intensities: (n, P) in [0, 1]."""
    points = grid.two_theta
    patterns = np.empty((len(groups), grid.n_points), dtype=np.float32)
    for row, group in enumerate(groups):
        places = np.random.default_rng(int(group)).uniform(10.0, 85.0, 8)
        heights = random.uniform(0.3, 1.0, 8)
        profile = (heights * np.exp(-0.5 * ((points[:, None] - places) / 0.3) ** 2)).sum(axis=1)
        patterns[row] = profile / profile.max()
    return patterns


def samples_of(groups: NDArray[Any], random: np.random.Generator, shard: int = 0) -> NDArray[np.void]:
    """Records whose identity names every sample."""
    samples = empty_samples(len(groups))
    samples["space_group"] = groups
    samples["crystallite_size"] = random.uniform(20, 100, len(groups))
    samples["volume"] = random.uniform(50, 5000, len(groups))
    samples["lattice"] = random.uniform(3, 20, (len(groups), 6))
    samples["shard"], samples["index"] = shard, np.arange(len(groups))
    return samples


def fill(spool: Spool, first: int, shards: int, rows: int) -> None:
    """Publish shards first, first + 1, ... of a stream."""
    stream = Stream.open(spool)
    for shard in range(first, first + shards):
        random = np.random.default_rng([7, shard])
        groups = random.choice(spool.classes, rows)
        patterns, samples = patterns_of(groups, spool.grid, random), samples_of(groups, random, shard)
        stream.prepare(shard)
        with Draft(spool, stream.number, shard) as draft:
            for row in range(0, rows, 64):
                draft.writer.write_block(patterns[row : row + 64], samples[row : row + 64])
            assert draft.publish({}) is not None
    stream.close()


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Compute with one thread: results stay the same, and other work on the machine does not stall a barrier."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


MakeSpool = Callable[..., Spool]
MakeFixedSet = Callable[..., Path]


@pytest.fixture
def make_spool(tmp_path: Path) -> MakeSpool:
    """Make a spool with shards in it."""

    def make(name: str = "spool", shards: int = 4, rows: int = 160, grid: Grid = GRID) -> Spool:
        configuration = {"grid": grid.to_dict(), "classes": list(CLASSES), "simulation": PHYSICS}
        spool = Spool.create(tmp_path / name, configuration, 11)
        fill(spool, 0, shards, rows)
        return spool

    return make


@pytest.fixture
def fill_spool() -> Callable[[Spool, int, int, int], None]:
    """Publish more shards."""
    return fill


@pytest.fixture
def make_fixed_set(tmp_path: Path) -> MakeFixedSet:
    """Make a fixed set."""

    def make(
        name: str = "set.zarr",
        n: int = 96,
        grid: Grid = GRID,
        groups: tuple[int, ...] = CLASSES,
        wavelength: float = 1.5406,
    ) -> Path:
        random = np.random.default_rng(3)
        labels = np.resize(np.array(groups), n)
        write_fixed_set(
            tmp_path / name,
            grid,
            [patterns_of(labels, grid, random)],
            samples_of(labels, random),
            [f"row{row}" for row in range(n)],
            {"simulation": {"wavelength": wavelength}, "source": "test"},
        )
        return tmp_path / name

    return make


@pytest.fixture
def trained(tmp_path: Path, make_spool: Any, make_fixed_set: Any) -> tuple[Path, Path]:
    """A run that has learned, and its test set."""
    spool, real = make_spool(shards=6), make_fixed_set("real.zarr", n=60)
    request = FitRequest(
        source=spool.path,
        run=tmp_path / "run",
        model="resnet-10-small",
        tests=(f"real={real}",),
        samples=896,
        batch=64,
        precision=Precision.FP32,
    )
    fit(request)
    return tmp_path / "run", real


@pytest.fixture(scope="session")
def make_fixed_set_in() -> Callable[[Path], Path]:
    """Make a fixed set in a folder that outlives a test."""

    def make(folder: Path) -> Path:
        random = np.random.default_rng(3)
        labels = np.resize(np.array(CLASSES), 96)
        attributes = {"simulation": {"wavelength": 1.5406}, "source": "test"}
        names = [f"row{row}" for row in range(len(labels))]
        write_fixed_set(
            folder / "set.zarr",
            GRID,
            [patterns_of(labels, GRID, random)],
            samples_of(labels, random),
            names,
            attributes,
        )
        return folder / "set.zarr"

    return make

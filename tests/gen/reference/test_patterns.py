"""The kernels' diffractograms are those of pymatgen's lines and an exact sum; both engines fill the same shards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from xrdcommon.errors import InputError
from xrdcommon.fields import SAMPLE_DTYPE
from xrdcommon.grid import Grid
from xrdcommon.identity import SampleIdentity
from xrdcommon.shards import read_shard
from xrdcommon.shards.format import BLOCK_ROWS
from xrdcommon.spool.spool import Spool
from xrdgen.crystals.settings import PRESETS, GeneratorSettings
from xrdgen.diffraction.settings import SimulationSettings
from xrdgen.diffraction.simulator import Simulator
from xrdgen.embedded import resolve
from xrdgen.reference.diffraction import ReferenceSimulator
from xrdgen.reference.generator import ReferenceGenerator
from xrdgen.samples.config import STATISTICS_FILE, ProductionConfig
from xrdgen.samples.engines import redraw
from xrdgen.samples.reference_rows import ReferenceRows
from xrdgen.samples.rows import CrystalRows
from xrdgen.statistics.model import Statistics

PATTERN_TOLERANCE = 2e-5
FLOAT32 = 3e-7
FLOAT16 = 4.9e-4

COARSE = Grid(5.0, 70.0, 0.02)


def make_spool(path: Path, statistics: Path, generator: GeneratorSettings, simulation: SimulationSettings) -> Spool:
    """Make an empty spool."""
    configuration = ProductionConfig.build(statistics, simulation, generator, engine="reference")
    return Spool.create(path, configuration.to_dict(), 21, {STATISTICS_FILE: statistics})


def compare_rows(spool: Spool, identity: SampleIdentity, n: int) -> np.ndarray:
    """Fill rows with both engines, compare them and return the records."""
    patterns = np.empty((2, n, spool.grid.n_points), dtype=np.float32)
    records = np.zeros((2, n), dtype=SAMPLE_DTYPE)
    sources = CrystalRows(spool), ReferenceRows(spool)
    for engine, source in enumerate(sources):
        for first in range(0, n, BLOCK_ROWS):
            rows = slice(first, min(first + BLOCK_ROWS, n))
            start = SampleIdentity(identity.run, identity.producer, identity.shard, identity.index + first)
            source.fill(start, patterns[engine, rows], records[engine, rows])
    assert_same_records(*records)
    np.testing.assert_allclose(patterns[0], patterns[1], rtol=0.0, atol=PATTERN_TOLERANCE)
    assert sources[0].take_rejections() == sources[1].take_rejections()
    return records[1]


def assert_same_records(fast: np.ndarray, slow: np.ndarray) -> None:
    """Compare records: whole numbers exactly, others to the precision of their storage."""
    for name in SAMPLE_DTYPE.names or ():
        if fast[name].dtype.kind == "f":
            np.testing.assert_allclose(fast[name], slow[name], rtol=FLOAT32, err_msg=name)
        else:
            np.testing.assert_array_equal(fast[name], slow[name], err_msg=name)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("groups", ["natural", "uniform"])
def test_rows_of_real_statistics_are_the_same(groups: str, preset: str, tmp_path: Path, samples: float) -> None:
    settings = GeneratorSettings(preset=preset, space_groups=groups)
    spool = make_spool(tmp_path / "spool", resolve("embedded:statistics"), settings, SimulationSettings())
    compare_rows(spool, SampleIdentity(21, 0, 0, 0), int(20 * samples))


def test_patterns_of_all_groups_are_the_same(statistics: Statistics) -> None:
    """Small cells, one crystal a group, another wavelength, Gaussian and pseudo-Voigt and Lorentzian peaks."""
    settings = [
        SimulationSettings(COARSE, wavelength=2.2897, size_min=10.0, size_max=40.0, lorentzian_fraction=eta)
        for eta in (0.0, 0.35, 1.0)
    ]
    simulators = [(Simulator(s), ReferenceSimulator(s)) for s in settings]
    for group in range(1, 231):
        generator = ReferenceGenerator(statistics, GeneratorSettings(space_groups=(group,), max_volume=1500.0))
        identity = SampleIdentity(21, 3, group, 0)
        crystal = generator.draw(identity, accept=lambda crystal: crystal.volume > 60.0)
        fast, slow = simulators[group % 3]
        size = slow.crystallite_size(identity)
        assert fast.crystallite_size(identity) == size
        expected = slow.pattern(crystal, size)
        assert expected is not None
        np.testing.assert_allclose(
            fast.pattern(crystal.to_crystal(), size), expected, rtol=0.0, atol=PATTERN_TOLERANCE, err_msg=str(identity)
        )


def test_crystals_without_reflection_are_refused_alike(tmp_path: Path) -> None:
    """Low angles: many cells have no reflection there, or systematically absent ones alone."""
    settings, simulation = GeneratorSettings(space_groups=(14, 60, 70)), SimulationSettings(grid=Grid(5.0, 15.0, 0.05))
    spool = make_spool(tmp_path / "spool", resolve("embedded:statistics"), settings, simulation)
    compare_rows(spool, SampleIdentity(5, 0, 0, 0), 30)


def test_a_sample_drawn_again_is_drawn_by_the_engine_of_its_spool(tmp_path: Path) -> None:
    settings = GeneratorSettings(space_groups=(62, 221))
    spool = make_spool(
        tmp_path / "spool", resolve("embedded:statistics"), settings, SimulationSettings(grid=COARSE, size_max=50.0)
    )
    identity = SampleIdentity(21, 0, 7, 3)
    pattern = np.empty((1, COARSE.n_points), dtype=np.float32)
    record = np.zeros(1, dtype=SAMPLE_DTYPE)
    ReferenceRows(spool).fill(identity, pattern, record)
    again = redraw(spool, identity)
    np.testing.assert_array_equal(again.pattern, pattern[0])
    assert again.record.tobytes() == record[0].tobytes()
    assert again.crystal.space_group == record[0]["space_group"]


def test_a_grid_without_any_reflection_ends_with_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xrdgen.reference.generator.MAX_ATTEMPTS", 40)
    statistics, settings = resolve("embedded:statistics"), GeneratorSettings(space_groups=(225,))
    simulation = SimulationSettings(grid=Grid(0.5, 0.6, 0.01))
    spool = make_spool(tmp_path / "spool", statistics, settings, simulation)
    with pytest.raises(InputError, match=r"sample 0+15:0:0:0: space group 225 .*no_reflection [0-9]+.*leave the group"):
        redraw(spool, SampleIdentity(21, 0, 0, 0))


def test_both_engines_produce_the_same_spool(run_command: Any, tmp_path: Path) -> None:
    """And neither goes on with the spool of the other."""
    spools = {}
    for engine in ("reference", "fast"):
        path = tmp_path / engine
        options = ("--samples", 64, "--seed", 5, "--workers", 0, "--step", 0.02, "--two-theta-max", 45)
        done = run_command("xrdgen", "produce", path, *options, "--engine", engine, timeout=600.0)
        assert done.returncode == 0, done.stderr
        spools[engine] = Spool.open(path)
        assert spools[engine].configuration["engine"] == engine
    stored = {engine: read_samples(spool) for engine, spool in spools.items()}
    (fast_patterns, fast_records), (slow_patterns, slow_records) = stored["fast"], stored["reference"]
    assert fast_patterns.shape == slow_patterns.shape == (64, 2001)
    assert_same_records(fast_records, slow_records)
    np.testing.assert_allclose(fast_patterns, slow_patterns, rtol=2 * FLOAT16, atol=PATTERN_TOLERANCE)

    for engine, other in (("reference", "fast"), ("fast", "reference")):
        done = run_command("xrdgen", "produce", tmp_path / engine, "--samples", 65, "--engine", other)
        assert (done.returncode, done.stdout) == (2, "")
        assert f"engine is {engine}" in done.stderr.replace("'", "")


def read_samples(spool: Spool) -> tuple[np.ndarray, np.ndarray]:
    """Return patterns as float64 and records of all shards of a spool."""
    shards = [read_shard(path) for path in sorted(spool.layout.ready.iterdir())]
    patterns = np.concatenate([shard.patterns for shard in shards]).astype(np.float64)
    return patterns, np.concatenate([shard.samples for shard in shards])


def test_sample_draws_the_same_crystals_with_either_engine(run_command: Any) -> None:
    printed = {}
    for engine in ("fast", "reference"):
        done = run_command("xrdgen", "sample", "-n", 5, "--seed", 3, "--engine", engine)
        assert done.returncode == 0, done.stderr
        printed[engine] = done.stdout
        assert "5 crystals of" in done.stderr
    assert printed["fast"] == printed["reference"]
    wrong = run_command("xrdgen", "sample", "--engine", "quick")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "--engine quick: must be one of fast, reference" in wrong.stderr

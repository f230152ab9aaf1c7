"""Several diffractograms of one crystal: they follow each other, each with its own size, and can all be drawn again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from xrdcommon.errors import InputError
from xrdcommon.grid import Grid
from xrdcommon.identity import SampleIdentity
from xrdcommon.spool.spool import Spool
from xrdgen.crystals.generator import CrystalGenerator, crystal_of, empty_arrays
from xrdgen.crystals.sampler_kernels import CrystalArrays
from xrdgen.crystals.settings import GeneratorSettings
from xrdgen.diffraction.settings import SimulationSettings
from xrdgen.diffraction.simulator import NoReflectionError, Simulator
from xrdgen.embedded import resolve
from xrdgen.samples.config import STATISTICS_FILE, ProductionConfig
from xrdgen.samples.engines import redraw
from xrdgen.samples.reference_rows import ReferenceRows
from xrdgen.samples.rows import CrystalRows
from xrdgen.statistics.model import Statistics

from tests.gen.production.support.filled_rows import Filled, filled

LOW_ANGLES = Grid(5.0, 12.0, 0.05)
"""Most cubic cells have no reflection there, so that many crystals are refused by one of their diffractograms."""
RUN = 5
CRYSTAL = ("space_group", "lattice", "volume", "n_sites", "n_atoms", "density_factor", "composition")


def make_spool(path: Path, sizes: int, grid: Grid = LOW_ANGLES) -> Spool:
    statistics = Path(resolve("embedded:statistics"))
    configuration = ProductionConfig.build(
        statistics,
        SimulationSettings(grid=grid),
        GeneratorSettings(space_groups=(14, 225)),
        rows_per_shard=200,
        sizes_per_crystal=sizes,
    )
    return Spool.create(path, configuration.to_dict(), RUN, {STATISTICS_FILE: statistics})


def fill(rows: CrystalRows | ReferenceRows, first: int, n: int) -> Filled:
    """Fill n rows of shard 3."""
    return filled(rows, SampleIdentity(RUN, 0, 3, first), n, LOW_ANGLES)


def test_rows_of_a_crystal_follow_each_other_with_their_own_sizes(tmp_path: Path) -> None:
    spool = make_spool(tmp_path / "two", 2)
    rows = CrystalRows(spool)
    patterns, samples = fill(rows, 0, 80)
    assert rows.take_rejections()["225"]["no_reflection"] > 80
    for name in CRYSTAL:
        np.testing.assert_array_equal(samples[name][::2], samples[name][1::2], err_msg=name)
    assert len(np.unique(samples["volume"])) == 40
    assert samples["index"].tolist() == list(range(80))
    assert (np.abs(patterns[::2] - patterns[1::2]).max(axis=1) > 0).all()
    # the sizes are those of the same rows of a spool with one size a crystal
    _, plain = fill(CrystalRows(make_spool(tmp_path / "one", 1)), 0, 80)
    assert samples["crystallite_size"].tolist() == plain["crystallite_size"].tolist()
    assert len(np.unique(samples["crystallite_size"])) == 80

    generator = CrystalGenerator(
        Statistics.load(resolve("embedded:statistics")), ProductionConfig.from_dict(spool.configuration).generator
    )
    simulator = Simulator(SimulationSettings(grid=LOW_ANGLES))
    arrays = empty_arrays(generator.settings.max_sites)
    for index in range(0, 80, 2):
        sizes = [simulator.crystallite_size(SampleIdentity(RUN, 0, 3, index + k)) for k in range(2)]

        def has_both(group: int, candidate: CrystalArrays, sizes: list[float] = sizes) -> bool:
            try:
                for size in sizes:
                    simulator.pattern(crystal_of(group, candidate), size)
            except NoReflectionError:
                return False
            return True

        group = generator.draw_into(arrays, SampleIdentity(RUN, 0, 3, index), accept=has_both)
        crystal = crystal_of(group, arrays)
        assert samples["space_group"][index] == group
        np.testing.assert_allclose(samples["lattice"][index], crystal.cell, rtol=1e-6)
        for k, size in enumerate(sizes):
            np.testing.assert_allclose(patterns[index + k], simulator.pattern(crystal, size), rtol=0, atol=1e-6)


@pytest.mark.parametrize("sizes", [2, 4])
def test_blocks_and_redraws_change_no_byte(sizes: int, tmp_path: Path) -> None:
    spool = make_spool(tmp_path / "spool", sizes)
    patterns, samples = fill(CrystalRows(spool), 0, 42)
    for first, n in ((0, 42), (1, 3), (7, 30), (41, 1)):
        again = fill(CrystalRows(spool), first, n)
        assert again[0].tobytes() == patterns[first : first + n].tobytes()
        assert again[1].tobytes() == samples[first : first + n].tobytes()
    for index in (0, 1, 3, 10, 41):
        drawn = redraw(spool, SampleIdentity(RUN, 0, 3, index))
        assert drawn.record.tobytes() == samples[index].tobytes()
        np.testing.assert_array_equal(drawn.pattern, patterns[index])
        np.testing.assert_allclose(drawn.crystal.volume, samples["volume"][index], rtol=1e-6)


def test_both_engines_give_the_same(tmp_path: Path) -> None:
    spool = make_spool(tmp_path / "spool", 2)
    fast, slow = CrystalRows(spool), ReferenceRows(spool)
    found, expected = fill(fast, 3, 4), fill(slow, 3, 4)
    np.testing.assert_allclose(found[0], expected[0], rtol=0, atol=1e-3)
    assert found[1]["crystallite_size"].tolist() == expected[1]["crystallite_size"].tolist()
    np.testing.assert_allclose(found[1]["lattice"], expected[1]["lattice"], rtol=1e-5)
    assert found[1]["index"].tolist() == [3, 4, 5, 6]


def test_numbers_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    for sizes in (0, 3, 128):
        with pytest.raises(InputError, match=f"sizes per crystal {sizes}: must be 1, 2, 4"):
            make_spool(tmp_path / f"spool-{sizes}", sizes)
    with pytest.raises(InputError, match="rows per shard 200: must be a multiple of the 16 sizes"):
        make_spool(tmp_path / "spool-16", 16)


def test_command(run_command: Any, tmp_path: Path) -> None:
    """A spool says how many sizes it has, goes on with them, and refuses another number."""
    small = ("--workers", 0, "--two-theta-max", 40, "--step", 0.05, "--rows-per-shard", 32, "--seed", 1)
    words = ("xrdgen", "produce", tmp_path / "spool", *small)
    done = run_command(*words, "--samples", 33, "--sizes-per-crystal", 2, timeout=900.0)
    assert done.returncode == 0, done.stderr
    spool = Spool.open(tmp_path / "spool")
    assert spool.configuration["sizes_per_crystal"] == 2
    done = run_command(*words, "--samples", 64, timeout=900.0)
    assert done.returncode == 0, done.stderr
    done = run_command(*words, "--samples", 128, "--sizes-per-crystal", 4)
    assert done.returncode == 2
    assert "sizes_per_crystal is 2 there, 4 asked for" in done.stderr
    one = redraw(spool, SampleIdentity(1, 0, 0, 6)).record, redraw(spool, SampleIdentity(1, 0, 0, 7)).record
    assert one[0]["volume"] == one[1]["volume"]
    assert one[0]["crystallite_size"] != one[1]["crystallite_size"]

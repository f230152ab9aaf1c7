"""A production of given structure types: its configuration has them, its records name them, another list is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from xrdcommon.errors import InputError
from xrdcommon.fixed_sets.fixed_set import FixedSet
from xrdcommon.grid import Grid
from xrdcommon.identity import SampleIdentity
from xrdcommon.spool.spool import Spool
from xrdgen.crystals.settings import GeneratorSettings
from xrdgen.diffraction.imperfections import Imperfections
from xrdgen.diffraction.settings import SimulationSettings
from xrdgen.embedded import resolve
from xrdgen.freezing.freeze import Limits, freeze_table, rejected_path
from xrdgen.samples.config import STATISTICS_FILE, ProductionConfig
from xrdgen.samples.engines import redraw
from xrdgen.samples.reference_rows import ReferenceRows
from xrdgen.samples.rows import CrystalRows
from xrdgen.structures.families import family_number
from xrdgen.structures.table import read_table, write_table

from tests.gen.production.support.filled_rows import Filled, filled

TYPES = (("62:4c", 2), ("AB2C4_cF56_227_a_d_e", 1), ("AB_cF8_225_b_a", 1))
KEYS = ("62:4c", "227:ade", "225:ab")
GRID = Grid(10.0, 60.0, 0.05)
RUN = 8


def make_spool(path: Path, preset: str = "pure") -> Spool:
    statistics = Path(resolve("embedded:statistics"))
    configuration = ProductionConfig.build(
        statistics,
        SimulationSettings(grid=GRID),
        GeneratorSettings(structure_types=TYPES),
        preset=preset,
        imperfections=Imperfections.preset(preset),
        rows_per_shard=64,
        sizes_per_crystal=2,
    )
    return Spool.create(path, configuration.to_dict(), RUN, {STATISTICS_FILE: statistics})


def fill(rows: CrystalRows | ReferenceRows, first: int, n: int) -> Filled:
    """Fill n rows of shard 0."""
    return filled(rows, SampleIdentity(RUN, 0, 0, first), n, GRID)


def test_records_name_the_type_and_can_be_drawn_again(tmp_path: Path) -> None:
    spool = make_spool(tmp_path / "spool")
    assert spool.classes == [62, 225, 227]
    patterns, samples = fill(CrystalRows(spool), 0, 64)
    group_of = {family_number(key): int(key.split(":")[0]) for key in KEYS}
    assert {int(family) for family in samples["family"]} == set(group_of)
    assert [group_of[int(family)] for family in samples["family"]] == samples["space_group"].tolist()
    for index in (0, 7, 63):
        drawn = redraw(spool, SampleIdentity(RUN, 0, 0, index))
        assert drawn.record.tobytes() == samples[index].tobytes()
        np.testing.assert_array_equal(drawn.pattern, patterns[index])
    found, expected = fill(CrystalRows(spool), 3, 6), fill(ReferenceRows(spool), 3, 6)
    np.testing.assert_allclose(found[0], expected[0], rtol=0, atol=1e-3)
    assert found[1]["family"].tolist() == expected[1]["family"].tolist()


def test_impurities_are_of_the_list_as_well(tmp_path: Path) -> None:
    """The same samples by both engines, impurity crystals included."""
    spool = make_spool(tmp_path / "spool", "s4-impurity")
    found, expected = fill(CrystalRows(spool), 0, 6), fill(ReferenceRows(spool), 0, 6)
    assert (found[1]["n_impurities"] > 0).any()
    np.testing.assert_allclose(found[0], expected[0], rtol=0, atol=1e-3)


def test_command(run_command: Any, tmp_path: Path) -> None:
    """The configuration has the list: the same one goes on whatever its order, another one is refused."""
    (tmp_path / "types.csv").write_text("type,count\n62:4c,2\nAB_cF8_225_a_b,1\n")
    (tmp_path / "other.csv").write_text("type,count\nAB_cF8_225_a_b,1\n62:4c,2\n")
    small = ("--workers", 0, "--two-theta-max", 40, "--step", 0.05, "--rows-per-shard", 32, "--seed", 1)
    words = ("xrdgen", "produce", tmp_path / "spool", *small)
    done = run_command(*words, "--samples", 32, "--structure-types", tmp_path / "types.csv", timeout=900.0)
    assert done.returncode == 0, done.stderr
    spool = Spool.open(tmp_path / "spool")
    assert spool.classes == [62, 225]
    assert spool.configuration["generator"]["structure_types"] == [["62:4c", 2], ["AB_cF8_225_a_b", 1]]
    done = run_command(*words, "--samples", 64, "--structure-types", tmp_path / "other.csv", timeout=900.0)
    assert done.returncode == 0, done.stderr
    done = run_command(*words, "--samples", 96, "--structure-types", "62:4c,AB_cF8_225_a_b")
    assert done.returncode == 2
    assert "spool made with another configuration: generator.structure_types is" in done.stderr
    (tmp_path / "other.csv").write_text("type,count\n62:4c,2\n225:az,1\n")
    done = run_command("xrdgen", "produce", tmp_path / "new", *small, "--structure-types", tmp_path / "other.csv")
    assert done.returncode == 2
    assert "other.csv, line 3: structure type '225:az': space group 225 (Fm-3m) has no Wyckoff letter" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "new").exists()


def test_real_structures_of_the_types_can_be_frozen_alone(tmp_path: Path) -> None:
    table = read_table("embedded:amcsd")
    small = table[(table["n_atoms"] <= 56) & table["space_group"].isin([62, 225, 227])].head(250)
    write_table(tmp_path / "table.parquet", small.reset_index(drop=True))
    names = tuple(name for name, _ in TYPES)
    out = tmp_path / "set.zarr"
    report = freeze_table(
        tmp_path / "table.parquet", out, SimulationSettings(grid=GRID), limits=Limits(structure_types=names)
    )
    wanted = (small["wyckoff_key"] == KEYS[0]) | small["prototype_iso"].isin(["AB2C4_cF56_227_a_d_e", "AB_cF8_225_a_b"])
    kept = FixedSet.open(out)
    assert report.crystals == len(kept) == int(wanted.sum()) > 20
    assert set(kept.samples["family"].tolist()) == {family_number(key) for key in KEYS}
    assert "not in the list of --structure-types" in rejected_path(out).read_text()
    with pytest.raises(InputError, match="no Wyckoff letter 'z'"):
        freeze_table(
            tmp_path / "table.parquet", tmp_path / "x.zarr", SimulationSettings(grid=GRID),
            limits=Limits(structure_types=("62:z",)),
        )  # fmt: skip

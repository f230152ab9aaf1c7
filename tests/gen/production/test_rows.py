"""Rows where many crystals have no reflection: nothing that a sample is named by, or counted by, may move."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from xrdcommon.errors import InputError
from xrdcommon.fields import SAMPLE_DTYPE
from xrdcommon.grid import Grid
from xrdcommon.identity import SampleIdentity
from xrdcommon.spool import Spool
from xrdgen.crystals.generator import CrystalGenerator
from xrdgen.crystals.settings import GeneratorSettings
from xrdgen.diffraction.settings import SimulationSettings
from xrdgen.embedded import resolve
from xrdgen.production.config import STATISTICS_FILE, ProductionConfig
from xrdgen.production.rows import CrystalRows, redraw
from xrdgen.statistics.model import Statistics

LOW_ANGLES = Grid(5.0, 12.0, 0.05)
"""d above 7.4 Å under copper radiation: most cubic cells have no reflection there, most monoclinic ones have."""

GROUPS = (14, 225)
ROWS = 200


def make_spool(path: Path, grid: Grid = LOW_ANGLES, wavelength: float = 1.5406) -> Spool:
    """Make an empty spool of two groups."""
    statistics = Path(resolve("embedded:statistics"))
    configuration = ProductionConfig.build(
        statistics,
        SimulationSettings(grid=grid, wavelength=wavelength),
        GeneratorSettings(space_groups=GROUPS, verification="exact"),
        rows_per_shard=ROWS,
    )
    return Spool.create(path, configuration.to_dict(), 5, {STATISTICS_FILE: statistics})


@pytest.fixture(scope="module")
def spool(tmp_path_factory: pytest.TempPathFactory) -> Spool:
    """A spool on low angles."""
    return make_spool(tmp_path_factory.mktemp("rows") / "spool")


def test_a_crystal_without_reflection_changes_neither_group_nor_name(spool: Spool) -> None:
    rows = CrystalRows(spool)
    patterns = np.empty((ROWS, LOW_ANGLES.n_points), dtype=np.float32)
    samples = np.zeros(ROWS, dtype=SAMPLE_DTYPE)
    rows.fill(SampleIdentity(5, 0, 3, 0), patterns, samples)

    counts = rows.take_rejections()
    assert counts["225"]["no_reflection"] > 2 * ROWS  # such crystals are the rule here
    assert counts["225"]["no_reflection"] > 4 * counts["14"].get("no_reflection", 0)
    # the groups are those of the same identities drawn without regard to any grid
    settings = ProductionConfig.from_dict(spool.configuration).generator
    plain = CrystalGenerator(Statistics.load(resolve("embedded:statistics")), settings)
    expected = [plain.draw(SampleIdentity(5, 0, 3, index)).space_group for index in range(ROWS)]
    assert samples["space_group"].tolist() == expected
    assert {group: counts[str(group)]["accepted"] for group in GROUPS} == {g: expected.count(g) for g in GROUPS}
    # and every row keeps its own index and has a pattern
    assert samples["index"].tolist() == list(range(ROWS))
    np.testing.assert_allclose(patterns.max(axis=1), 1.0, rtol=1e-6)

    for row in (int(np.flatnonzero(samples["space_group"] == 225)[-1]), 0, ROWS - 1):
        again = redraw(spool, SampleIdentity(5, 0, 3, row))
        assert again.record.tobytes() == samples[row].tobytes()
        np.testing.assert_array_equal(again.pattern, patterns[row])


def test_a_grid_without_any_reflection_ends_with_the_reason(tmp_path: Path) -> None:
    spool = make_spool(tmp_path / "spool", Grid(0.5, 0.6, 0.01))
    with pytest.raises(InputError, match=r"sample 0+5:0:0:0: space group .*no_reflection [0-9]+.*leave the group out"):
        redraw(spool, SampleIdentity(5, 0, 0, 0))

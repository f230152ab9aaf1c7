"""Diffractograms with imperfections: the kernels' are those of plain sums over all lines in double precision."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from xrdcommon.fields import SAMPLE_DTYPE
from xrdcommon.grid import Grid
from xrdcommon.identity import SampleIdentity
from xrdcommon.spool.spool import Spool
from xrdgen.crystals.settings import GeneratorSettings
from xrdgen.diffraction.imperfections import Imperfections, parse_effects
from xrdgen.diffraction.settings import SimulationSettings
from xrdgen.embedded import resolve
from xrdgen.samples.config import STATISTICS_FILE, ProductionConfig
from xrdgen.samples.reference_rows import ReferenceRows
from xrdgen.samples.rows import CrystalRows

TOLERANCE = 2e-5
FLOAT32 = 3e-7

CASES = {
    "s4": ("s4", "no-noise,no-background", Grid(5.0, 90.0, 0.02), 1.5406),
    "s4-impurity": ("s4-impurity", "", Grid(5.0, 90.0, 0.02), 1.5406),
    "measured lines": ("measured", "no-noise,no-background,no-hump,no-removal", Grid(5.0, 90.0, 0.01), 1.5406),
    "measured": ("measured", "", Grid(5.0, 90.0, 0.02), 1.5406),
    "molybdenum": ("measured", "no-impurity", Grid(3.0, 45.0, 0.01), 0.7093),
    "high angles": ("measured", "no-noise,no-impurity", Grid(60.0, 140.0, 0.02), 1.5406),
    "a few points": (
        "measured",
        "no-noise,no-background,no-hump,no-removal,no-truncation",
        Grid(20.0, 21.0, 0.05),
        1.5406,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_rows_of_both_engines_are_the_same(case: str, tmp_path: Path, samples: float) -> None:
    preset, effects, grid, wavelength = CASES[case]
    n = int(8 * samples)
    statistics = Path(resolve("embedded:statistics"))
    configuration = ProductionConfig.build(
        statistics,
        SimulationSettings(grid=grid, wavelength=wavelength, size_max=60.0),
        GeneratorSettings(max_volume=600.0, ordering="soft-spheres" if case == "s4-impurity" else "none"),
        preset=preset,
        imperfections=parse_effects(effects, Imperfections.preset(preset)),
        engine="reference",
    )
    spool = Spool.create(tmp_path / "spool", configuration.to_dict(), 21, {STATISTICS_FILE: statistics})
    patterns = np.empty((2, n, grid.n_points), dtype=np.float32)
    records = np.zeros((2, n), dtype=SAMPLE_DTYPE)
    sources = CrystalRows(spool), ReferenceRows(spool)
    for engine, source in enumerate(sources):
        source.fill(SampleIdentity(21, 0, 0, 0), patterns[engine], records[engine])
    for name in SAMPLE_DTYPE.names or ():
        np.testing.assert_allclose(records[0][name], records[1][name], rtol=FLOAT32, err_msg=name)
    np.testing.assert_allclose(patterns[0], patterns[1], rtol=0.0, atol=TOLERANCE)
    assert sources[0].take_rejections() == sources[1].take_rejections()

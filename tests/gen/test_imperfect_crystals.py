"""Given crystals with imperfections: `xrdgen simulate` and `xrdgen freeze`, keyed by seed and row."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from xrdcommon.fixed_sets.fixed_set import FixedSet
from xrdcommon.grid import Grid
from xrdcommon.identity import SampleIdentity
from xrdgen.crystal import Crystal
from xrdgen.diffraction.imperfections import Imperfections, parse_effects
from xrdgen.diffraction.settings import SimulationSettings
from xrdgen.diffraction.simulator import Simulator
from xrdgen.freezing.effects import Effects
from xrdgen.freezing.freeze import freeze_table
from xrdgen.samples.imaging import ImperfectSimulator
from xrdgen.structures.table import crystal_of, read_table, write_table

SETTINGS = SimulationSettings(grid=Grid(5.0, 60.0, 0.02))


@pytest.fixture(scope="module")
def crystal() -> Crystal:
    """A cubic crystal with few lines."""
    table = read_table("embedded:amcsd")
    return crystal_of(table[(table.space_group == 225) & (table.volume < 200.0) & (table.volume > 120.0)].iloc[0])


def test_without_imperfections_it_is_the_simulator(crystal: Crystal) -> None:
    source = ImperfectSimulator(SETTINGS, Imperfections())
    identity = SampleIdentity(3, 0, 0, 7)
    pattern, parameters = source.pattern(crystal, identity)
    simulator = Simulator(SETTINGS)
    assert parameters.crystallite_size == simulator.crystallite_size(identity)
    np.testing.assert_array_equal(pattern, simulator.pattern(crystal, parameters.crystallite_size))


def test_a_pattern_is_a_function_of_crystal_and_identity(crystal: Crystal) -> None:
    measured = Imperfections.preset("measured")
    source = ImperfectSimulator(SETTINGS, measured)
    first, parameters = source.pattern(crystal, SampleIdentity(3, 0, 0, 7))
    other, _ = source.pattern(crystal, SampleIdentity(3, 0, 0, 8))
    again, same = ImperfectSimulator(SETTINGS, measured).pattern(crystal, SampleIdentity(3, 0, 0, 7))
    np.testing.assert_array_equal(again, first)
    assert same == parameters
    assert np.abs(other - first).max() > 0.01


def test_the_doublet_stands_where_braggs_law_has_it(crystal: Crystal) -> None:
    """Copper's K-alpha 1 and 2, from one d each, 2 : 1; no other effect is on."""
    effects = "no-background,no-noise,no-caglioti,no-peak-shape,size"
    imperfections = replace(
        parse_effects(effects, Imperfections.preset("s4")), crystallite_size=Imperfections().crystallite_size
    )
    grid = Grid(20.0, 120.0, 0.005)
    settings = SimulationSettings(grid=grid, size_min=140.0, size_max=140.0)
    pattern, parameters = ImperfectSimulator(settings, imperfections).pattern(crystal, SampleIdentity(1, 0, 0, 0))
    assert parameters.k_alpha_2 == 0.5
    lines = Simulator(settings).peaks(crystal)
    strong = lines.d[(lines.intensity > 5.0) & (lines.two_theta > 60.0)]
    assert len(strong) > 2
    for d in strong:
        first, second = (2.0 * np.degrees(np.arcsin(w / (2.0 * d))) for w in (1.54056, 1.54439))
        near = [np.abs(grid.two_theta - angle) < 0.04 for angle in (first, second)]
        peaks = [grid.two_theta[window][pattern[window].argmax()] for window in near]
        np.testing.assert_allclose(peaks, [first, second], atol=0.006)
        assert pattern[near[1]].max() / pattern[near[0]].max() == pytest.approx(0.5, abs=0.06)


def test_sets_with_imperfections_are_the_same_whoever_makes_them(tmp_path: Path) -> None:
    table = read_table("embedded:amcsd").iloc[:12].reset_index(drop=True)
    write_table(tmp_path / "t.parquet", table)
    effects = Effects(Imperfections.preset("measured"), "measured")
    freeze_table(tmp_path / "t.parquet", tmp_path / "a.zarr", SETTINGS, seed=4, effects=effects)
    made = FixedSet.open(tmp_path / "a.zarr")
    source = ImperfectSimulator(SETTINGS, effects.imperfections)
    crystals = [crystal_of(entry) for _, entry in table.iterrows()]
    records = made.samples
    for at in (0, len(records) - 1):
        row = int(records["index"][at])
        pattern, parameters = source.pattern(crystals[row], SampleIdentity(4, 0, 0, row))
        np.testing.assert_array_equal(made.take([at])[0], pattern.astype(np.float16))
        for name, value in parameters._asdict().items():
            assert records[name][at] == np.float32(value), name

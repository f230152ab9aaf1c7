"""Rows with imperfections: functions of their identity, drawn again bit for bit, and of effects that share draws."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from xrdcommon.errors import InputError, SpoolError
from xrdcommon.fields import SAMPLE_FIELDS
from xrdcommon.grid import Grid
from xrdcommon.identity import SampleIdentity
from xrdcommon.spool.spool import Spool
from xrdgen.crystals.settings import GeneratorSettings
from xrdgen.diffraction.effects.parameters import PatternParameters
from xrdgen.diffraction.imperfections import PRESETS, Imperfections, parse_effects
from xrdgen.diffraction.settings import SimulationSettings
from xrdgen.embedded import resolve
from xrdgen.production.produce import Asked, open_spool
from xrdgen.samples.config import STATISTICS_FILE, ProductionConfig
from xrdgen.samples.engines import redraw
from xrdgen.samples.rows import CrystalRows

from tests.gen.production.support.filled_rows import Filled, filled

GRID = Grid(5.0, 60.0, 0.02)
RUN = 11


def make_spool(path: Path, preset: str, effects: str = "", **settings: object) -> Spool:
    """Make an empty spool."""
    statistics = Path(resolve("embedded:statistics"))
    configuration = ProductionConfig.build(
        statistics,
        SimulationSettings(grid=GRID, **settings),  # type: ignore[arg-type]
        GeneratorSettings(space_groups=(2, 14, 62, 167, 225), recheck=0.2),
        preset=preset,
        imperfections=parse_effects(effects, Imperfections.preset(preset)),
        rows_per_shard=256,
    )
    return Spool.create(path, configuration.to_dict(), RUN, {STATISTICS_FILE: statistics})


def fill(rows: CrystalRows, first: int, n: int) -> Filled:
    """Fill n rows of shard 2."""
    return filled(rows, SampleIdentity(RUN, 0, 2, first), n, GRID)


@pytest.mark.parametrize("preset", PRESETS)
def test_blocks_restarts_and_drawing_again_change_no_byte(preset: str, tmp_path: Path) -> None:
    spool = make_spool(tmp_path / "spool", preset)
    rows = CrystalRows(spool)
    whole = fill(rows, 0, 48)
    assert rows._generator.rechecked.sum() > 3  # the kernel was interrupted
    parts = [fill(CrystalRows(spool), first, 12) for first in range(0, 48, 12)]
    assert b"".join(part.samples.tobytes() for part in parts) == whole.samples.tobytes()
    np.testing.assert_array_equal(np.concatenate([part.patterns for part in parts]), whole.patterns)
    for row in (47, 0, 20):
        again = redraw(spool, SampleIdentity(RUN, 0, 2, row))
        assert again.record.tobytes() == whole.samples[row].tobytes()
        np.testing.assert_array_equal(again.pattern, whole.patterns[row])
    assert whole.patterns.min() >= 0.0
    np.testing.assert_array_equal(whole.patterns.max(axis=1), 1.0)


def test_crystals_are_those_of_pure_patterns(tmp_path: Path) -> None:
    fields = ("space_group", "lattice", "volume", "n_sites", "composition", "index")
    expected = fill(CrystalRows(make_spool(tmp_path / "pure", "pure")), 0, 24)
    for preset in PRESETS[1:]:
        found = fill(CrystalRows(make_spool(tmp_path / preset, preset)), 0, 24)
        for name in fields:
            np.testing.assert_array_equal(found.samples[name], expected.samples[name])
        assert np.abs(found.patterns - expected.patterns).max(axis=1).min() > 0.02


def test_switching_effects_off_leaves_all_other_draws(tmp_path: Path) -> None:
    everything = fill(CrystalRows(make_spool(tmp_path / "all", "measured")), 0, 64).samples
    without = fill(CrystalRows(make_spool(tmp_path / "some", "measured", "no-noise,no-impurity,no-texture")), 0, 64)
    neutral = PatternParameters()._asdict()
    off = {"noise_additive", "noise_counting", "noise_multiplicative", "n_impurities", "march_r"}
    off |= {f"impurity_fraction_{number}" for number in (1, 2, 3)} | {f"texture_{index}" for index in "hkl"}
    # the offset of a residue is a multiple of the noise
    for name in PatternParameters._fields:
        if name in off:
            np.testing.assert_array_equal(without.samples[name], neutral[name])
        elif name != "residue_offset":
            np.testing.assert_array_equal(without.samples[name], everything[name], err_msg=name)
    assert (everything["n_impurities"] > 0).sum() > 16
    assert (everything["march_r"] != 1.0).sum() > 4


def test_effects_all_off_are_pure_but_for_the_wavelength(tmp_path: Path) -> None:
    """The long way through lines, profile and points gives what the short one for pure patterns gives."""
    (tmp_path / "e.toml").write_text('base = "pure"\nb_iso = 1e-12\n')
    spool = make_spool(tmp_path / "spool", "pure", str(tmp_path / "e.toml"))
    assert ProductionConfig.from_dict(spool.configuration).imperfections != Imperfections()
    expected = fill(CrystalRows(make_spool(tmp_path / "pure", "pure")), 0, 24)
    found = fill(CrystalRows(spool), 0, 24)
    np.testing.assert_array_equal(found.samples["crystallite_size"], expected.samples["crystallite_size"])
    np.testing.assert_allclose(found.patterns, expected.patterns, rtol=0.0, atol=5e-6)


def test_an_impurity_is_another_crystal_and_its_fraction_that_of_the_maximum(tmp_path: Path) -> None:
    clean = "no-noise,no-background"
    mixed = fill(CrystalRows(make_spool(tmp_path / "mixed", "s4-impurity", clean)), 0, 24)
    alone = fill(CrystalRows(make_spool(tmp_path / "alone", "s4", clean)), 0, 24)
    fraction = mixed.samples["impurity_fraction_1"].astype(np.float64)
    assert 0.0 < fraction.min() <= fraction.max() <= 0.05
    np.testing.assert_array_equal(mixed.samples["space_group"], alone.samples["space_group"])
    for row in range(24):
        # mixed is (1 - a) main + a other, scaled: what is not main is the other crystal, and not negative
        ratio = mixed.patterns[row] / np.maximum(alone.patterns[row], 1e-30)
        scale = ratio[alone.patterns[row] > 0.01].min()
        other = mixed.patterns[row] - scale * alone.patterns[row]
        assert other.min() > -2e-5
        assert other.max() < 1.2 * fraction[row]


def test_pure_spools_name_no_imperfections_and_old_ones_are_read(tmp_path: Path) -> None:
    configuration = dict(make_spool(tmp_path / "pure", "pure").configuration)
    assert "imperfections" not in configuration
    assert ProductionConfig.from_dict(configuration).imperfections == Imperfections()
    measured = ProductionConfig.from_dict(make_spool(tmp_path / "measured", "measured", "no-texture").configuration)
    assert measured.imperfections == Imperfections.preset("measured").without("texture")


def test_imperfect_samples_of_another_kind_are_not_mixed(tmp_path: Path) -> None:
    """Pure samples are what they were; those with imperfections are not, and a spool of the kind before is refused."""
    pure = dict(make_spool(tmp_path / "pure", "pure").configuration)
    measured = dict(make_spool(tmp_path / "measured", "measured").configuration)
    assert (pure["sample_version"], measured["sample_version"]) == (4, 6)
    ProductionConfig.from_dict(measured)
    with pytest.raises(InputError, match="samples of kind 4, this one makes 6"):
        ProductionConfig.from_dict({**measured, "sample_version": 4})


def test_records_have_a_field_for_every_parameter() -> None:
    defaults = {field.name: field.default for field in SAMPLE_FIELDS}
    unknown = {"crystallite_size", "lorentzian_fraction", "range_first", "range_last"}
    for name, neutral in PatternParameters()._asdict().items():
        assert name in defaults
        if name in unknown:
            assert np.isnan(defaults[name])
        else:
            assert defaults[name] == neutral, name


def test_a_wavelength_of_no_tube_has_no_doublet(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"wavelength 0\.5 Å.*no-k-alpha-2"):
        CrystalRows(make_spool(tmp_path / "spool", "s4", wavelength=0.5))
    fill(CrystalRows(make_spool(tmp_path / "other", "s4", "no-k-alpha-2", wavelength=0.5)), 0, 1)


def test_a_spool_is_not_continued_with_other_imperfections(tmp_path: Path) -> None:
    spool = make_spool(tmp_path / "spool", "measured", "no-texture")
    for asked in (Asked(preset="s4"), Asked(effects="no-noise")):
        with pytest.raises(SpoolError, match=r"other imperfections \(preset measured\)") as raised:
            open_spool(spool.path, asked)
        assert len(str(raised.value)) < 400

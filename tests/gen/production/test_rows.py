"""Rows from one kernel: the same as drawn and simulated step by step, however they are cut into blocks or interrupted.

Most spools here are on low angles, where many crystals have no reflection: nothing that a sample is named by, or
counted by, may move for that.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from xrdcommon.errors import InputError
from xrdcommon.fields import SAMPLE_DTYPE
from xrdcommon.grid import Grid
from xrdcommon.identity import SampleIdentity
from xrdcommon.spool.spool import Spool
from xrdgen.crystals import drawing_kernels
from xrdgen.crystals.generator import REASONS, CrystalGenerator, crystal_of, empty_arrays
from xrdgen.crystals.sampler_kernels import CrystalArrays
from xrdgen.crystals.settings import GeneratorSettings
from xrdgen.crystals.verify import ExactVerifier
from xrdgen.diffraction.effects.parameters import PatternParameters
from xrdgen.diffraction.form_factors import has_form_factor
from xrdgen.diffraction.settings import SimulationSettings
from xrdgen.diffraction.simulator import NoReflectionError, Simulator
from xrdgen.elements import element_table
from xrdgen.embedded import resolve
from xrdgen.samples import row_kernels
from xrdgen.samples.config import STATISTICS_FILE, ProductionConfig
from xrdgen.samples.engines import redraw
from xrdgen.samples.record import fill_record
from xrdgen.samples.rows import CrystalRows
from xrdgen.statistics.model import Statistics

from tests.gen.production.support.filled_rows import Filled, filled

LOW_ANGLES = Grid(5.0, 12.0, 0.05)
"""d above 7.4 Å under copper radiation: most cubic cells have no reflection there, most monoclinic ones have."""

GROUPS = (14, 225)
ROWS = 200


RUN = 5


def make_spool(path: Path, grid: Grid = LOW_ANGLES, **generator: Any) -> Spool:
    """Make an empty spool of two groups, verified by the exact test, or by other settings of the generator."""
    statistics = Path(resolve("embedded:statistics"))
    settings = {"space_groups": GROUPS, "verification": "exact", **generator}
    configuration = ProductionConfig.build(
        statistics, SimulationSettings(grid=grid), GeneratorSettings(**settings), rows_per_shard=ROWS
    )
    return Spool.create(path, configuration.to_dict(), RUN, {STATISTICS_FILE: statistics})


def fill(rows: CrystalRows, first: int, n: int, grid: Grid = LOW_ANGLES) -> Filled:
    """Fill n rows of shard 3."""
    return filled(rows, SampleIdentity(RUN, 0, 3, first), n, grid)


@pytest.fixture(scope="module")
def spool(tmp_path_factory: pytest.TempPathFactory) -> Spool:
    """A spool on low angles."""
    return make_spool(tmp_path_factory.mktemp("rows") / "spool")


def test_a_crystal_without_reflection_changes_neither_group_nor_name(spool: Spool) -> None:
    rows = CrystalRows(spool)
    patterns, samples = fill(rows, 0, ROWS)

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


SPOOLS = {
    "low angles": {"space_groups": (14, 62)},
    "doubtful lattices": {"space_groups": (1, 5, 15, 19, 76), "symprec": 0.1, "recheck": 0.3, "min_structures": 1},
    "spglib decides": {"space_groups": (14, 62), "verification": "spglib"},
}
"""Settings under which rows are compared: interrupted hardly ever, often, and for every candidate."""


@pytest.mark.parametrize("name", SPOOLS)
def test_one_kernel_gives_what_the_steps_give(name: str, tmp_path: Path) -> None:
    """The steps: a crystal of the generator, its pattern of the simulator, its record of `fill_record`."""
    n = 16 if name == "spglib decides" else 100
    spool = make_spool(tmp_path / "spool", **SPOOLS[name])
    rows = CrystalRows(spool)
    patterns, samples = fill(rows, 0, n)

    configuration = ProductionConfig.from_dict(spool.configuration)
    generator = CrystalGenerator(Statistics.load(resolve("embedded:statistics")), configuration.generator)
    simulator = Simulator(configuration.simulation)
    arrays = empty_arrays(configuration.generator.max_sites)
    pattern = np.empty_like(patterns[0])
    record = np.zeros(1, dtype=SAMPLE_DTYPE)
    for index in range(n):
        identity = SampleIdentity(RUN, 0, 3, index)
        size = simulator.crystallite_size(identity)

        def has_pattern(group: int, candidate: CrystalArrays, size: float = size) -> bool:
            try:
                simulator.pattern(crystal_of(group, candidate), size, out=pattern)
            except NoReflectionError:
                return False
            return True

        group = generator.draw_into(arrays, identity, accept=has_pattern)
        grid = simulator.settings.grid
        parameters = PatternParameters(size, range_first=grid.two_theta_min, range_last=grid.two_theta_max)
        fill_record(record[0], crystal_of(group, arrays), parameters, identity)
        assert record[0].tobytes() == samples[index].tobytes()
        np.testing.assert_allclose(patterns[index], pattern, rtol=0, atol=1e-6)

    counts = rows.take_rejections()
    for group in configuration.classes:
        row = group - 1
        expected = dict(zip(REASONS, generator.rejections[row].tolist(), strict=True))
        expected |= {"accepted": int(generator.accepted[row]), "rechecked": int(generator.rechecked[row])}
        assert counts.get(str(group), {}) == {reason: count for reason, count in expected.items() if count}
    assert sum(count["accepted"] for count in counts.values()) == n
    if name == "doubtful lattices":
        assert isinstance(rows._generator.verifier, ExactVerifier)
        assert rows._generator.verifier.asked > n / 10
        assert rows._generator.rechecked.sum() > n / 10


@pytest.mark.parametrize("name", ["low angles", "doubtful lattices"])
def test_blocks_and_restarts_change_no_byte(name: str, tmp_path: Path) -> None:
    n = 75
    spool = make_spool(tmp_path / "spool", **SPOOLS[name])
    whole = fill(CrystalRows(spool), 0, n).tobytes()
    for block in (1, 7, 64):
        rows = CrystalRows(spool)
        parts = []
        for first in range(0, n, block):
            if first > n / 2:  # another process goes on
                rows = CrystalRows(spool)
            parts.append(fill(rows, first, min(block, n - first)))
        joined = Filled(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))
        assert joined.tobytes() == whole


def test_kernels_in_python_give_the_same_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = make_spool(tmp_path / "spool", **SPOOLS["doubtful lattices"])
    expected = fill(CrystalRows(spool), 0, 30)
    own = {module.__name__ for module in (row_kernels, drawing_kernels)}
    for module in (row_kernels, drawing_kernels):
        for name, value in list(vars(module).items()):
            if hasattr(value, "py_func") and value.py_func.__module__ in own:
                monkeypatch.setattr(module, name, value.py_func)
    rows = CrystalRows(spool)
    found = fill(rows, 0, 30)
    assert rows._generator.rechecked.sum() > 3
    assert found.samples.tobytes() == expected.samples.tobytes()
    np.testing.assert_allclose(found.patterns, expected.patterns, rtol=0, atol=1e-6)


def test_arrays_that_do_not_fit_are_refused(spool: Spool) -> None:
    rows = CrystalRows(spool)
    samples = np.zeros(3, dtype=SAMPLE_DTYPE)
    n_points = LOW_ANGLES.n_points
    for shape, dtype in (((3, n_points - 1), "f4"), ((2, n_points), "f4"), ((3, n_points), "f8")):
        with pytest.raises(InputError, match=r"need \(3, 141\) of float32"):
            rows.fill(SampleIdentity(RUN, 0, 0, 0), np.empty(shape, dtype), samples)


def test_a_row_that_cannot_be_filled_is_named_and_leaves_no_trace(tmp_path: Path) -> None:
    """No cell of group 225 has a reflection at these angles, many of group 14 have."""
    grid = Grid(4.0, 6.0, 0.05)
    rows = CrystalRows(make_spool(tmp_path / "spool", grid, recheck=0.0))
    groups = [group_of(rows, row) for row in range(ROWS)]
    bad = next(row for row in range(1, ROWS) if groups[row - 1] == 14 and groups[row] == 225)
    good = fill(rows, bad - 1, 1, grid).tobytes()
    with pytest.raises(InputError, match=rf"sample 0+5:0:3:{bad}: space group 225 .*no crystal in 20000 attempts"):
        fill(rows, bad - 1, 3, grid)
    assert fill(rows, bad - 1, 1, grid).tobytes() == good


def group_of(rows: CrystalRows, index: int) -> int:
    """The space group of a row of shard 3."""
    return rows._generator.draw(SampleIdentity(RUN, 0, 3, index)).space_group


def test_crystals_that_could_be_too_large_are_refused_before_the_first_row(tmp_path: Path) -> None:
    spool = make_spool(tmp_path / "spool", max_volume=1e8, grid=Grid(5.0, 90.0, 0.05))
    with pytest.raises(InputError, match=r"max_volume 1e\+08.*space group 14.*reflections.*smaller 2theta range"):
        CrystalRows(spool)


def test_whatever_can_be_drawn_can_be_simulated() -> None:
    """The kernels do not ask for form factors: every element that has the radii of the draw has them."""
    with_radii = np.isfinite(element_table().atomic_volume)
    assert with_radii.sum() > 90
    assert has_form_factor()[: len(with_radii)][with_radii].all()

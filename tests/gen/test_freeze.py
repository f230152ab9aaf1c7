"""Freezing structure tables: every row is simulated or listed, and the files are a function of the input alone."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from typer.testing import CliRunner
from xrdcommon.errors import InputError
from xrdcommon.fixed_sets import FixedSet
from xrdcommon.grid import Grid
from xrdcommon.identity import Purpose, SampleIdentity, generator
from xrdgen.cli.freeze import freeze
from xrdgen.crystals.crystal import Crystal
from xrdgen.diffraction.settings import SimulationSettings
from xrdgen.diffraction.simulator import Simulator
from xrdgen.freeze import freeze_table, rejected_path, sample_id
from xrdgen.structures.table import crystal_of, table_of, write_table

SETTINGS = SimulationSettings(grid=Grid(10.0, 80.0, 0.05))


def site(letter: str, x: list[float], **species: float) -> dict[str, Any]:
    return {"species": species, "letter": letter, "multiplicity": 1, "x": x}


def structure(name: str, group: int, cell: list[float], sites: list[dict[str, Any]]) -> dict[str, Any]:
    parameters = dict(zip(("a", "b", "c", "alpha", "beta", "gamma"), cell, strict=True))
    return {
        "source": "AMCSD",
        "id": name,
        "formula": name,
        "space_group": group,
        "hall_number": 1,
        "volume": 1.0,
        "n_atoms": 1,
        "n_sites": len(sites),
        "n_elements": 2,
        "sites": json.dumps(sites),
        "citation": "Downs & Hall-Wallace (2003)",
        "mixed_occupancy": False,
        "partial_occupancy": False,
        "over_occupancy": False,
        **parameters,
    }


CUBE = [5.64, 5.64, 5.64, 90.0, 90.0, 90.0]
HALITE = structure("halite", 225, CUBE, [site("a", [0, 0, 0], Na=1.0), site("b", [0.5, 0.5, 0.5], Cl=1.0)])
MIXED = structure("mixed", 225, CUBE, [site("a", [0, 0, 0], Na=0.6, K=0.3), site("b", [0.5, 0.5, 0.5], Cl=0.8)])
RUTILE = structure(
    "rutile",
    136,
    [4.594, 4.594, 2.959, 90, 90, 90],
    [site("a", [0, 0, 0], Ti=1.0), site("f", [0.305, 0.305, 0], O=1.0)],
)
EINSTEINIUM = structure("heavy", 225, CUBE, [site("a", [0, 0, 0], Es=1.0)])
BROKEN = {**HALITE, "id": "broken", "sites": "[{"}
SKEWED = structure("skewed", 225, [5, 6, 7, 90, 90, 90], [site("a", [0, 0, 0], Na=1.0)])


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "table.parquet"
    write_table(path, table_of([HALITE, BROKEN, MIXED, EINSTEINIUM, RUTILE, SKEWED]))
    return path


def crystal(row: dict[str, Any]) -> Crystal:
    return crystal_of(row)


def test_rows_are_simulated_or_listed(table: Path, tmp_path: Path) -> None:
    out = tmp_path / "set.zarr"
    report = freeze_table(table, out, SETTINGS, seed=7)
    assert report.to_dict() == {"crystals": 3, "diffractograms": 3, "rejected": 3}
    opened = FixedSet.open(out)
    assert opened.ids == ["AMCSD:halite", "AMCSD:mixed", "AMCSD:rutile"]
    assert opened.samples["space_group"].tolist() == [225, 225, 136]
    assert opened.samples["index"].tolist() == [0, 2, 4]
    with rejected_path(out).open(newline="") as stream:
        rejected = list(csv.DictReader(stream))
    assert [(line["row"], line["id"]) for line in rejected] == [("1", "broken"), ("3", "heavy"), ("5", "skewed")]
    assert "sites cannot be read" in rejected[0]["reason"]
    assert "no form factor for Es" in rejected[1]["reason"]
    assert "not cubic" in rejected[2]["reason"]


def test_patterns_are_the_simulators_and_respect_occupancies(table: Path, tmp_path: Path) -> None:
    freeze_table(table, tmp_path / "set.zarr", SETTINGS, seed=7)
    opened = FixedSet.open(tmp_path / "set.zarr")
    simulator = Simulator(SETTINGS)
    for row, (number, entry) in enumerate([(0, HALITE), (2, MIXED), (4, RUTILE)]):
        stream = generator(SampleIdentity(7, 0, 0, number), Purpose.PATTERN)
        size = 20.0 + 80.0 * stream.random()
        assert opened.samples["crystallite_size"][row] == np.float32(size)
        expected = simulator.pattern(crystal(entry), size)
        np.testing.assert_array_equal(opened.patterns(row, row + 1)[0], expected.astype(np.float16))
    mixed = opened.samples[1]
    np.testing.assert_allclose(mixed["composition"][[10, 18, 16]], [2.4, 1.2, 3.2], rtol=1e-6)
    full = {**MIXED, "sites": HALITE["sites"]}
    assert np.abs(simulator.pattern(crystal(MIXED), 50.0) - simulator.pattern(crystal(full), 50.0)).max() > 0.01


def test_attributes_record_origin_and_carry_no_date(table: Path, tmp_path: Path) -> None:
    freeze_table(table, tmp_path / "set.zarr", SETTINGS, seed=3, sizes=2)
    attributes = FixedSet.open(tmp_path / "set.zarr").attributes
    assert Grid.from_dict(attributes["grid"]) == SETTINGS.grid
    assert SimulationSettings.from_dict(attributes["simulation"]) == SETTINGS
    assert attributes["citations"] == ["Downs & Hall-Wallace (2003)"]
    assert attributes["source"]["collections"] == {"AMCSD": 6}
    assert (attributes["seed"], attributes["sizes_per_crystal"]) == (3, 2)
    assert len(attributes["source"]["sha256"]) == 64


def test_several_sizes_of_each_crystal(table: Path, tmp_path: Path) -> None:
    report = freeze_table(table, tmp_path / "set.zarr", SETTINGS, sizes=3)
    opened = FixedSet.open(tmp_path / "set.zarr")
    assert (report.crystals, report.diffractograms, len(opened)) == (3, 9, 9)
    assert opened.ids == [name for name in ("AMCSD:halite", "AMCSD:mixed", "AMCSD:rutile") for _ in range(3)]
    sizes = opened.samples["crystallite_size"]
    assert len(set(sizes.tolist())) == 9
    assert ((sizes >= 20) & (sizes < 100)).all()
    assert opened.samples["shard"].tolist() == [0, 1, 2] * 3


@pytest.mark.slow
def test_bytes_do_not_depend_on_the_workers(tmp_path: Path) -> None:
    rows = [{**(HALITE if number % 3 else RUTILE), "id": f"s{number}"} for number in range(150)]
    rows[70] = BROKEN
    write_table(tmp_path / "table.parquet", table_of(rows))
    for name, workers in (("one", 1), ("two", 2)):
        freeze_table(tmp_path / "table.parquet", tmp_path / f"{name}.zarr", SETTINGS, workers=workers)
    one, two = tmp_path / "one.zarr", tmp_path / "two.zarr"
    files = sorted(path.relative_to(one) for path in one.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(two) for path in two.rglob("*") if path.is_file())
    assert all((one / file).read_bytes() == (two / file).read_bytes() for file in files)
    assert rejected_path(one).read_bytes() == rejected_path(two).read_bytes()


def test_an_empty_or_hopeless_table_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    write_table(path, table_of([HALITE]).iloc[:0])
    with pytest.raises(InputError, match="without structures"):
        freeze_table(path, tmp_path / "set.zarr", SETTINGS)
    write_table(path, table_of([BROKEN]))
    with pytest.raises(InputError, match=r"none of 1 structures .* sites cannot be read"):
        freeze_table(path, tmp_path / "set.zarr", SETTINGS)
    assert not (tmp_path / "set.zarr").exists()
    assert rejected_path(tmp_path / "set.zarr").read_text().count(",broken,") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"sizes": 0}, "sizes 0"), ({"seed": -1}, "seed -1"), ({"workers": -2}, "workers -2")],
)
def test_bad_numbers(table: Path, tmp_path: Path, arguments: dict[str, int], message: str) -> None:
    with pytest.raises(InputError, match=message):
        freeze_table(table, tmp_path / "set.zarr", SETTINGS, **arguments)  # type: ignore[arg-type]


def test_a_taken_place_is_refused_before_any_work(table: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("x")
    with pytest.raises(InputError, match="not a fixed set"):
        freeze_table(table, tmp_path / "mine", SETTINGS, overwrite=True)
    assert [entry.name for entry in (tmp_path / "mine").iterdir()] == ["thesis.tex"]


def test_long_names_are_shortened_and_stay_distinct() -> None:
    assert sample_id("AMCSD", "0000001") == "AMCSD:0000001"
    first, second = sample_id("cod", "é" * 40 + "1"), sample_id("cod", "é" * 40 + "2")
    assert first != second
    assert all(len(name.encode()) <= 64 and "~" in name for name in (first, second))


def test_command(table: Path, tmp_path: Path) -> None:
    app = typer.Typer()
    app.command()(freeze)
    out = tmp_path / "set.zarr"
    options = [str(table), "--out", str(out), "--step", "0.05", "--two-theta-min", "10", "--two-theta-max", "80"]
    result = CliRunner().invoke(app, [*options, "--json"], catch_exceptions=False)
    assert result.exit_code == 0
    assert json.loads(result.stdout) == {"crystals": 3, "diffractograms": 3, "rejected": 3}
    assert "3 structures could not be simulated" in result.stderr
    assert FixedSet.open(out).grid == Grid(10.0, 80.0, 0.05)
    with pytest.raises(InputError, match="--force"):
        CliRunner().invoke(app, options, catch_exceptions=False)
    forced = CliRunner().invoke(app, [*options, "--force", "--sizes", "2"], catch_exceptions=False)
    assert "6 diffractograms of 3 crystals" in forced.stdout

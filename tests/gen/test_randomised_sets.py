"""Real crystals with coordinates or lattice drawn anew: four sets that differ in one respect alone."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import typer
from typer.testing import CliRunner
from xrdcommon.errors import InputError
from xrdcommon.fixed_sets.fixed_set import FixedSet
from xrdcommon.grid import Grid
from xrdgen.cli.freeze import freeze
from xrdgen.crystals.verify import find_space_group
from xrdgen.diffraction.settings import SimulationSettings
from xrdgen.embedded import resolve
from xrdgen.freezing.freeze import freeze_table, rejected_path
from xrdgen.freezing.randomise import Randomisation, Randomiser, full_occupancy
from xrdgen.freezing.variants import Variant
from xrdgen.statistics.model import Statistics
from xrdgen.structures.table import crystal_of, read_table, write_table

SETTINGS = SimulationSettings(grid=Grid(10.0, 60.0, 0.05))
SEED = 11


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    """Real minerals of all crystal systems, some with mixed sites."""
    everything = read_table(resolve("embedded:amcsd"))
    small = everything[(everything["n_sites"] < 12) & (everything["n_atoms"] < 60)]
    return small.iloc[:: len(small) // 40].head(40).reset_index(drop=True)


@pytest.fixture(scope="module")
def randomiser() -> Randomiser:
    return Randomiser(Statistics.load("embedded:statistics"))


def test_each_variant_changes_what_it_says_and_nothing_else(table: pd.DataFrame, randomiser: Randomiser) -> None:
    moved = resized = 0
    for row, (_, entry) in enumerate(table.iterrows()):
        crystal = crystal_of(entry)
        found = randomiser.variants(crystal, SEED, row)
        reference, coordinates = found[Variant.REFERENCE], found[Variant.COORDINATES]
        lattice, both = found[Variant.LATTICE], found[Variant.BOTH]
        assert (reference.occupancies == 1.0).all()
        assert reference.n_sites == crystal.n_sites == len(reference.positions)
        np.testing.assert_array_equal(reference.cell, crystal.cell)
        np.testing.assert_array_equal(coordinates.cell, reference.cell)
        np.testing.assert_array_equal(lattice.positions, reference.positions)
        assert lattice.volume == pytest.approx(reference.volume, rel=1e-9)
        np.testing.assert_array_equal(both.positions, coordinates.positions)
        np.testing.assert_array_equal(both.cell, lattice.cell)
        for variant in found.values():
            np.testing.assert_array_equal(variant.letters, reference.letters)
            variant.full_cell()  # every atom still lies on its Wyckoff position
        moved += not np.array_equal(coordinates.positions, reference.positions)
        resized += not np.allclose(lattice.cell, reference.cell)
    assert moved > 25
    assert resized > 25


def test_mixed_sites_are_taken_by_their_most_abundant_species(table: pd.DataFrame) -> None:
    mixed = [crystal_of(entry) for _, entry in table[table["mixed_occupancy"]].iterrows()]
    assert len(mixed) > 2
    for crystal in mixed:
        full = full_occupancy(crystal)
        for site, z in zip(np.unique(crystal.sites), full.atomic_numbers, strict=True):
            shared = crystal.sites == site
            assert (
                crystal.occupancies[shared].max() == crystal.occupancies[shared & (crystal.atomic_numbers == z)].max()
            )


def test_four_sets_of_one_seed_hold_the_same_crystals(
    table: pd.DataFrame, randomiser: Randomiser, tmp_path: Path
) -> None:
    write_table(tmp_path / "table.parquet", table)
    opened, rejected = {}, {}
    for variant in Variant:
        out = tmp_path / f"{variant}.zarr"
        randomisation = Randomisation(variant, "embedded:statistics", SEED)
        report = freeze_table(tmp_path / "table.parquet", out, SETTINGS, seed=SEED, randomisation=randomisation)
        assert report.crystals > 20
        opened[variant] = FixedSet.open(out)
        with rejected_path(out).open(newline="") as stream:
            rejected[variant] = [(line["id"], line["reason"]) for line in csv.DictReader(stream)]
    reference = opened[Variant.REFERENCE]
    for variant, data in opened.items():
        assert data.ids == reference.ids
        assert rejected[variant] == rejected[Variant.REFERENCE]
        np.testing.assert_array_equal(data.samples["crystallite_size"], reference.samples["crystallite_size"])
        np.testing.assert_allclose(data.samples["volume"], reference.samples["volume"], rtol=1e-6)
        if variant is not Variant.REFERENCE:
            assert not np.array_equal(data.patterns(0, 20), reference.patterns(0, 20))
    # spglib, asked about the whole cell, finds the label in every variant that was kept
    for row in reference.samples["index"][:12].tolist():
        for crystal in randomiser.variants(crystal_of(table.iloc[row]), SEED, row).values():
            cell = crystal.full_cell()
            assert find_space_group(cell.lattice, cell.positions, cell.atomic_numbers, 1e-4) == crystal.space_group


def test_a_crystal_that_fails_in_one_variant_leaves_all(tmp_path: Path, table: pd.DataFrame) -> None:
    """Rock salt with the same main species on both positions is primitive cubic once its sites are full."""
    entry = table.iloc[0].to_dict()
    sites = [
        {"species": {"Na": 0.6, "K": 0.4}, "letter": "a", "multiplicity": 4, "x": [0, 0, 0]},
        {"species": {"Na": 0.7, "Cl": 0.3}, "letter": "b", "multiplicity": 4, "x": [0.5, 0.5, 0.5]},
    ]
    cell = {"a": 5.6, "b": 5.6, "c": 5.6, "alpha": 90.0, "beta": 90.0, "gamma": 90.0}
    broken = {**entry, **cell, "id": "one-species", "space_group": 225, "sites": json.dumps(sites)}
    both = pd.concat([table.head(8), pd.DataFrame([broken])], ignore_index=True).astype(table.dtypes.to_dict())
    write_table(tmp_path / "table.parquet", both)
    out = tmp_path / "coordinates.zarr"
    randomisation = Randomisation(Variant.COORDINATES, "embedded:statistics", 0)
    freeze_table(tmp_path / "table.parquet", out, SETTINGS, randomisation=randomisation)
    with rejected_path(out).open(newline="") as stream:
        reasons = {line["id"]: line["reason"] for line in csv.DictReader(stream)}
    assert "'reference': spglib finds group 221 instead of 225" in reasons["one-species"]


def test_statistics_without_a_lattice_of_the_system_are_refused(randomiser: Randomiser, table: pd.DataFrame) -> None:
    bare = Randomiser(Statistics.load("embedded:statistics"))
    bare._tables = randomiser._tables._replace(lattice_start=np.zeros_like(randomiser._tables.lattice_start))
    tetragonal = table[(table["space_group"] > 74) & (table["space_group"] < 143)].iloc[0]
    with pytest.raises(InputError, match="no tetragonal lattice"):
        bare.variants(crystal_of(tetragonal), 0, 0)


def test_the_command_names_the_variant_in_the_set(table: pd.DataFrame, tmp_path: Path) -> None:
    write_table(tmp_path / "table.parquet", table.head(10))
    app = typer.Typer()
    app.command()(freeze)
    arguments = [str(tmp_path / "table.parquet"), "--out", str(tmp_path / "s.zarr"), "--step", "0.05"]
    result = CliRunner().invoke(app, [*arguments, "--randomise", "lattice", "--seed", "3"])
    assert result.exit_code == 0, result.output
    attributes = json.loads((tmp_path / "s.zarr" / "zarr.json").read_text())["attributes"]
    assert '"variant": "lattice"' in json.dumps(attributes)
    assert CliRunner().invoke(app, [*arguments, "--randomise", "volume"]).exit_code == 2

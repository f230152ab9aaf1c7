"""Tables with known symmetry: change of origin, idealisation, labels; checked by spglib on the whole cells."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import spglib
from xrdcommon.errors import FormatError, InputError
from xrdgen.crystal import Crystal
from xrdgen.structures.given import crystal_of_given, import_given
from xrdgen.structures.prototypes import LabelledSite, kind_of, labels, pearson_symbol
from xrdgen.structures.rows import row_of, sites_of
from xrdgen.structures.settings import origin_shift
from xrdgen.structures.table import COLUMNS, citations, crystal_of, is_licensed, read_table, table_of, write_table
from xrdgen.symmetry.operations import hall_operations, standard_hall_number


def cell_of(crystal: Crystal) -> tuple[Any, Any, Any]:
    """The whole cell for spglib; positions with the same species and occupancies are of one type."""
    cell = crystal.full_cell()
    content: dict[int, list[tuple[int, float]]] = {}
    where = {}
    for site, z, occupancy, position in zip(
        cell.sites, cell.atomic_numbers, cell.occupancies, cell.positions, strict=True
    ):
        content.setdefault(int(site), []).append((int(z), float(occupancy)))
        where[int(site)] = position
    kinds: dict[Any, int] = {}
    types = [kinds.setdefault(tuple(sorted(content[site])), len(kinds) + 1) for site in where]
    return cell.lattice, np.array(list(where.values())), np.array(types)


def assert_obeys_space_group(crystal: Crystal) -> None:
    dataset = spglib.get_symmetry_dataset(cell_of(crystal), symprec=1e-3)
    assert dataset is not None
    assert dataset.number == crystal.space_group


def one_of_each_group(path: Path) -> pd.DataFrame:
    table = pd.read_parquet(path)
    return table[table["n_atoms_conv"] <= 120].groupby("sg").first().reset_index()


@pytest.mark.parametrize("name", ["amcsd", "materials_project", "openchemistry"])
def test_one_row_of_every_group_keeps_its_symmetry_and_its_names(shared_data: Path, name: str) -> None:
    rows = one_of_each_group(shared_data / f"{name}.parquet")
    assert len(rows) > 70
    for _, given in rows.iterrows():
        row = import_given(given, name)
        assert row["hall_number"] == standard_hall_number(int(given["sg"]))
        for label in ("prototype", "prototype_iso", "wyckoff_key"):
            assert row[label] == given[label], given["id"]
        assert row["n_atoms"] == given["n_atoms_conv"]
        assert row["volume"] == pytest.approx(given["volume"], rel=1e-3)
        assert_obeys_space_group(crystal_of(row))


def test_whole_cell_is_the_orbit_in_the_given_setting_moved_by_the_shift(shared_data: Path) -> None:
    rows = one_of_each_group(shared_data / "amcsd.parquet")
    moved = [hall != standard_hall_number(sg) for sg, hall in zip(rows["sg"], rows["hall_number"], strict=True)]
    assert sum(moved) > 10  # groups with two origins are among them
    for _, given in rows[moved].iterrows():
        group, hall = int(given["sg"]), int(given["hall_number"])
        crystal = crystal_of_given(given)
        rotations, translations24 = hall_operations(hall)
        expected = []
        for site in json.loads(given["sites"]):
            expected.append(rotations @ np.array(site["x"]) + translations24 / 24.0 + origin_shift(group, hall))
        images = np.concatenate(expected)
        found = crystal.full_cell().positions
        difference = images[:, None] - found[None]
        difference -= np.rint(difference)
        distance = np.linalg.norm(difference @ crystal.full_cell().lattice, axis=2)
        assert distance.min(axis=1).max() < 0.02  # every image is a position (coordinates have 5 digits)
        assert distance.min(axis=0).max() < 0.02  # and every position an image


def test_origin_shift_leads_from_every_setting_with_the_same_axes_to_the_standard() -> None:
    shifted = 0
    for hall in range(1, 531):
        group = spglib.get_spacegroup_type(hall).number
        standard = standard_hall_number(group)
        rotations, _ = hall_operations(hall)
        wanted, _ = hall_operations(standard)
        if {r.tobytes() for r in rotations} != {r.tobytes() for r in wanted}:
            with pytest.raises(InputError, match="other axes"):
                origin_shift(group, hall)
        elif spglib.get_spacegroup_type(hall).choice == "1":
            shifted += bool(origin_shift(group, hall).any())
    assert shifted == 24  # the groups with two origin choices


def test_labels_by_hand() -> None:
    # rock salt; a and b are exchanged by the normaliser, so both descriptions have one name
    for letters in ((0, 1), (1, 0)):
        sites = [LabelledSite("Cl1", letters[0], 4), LabelledSite("Na1", letters[1], 4)]
        names = labels(225, sites)
        assert names.prototype == "AB_cF8_225_a_b"
        assert names.prototype_iso == "AB_cF8_225_a_b"
        assert names.wyckoff_key == "225:ab"
    assert pearson_symbol(166, 15) == "hR5"
    assert pearson_symbol(40, 20) == "oC20"
    assert kind_of({"Mg": 0.25, "Fe": 0.75}) == "Fe0.75Mg0.25"


def test_solid_solution_has_the_wyckoff_key_of_its_ordered_parent() -> None:
    ordered = labels(227, [LabelledSite("Mg1", 0, 8), LabelledSite("Al1", 3, 16), LabelledSite("O1", 4, 32)])
    mixed = labels(
        227, [LabelledSite("Al0.1Mg0.9", 0, 8), LabelledSite("Al0.95Mg0.05", 3, 16), LabelledSite("O1", 4, 32)]
    )
    assert ordered.wyckoff_key == mixed.wyckoff_key == "227:ade"


def given_row(**changes: Any) -> dict[str, Any]:
    sites = [
        {"species": {"Na": 1.0}, "wyckoff": "4a", "x": [0, 0, 0]},
        {"species": {"Cl": 1.0}, "wyckoff": "4b", "x": [0.5, 0, 0]},
    ]
    row = {"id": "1", "sg": 225, "hall_number": 523, "a": 5.64, "b": 5.64, "c": 5.64, "alpha": 90.0, "beta": 90.0}
    return row | {"gamma": 90.0, "sites": json.dumps(sites)} | changes


def test_a_site_off_its_position_is_refused() -> None:
    wrong = [{"species": {"Na": 1.0}, "wyckoff": "4a", "x": [0.1, 0.2, 0.3]}]
    with pytest.raises(InputError, match="no position of multiplicity 4"):
        import_given(given_row(sites=json.dumps(wrong)), "x")


def test_disorder_is_flagged_and_deuterium_is_hydrogen() -> None:
    sites = [
        {"species": {"Na": 0.5, "K": 0.4}, "wyckoff": "4a", "x": [0, 0, 0]},
        {"species": {"D": 0.6, "H": 0.6}, "wyckoff": "4b", "x": [0.5, 0, 0]},
    ]
    row = import_given(given_row(sites=json.dumps(sites)), "x")
    assert row["mixed_occupancy"]
    assert row["partial_occupancy"]
    assert row["over_occupancy"]
    assert json.loads(row["sites"])[1]["species"] == {"H": 1.2}


def test_table_round_trip(tmp_path: Path) -> None:
    row = import_given(given_row(), "x")
    write_table(tmp_path / "t.parquet", table_of([row]))
    back = read_table(tmp_path / "t.parquet")
    assert list(back.columns) == list(COLUMNS)
    crystal = crystal_of(back.iloc[0])
    assert sites_of(crystal) == json.loads(row["sites"])
    assert row_of(crystal)["prototype"] == "AB_cF8_225_a_b"
    assert crystal.formula == "Na4 Cl4"


def test_table_without_a_column_is_refused_by_name(tmp_path: Path) -> None:
    table_of([import_given(given_row(), "x")]).drop(columns=["sites"]).to_parquet(tmp_path / "t.parquet")
    with pytest.raises(FormatError, match="column sites missing"):
        read_table(tmp_path / "t.parquet")
    (tmp_path / "u.parquet").write_text("no")
    with pytest.raises(FormatError, match="not a parquet file"):
        read_table(tmp_path / "u.parquet")


def test_embedded_table_is_whole_and_confirmed_by_spglib() -> None:
    table = read_table("embedded:amcsd")
    assert len(table) == 4722
    assert "Downs" in citations(table)[0]
    assert table["space_group"].nunique() == 173
    assert not is_licensed("AMCSD")
    assert is_licensed("ICSD")
    small = table[table["n_atoms"] <= 100]
    for _, row in small.sample(60, random_state=3).iterrows():
        assert_obeys_space_group(crystal_of(row))

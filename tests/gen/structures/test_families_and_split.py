"""Families and splits: by hand on small tables, and on the embedded ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from xrdcommon.errors import InputError
from xrdgen.splitting import SplitBy, draw_test, split_tables, units_of, unseen
from xrdgen.statistics.model import Statistics
from xrdgen.statistics.provenance import family_hash
from xrdgen.structures.families import components, family_keys, records, symmetry_keys
from xrdgen.structures.table import read_table, table_of, write_table


def row(number: int, key: str, **changes: Any) -> dict[str, Any]:
    """A row of which only the names matter."""
    base: dict[str, Any] = {
        "source": "X",
        "id": str(number),
        "formula": "Na4 Cl4",
        "space_group": int(key.split(":")[0]),
        "hall_number": 1,
        "volume": 100.0,
        "n_atoms": 8,
        "n_sites": 2,
        "n_elements": 2,
        "sites": "[]",
        "prototype": f"p{number}",
        "prototype_iso": f"p{number}",
        "wyckoff_key": key,
        "mixed_occupancy": False,
        "partial_occupancy": False,
        "over_occupancy": False,
    }
    return base | dict.fromkeys(("a", "b", "c"), 5.0) | dict.fromkeys(("alpha", "beta", "gamma"), 90.0) | changes


def test_families_are_components_of_keys_and_of_names_with_group() -> None:
    table = table_of(
        [
            row(0, "225:ab"),
            row(1, "225:ab", name="Halite"),
            row(2, "225:abc", name="halite"),  # linked to 1 by name and group
            row(3, "221:ab", name="Halite"),  # another group: another family
            row(4, "62:4c", structure_type="GdFeO3", collection_code="7"),
            row(5, "62:5c", structure_type="GdFeO3", collection_code="8"),  # linked by type alone
            row(6, "62:5c", collection_code="9"),  # ICSD entry without a type: its own
            row(7, "62:5c"),  # not of the ICSD: not linked to 5
        ]
    )
    units = units_of(table, SplitBy.STRUCTURE_TYPE)
    assert units[0] == units[1] == units[2]
    assert units[4] == units[5]
    assert len(set(units.tolist())) == 5
    reversed_units = units_of(table.iloc[::-1], SplitBy.STRUCTURE_TYPE)
    assert reversed_units[::-1].tolist() == units.tolist()
    assert len(set(units_of(table, SplitBy.RANDOM).tolist())) == 8
    assert len(set(units_of(table, SplitBy.PROTOTYPE).tolist())) == 8


def test_a_chain_is_one_component() -> None:
    assert components([["a", "b"], ["b", "c"], ["c"], ["d"]]).tolist() == [0, 0, 0, 1]


def test_both_parts_keep_their_share_of_every_group() -> None:
    # three groups: many small units; one that dwarfs the others; a single unit
    sizes = np.array([*np.ones(100, dtype=int), 900, *np.full(20, 5), 7])
    unit_group = np.array([*np.full(100, 2), *np.full(21, 62), 225])
    units = np.repeat(np.arange(len(sizes)), sizes)
    groups = unit_group[units]
    is_test = draw_test(units, groups, 0.3, 5)
    assert not set(units[is_test]) & set(units[~is_test])
    for group in (2, 62, 225):
        rows = groups == group
        assert is_test[rows].mean() <= 0.3
        n_units = len(set(units[rows]))
        assert len(set(units[rows & is_test])) == (round(0.3 * n_units) if n_units > 1 else 0)
    assert (draw_test(units, groups, 0.3, 5) == is_test).all()
    assert any((draw_test(units, groups, 0.3, seed) != is_test).any() for seed in range(5))


def test_large_units_are_not_kept_out_of_the_test_part() -> None:
    sizes = np.array([*np.ones(30, dtype=int), *np.full(30, 9)])
    units = np.repeat(np.arange(60), sizes)
    groups = np.full(len(units), 14)
    n_test = [draw_test(units, groups, 0.3, seed).sum() for seed in range(40)]
    assert 0.2 * len(units) < np.mean(n_test) <= 0.3 * len(units)


def test_impossible_splits_are_refused() -> None:
    units = np.repeat(np.arange(10), np.arange(1, 11))
    with pytest.raises(InputError, match="test fraction"):
        draw_test(units, np.full(len(units), 1), 1.0, 0)
    with pytest.raises(InputError, match="cannot be parted"):
        draw_test(np.zeros(4, dtype=np.int64), np.full(4, 1), 0.3, 0)


def test_split_writes_whole_families_and_says_what_is_shared(tmp_path: Path) -> None:
    report = split_tables(["embedded:amcsd"], tmp_path, seed=3)
    train, test = read_table(tmp_path / "train.parquet"), read_table(tmp_path / "test.parquet")
    assert len(train) == report.train
    assert len(train) + len(test) == 4722
    assert 0.05 * 4722 < report.test <= 0.3 * 4722
    for kind in ("wyckoff_keys", "names_and_groups", "prototypes"):
        assert report.shared[kind]["both"] == 0
    assert not {k for r in records(train) for k in family_keys(r)} & {k for r in records(test) for k in family_keys(r)}
    assert json.loads((tmp_path / "split.json").read_text())["train"] == report.train
    again = tmp_path / "again"
    split_tables(["embedded:amcsd"], again, seed=3)
    assert (again / "test.parquet").read_bytes() == (tmp_path / "test.parquet").read_bytes()


def test_prototype_alone_parts_minerals(tmp_path: Path) -> None:
    report = split_tables(["embedded:amcsd"], tmp_path, by=SplitBy.PROTOTYPE)
    assert report.shared["prototypes"]["both"] == 0
    assert report.shared["names"]["test_structures"] > 0.4 * report.test  # why it is not the default


def test_unseen_needs_statistics_and_the_other_way_round(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="belong together"):
        split_tables(["embedded:amcsd"], tmp_path, by=SplitBy.UNSEEN)
    with pytest.raises(InputError, match="belong together"):
        split_tables(["embedded:amcsd"], tmp_path, statistics="embedded:statistics")


def test_no_family_of_the_embedded_test_set_is_in_the_statistics() -> None:
    statistics = Statistics.load("embedded:statistics")
    table = read_table("embedded:amcsd")
    is_test = unseen(table, statistics)
    assert is_test.sum() == 402
    seen = statistics.family_hashes
    rows = records(table)
    for record, test in zip(rows, is_test, strict=True):
        hashes = {family_hash(key) for key in symmetry_keys(record)}
        if test:
            assert not hashes & seen
        else:
            assert hashes <= seen  # and every training structure's keys are all there


def test_embedded_test_set_is_the_test_part_of_the_split_of_the_union(shared_data: Path, tmp_path: Path) -> None:
    import pandas as pd

    # the split needs the names only: they are those of the given tables (see test_given_and_labels)
    given = pd.read_parquet(
        shared_data / "materials_project.parquet", columns=["id", "sg", "wyckoff_key", "prototype_iso"]
    )
    other = table_of(
        [row(0, key, id=name, source="MP", prototype_iso=iso) for name, _, key, iso in given.itertuples(index=False)]
    )
    amcsd = read_table("embedded:amcsd")
    write_table(tmp_path / "mp.parquet", other)
    report = split_tables([tmp_path / "mp.parquet", "embedded:amcsd"], tmp_path / "parts")
    assert (report.train, report.test, report.units) == (33226, 9549, 5515)
    test = read_table(tmp_path / "parts" / "test.parquet")
    expected = test[test["source"] == "AMCSD"]["id"].tolist()
    assert amcsd[unseen(amcsd, Statistics.load("embedded:statistics"))]["id"].tolist() == expected

"""Names of structure types: those of real structures are read back, others are refused by what is wrong with them."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner
from xrdcommon.errors import FormatError, InputError, MissingFileError
from xrdgen.cli.structures import app
from xrdgen.structures.table import read_table
from xrdgen.structures.type_counts import NamedBy, count_types
from xrdgen.structures.types import parse_type, read_types
from xrdgen.symmetry import wyckoff


def test_names_of_real_structures_are_read_back() -> None:
    """Labels whichever species comes first, and Wyckoff keys: their canonical names are those of the structures."""
    table = read_table("embedded:amcsd")[["prototype", "prototype_iso", "wyckoff_key", "sites", "n_sites"]]
    for row in table.drop_duplicates("prototype_iso").iloc[::4].to_dict("records"):
        kinds = {"".join(sorted(f"{e}{o}" for e, o in s["species"].items())) for s in json.loads(row["sites"])}
        for name in (row["prototype"], row["prototype_iso"]):
            kind = parse_type(name)
            assert (kind.canonical.prototype_iso, kind.canonical.wyckoff_key) == (
                row["prototype_iso"], row["wyckoff_key"],
            )  # fmt: skip
            assert len(kind.letters) == row["n_sites"]
            assert kind.n_elements == len(kinds)
        key = parse_type(row["wyckoff_key"])
        assert key.canonical.wyckoff_key == row["wyckoff_key"]
        assert (key.n_elements, len(key.letters)) == (0, row["n_sites"])


def test_equivalent_descriptions_have_one_canonical_name() -> None:
    """Halite with the origin on either ion, fluorite with the anions first."""
    one, other = parse_type("AB_cF8_225_a_b"), parse_type("AB_cF8_225_b_a")
    assert one.letters != other.letters
    assert one.canonical.prototype_iso == other.canonical.prototype_iso
    assert parse_type("A2B_cF12_225_c_a").canonical.prototype_iso == "AB2_cF12_225_a_c"
    assert [wyckoff.letter(index) for index in parse_type("47:aA").letters] == ["a", "A"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("halite", "write a label such as"),
        ("225:", "write a label such as"),
        ("AB_cF8_225_a", "its positions hold 1 atoms of their elements, the formula AB says 1 : 1"),
        ("231:a", "space group 231: must be 1 to 230"),
        ("225:am", "has no Wyckoff letter 'm', its letters are a to l"),
        ("225:2a", "2 sites on 4a of space group 225 .* takes one"),
        ("A_cF8_225_2a", "2 sites on 4a"),
        ("225:0e", "0 sites on e: must be 1 to 999"),
        ("AB_cF8_225_a_c", "hold 1 : 2 atoms of their elements, the formula AB says 1 : 1"),
        ("AB_cF12_225_a_b", "make the Pearson symbol cF8, not cF12"),
        ("AB_cP8_225_a_b", "make the Pearson symbol cF8, not cP8"),
    ],
)
def test_what_is_no_type_is_refused(name: str, message: str) -> None:
    with pytest.raises(InputError, match=f"structure type '{name}'.*{message}"):
        parse_type(name)


def test_lists_are_read(tmp_path: Path) -> None:
    file = tmp_path / "types.csv"
    file.write_text('type,count,name\n# spinels\n227:ade,3,Spinel\n\nAB_cF8_225_a_b,2,"Halite, and more"\n227:ade,1\n')
    assert read_types(str(file)) == (("227:ade", 4), ("AB_cF8_225_a_b", 2))
    file.write_text("227:ade\nAB_cF8_225_a_b\n")
    assert read_types(str(file)) == (("227:ade", 1), ("AB_cF8_225_a_b", 1))
    assert read_types("AB_cF8_225_a_b, 227:ade") == (("227:ade", 1), ("AB_cF8_225_a_b", 1))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("type,count\n227:ade,3\n225:z,1\n", r"types\.csv, line 3: structure type '225:z': .*no Wyckoff letter 'z'"),
        ("227:ade,3\n225:ab\n", r"types\.csv, line 2: 225:ab has no count, the types before it have one"),
        ("227:ade\n225:ab,1\n", r"types\.csv, line 2: 225:ab has a count, the types before it have none"),
        ("227:ade,0\n", r"types\.csv, line 1: count '0' of 227:ade: must be a whole number"),
        ("227:ade,1.5\n", "count '1.5'"),
        ("type,count\n", "no structure type in it"),
    ],
)
def test_what_is_wrong_in_a_list_is_named_with_file_and_line(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "types.csv").write_text(content)
    with pytest.raises(InputError, match=message):
        read_types(str(tmp_path / "types.csv"))


def test_lists_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"none\.csv: no such file"):
        read_types("none.csv")
    with pytest.raises(FormatError, match="a folder"):
        read_types(str(tmp_path))
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(FormatError, match="not a text file"):
        read_types(str(tmp_path / "binary.csv"))
    with pytest.raises(InputError, match="'227:ade,x': structure type 'x'"):
        read_types("227:ade,x")


def test_types_of_tables_are_counted(tmp_path: Path) -> None:
    table = read_table("embedded:amcsd")
    found, left_out = count_types(["embedded:amcsd"], groups=(225, 227), min_count=5)
    assert {item.space_group for item in found} == {225, 227}
    assert [item.count for item in found] == sorted((item.count for item in found), reverse=True)
    assert min(item.count for item in found) >= 5
    spinel = next(item for item in found if item.type == "AB2C4_cF56_227_a_d_e")
    assert spinel.count == int((table["prototype_iso"] == spinel.type).sum())
    assert (spinel.n_sites, spinel.n_elements) == (3, 3)
    assert sum(item.count for item in found) + left_out.total() == len(table)
    keys, _ = count_types(["embedded:amcsd"], by=NamedBy.WYCKOFF_KEY, groups=(227,))
    assert next(item for item in keys if item.type == "227:ade").count >= spinel.count
    with pytest.raises(InputError, match=r"no structure type is left .*of other space groups"):
        count_types(["embedded:amcsd"], groups=(93,))
    done: Any = CliRunner().invoke(
        app,
        ["types", "embedded:amcsd", "--space-group", "225,227", "--min-count", "5", "--out", str(tmp_path / "t.csv")],
        catch_exceptions=False,
    )
    assert f"{len(found)} structure types of 2 space groups" in done.stdout
    with (tmp_path / "t.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["type"], int(row["count"])) for row in rows] == [(item.type, item.count) for item in found]
    assert not any(row["name"].startswith("<") for row in rows)
    assert read_types(str(tmp_path / "t.csv")) == tuple(sorted((item.type, item.count) for item in found))

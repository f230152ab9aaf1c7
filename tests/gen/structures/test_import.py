"""Importing CIFs, folders, zips, ICSD exports and tables: real files, good and bad."""

from __future__ import annotations

import csv
import json
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Lattice, Structure
from pymatgen.io.cif import CifWriter
from xrdcommon.errors import FormatError, InputError, Interrupted
from xrdgen.structures.cif import icsd_code
from xrdgen.structures.importing import import_structures, parts_path, rejected_path
from xrdgen.structures.reading.document import Block, read_blocks
from xrdgen.structures.reading.symmetry import decide
from xrdgen.structures.sources import ICSD_COLUMNS
from xrdgen.structures.standardise import standardise
from xrdgen.structures.table import CELL_COLUMNS, crystal_of, read_table
from xrdgen.symmetry.operations import operations

LABELS = ("space_group", "formula", "n_atoms", "n_sites", "prototype_iso", "wyckoff_key", "mixed_occupancy")


def sample_rows(n: int = 12) -> pd.DataFrame:
    table = read_table("embedded:amcsd")
    chosen = table[
        (table["n_atoms"] <= 60) & ~table["over_occupancy"] & ~table["formula"].str.contains("Ar|He|Ne|Kr|Xe")
    ]
    return chosen.sample(n, random_state=5)


def cif_of(row: pd.Series) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return str(CifWriter(crystal_of(row).to_pymatgen(), significant_figures=8))


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    return sample_rows()


@pytest.fixture(scope="module")
def cif_folder(rows: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cifs")
    (folder / "deeper").mkdir()
    for number, (_, row) in enumerate(rows.iterrows()):
        (folder / ("deeper" if number % 2 else ".") / f"{number:02d}.cif").write_text(cif_of(row))
    return folder


def test_structure_survives_cif_and_import(rows: pd.DataFrame, cif_folder: Path, tmp_path: Path) -> None:
    report = import_structures([cif_folder], tmp_path / "t.parquet", workers=1, citation="me")
    assert (report.read, report.imported, report.rejected) == (12, 12, 0)
    assert report.estimated_hours is not None
    back = read_table(tmp_path / "t.parquet")
    back.index = pd.Index([int(Path(name).stem) for name in back["id"]])
    assert set(back["citation"]) == {"me"}
    for number, (_, row) in enumerate(rows.iterrows()):
        again = back.loc[number]
        for label in LABELS:
            assert again[label] == row[label], (row["id"], label)
        assert again["volume"] == pytest.approx(row["volume"], rel=1e-4)


def test_same_table_whatever_the_workers_and_a_stopped_import_goes_on(cif_folder: Path, tmp_path: Path) -> None:
    from xrdgen.structures import importing

    for number in range(2 * importing.CIFS_A_TASK):  # three tasks
        text = (cif_folder / "00.cif").read_text()
        (tmp_path / "many").mkdir(exist_ok=True)
        (tmp_path / "many" / f"{number:04d}.cif").write_text(text if number % 8 == 0 else "broken")
    sources = [tmp_path / "many", cif_folder]
    one, two, stopped = (tmp_path / f"{name}.parquet" for name in ("one", "two", "stopped"))
    import_structures(sources, one, workers=1)
    import_structures(sources, two, workers=2)
    assert one.read_bytes() == two.read_bytes()

    def stop(n: int = 1, note: str = "") -> None:
        raise KeyboardInterrupt

    with pytest.raises(Interrupted, match="1 of 3 parts"):
        import_structures(sources, stopped, workers=1, advance=stop)
    assert not stopped.exists()
    notes: list[str] = []
    import_structures(sources, stopped, workers=1, advance=lambda n=1, note="": notes.append(note))
    assert notes == ["resumed", "", ""]
    assert stopped.read_bytes() == one.read_bytes()
    assert rejected_path(stopped).read_bytes() == rejected_path(one).read_bytes()
    assert not parts_path(stopped).exists()


def test_unreadable_cifs_are_listed_and_the_others_imported(cif_folder: Path, tmp_path: Path) -> None:
    bad = tmp_path / "mixed"
    bad.mkdir()
    good = (cif_folder / "00.cif").read_text()
    (bad / "good.cif").write_text(good)
    (bad / "noise.cif").write_bytes(bytes(range(256)) * 20)
    (bad / "empty.cif").write_text("")
    (bad / "no-atoms.cif").write_text("data_x\n_cell_length_a 3\n")
    (bad / "cut.cif").write_text(good[: len(good) // 2])
    (bad / "two.cif").write_text(good + "\ndata_second\n" + good.split("\n", 2)[2])
    overlapping = Structure(Lattice.cubic(4), ["Na", "Cl"], [[0, 0, 0], [0, 0, 0.0005]])
    (bad / "overlap.cif").write_text(str(CifWriter(overlapping, significant_figures=8)))
    report = import_structures([bad], tmp_path / "t.parquet", workers=1)
    with rejected_path(tmp_path / "t.parquet").open(newline="") as stream:
        rejected = {line["file"]: line["reason"] for line in csv.DictReader(stream)}
    assert set(rejected) >= {"noise.cif", "empty.cif", "no-atoms.cif", "cut.cif"}
    assert all(rejected.values())
    assert report.read == report.imported + report.rejected
    names = set(read_table(tmp_path / "t.parquet")["id"])
    assert "good.cif" in names
    assert sum(name.startswith("two.cif#") for name in names) == 2


def test_zip_and_nothing_to_read(cif_folder: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        archive.write(cif_folder / "00.cif", "inside/00.cif")
        archive.writestr("readme.txt", "no structure")
    assert import_structures([tmp_path / "z.zip"], tmp_path / "t.parquet", workers=1).imported == 1
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="folder without CIF files"):
        import_structures([tmp_path / "empty"], tmp_path / "u.parquet")
    (tmp_path / "bad.zip").write_text("not a zip")
    with pytest.raises(FormatError, match="damaged zip"):
        import_structures([tmp_path / "bad.zip"], tmp_path / "u.parquet")
    pd.DataFrame({"id": ["1"], "sg": [225]}).to_parquet(tmp_path / "few.parquet")
    with pytest.raises(FormatError, match="hall_number, a, b"):
        import_structures([tmp_path / "few.parquet"], tmp_path / "u.parquet")
    (tmp_path / "only-bad").mkdir()
    (tmp_path / "only-bad" / "x.cif").write_text("nothing")
    with pytest.raises(InputError, match="none of 1 entries could be imported"):
        import_structures([tmp_path / "only-bad"], tmp_path / "u.parquet")
    assert not (tmp_path / "u.parquet").exists()


def test_embedded_table_passes_unchanged(tmp_path: Path) -> None:
    import_structures(["embedded:amcsd"], tmp_path / "t.parquet", workers=1)
    pd.testing.assert_frame_equal(read_table(tmp_path / "t.parquet"), read_table("embedded:amcsd"))


def asymmetric_cif(row: pd.Series) -> str:
    """A CIF as databases print it: asymmetric unit, symmetry operations, four digits, charges."""
    group = operations(int(row["space_group"]))
    lines = ["data_x"]
    names = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
    lines += [f"_cell_{name} {row[column]}(2)" for name, column in zip(names, CELL_COLUMNS, strict=True)]
    lines += ["loop_", "_symmetry_equiv_pos_as_xyz"]
    for rotation, translation in zip(group.rotations, group.translations24, strict=True):
        parts = []
        for i in range(3):
            terms = "".join(f"{'+' if v > 0 else '-'}{'xyz'[j]}" for j, v in enumerate(rotation[i]) if v)
            parts.append(terms + (f"+{translation[i]}/24" if translation[i] else ""))
        lines.append(f"'{','.join(parts)}'")
    columns = ("label", "type_symbol", "fract_x", "fract_y", "fract_z", "occupancy")
    lines += ["loop_", *(f"_atom_site_{name}" for name in columns)]
    number = 0
    for site in json.loads(row["sites"]):
        for element, occupancy in site["species"].items():
            number += 1
            coordinates = " ".join(f"{x:.4f}" for x in site["x"])
            lines.append(f"{element}{number} {element}2+ {coordinates} {occupancy}")
    return "\n".join(lines) + "\n"


def test_asymmetric_units_with_four_digits(tmp_path: Path) -> None:
    table = read_table("embedded:amcsd").set_index("id", drop=False)
    small = table[table["n_atoms"] <= 200]
    # 10924 and 7016: positions (x, 2x, z) that four digits put beside themselves
    rows = pd.concat([table.loc[["10924", "7016"]], small.groupby("space_group").head(1).sample(40, random_state=2)])
    (tmp_path / "cifs").mkdir()
    for identifier, row in rows.iterrows():
        (tmp_path / "cifs" / f"{identifier}.cif").write_text(asymmetric_cif(row))
    import_structures([tmp_path / "cifs"], tmp_path / "t.parquet", workers=1)
    back = read_table(tmp_path / "t.parquet")
    back.index = pd.Index([Path(name).stem for name in back["id"]])
    assert set(back.index) == set(rows.index)
    for identifier, row in rows.iterrows():
        for label in LABELS:
            assert back.loc[identifier, label] == row[label], (identifier, label)


def test_occupancies_a_little_over_one_reach_pymatgen() -> None:
    table = read_table("embedded:amcsd").set_index("id", drop=False)
    crystal = crystal_of(table.loc["15498"])
    structure = crystal.to_pymatgen()
    assert max(site.species.num_atoms for site in structure) == pytest.approx(1.001)
    assert standardise(structure).space_group == crystal.space_group


def write_icsd_export(folder: Path, rows: pd.DataFrame) -> Path:
    """Write free structures in the form of an ICSD export."""
    (folder / "cif").mkdir(parents=True)
    with (folder / "ICSD_data_from_API.csv").open("w", newline="") as stream:
        stream.write("exported,by,the,test\n")
        writer = csv.DictWriter(stream, ICSD_COLUMNS)
        writer.writeheader()
        for number, (_, row) in enumerate(rows.iterrows()):
            code = 1000 + number
            text = cif_of(row).split("\n")
            begin = next(i for i, line in enumerate(text) if line.startswith("data_"))
            text[begin] = f"data_{code}-ICSD"
            # the published group is another one than spglib's for the first entry
            body = "\n".join(text[begin:])
            if number == 0:
                body = body.replace("_symmetry_Int_Tables_number   1", "_space_group_IT_number   2")
            (folder / "cif" / f"{code}.cif").write_text(body)
            writer.writerow(
                {"CollectionCode": code, "StructureType": "" if number == 1 else f"Type{number % 3}", "RValue": 0.03}
            )
        writer.writerow({"CollectionCode": 9999, "StructureType": "Lost"})
    return folder / "ICSD_data_from_API.csv"


def test_icsd_export(rows: pd.DataFrame, tmp_path: Path) -> None:
    export = write_icsd_export(tmp_path / "icsd", rows)
    for number, source in enumerate((export, export.parent)):  # the CSV or its folder
        out = tmp_path / f"{number}.parquet"
        report = import_structures([source], out, workers=1)
        assert (report.imported, report.rejected) == (12, 1)
        assert "9999" in rejected_path(out).read_text()
        table = read_table(out).set_index("collection_code")
        assert set(table["source"]) == {"ICSD"}
        assert table.loc["1000", "structure_type"] == "Type0"
        assert pd.isna(table.loc["1001", "structure_type"])
        assert table.loc["1000", "space_group_published"] == 2
        assert table.loc["1000", "space_group"] == rows.iloc[0]["space_group"]
    text = export.read_text().replace("StructureType", "Type")
    export.write_text(text)
    from xrdgen.structures.sources import icsd_table

    icsd_table.cache_clear()
    with pytest.raises(FormatError, match="StructureType missing"):
        import_structures([export], tmp_path / "x.parquet")


def test_standardise_does_not_depend_on_the_cell_given(rows: pd.DataFrame) -> None:
    for _, row in rows.head(6).iterrows():
        crystal = crystal_of(row)
        original = crystal.to_pymatgen()
        primitive = original.get_primitive_structure()
        doubled = original.copy()
        doubled.make_supercell([1, 1, 2])
        doubled.translate_sites(range(len(doubled)), [0.13, 0.21, 0.34])
        for structure in (original, primitive, doubled):
            again = standardise(structure)
            assert again.space_group == crystal.space_group
            assert again.n_atoms == crystal.n_atoms
            assert again.volume == pytest.approx(crystal.volume, rel=1e-6)
            assert sorted(again.composition) == pytest.approx(sorted(crystal.composition))


def test_standardise_refuses_what_is_no_element() -> None:
    dummy = Structure(Lattice.cubic(4), ["X"], [[0, 0, 0]])
    with pytest.raises(InputError, match="element"):
        standardise(dummy)


def test_deuterium_and_charges() -> None:
    structure = Structure(Lattice.cubic(5), ["D+", "Cl-"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    crystal = standardise(structure)
    assert sorted(crystal.atomic_numbers) == [1, 17]
    assert crystal.space_group == 221


@pytest.mark.parametrize(
    ("items", "number"),
    [
        ({"_space_group_IT_number": "62"}, 62),
        ({"_symmetry_space_group_name_H-M": "P 21/c"}, 14),
        ({"_symmetry_space_group_name_H-M": "'F d -3 m'"}, 227),
        ({"_symmetry_space_group_name_H-M": "P n m a"}, 62),
        ({"_symmetry_space_group_name_H-M": "?"}, None),
        ({}, None),
    ],
)
def test_published_group(items: dict[str, str], number: int | None) -> None:
    block = Block("x", items={name.lower(): value.strip("'") for name, value in items.items()})
    assert decide(block, np.array([5.0, 5.0, 5.0, 90.0, 90.0, 90.0])).published == number


def test_blocks_without_atoms_are_no_entries() -> None:
    text = "data_global\n_journal_year 2000\ndata_12-ICSD\nloop_\n_atom_site_label\nNa1\n"
    (block,) = read_blocks(text.encode())
    assert icsd_code(block) == "12"


def test_command_reports(run_command, cif_folder: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    done = run_command("xrdgen", "structures", "import", cif_folder, "--out", tmp_path / "t.parquet", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["imported"] == 12
    failed = run_command("xrdgen", "structures", "import", tmp_path / "none", "--out", tmp_path / "u.parquet")
    assert failed.returncode == 2
    assert failed.stderr.count("\n") == 1
    assert "no such file" in failed.stderr

"""Remarks of the reader go with the row; doubtful rows are left out by statistics, freeze and split, and counted."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner
from xrdcommon.grid import Grid
from xrdgen.cli import app
from xrdgen.crystals.cif import cif_text
from xrdgen.diffraction.settings import SimulationSettings
from xrdgen.freezing.freeze import freeze_table, rejected_path
from xrdgen.splitting import SplitBy, split_tables
from xrdgen.statistics.build import build_statistics
from xrdgen.structures.importing import import_structures
from xrdgen.structures.reading.remarks import Remark, doubtful_rows, is_doubtful, joined
from xrdgen.structures.table import crystal_of, read_table

N = 12


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of N structures; the formula sums of two of them are not what the atoms are, one has a plain remark."""
    folder = tmp_path_factory.mktemp("remarks")
    table = read_table("embedded:amcsd")
    chosen = table[(table["n_atoms"] <= 60) & ~table["over_occupancy"]].sample(N, random_state=4)
    for number, (_, row) in enumerate(chosen.iterrows()):
        text = cif_text(crystal_of(row), str(row["id"]))
        if number < 2:
            text = text.replace("_chemical_formula_sum '", "_chemical_formula_sum 'Lr2 Pu3 ", 1)
        if number == 2:
            text += "H99 H 1 a . . . 1\n"
        (folder / f"{number:02d}.cif").write_text(text)
    report = import_structures([folder], folder / "t.parquet", workers=1)
    assert (report.imported, report.remarked, report.doubtful) == (N, 3, 2)
    return folder / "t.parquet"


def test_the_rule() -> None:
    plain, doubtful = Remark("left out: H1"), Remark("not the formula sum", doubtful=True)
    assert joined([]) is None
    assert joined([plain, plain]) == "left out: H1"
    text = joined([plain, doubtful])
    assert text == "left out: H1 | doubtful: not the formula sum"
    assert is_doubtful(text)
    assert not is_doubtful(joined([plain]))
    assert not is_doubtful("nothing is doubtful: all well")
    assert not is_doubtful(None)
    frame = pd.DataFrame({"remarks": [text, None, "left out: H1"]})
    np.testing.assert_array_equal(doubtful_rows(frame), [True, False, False])
    np.testing.assert_array_equal(doubtful_rows(pd.DataFrame({"id": [1, 2]})), [False, False])


def test_the_table_has_them(imported: Path) -> None:
    remarks = read_table(imported).set_index("id")["remarks"]
    assert remarks["00.cif"].startswith("doubtful: not the formula sum of the file: ")
    assert remarks["02.cif"] == "left out: H99 (without coordinates)"
    assert remarks.isna().sum() == N - 3


def test_statistics_leave_them_out(imported: Path) -> None:
    (tally,) = build_statistics([imported]).header["counts"].values()
    assert tally["structures"] == N
    assert tally["left out: doubtful"] == 2


def test_freeze_leaves_them_out(imported: Path, tmp_path: Path) -> None:
    settings = SimulationSettings(grid=Grid(10.0, 60.0, 0.05))
    report = freeze_table(imported, tmp_path / "set.zarr", settings)
    assert report.to_dict() == {"crystals": N - 2, "diffractograms": N - 2, "rejected": 2, "doubtful": 2}
    assert rejected_path(tmp_path / "set.zarr").read_text().count("doubtful: not the formula sum") == 2


def test_split_leaves_them_out(imported: Path, tmp_path: Path) -> None:
    report = split_tables([imported], tmp_path / "parts", by=SplitBy.RANDOM, test_fraction=0.5)
    assert (report.train + report.test, report.doubtful) == (N - 2, 2)
    kept = pd.concat([read_table(tmp_path / "parts" / f"{part}.parquet") for part in ("train", "test")])
    assert not {"00.cif", "01.cif"} & set(kept["id"])
    assert json.loads((tmp_path / "parts" / "split.json").read_text())["doubtful"] == 2


SALT = """data_salt
_cell_length_a 5.64
_cell_length_b 5.64
_cell_length_c 5.64
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_symmetry_space_group_name_H-M 'F m -3 m'
loop_
_atom_site_label
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_B_iso_or_equiv
Na1 0 0 0 1.5
Cl1 0.5 0.5 0.5 B
"""


def test_displacement_parameters_of_the_file_are_used_when_asked(tmp_path: Path) -> None:
    def lines(*options: str, b: str = "1.5") -> tuple[list[float], str]:
        (tmp_path / "salt.cif").write_text(SALT.replace(" B\n", f" {b}\n"))
        result = CliRunner().invoke(app, ["simulate", str(tmp_path / "salt.cif"), "--json", *options])
        assert result.exit_code == 0, result.output
        return [line["f_squared"] for line in json.loads(result.stdout)[0]["peaks"]], result.stderr

    at_rest, _ = lines()
    np.testing.assert_array_equal(lines("--displacement", "none")[0], at_rest)
    of_the_file, said = lines("--displacement", "cif")
    np.testing.assert_allclose(of_the_file, lines("--displacement", "1.5")[0], rtol=1e-9)
    np.testing.assert_allclose(of_the_file, lines("--b-iso", "1.5")[0], rtol=1e-9)
    assert (np.array(of_the_file) < at_rest).all()
    assert "without displacement" not in said
    assert "1 atom rows without displacement parameter: at rest" in lines("--displacement", "cif", b="?")[1]
    assert "1 negative displacement parameters: at rest" in lines("--displacement", "cif", b="-0.3")[1]
    bad = CliRunner().invoke(app, ["simulate", str(tmp_path / "salt.cif"), "--displacement", "some"])
    assert "displacement 'some': give none, cif or B" in str(bad.exception)


def test_displacement_parameters_are_kept_in_the_table(tmp_path: Path) -> None:
    (tmp_path / "salt.cif").write_text(SALT.replace(" B\n", " 2.5\n"))
    import_structures([tmp_path / "salt.cif"], tmp_path / "t.parquet", workers=1)
    row = read_table(tmp_path / "t.parquet").iloc[0]
    assert {name: b for site in json.loads(row["sites"]) for name, b in site["b_iso"].items()} == {"Na": 1.5, "Cl": 2.5}
    assert crystal_of(row).b_iso is None  # nothing uses them unless asked

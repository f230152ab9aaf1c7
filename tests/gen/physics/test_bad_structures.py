"""Structures that cannot be: `xrdgen simulate` and `xrdgen freeze` say so in one line and go no further."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from xrdgen.cli import main
from xrdgen.freezing.freeze import rejected_path
from xrdgen.structures.table import read_table, table_of

Command = Callable[..., "subprocess.CompletedProcess[str]"]

HEADER = """data_x
_cell_length_a {a}
_cell_length_b {a}
_cell_length_c {a}
_cell_angle_alpha {angle}
_cell_angle_beta {angle}
_cell_angle_gamma {angle}
_symmetry_space_group_name_H-M '{symbol}'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
"""
CATION, ANION = "Na1 Na 0 0 0 1", "Cl1 Cl 0.5 0.5 0.5 1"


def cif(*atoms: str, a: str = "5.64", angle: str = "90", symbol: str = "F m -3 m") -> str:
    """Return a CIF of rock salt with something wrong in it."""
    return HEADER.format(a=a, angle=angle, symbol=symbol) + "\n".join(atoms) + "\n"


REFUSED = {
    "no form factor": (cif("Es1 Es 0 0 0 1", ANION), "no form factor for Es"),
    "no form factor, the last element": (cif("Lr1 Lr 0 0 0 1", ANION), "no form factor for Lr"),
    "no element": (cif("X1 X 0 0 0 1", ANION), "element 'X'"),
    "zero volume": (cif(CATION, ANION, a="0"), "_cell_length_a is 0: must be a positive"),
    "negative length": (cif(CATION, ANION, a="-5"), "_cell_length_a is -5"),
    "ten thousand atoms": (
        cif(*(f"Na{i} Na 0.{i:05} 0.1 0.2 1" for i in range(10_000)), symbol="P 1"),
        "about .* s to read",
    ),
    "flat": (cif(CATION, ANION, angle="120", symbol="P 1"), ""),
    "occupancy above 1": (cif("Na1 Na 0 0 0 1.4", ANION), r"occupancy 1\.4 is outside"),
    "site above 1": (cif("Na1 Na 0 0 0 0.8", "K1 K 0 0 0 0.7", ANION), r"add up to 1\.5, more than 1"),
    "occupancy zero": (cif("Na1 Na 0 0 0 0"), "no atoms: none has coordinates and an occupancy"),
    "negative occupancy": (cif("Na1 Na 0 0 0 -0.5", ANION), "occupancy"),
    "NaN occupancy": (cif("Na1 Na 0 0 0 nan", ANION), "occupancy"),
    "no atoms": (cif(), "no atoms"),
    "NaN coordinate": (cif("Na1 Na nan 0 0 1", ANION), ""),
    "infinite coordinate": (cif("Na1 Na inf 0 0 1", ANION), "infinity"),
    "unknown coordinates": (cif("Na1 Na ? ? ? 1", ANION), ""),
    "a cell of two micrometres": (cif(CATION, ANION, a="20000"), r"about .* reflections and .* terms, more than"),
    "atoms in one place": (cif(CATION, ANION, a="0.5"), r"atoms Na1 and Cl1 are 0\.25 Å apart"),
    "no reflection": (
        cif("H1 H 0 0 0 1", a="1.0", symbol="P m -3 m"),
        "no reflection at 5 to 90 degrees .* shorter wavelength",
    ),
}
"""What is wrong: the CIF, and what the line must say ("": it names the file and the block only)."""


def assert_one_line(code: int, out: str, err: str, path: Path, message: str) -> None:
    """Check the exit code and the one line."""
    assert code == 2, (code, err)
    assert out == ""
    (line,) = err.splitlines()
    assert line.startswith("xrdgen: error: ")
    assert path.name in line
    assert re.search(message, line), line


@pytest.mark.parametrize("name", REFUSED)
def test_simulate_refuses(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text, message = REFUSED[name]
    path, out = tmp_path / "bad.cif", tmp_path / "out.xy"
    path.write_text(text)
    monkeypatch.setattr(sys, "argv", ["xrdgen", "simulate", str(path), "--out", str(out)])
    with pytest.raises(SystemExit) as stop:
        main()
    printed = capsys.readouterr()
    assert_one_line(int(stop.value.code or 0), printed.out, printed.err, path, message)
    assert not out.exists()


@pytest.mark.parametrize("value", ["nan", "inf"])
def test_simulate_refuses_a_cell_that_is_not_finite(value: str, tmp_path: Path, run_command: Command) -> None:
    path = tmp_path / "bad.cif"
    path.write_text(cif(CATION, ANION, a=value))
    done = run_command("xrdgen", "simulate", path)
    assert_one_line(done.returncode, done.stdout, done.stderr, path, "finite")


def test_import_lists_a_cell_that_is_not_finite_and_goes_on(tmp_path: Path, run_command: Command) -> None:
    (tmp_path / "cifs").mkdir()
    (tmp_path / "cifs" / "bad.cif").write_text(cif(CATION, ANION, a="nan"))
    (tmp_path / "cifs" / "good.cif").write_text(cif(CATION, ANION))
    table = tmp_path / "t.parquet"
    done = run_command("xrdgen", "structures", "import", tmp_path / "cifs", "--workers", 1, "--out", table)
    assert done.returncode == 0, done.stderr
    assert len(read_table(table)) == 1


def test_simulate_refuses_an_impossible_group(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "bad.cif"
    path.write_text(cif(CATION, ANION, symbol="F m -5 m"))
    monkeypatch.setattr(sys, "argv", ["xrdgen", "simulate", str(path)])
    with pytest.raises(SystemExit) as stop:
        main()
    printed = capsys.readouterr()
    assert_one_line(int(stop.value.code or 0), printed.out, printed.err, path, "space group")


CUBE = dict(zip(("a", "b", "c", "alpha", "beta", "gamma"), (5.64, 5.64, 5.64, 90.0, 90.0, 90.0), strict=True))
SITES = [
    {"species": {"Na": 1.0}, "letter": "a", "multiplicity": 4, "x": [0, 0, 0]},
    {"species": {"Cl": 1.0}, "letter": "b", "multiplicity": 4, "x": [0.5, 0.5, 0.5]},
]


def row(name: str, sites: list[dict[str, Any]] | None = None, **other: Any) -> dict[str, Any]:
    """Return a row of a structure table: rock salt with something wrong in it."""
    labels = {"source": "AMCSD", "id": name, "formula": "Na4 Cl4", "space_group": 225, "hall_number": 523}
    counts = {"n_atoms": 8, "n_sites": 2, "n_elements": 2, "volume": 179.4}
    flags = dict.fromkeys(("mixed_occupancy", "partial_occupancy", "over_occupancy"), False)
    return {**labels, **counts, **flags, **CUBE, "sites": json.dumps(SITES if sites is None else sites), **other}


BAD_ROWS = {
    "NaN coordinate": (row("", [{**SITES[0], "x": [float("nan"), 0, 0]}]), "position .*nan.* is not finite"),
    "occupancy": (row("", [{**SITES[0], "species": {"Na": 1.5}}]), r"occupancy 1\.5 is outside"),
    "site": (row("", [{**SITES[0], "species": {"Na": 0.9, "K": 0.4}}]), r"add up to 1\.3"),
    "no atoms": (row("", []), "no sites"),
    "zero volume": (row("", a=0.0, b=0.0, c=0.0), "no volume"),
    "NaN cell": (row("", a=float("nan")), "finite"),
    "group": (row("", space_group=231), "space group 231: must be 1 to 230"),
    "no group": (row(""), "space group .*: must be 1 to 230"),
    "element": (row("", [{**SITES[0], "species": {"Lr": 1.0}}]), "no form factor for Lr"),
    "no element": (row("", [{**SITES[0], "species": {"Qq": 1.0}}]), "element 'Qq'"),
    "letter": (row("", [{**SITES[0], "letter": "!"}]), "Wyckoff letter '!'"),
    "micrometres": (row("", a=2e4, b=2e4, c=2e4), "reflections and .* terms, more than"),
}


def test_freeze_lists_bad_rows_and_keeps_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    table, out = tmp_path / "t.parquet", tmp_path / "set.zarr"
    bad = [{**entry, "id": name} for name, (entry, _) in BAD_ROWS.items()]
    rows = table_of([*bad, row("good")]).astype({"space_group": "Int64"})
    rows.loc[rows["id"] == "no group", "space_group"] = None
    rows.to_parquet(table)
    command = ["xrdgen", "freeze", str(table), "--out", str(out), "--step", "0.05", "--workers", "0", "--json"]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as stop:
        main()
    printed = capsys.readouterr()
    assert not stop.value.code, printed.err
    assert "Traceback" not in printed.err
    assert json.loads(printed.out)["crystals"] == 1
    with rejected_path(out).open(newline="") as stream:
        rejected = {line["id"]: line["reason"] for line in csv.DictReader(stream)}
    assert rejected.keys() == BAD_ROWS.keys()
    for name, (_, message) in BAD_ROWS.items():
        assert re.search(message, rejected[name]), rejected[name]
        assert "\n" not in rejected[name]

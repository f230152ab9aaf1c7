"""Small CIFs after real public reports: the right crystal, or a refusal or remark that is true."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from xrdcommon.errors import FormatError, XrdError
from xrdgen.diffraction.cif_input import read_crystals
from xrdgen.diffraction.simulator import Simulator
from xrdgen.elements import symbol
from xrdgen.structures.importing import import_structures
from xrdgen.structures.reading.document import content_of, read_blocks
from xrdgen.structures.reading.reader import read_structure
from xrdgen.structures.table import crystal_of, read_table


def _cases() -> Path | None:
    """The folder of cases, beside the checkout or above it."""
    for folder in Path(__file__).resolve().parents:
        if (folder / "shared" / "cases" / "cif.csv").exists():
            return folder / "shared" / "cases"
    return None


CASES = _cases()
ROWS = list(csv.DictReader((CASES / "cif.csv").read_text(encoding="utf-8").splitlines())) if CASES else []
REMARK_OR_REFUSAL = "refuse or say so"

# file: what the reader must say of it, in its refusal or its remark
SAID = {
    "sym02_full_HM_xyz_only.cif": "only x,y,z is listed, but the space group is F m -3 m",
    "sym07_Fd3m_plain.cif": "read as F d -3 m:1",
    "sym20_no_centring_ops.cif": "R -3:R (space group 148) listed, but the space group is F m -3 m",
    "sym24_old_Fd3m.cif": "read as F d -3 m:2",
    "sym29_ops_no_group.cif": "form no group",
    "sym30_modulated.cif": "only superspace operations",
    "sym31_mcif_LaMnO3.mcif": "its nuclear cell is read",
    "syn16_run_together.cif": "wrong number of values in a loop",
    "el03_T_label.cif": "'T' is not an element",
    "el07_OH_F_mixed.cif": "its H are not located",
    "el08_HO_label.cif": "read as H, not Ho",
    "el13_dum_occ1.cif": "left out: Cg1 (dummy)",
    "el19_dup_row.cif": "counted once: Cl2",
    "el27_zero_occ_own.cif": "left out: Li1 (of occupancy 0)",
    "el29_dot_coords.cif": "left out: H1 (without coordinates)",
    "el35_tsumcorite.cif": "its H are not located",
    "syn19_empty_second_block.cif": "its H are not located",
}
# values that the table does not spell out, found by hand
CONTENT = {
    "sym41_P21n_short_number.cif": "Ca4 O4",
    "syn13_unicode_minus.cif": "Ti2 O2",
    "syn19_empty_second_block.cif": "O20 As4 Zn2.58 Fe1.38 Pb2.04",
    "sym36_op_unlooped.cif": "Pb1 Ga1 O1",
    "el35_tsumcorite.cif": "O20 As4 Zn2.58 Fe1.38 Pb2.04",
    "el15_occ_esd.cif": "Na2.828 K1.172 Cl4",
    "el34_charges.cif": "Al1 O2 Fe1 Cu1 H1",
    "sym07_Fd3m_plain.cif": "C8",
    "pr03_0.3333.cif": "Mg2",
    "int01_rutile.cif": "Ti2 O4",
}


def amounts(text: str) -> dict[str, float]:
    return {
        part.rstrip("0123456789."): float(part.lstrip("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"))
        for part in text.split()
    }


def content(path: Path) -> tuple[dict[str, float], int, str]:
    """Content of the file's own cell, number of its group and remarks, of the first block."""
    structure = read_structure(read_blocks(content_of(path))[0])
    found: dict[str, float] = {}
    for site in structure.sites:
        for z, occupancy in site.species.items():
            found[symbol(z)] = found.get(symbol(z), 0.0) + occupancy * site.multiplicity
    return found, structure.group.number, " ".join(str(remark) for remark in structure.remarks)


@pytest.mark.parametrize("row", ROWS, ids=[row["file"] for row in ROWS])
def test_the_case_is_read_right_or_refused(row: dict[str, str]) -> None:
    assert CASES is not None
    path = CASES / "cif" / row["file"]
    wanted, said = row["right_formula"], SAID.get(row["file"], "")
    if wanted.startswith("refuse"):
        with pytest.raises(XrdError) as refusal:
            content(path)
        assert said in str(refusal.value)
        assert "\n" not in str(refusal.value)
        return
    found, number, remarks = content(path)
    if row["space_group"] and row["file"] != "sym19_symop_new_dotted_ops.cif":  # F -1 listed, 225 by its atoms
        assert number == int(row["space_group"])
    if said:
        assert said in remarks
    else:
        assert remarks == ""
    expected = CONTENT.get(row["file"], wanted)
    if expected[:1].isalpha() and " in the cell" not in expected:
        assert found == pytest.approx(amounts(expected))


@pytest.mark.parametrize("row", ROWS, ids=[row["file"] for row in ROWS])
def test_simulate_and_import_agree(row: dict[str, str], tmp_path: Path) -> None:
    assert CASES is not None
    path = CASES / "cif" / row["file"]
    try:
        named = read_crystals(path)
    except FormatError as refusal:
        with pytest.raises(XrdError) as other:
            import_structures([path], tmp_path / "t.parquet", workers=1)
        reason = str(refusal).split(": ", 2)[2].rsplit(";", 1)[0]
        assert reason in str(other.value)
        return
    import_structures([path], tmp_path / "t.parquet", workers=1)
    table = read_table(tmp_path / "t.parquet")
    assert len(table) == len(named)
    crystal = crystal_of(table.iloc[0])
    assert crystal.space_group == named[0].crystal.space_group
    if row["space_group"]:
        assert crystal.space_group == int(row["space_group"]) or row["file"] == "sym36_op_unlooped.cif"
    np.testing.assert_allclose(crystal.composition, named[0].crystal.composition, atol=1e-6)
    for remark in named[0].remarks:
        if not remark.startswith("left out: data_"):
            assert remark in table["remarks"].iloc[0]


@pytest.mark.skipif(CASES is None, reason="the cases are not beside this checkout")
def test_lines_of_three_cases() -> None:
    assert CASES is not None
    simulator = Simulator()

    def lines(name: str) -> dict[tuple[int, ...], tuple[float, float]]:
        peaks = simulator.peaks(read_crystals(CASES / "cif" / name)[0].crystal)
        return {
            tuple(hkl): (d, intensity)
            for hkl, d, intensity in zip(peaks.hkl.tolist(), peaks.d, peaks.intensity, strict=True)
        }

    rutile = sorted(lines("int01_rutile.cif").values(), key=lambda line: -line[0])[:4]
    assert [round(intensity, 2) for _, intensity in rutile] == pytest.approx(
        [100.0, 45.7, 6.88, 18.9], rel=1e-2
    )  # from the table; other form factors
    # the cell of P 21/n standardised: d tells the lines of the file's own cell
    spacings = sorted((d for d, _ in lines("sym41_P21n_short_number.cif").values()), reverse=True)
    assert spacings[:3] != pytest.approx([6.914, 5.946, 5.925], abs=2e-3)
    assert any(abs(d - 5.946) < 2e-3 for d in spacings)
    assert not any(abs(d - 7.0 * np.sin(np.radians(99.0))) < 2e-3 for d in spacings)  # 100 is absent
    minus = lines("syn13_unicode_minus.cif")
    assert any(intensity == pytest.approx(10.08, abs=0.02) for _, intensity in minus.values())

"""What the reader makes of single oddities: values, syntax, elements, rounded places, symmetry, formula, limits."""

from __future__ import annotations

import csv
import zipfile
from pathlib import Path

import numpy as np
import pytest
from xrdcommon.errors import InputError, XrdError
from xrdgen.elements import symbol
from xrdgen.structures.cif import read_crystal
from xrdgen.structures.importing import import_structures, rejected_path
from xrdgen.structures.reading import document
from xrdgen.structures.reading.document import read_blocks
from xrdgen.structures.reading.formula import compare, read_formula
from xrdgen.structures.reading.reader import read_structure
from xrdgen.structures.reading.values import read_number
from xrdgen.structures.table import read_table


def cell(a: float, b: float, c: float, alpha: float = 90, beta: float = 90, gamma: float = 90) -> str:
    values = (a, b, c, alpha, beta, gamma)
    names = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
    return "".join(f"_cell_{name} {value}\n" for name, value in zip(names, values, strict=True))


def group(symbol_text: str) -> str:
    return f"_symmetry_space_group_name_H-M '{symbol_text}'\n"


COORDINATES = "_atom_site_fract_x\n_atom_site_fract_y\n_atom_site_fract_z\n"
LABELS = f"loop_\n_atom_site_label\n{COORDINATES}"
TYPES = f"loop_\n_atom_site_label\n_atom_site_type_symbol\n{COORDINATES}"
OCCUPANCIES = f"{TYPES}_atom_site_occupancy\n"
SALT_CELL = cell(5.6402, 5.6402, 5.6402)
FM3M = group("F m -3 m")
SALT_ATOMS = f"{TYPES}Na1 Na 0 0 0\nCl1 Cl 0.5 0.5 0.5\n"
SALT = f"data_salt\n{SALT_CELL}{FM3M}{SALT_ATOMS}"
WURTZITE = f"data_x\n{cell(3.811, 3.811, 6.234, gamma=120)}{group('P 63 m c')}"


def read(text: str | bytes) -> tuple[str, int, str]:
    """Content of the file's cell, number of its group, remarks."""
    (block,) = read_blocks(text.encode() if isinstance(text, str) else text)
    structure = read_structure(block)
    found: dict[int, float] = {}
    for site in structure.sites:
        for z, occupancy in site.species.items():
            found[z] = found.get(z, 0.0) + occupancy * site.multiplicity
    content = " ".join(f"{symbol(z)}{n:.4g}" for z, n in found.items())
    return content, structure.group.number, " | ".join(str(remark) for remark in structure.remarks)


def refusal(text: str | bytes) -> str:
    with pytest.raises(XrdError) as refused:
        read(text)
    assert "\n" not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize(
    ("text", "value", "decimals"),
    [
        ("5.6402(3)", 5.6402, 4),
        ("90.(0)", 90.0, 0),
        ("-.25", -0.25, 2),
        ("5,64", 5.64, 2),
        ("1.5e-1", 0.15, 2),
        ("1/3", 1 / 3, 99),
        ("+0.5", 0.5, 1),
        ("12(2", 12.0, 0),
    ],
)
def test_numbers(text: str, value: float, decimals: int) -> None:
    number = read_number(text, "x")
    assert number.value == pytest.approx(value)
    assert number.decimals == decimals


@pytest.mark.parametrize("text", ["0.00.0726", "five", "1,234.5", "nan", "1_000", "0x10", "1/0", "1 2", "0.5*"])
def test_what_is_no_number(text: str) -> None:
    with pytest.raises(InputError, match="not a number"):
        read_number(text, "x")


@pytest.mark.parametrize(
    ("text", "remark"),
    [
        (SALT.encode("utf-16"), ""),
        (SALT.replace("5.6402", "5,6402").replace("0.5", "0,5"), "decimal commas"),
        (SALT.replace("5.6402", "5.6402 (3)"), ""),
        (SALT.replace("'F m -3 m'", "F m -3 m"), ""),
        (SALT.replace("data_salt", "data_rock salt"), ""),
        ("made by hand\n" + SALT, ""),
        (SALT.replace("_cell_", "_cell.").replace("_atom_site_", "_ATOM_SITE."), ""),
        (SALT.replace("0.5 0.5 0.5", "1/2 1/2 1/2"), ""),
        (SALT.replace(" ", "\t").replace("F\tm\t-3\tm", "F m -3 m"), ""),
        (SALT.replace("Cl1", "# a remark\n#\nCl1"), ""),
        (SALT.replace(SALT_CELL[SALT_CELL.index("_cell_angle") :], ""), "cell angles alpha, beta, gamma are missing"),
        (SALT.replace("_cell_length_a 5.6402", "_cell_length_a 5.6402\n_cell_length_a 5.6402"), ""),
        (f"#\\#CIF_2.0\n{SALT}", ""),
        (f"{SALT}loop_\n_atom_site_aniso_label\n_atom_site_aniso_U_11\nNa1 0.1\n", ""),
        (f"data_x\n_chemical_formula_sum Na Cl\n{SALT[10:]}", ""),
    ],
)
def test_salt_in_many_spellings(text: str | bytes, remark: str) -> None:
    content, number, remarks = read(text)
    assert (content, number) == ("Na4 Cl4", 225)
    assert remark in remarks
    assert bool(remark) == bool(remarks)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "no line begins with data_"),
        (b"\x1f\x8b123", "compressed with gzip"),
        (bytes(range(256)), "null bytes"),
        ("data_x\n_pd_meas_counts_total 3\n", "a powder CIF with data only"),
        ("data_x\nloop_\n_refln_index_h\n1\n", "reflections only"),
        ("data_x\n_cell_length_a 3\n", "no data block has an _atom_site_ loop"),
        (f"#\\#CIF_2.0\n{SALT}_x [1 2]\n", "CIF 2.0, which is not read"),
        (f"{SALT}_publ\n;\nnot closed\n", "unterminated text field"),
        (SALT.replace("_cell_length_a 5.6402", "_cell_length_a 5.6402\n_cell_length_a 5.7"), "is given twice"),
        (SALT.replace("5.6402", "-5.6402"), "must be a positive"),
        (SALT.replace(" 90\n", " 1.5708\n"), "close no cell"),
        (SALT.replace("fract", "Cartn"), "Cartesian coordinates"),
        (SALT.replace("fract", "Cartn").replace("data_salt", "data_x\n_entry.id 1ABC"), "macromolecular mmCIF"),
        (SALT.replace("0.5 0.5 0.5", "x y z"), "is 'x': not a number"),
        (
            f"{SALT}".replace("_atom_site_fract_z\n", "")
            .replace(" 0 0 0\n", " 0 0\n")
            .replace(" 0.5 0.5 0.5\n", " 0.5 0.5\n")
            + "_atom_site_fract_z 0\n",
            "are not in one loop",
        ),
        (SALT.replace("F m -3 m", "F q -3 m"), "is unknown and no symmetry operations are given"),
        (SALT.replace("F m -3 m", "P 1").replace("_cell_angle_beta 90\n", ""), "symmetry does not fix it"),
        (SALT.replace("F m -3 m", "P 63/m m c"), "does not have the symmetry"),
        (f"{SALT}_space_group_IT_number 221\n", "symbol F m -3 m against number 221"),
        (f"{SALT}_space_group_IT_number 0.5\n", "must be 1 to 230"),
        (f"{SALT}_space_group_name_Hall '-P 4 2 3'\n", "against F m -3 m"),
        (SALT.replace("5.6402", "0.56402"), "0.28 Å apart"),
        (SALT.replace("0.5 0.5 0.5", "500 0 0"), "are not fractional"),
        (f"data_x\n{SALT_CELL}{FM3M}{OCCUPANCIES}Na1 Na 0 0 0 100\n", "occupancy of atom Na1 is 100"),
        (f"data_x\n{SALT_CELL}{FM3M}{TYPES}Na1 Na 0 0 0\nK1 K 0 0 0\n", "several atoms in one place"),
        (f"data_x\n{SALT_CELL}{FM3M}{TYPES}Na1 Na 0 0 0\nK1 K 0 0 0.03\n", "atoms Na1 and K1 are 0.17 Å apart"),
    ],
)
def test_what_is_refused_with_its_reason(text: str | bytes, reason: str) -> None:
    assert reason in refusal(text)


@pytest.mark.parametrize(
    ("label", "element"),
    [
        *[(name, "O") for name in ("O1", "OH", "OH2", "O-H1", "Wat1", "WAT", "H2O", "OW1", "Ow", "Oh1", "O1A", "OAB")],
        *[(name, "H") for name in ("HO1", "HW2", "H1A", "HC3", "D1", "Ha")],
        *[(name, "Ca") for name in ("Ca1", "CaM1", "CA1", "Ca(1)", "Ca_2", "ca1")],
        *[("CL1", "Cl"), ("SiT1", "Si"), ("Ho1", "Ho"), ("NH4", "N"), ("Zr*", "Zr"), ("V1", "V"), ("S2-", "S")],
    ],
)
def test_labels_without_type_symbols(label: str, element: str) -> None:
    content, _, _ = read(f"data_x\n{SALT_CELL}{FM3M}{LABELS}Xe1 0 0 0\n{label} .5 .5 .5\n")
    assert content == f"Xe4 {element}4"


@pytest.mark.parametrize(
    "label",
    ["T1", "M1", "X1", "A2", "W1", "Q1", "Cat1", "Oct1", "Cg1", "Du1", "Ln1", "ME1", "CO1", "HG1", "R", "1", "Tet"],
)
def test_labels_that_name_no_element_or_two(label: str) -> None:
    assert label in refusal(f"data_x\n{SALT_CELL}{FM3M}{LABELS}Xe1 0 0 0\n{label} .5 .5 .5\n")


@pytest.mark.parametrize(
    ("formula", "label", "element"),
    [("W Xe", "W1", "W"), ("H2 O Xe", "W1", "O"), ("Co Xe", "CO1", "Co"), ("C Xe", "CO1", "C"), ("Hg Xe", "HG1", "Hg")],
)
def test_the_formula_sum_decides_labels(formula: str, label: str, element: str) -> None:
    text = f"data_x\n_chemical_formula_sum '{formula}'\n{SALT_CELL}{FM3M}{LABELS}Xe1 0 0 0\n{label} .5 .5 .5\n"
    assert read(text)[0] == f"Xe4 {element}4"


@pytest.mark.parametrize(
    ("type_symbol", "element"),
    [
        *[("Fe3+", "Fe"), ("Fe+3", "Fe"), ("Fe2.5+", "Fe"), ("FE", "Fe"), ("O-2", "O"), ("o", "O"), ("Cval", "C")],
        *[("Siva", "Si"), ("2H", "H"), ("D", "H"), ("OH2", "O"), ("H2O", "O"), ("NH4+", "N"), ("Nd4+", "Nd")],
        *[("Ho3+", "Ho"), ("W", "W"), ("Wat", "O"), ("Cu(II)", "Cu"), ("Fe(3+)", "Fe"), ("Al0+", "Al"), ("Na1", "Na")],
    ],
)
def test_type_symbols(type_symbol: str, element: str) -> None:
    content, _, _ = read(f"data_x\n{SALT_CELL}{FM3M}{TYPES}Xe1 Xe 0 0 0\nQ1 '{type_symbol}' .5 .5 .5\n")
    assert content == f"Xe4 {element}4"


@pytest.mark.parametrize(
    "type_symbol", ["T", "M", "X", "Q", "Fe,Mg", "FeMg", "(Fe,Mg)", "HO", "CO3", "SiO4", "Rf", "Hal"]
)
def test_type_symbols_that_are_no_element(type_symbol: str) -> None:
    assert "type symbol" in refusal(f"data_x\n{SALT_CELL}{FM3M}{TYPES}Xe1 Xe 0 0 0\nQ1 '{type_symbol}' .5 .5 .5\n")


def test_vacancies_scatter_nothing_and_a_missing_atom_is_doubtful() -> None:
    content, _, remarks = read(f"data_x\n{SALT_CELL}{FM3M}{TYPES}Na1 Na 0 0 0\nV1 Vac .5 .5 .5\nCl1 Cl .25 .25 .25\n")
    assert content == "Na4 Cl8"
    assert remarks == "left out: V1 (vacant)"
    assert "doubtful: left out: Cl1" in read(SALT.replace("0.5 0.5 0.5", ". . ."))[2]
    assert "atom Cl1: its coordinates are unknown" in refusal(SALT.replace("0.5 0.5 0.5", "? ? ?"))
    assert "left out: H1" in read(f"{SALT}H1 H ? ? ?\n")[2]


def test_columns_of_further_loops_are_joined_by_label() -> None:
    content, _, _ = read(f"{SALT}loop_\n_atom_site_label\n_atom_site_occupancy\nCl1 0.25\nNa1 0.5\n")
    assert content == "Na2 Cl1"


@pytest.mark.parametrize(
    ("places", "remark"),
    [
        (("0.3333 0.6667 0", "0.3333 0.6667 0.375"), ""),
        (("0.333 0.667 0", "0.333 0.667 0.375"), ""),
        (("0.333 0.666 0", "0.333 0.666 0.375"), ""),
        (("0.33 0.67 0", "0.33 0.67 0.38"), "moved by"),
        (("1/3 2/3 0", "1/3 2/3 3/8"), ""),
    ],
)
def test_thirds_in_any_precision(places: tuple[str, str], remark: str) -> None:
    text = f"{WURTZITE}{TYPES}Zn1 Zn {places[0]}\nS1 S {places[1]}\n"
    content, number, remarks = read(text)
    assert (content, number) == ("Zn2 S2", 186)
    assert remark in remarks
    structure = read_structure(read_blocks(text.encode())[0])
    np.testing.assert_allclose(structure.sites[0].x[:2], [1 / 3, 2 / 3], atol=1e-12)


def test_split_sites_stay_apart_and_full_ones_beside_a_mirror_are_refused() -> None:
    head = f"data_x\n{cell(10, 10, 10)}{group('P m m m')}{OCCUPANCIES}"
    assert read(f"{head}Na1 Na 0.0150 0.1234 0.2345 0.5\n")[0] == "Na4"
    assert "0.30 Å apart" in refusal(f"{head}Na1 Na 0.0150 0.1234 0.2345 1\n")
    assert read(f"{head}Na1 Na 0.0004 0.1234 0.2345 1\n")[0] == "Na4"  # on the mirror but for the last decimal
    stated = head.replace("_atom_site_occupancy\n", "_atom_site_occupancy\n_atom_site_symmetry_multiplicity\n")
    content, _, remarks = read(f"{stated}Na1 Na 0.0008 0.1234 0.2345 1 4\n")
    assert content == "Na4"
    assert "moved by 0.008 Å" in remarks


def test_equivalents_that_are_listed_are_counted_once() -> None:
    rows = "".join(
        f"Na{i} Na {x} {y} {z}\nCl{i} Cl {(x + 0.5) % 1} {y} {z}\n"
        for i, (x, y, z) in enumerate([(0, 0, 0), (0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5)])
    )
    for operations in ("", "_symmetry_equiv_pos_as_xyz 'x,y,z'\n"):  # either way it is one structure
        content, number, remarks = read(f"data_x\n{SALT_CELL}{FM3M}{operations}{TYPES}{rows}")
        assert (content, number) == ("Na4 Cl4", 225)
        assert "counted once: Na1, Cl1, Na2, Cl2 and 2 more" in remarks
    mixed = f"data_x\n{SALT_CELL}{FM3M}{OCCUPANCIES}Fe1 Fe2+ 0 0 0 .5\nFe2 Fe3+ 0 0 0 .5\nO1 O .5 .5 .5 1\n"
    assert read(mixed) == ("Fe4 O4", 225, "")


@pytest.mark.parametrize(
    ("items", "number"),
    [
        ("_chemical_formula_sum 'Na Cl'\n_cell_formula_units_Z 4\n", 225),
        ("_chemical_formula_sum 'Na Cl'\n_cell_formula_units_Z 1\n", 1),
    ],
)
def test_formula_and_z_decide_a_contradiction(items: str, number: int) -> None:
    text = f"data_x\n{items}{SALT_CELL}{FM3M}_symmetry_equiv_pos_as_xyz 'x,y,z'\n{SALT_ATOMS}"
    _, found, remarks = read(text)
    assert found == number
    assert "doubtful: only x,y,z is listed" in remarks
    assert "the formula sum decides" in remarks


def test_the_formula_sum_is_compared() -> None:
    salt = SALT.replace("data_salt\n", "data_salt\n_chemical_formula_sum 'FORMULA'\n")
    assert read(salt.replace("FORMULA", "Cl Na"))[2] == ""
    assert read(salt.replace("FORMULA", "(Na0.99 K0.01) Cl"))[2].startswith("doubtful: not the formula sum")
    assert "O 0 for 3" in read(salt.replace("FORMULA", "Na Cl O3"))[2]
    assert read(salt.replace("FORMULA", "H2 Na Cl"))[2].startswith("H atoms of the formula sum are not located: 2")
    assert read(salt.replace("FORMULA", "Nax Cl"))[2] == ""  # it cannot be read, so it is not compared
    assert read_formula("Ca (Mg.85 Al.15) ((Si 1.70 Al.30) O6)") == pytest.approx(
        {20: 1, 12: 0.85, 13: 0.45, 14: 1.7, 8: 6}
    )
    assert read_formula("C6 H5 D") == {6: 6.0, 1: 6.0}
    assert compare({11: 4.0, 17: 4.0}, {11: 1.0, 17: 1.0}, 2.0).agrees is False


def test_a_doubtful_z_and_cell_volume_are_said() -> None:
    salt = SALT.replace("data_salt\n", "data_salt\n_chemical_formula_sum 'Na Cl'\n_cell_formula_units_Z 2\n")
    assert "4 formula units in the cell, where the file has Z = 2" in read(salt)[2]
    assert "doubtful: the file's cell volume is 250" in read(f"{SALT}_cell_volume 250\n")[2]
    assert "doubtful: the cell misses its symmetry by" in read(SALT.replace("_c 5.6402", "_c 5.70"))[2]
    assert read(SALT.replace("_c 5.6402", "_c 5.6411"))[2] == ""


@pytest.mark.parametrize(
    ("items", "name"),
    [
        (group("P 21/c"), "P 1 21/c 1"),
        (group("P 21/n") + "_space_group_IT_number 14\n", "P 1 21/n 1"),
        (group("P 2/m") + "_space_group_IT_coordinate_system_code b1\n", "P 1 2/m 1"),
        ("_space_group_IT_number 14\n", "P 1 21/c 1"),
    ],
)
def test_monoclinic_settings(items: str, name: str) -> None:
    text = f"data_x\n{cell(7, 8, 9, beta=99)}{items}{TYPES}Ca1 Ca 0.11 0.22 0.33\nO1 O 0.31 0.42 0.13\n"
    structure = read_structure(read_blocks(text.encode())[0])
    assert structure.group.name == name
    assert any(remark.doubtful for remark in structure.remarks) == items.startswith("_space_group_IT_number 14\n")


def test_the_unique_axis_is_that_of_the_cell() -> None:
    atoms = f"{TYPES}Ca1 Ca 0.11 0.22 0.33\n"
    for symbol_text, angles, name in (
        ("P 21", {"gamma": 99}, "P 1 1 21"),
        ("P 21", {"alpha": 99}, "P 21 1 1"),
        ("P 21", {}, "P 1 21 1"),
        ("B 2/b", {"gamma": 99}, "B 1 1 2/b"),
        ("P 21/b", {"gamma": 99}, "P 1 1 21/b"),
    ):
        text = f"data_x\n{cell(7, 8, 9, **angles)}{group(symbol_text)}{atoms}"
        assert read_structure(read_blocks(text.encode())[0]).group.name == name


def test_rhombohedral_axes_come_from_the_cell() -> None:
    bismuth = cell(4.7459, 4.7459, 4.7459, 57.24, 57.24, 57.24)
    atom = f"{TYPES}Bi1 Bi 0.23389 0.23389 0.23389\n"
    for items in (group("R -3 m"), group("R -3 m HR"), group("R -3 m :H"), "_space_group_IT_number 166\n"):
        assert read(f"data_x\n{bismuth}{items}{atom}")[:2] == ("Bi2", 166)
    hexagonal = cell(4.546, 4.546, 11.862, gamma=120)
    assert read(f"data_x\n{hexagonal}{group('R -3 m')}{TYPES}Bi1 Bi 0 0 0.23389\n")[:2] == ("Bi6", 166)


def test_displacement_parameters_are_read_in_all_their_forms() -> None:
    loop = f"loop_\n_atom_site_label\n{COORDINATES}"
    head = f"data_x\n{SALT_CELL}{FM3M}{loop}"
    u = 0.0127
    forms = {
        "U": f"{head}_atom_site_U_iso_or_equiv\nNa1 0 0 0 {u}(3)\nCl1 .5 .5 .5 .\n",
        "B": f"{head}_atom_site_B_iso_or_equiv\nNa1 0 0 0 {8 * np.pi**2 * u:.6f}\nCl1 .5 .5 .5 ?\n",
        "Uani": f"{head}Na1 0 0 0\nCl1 .5 .5 .5\nloop_\n_atom_site_aniso_label\n"
        + "".join(f"_atom_site_aniso_U_{ij}\n" for ij in ("11", "22", "33", "12", "13", "23"))
        + f"Na1 {u - 0.001} {u} {u + 0.001} 0.002 0 0\n",
    }
    for text in forms.values():
        crystal = read_crystal(read_blocks(text.encode())[0]).crystal
        assert crystal.b_iso is not None
        by_z = dict(zip(crystal.atomic_numbers.tolist(), crystal.b_iso.tolist(), strict=True))
        assert by_z[11] == pytest.approx(8 * np.pi**2 * u, rel=1e-5)
        assert np.isnan(by_z[17])
    assert read_crystal(read_blocks(SALT.encode())[0]).crystal.b_iso is None


def test_equivalent_displacements_on_oblique_axes() -> None:
    # an isotropic U in hexagonal axes: U12 = U / 2, and U_eq = U
    text = f"{WURTZITE}{LABELS}Zn1 0.3333 0.6667 0\nS1 0.3333 0.6667 0.375\nloop_\n_atom_site_aniso_label\n"
    text += "".join(f"_atom_site_aniso_U_{ij}\n" for ij in ("11", "22", "33", "12", "13", "23"))
    crystal = read_crystal(read_blocks(f"{text}Zn1 .02 .02 .02 .01 0 0\nS1 .03 .03 .03 .015 0 0\n".encode())[0]).crystal
    assert crystal.b_iso is not None
    np.testing.assert_allclose(np.sort(crystal.b_iso), 8 * np.pi**2 * np.array([0.02, 0.03]), rtol=1e-6)


def test_limits_are_kept_entry_by_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(document, "MAX_BYTES", 200_000)
    monkeypatch.setattr("xrdgen.structures.tasks.MAX_BYTES", 200_000)
    monkeypatch.setattr(document, "MAX_VALUES", 30_000)
    monkeypatch.setattr(document, "MAX_ROWS", 500)
    monkeypatch.setattr(document, "MAX_BLOCKS", 100)
    rows = "".join(f"C{i} C 0.{i} 0.2 0.3\n" for i in range(1000))
    many = "".join(f"C{i} C 0.{i:05d} {i * 7 % 97 / 97:.5f} {i * 13 % 89 / 89:.5f}\n" for i in range(600))
    with zipfile.ZipFile(tmp_path / "all.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a-bomb.cif", b" " * 50_000_000)
        archive.writestr("b-values.cif", f"{SALT}loop_\n_x\n" + "1 " * 60_000)
        archive.writestr("c-rows.cif", f"data_x\n{SALT_CELL}{group('P 1')}{TYPES}{rows}")
        archive.writestr("d-blocks.cif", "".join(f"data_{i}\n" for i in range(200)))
        archive.writestr("../../e-outside.cif", SALT)
        archive.writestr("f-good.cif", SALT)
        archive.writestr("g-most.cif", f"data_x\n{SALT_CELL}{group('P 1')}{TYPES}{many}")
    report = import_structures([tmp_path / "all.zip"], tmp_path / "t.parquet", workers=1)
    with rejected_path(tmp_path / "t.parquet").open(newline="") as stream:
        reasons = {line["file"].rsplit("/", 1)[1]: line["reason"] for line in csv.DictReader(stream)}
    assert "too large for a structure" in reasons["a-bomb.cif"]
    assert "60,0" in reasons["b-values.cif"]
    assert reasons["c-rows.cif"] == "1,000 atoms listed, more than 500"
    assert "200 data blocks, more than 100" in reasons["d-blocks.cif"]
    assert "600 atoms listed" in reasons["g-most.cif"]
    assert report.imported == 2
    assert len(list(tmp_path.iterdir())) == 3  # the zip, the table, the list: nothing was unpacked
    assert set(read_table(tmp_path / "t.parquet")["formula"]) == {"Cl4 Na4"}


def test_an_embedded_reflection_list_does_no_harm() -> None:
    text = f"{SALT}_shelx_hkl_file\n;\n" + "   1   2   3  100.00   1.00   1\n" * 100_000 + ";\n_x 1\n"
    assert len(text) > document._BIG
    assert read(text) == ("Na4 Cl4", 225, "")

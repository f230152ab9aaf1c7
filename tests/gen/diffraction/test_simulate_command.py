"""`xrdgen simulate`: CIF files in, curves, plots and lists of lines out."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
from xrdcommon.errors import FormatError, InputError, MissingFileError
from xrdcommon.grid import Grid
from xrdcommon.space_groups import N_GROUPS
from xrdgen.diffraction.cif_input import read_crystals
from xrdgen.diffraction.report import simulate_files
from xrdgen.structures.standardise import standardise

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
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
Na1 Na 0 0 0 1.0
Cl1 Cl 0.5 0.5 0.5 OCCUPANCY
"""


@pytest.fixture
def salt(tmp_path: Path) -> Path:
    path = tmp_path / "salt.cif"
    path.write_text(SALT.replace("OCCUPANCY", "0.75"))
    return path


def test_the_command_writes_curves_plot_and_lines(salt, tmp_path, run_command):
    second = tmp_path / "full.cif"
    second.write_text(SALT.replace("OCCUPANCY", "1.0"))
    result = run_command(
        "xrdgen", "simulate", salt, second, "--out", tmp_path / "out" / "c.xy", "--plot", tmp_path / "c.png", "--json"
    )
    assert result.returncode == 0, result.stderr
    records = json.loads(result.stdout)
    assert [record["name"] for record in records] == ["salt", "full"]
    assert [peak["hkl"] for peak in records[1]["peaks"][:3]] == [[1, 1, 1], [2, 0, 0], [2, 2, 0]]
    assert [peak["multiplicity"] for peak in records[1]["peaks"][:3]] == [8, 6, 12]
    for name in ("salt", "full"):
        path = tmp_path / "out" / f"c-{name}.xy"
        assert path.read_text().startswith(f"# {name}: Na4 Cl{'3' if name == 'salt' else '4'}, space group 225 Fm-3m")
        curve = np.loadtxt(path)
        assert curve.shape == (8501, 2)
        assert curve[curve[:, 1].argmax(), 0] == pytest.approx(31.70, abs=0.011)
        assert curve[:, 1].max() == 1.0
    assert (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")


def test_the_command_draws_lorentzians(salt, tmp_path, run_command):
    for fraction in ("0", "1"):
        result = run_command(
            "xrdgen", "simulate", salt, "--lorentzian-fraction", fraction, "--out", tmp_path / f"{fraction}.xy"
        )
        assert result.returncode == 0, result.stderr
    gaussian, lorentzian = (np.loadtxt(tmp_path / f"{fraction}.xy")[:, 1] for fraction in ("0", "1"))
    assert "Lorentzian fraction 1" in (tmp_path / "1.xy").read_text(encoding="utf-8")
    assert gaussian.min() == 0.0
    assert lorentzian.min() > 1e-5


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--lorentzian-fraction", "2", "Lorentzian fraction 2.0: must be 0"),
        ("--wavelength", "nan", "wavelength nan: must be a positive number"),
        ("--wavelength", "12", "wavelength 12 Å; take a wider range or a shorter wavelength"),
        ("--step", "0.013", "does not divide"),
    ],
)
def test_wrong_options_end_the_command_with_one_line(option, value, message, salt, run_command):
    result = run_command("xrdgen", "simulate", salt, option, value)
    assert result.returncode == 2
    assert message in result.stderr
    assert len([line for line in result.stderr.splitlines() if message in line]) == 1
    assert "Traceback" not in result.stderr
    assert result.stdout == ""


def test_lines_of_a_file_are_those_of_pymatgen(salt):
    from pymatgen.analysis.diffraction.xrd import XRDCalculator
    from pymatgen.core import Structure

    named = read_crystals(salt)
    report = simulate_files(named, Grid(), 1.5406, 50.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = XRDCalculator(1.5406).get_pattern(Structure.from_file(salt, primitive=True), two_theta_range=(5, 90))
    peaks = report.records[0]["peaks"]
    np.testing.assert_allclose([peak["two_theta"] for peak in peaks], expected.x, atol=1e-5)
    np.testing.assert_allclose([peak["intensity"] for peak in peaks], expected.y, atol=1e-4)
    assert len(report.table) == len(peaks) + 3


@pytest.mark.parametrize("block", range(10))
def test_any_cell_of_a_structure_gives_one_pattern(block, make_crystal, simulator):
    for space_group in range(1 + block, N_GROUPS + 1, 10):
        crystal = make_crystal(space_group, seed=31, disorder=True, smallest=4.0, largest=5.0)
        expected = simulator.pattern(crystal, 40.0)
        structure = crystal.to_pymatgen()
        shifted = structure.copy().translate_sites(range(len(structure)), [0.13, 0.27, 0.39])
        for other in (structure.get_primitive_structure(tolerance=1e-4), shifted, structure * (1, 1, 2)):
            again = simulator.pattern(standardise(other, 1e-4), 40.0)
            np.testing.assert_allclose(again, expected, atol=2e-5)


def test_several_blocks_of_a_file_are_several_structures(tmp_path):
    path = tmp_path / "two.cif"
    path.write_text(SALT.replace("OCCUPANCY", "1.0") + SALT.replace("data_salt", "data_b").replace("OCCUPANCY", "0.5"))
    named = read_crystals(path)
    assert [item.name for item in named] == ["two-1", "two-2"]
    assert named[1].crystal.occupancies.min() == 0.5
    assert named[0].remarks == named[1].remarks == ()


def test_a_bad_block_does_not_take_the_others_with_it(tmp_path):
    path = tmp_path / "two.cif"
    path.write_text(SALT.replace("OCCUPANCY", "1.0") + "data_b\nloop_\n_atom_site_fract_x\n_atom_site_fract_y\n0 1 2\n")
    (named,) = read_crystals(path)
    assert named.name == "two"
    assert named.remarks == ("left out: data_b: line 19: wrong number of values in a loop",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hello", "not a CIF"),
        ("data_x\n_cell_length_a 5\n", "no atoms"),
        (SALT.replace("_cell_length_a 5.64\n", ""), "bad.cif: data_salt"),
        (SALT.replace("5.64", "five"), "bad.cif: data_salt"),
        (SALT.replace(" Na ", " Qq ").replace("Na1", "Qq1"), "bad.cif: data_salt"),
    ],
    ids=["text", "no atoms", "no cell", "words for numbers", "no element"],
)
def test_a_bad_file_is_named(text, message, tmp_path):
    path = tmp_path / "bad.cif"
    path.write_text(text)
    with pytest.raises(FormatError, match=message):
        read_crystals(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(MissingFileError, match=r"nowhere\.cif: no such file"):
        read_crystals(tmp_path / "nowhere.cif")


def test_a_structure_that_cannot_be_simulated_is_named_and_nothing_is_written(tmp_path, salt):
    over = tmp_path / "over.cif"
    over.write_text(SALT.replace("OCCUPANCY", "1.5"))
    crystals = [*read_crystals(salt), *read_crystals(over)]
    with pytest.raises(InputError, match=r"over\.cif: atom row .: occupancy 1\.5"):
        simulate_files(crystals, Grid(), 1.5406, 50.0, out=tmp_path / "x.xy")
    assert not list(tmp_path.glob("x*"))


def test_a_plot_of_another_kind_and_an_unwritable_place_are_refused(salt, tmp_path):
    crystals = read_crystals(salt)
    with pytest.raises(InputError, match=r"x\.gif: plots are written as"):
        simulate_files(crystals, Grid(), 1.5406, 50.0, plot_path=tmp_path / "x.gif")
    with pytest.raises(InputError, match="cannot be written"):
        simulate_files(crystals, Grid(), 1.5406, 50.0, out=salt / "x.xy")

"""`xrdgen sample`: the table, the CIF files that others can read, wrong input."""

from __future__ import annotations

import json
from itertools import count, islice
from pathlib import Path

import ase.io
import numpy as np
import pytest
import typer
from pymatgen.io.cif import CifParser
from typer.testing import CliRunner
from xrdcommon.errors import InputError
from xrdcommon.identity import SampleIdentity
from xrdgen.cli.crystals import sample
from xrdgen.crystal import Crystal
from xrdgen.crystals.cif import cif_text, operation_text, write_cifs
from xrdgen.crystals.generator import CrystalGenerator, GeneratorSettings
from xrdgen.crystals.verify import find_space_group
from xrdgen.statistics.model import Statistics

SPREAD = (1, 2, 5, 14, 15, 19, 62, 70, 88, 96, 141, 146, 148, 154, 166, 176, 194, 203, 213, 216, 225, 227, 230)
"""Groups of every crystal system, with two origins, two cells or screw axes."""

app = typer.Typer(pretty_exceptions_enable=False)
app.command()(sample)


@pytest.fixture(scope="module")
def statistics_file(statistics: Statistics, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The made-up statistics as a file."""
    path = tmp_path_factory.mktemp("statistics") / "made-up.npz"
    statistics.save(path)
    return path


def atoms_are_apart(crystal: Crystal) -> bool:
    """Return whether no reader will merge atoms that chance has put together (ase: within 0.001 of the cell)."""
    distances = crystal.to_pymatgen().distance_matrix
    return bool((distances + 9.0 * np.eye(len(distances))).min() > 0.1)


@pytest.mark.filterwarnings("ignore:No Pauling electronegativity:UserWarning")
@pytest.mark.filterwarnings("ignore:Issues encountered while parsing CIF:UserWarning")
@pytest.mark.parametrize("group", SPREAD)
def test_others_read_the_crystal_that_was_written(group: int, statistics: Statistics, tmp_path: Path) -> None:
    generator = CrystalGenerator(statistics, GeneratorSettings(space_groups=(group,)))
    drawn = (generator.draw(SampleIdentity(1, 0, 0, index)) for index in count())
    crystals = list(islice((crystal for crystal in drawn if atoms_are_apart(crystal)), 3))
    paths = write_cifs(tmp_path / "x.cif", crystals, ["1", "2", "3"])
    assert [path.name for path in paths] == ["x-1.cif", "x-2.cif", "x-3.cif"]
    for path, crystal in zip(paths, crystals, strict=True):
        structure = CifParser(path).parse_structures(primitive=False)[0]
        atoms = ase.io.read(path)
        for lattice, positions, numbers in (
            (structure.lattice.matrix, structure.frac_coords, structure.atomic_numbers),
            (np.array(atoms.cell), atoms.get_scaled_positions(), atoms.numbers),
        ):
            amounts = np.bincount(np.array(numbers, dtype=int) - 1, minlength=103)
            assert np.array_equal(amounts, crystal.composition)
            assert np.linalg.det(lattice) == pytest.approx(crystal.volume, rel=1e-6)
            assert find_space_group(lattice, positions, np.array(numbers), 1e-4) == group


def test_text_of_operations() -> None:
    rotation = np.array([[0, -1, 0], [1, -1, 0], [0, 0, -1]])
    assert operation_text(rotation, np.array([0, 12, 8])) == "-y,x-y+1/2,-z+1/3"


def test_one_crystal_keeps_the_name_and_others_are_refused(statistics: Statistics, tmp_path: Path) -> None:
    crystal = CrystalGenerator(statistics, GeneratorSettings(space_groups=(62,))).draw(SampleIdentity(1, 0, 0, 0))
    assert write_cifs(tmp_path / "a.cif", [crystal], ["n"]) == [tmp_path / "a.cif"]
    assert cif_text(crystal, "a b/ç").splitlines()[0] == "data_a_b__"
    with pytest.raises(InputError, match=r"must end in \.cif"):
        write_cifs(tmp_path / "a.xyz", [crystal], ["n"])


def test_table_and_files(statistics_file: Path, tmp_path: Path) -> None:
    arguments = ["-n", "4", "--space-group", "62,225", "--statistics", str(statistics_file), "--seed", "3"]
    result = CliRunner().invoke(app, [*arguments, "--out", str(tmp_path / "c.cif")], catch_exceptions=False)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert len(lines) == 5
    assert all("62 Pnma" in line or "225 Fm-3m" in line for line in lines[1:])
    assert len(list(tmp_path.glob("c-*.cif"))) == 4
    again = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert again.stdout == result.stdout


def test_json(statistics_file: Path) -> None:
    arguments = ["-n", "2", "--space-group", "uniform", "--statistics", str(statistics_file), "--json"]
    records = json.loads(CliRunner().invoke(app, arguments, catch_exceptions=False).stdout)
    assert len(records) == 2
    for record in records:
        assert {"space_group", "symbol", "cell", "volume", "sites", "identity"} <= set(record)
        assert record["n_sites"] == len(record["sites"])


def test_presets_draw_other_crystals_of_the_same_groups(statistics_file: Path) -> None:
    drawn = {}
    for preset in ("paper", "improved"):
        arguments = ["-n", "5", "--crystals", preset, "--statistics", str(statistics_file), "--json"]
        drawn[preset] = json.loads(CliRunner().invoke(app, arguments, catch_exceptions=False).stdout)
    groups = [[record["space_group"] for record in records] for records in drawn.values()]
    assert groups[0] == groups[1]  # the group is drawn first, from the same number
    assert all(one["cell"] != other["cell"] for one, other in zip(*drawn.values(), strict=True))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-n", "0"], "-n 0"),
        (["--seed", "-1"], "--seed -1"),
        (["--crystals", "better"], "preset 'better': must be one of paper, improved"),
        (["--out", "c.xyz"], r"must end in \.cif"),
        (["--space-group", "231"], "space group 231"),
        (["--space-group", "cubic"], "'cubic' is not a number"),
        (["--min-structures", "9999"], "no space group has 9999"),
        (["--space-group", "3", "--min-structures", "70"], r"space group 3 \(P2\): 62 structures"),
    ],
)
def test_wrong_input_is_one_clear_error(arguments: list[str], message: str, statistics_file: Path) -> None:
    with pytest.raises(InputError, match=message):
        CliRunner().invoke(app, ["--statistics", str(statistics_file), *arguments], catch_exceptions=False)

"""Statistics: counts by hand, the file, merging, provenance, showing."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from scipy import stats
from xrdcommon.errors import FormatError, InputError, MissingFileError
from xrdcommon.files import sha256_file
from xrdgen.cli.statistics import show
from xrdgen.crystals.comparison import compare, compare_plot, compare_view, ks_distance, real_sample
from xrdgen.elements import atomic_number, element_table
from xrdgen.statistics.build import Filters, build_statistics, count_structures, majority
from xrdgen.statistics.model import ARRAYS, FORMAT_VERSION, Statistics, group_support
from xrdgen.statistics.show import group_summary, plot, summary
from xrdgen.structures.given import import_given
from xrdgen.structures.table import read_table, table_of, write_table

JOINT = ("element_repetitions", "site_letters", "n_sites", "n_atoms")
COUNTS = ("n_structures", "n_elements", "elements", "repetitions", "wyckoff", "volume_start", "lattice_start", *JOINT)


def structure(number: int, group: int, hall: int, cell: tuple[float, ...], *sites: Any, **more: Any) -> dict[str, Any]:
    listed = [{"species": species, "wyckoff": position, "x": x} for species, position, x in sites]
    lengths = dict(zip(("a", "b", "c", "alpha", "beta", "gamma"), cell, strict=True))
    return import_given(
        {"id": f"secret-{number}", "sg": group, "hall_number": hall, "sites": json.dumps(listed), **lengths, **more},
        "Hand",
    )


CUBIC = (5.0, 5.0, 5.0, 90.0, 90.0, 90.0)
TETRAGONAL = (4.0, 4.0, 6.0, 90.0, 90.0, 90.0)


@pytest.fixture
def rows() -> list[dict[str, Any]]:
    halite = [({"Na": 1.0}, "4a", [0, 0, 0]), ({"Cl": 1.0}, "4b", [0.5, 0, 0])]
    mixed = [({"Na": 0.4, "K": 0.6}, "4a", [0, 0, 0]), ({"Cl": 1.0}, "4b", [0.5, 0, 0])]
    vacant = [({"Na": 0.8}, "4a", [0, 0, 0]), ({"Na": 1.0}, "4b", [0.5, 0, 0])]
    rutile = [({"Ti": 1.0}, "2a", [0, 0, 0]), ({"O": 1.0}, "4f", [0.3, 0.3, 0])]
    return [
        structure(1, 225, 523, CUBIC, *halite),
        structure(2, 225, 523, CUBIC, *mixed, name="Sylvite"),
        structure(3, 225, 523, CUBIC, *vacant),
        structure(4, 136, 419, TETRAGONAL, *rutile),
        structure(5, 225, 523, (20.0, 20.0, 20.0, 90.0, 90.0, 90.0), *halite),  # 8000 Å^3
        structure(6, 225, 523, CUBIC, ({"Es": 1.0}, "4a", [0, 0, 0])),  # no radii
    ]


def test_counts_by_hand(rows: list[dict[str, Any]]) -> None:
    statistics = count_structures(table_of(rows), Filters())
    assert statistics.n_structures[224] == 3
    assert statistics.n_structures[135] == 1
    assert statistics.n_structures.sum() == 4
    assert statistics.n_elements[224].tolist() == [0, 1, 2]
    z = {name: atomic_number(name) - 1 for name in ("Na", "K", "Cl", "Ti", "O")}
    # once a structure; the mixed site is its majority species
    assert {name: int(statistics.elements[224, index]) for name, index in z.items()} == {
        "Na": 2, "K": 1, "Cl": 2, "Ti": 0, "O": 0,
    }  # fmt: skip
    assert statistics.repetitions[224].tolist() == [0, 4, 1]  # the vacant structure has Na on two sites
    assert statistics.wyckoff[224, :3].tolist() == [3, 3, 0]
    assert statistics.wyckoff[135, [0, 5]].tolist() == [1, 1]
    assert statistics.element_repetitions.tolist() == [  # group, Z, sites of the element, structures
        [136, 8, 1, 1], [136, 22, 1, 1], [225, 11, 1, 1], [225, 11, 2, 1], [225, 17, 1, 2], [225, 19, 1, 1],
    ]  # fmt: skip
    assert statistics.site_letters.tolist() == [[136, 2, 0, 1], [136, 2, 5, 1], [225, 2, 0, 3], [225, 2, 1, 3]]
    assert statistics.n_sites.tolist() == [[136, 2, 1], [225, 2, 3]]
    assert statistics.n_atoms.tolist() == [[136, 6, 1], [225, 8, 3]]
    volumes = element_table().atomic_volume
    pairs = slice(*statistics.volume_start[224:226])
    expected = sorted(4 * (volumes[z[first] + 1] + volumes[z["Cl"] + 1]) for first in ("Na", "K"))
    assert sorted(statistics.v_atomic[pairs]) == pytest.approx(expected, abs=1e-4)  # vacancies give no pair
    assert sorted(statistics.v_atomic[pairs] * statistics.density_factor[pairs]) == pytest.approx([125, 125], rel=1e-5)
    assert np.flatnonzero(np.diff(statistics.lattice_start)).tolist() == [135]  # nothing is free in a cubic lattice
    assert [len(statistics.lattices_of(system)) for system in ("tetragonal", "orthorhombic", "cubic")] == [1, 0, 0]
    cell = statistics.lattice[0]
    assert cell[:3].prod() == pytest.approx(1.0, abs=1e-5)
    assert cell[2] / cell[0] == pytest.approx(1.5, abs=1e-5)
    assert statistics.header["counts"]["Hand"] == {
        "counted": 4, "left out: element without radii": 1, "left out: volume": 1, "structures": 6,
        "with density factor": 3,
    }  # fmt: skip


def test_majority_of_equals_is_the_lightest() -> None:
    assert majority({"Fe": 0.5, "Mg": 0.5}) == 12
    assert majority({"Fe": 0.6, "Mg": 0.4}) == 26


def test_file_round_trip_without_ids(rows: list[dict[str, Any]], tmp_path: Path) -> None:
    write_table(tmp_path / "t.parquet", table_of(rows))
    statistics = build_statistics([tmp_path / "t.parquet"], name="hand", citation="the test")
    statistics.save(tmp_path / "s.npz")
    back = Statistics.load(tmp_path / "s.npz")
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(back, name), getattr(statistics, name))
    assert back.header["citations"] == ["the test"]
    assert back.header["inputs"] == [{"file": "t.parquet", "sha256": sha256_file(tmp_path / "t.parquet")}]
    text = json.dumps(back.header)
    for secret in ("secret", "Sylvite", "225:ab", "sylvite"):
        assert secret not in text
    again = build_statistics([tmp_path / "t.parquet"], name="hand", citation="the test")
    again.save(tmp_path / "again.npz")
    assert (tmp_path / "again.npz").read_bytes() == (tmp_path / "s.npz").read_bytes()


def test_support_does_not_follow_the_order_of_the_entries() -> None:
    table = read_table("embedded:amcsd").head(1500)
    one = count_structures(table, Filters())
    other = count_structures(table.sample(frac=1.0, random_state=1), Filters())
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    # within a group the order is not that of the values and not that of the entries
    group = int(one.n_structures.argmax())
    pairs = slice(*one.volume_start[group : group + 2])
    assert (np.diff(one.v_atomic[pairs]) < 0).any()
    start, values = group_support(np.array([1, 0, 1]), np.array([3.0, 1.0, 2.0]), 2, np.random.default_rng(0))
    assert start.tolist() == [0, 1, 3]
    assert sorted(values[1:]) == [2.0, 3.0]


def test_merging_gives_the_counts_of_the_whole(tmp_path: Path) -> None:
    table = read_table("embedded:amcsd")
    write_table(tmp_path / "a.parquet", table.iloc[::2])
    write_table(tmp_path / "b.parquet", table.iloc[1::2])
    build_statistics([tmp_path / "b.parquet"]).save(tmp_path / "b.npz")
    merged = build_statistics([tmp_path / "a.parquet"], merge=[tmp_path / "b.npz"])
    whole = count_structures(table, Filters())
    assert_same_statistics(merged, whole)
    assert len(merged.header["inputs"]) == 2
    assert merged.header["counts"]["AMCSD"]["structures"] == 4722


def assert_same_statistics(one: Statistics, other: Statistics) -> None:
    """Equal counts and, group by group, the same support points in any order."""
    for name in COUNTS:
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
    for name in ("v_atomic", "density_factor"):
        for first, last in zip(one.volume_start[:-1], one.volume_start[1:], strict=True):
            np.testing.assert_array_equal(
                np.sort(getattr(one, name)[first:last]), np.sort(getattr(other, name)[first:last])
            )
    np.testing.assert_array_equal(np.sort(one.lattice, axis=0), np.sort(other.lattice, axis=0))
    assert one.family_hashes == other.family_hashes


def test_embedded_statistics_are_amcsd_training_part_and_materials_project(tmp_path: Path) -> None:
    from xrdgen.splitting import unseen

    table = read_table("embedded:amcsd")
    whole = Statistics.load("embedded:statistics")
    write_table(tmp_path / "train.parquet", table[~unseen(table, whole)])
    merged = build_statistics([tmp_path / "train.parquet"], merge=["embedded:statistics-materials-project"])
    assert_same_statistics(merged, whole)
    assert len(whole.classes()) == 89
    record = json.loads((Path(__file__).parents[3] / "gen/xrdgen/data/embedded.json").read_text())
    assert record["classes"] == 89
    assert record["statistics_structures"] == whole.n_structures.sum()
    for name, digest in record["outputs"].items():
        assert sha256_file(Path(__file__).parents[3] / "gen/xrdgen/data" / name) == digest
    assert len(whole.header["citations"]) == 2


def test_whole_statistics_hold_nothing_back() -> None:
    from xrdgen.splitting import unseen

    whole, training = (Statistics.load(f"embedded:{name}") for name in ("statistics-whole", "statistics"))
    record = json.loads((Path(__file__).parents[3] / "gen/xrdgen/data/embedded.json").read_text())
    assert whole.n_structures.sum() == record["whole_structures"] == 42712
    assert (whole.n_structures >= training.n_structures).all()
    assert set(training.classes(20)) < set(whole.classes(20))
    assert (len(training.classes(20)), len(whole.classes(20))) == (133, 142)
    assert training.family_hashes < whole.family_hashes
    assert not unseen(read_table("embedded:amcsd"), whole).any()  # the embedded test set has been counted, too


@pytest.mark.parametrize("version", [1, 99])
def test_other_format_version_names_both_and_the_remedy(version: int, tmp_path: Path) -> None:
    statistics = Statistics.load("embedded:statistics")
    header = json.dumps({**statistics.header, "format": version}).encode()
    kept = [name for name in ARRAYS if version != 1 or name not in JOINT]  # format 1 had no joint counts
    arrays = {name: getattr(statistics, name) for name in kept}
    np.savez(tmp_path / "s.npz", **arrays, header=np.frombuffer(header, dtype=np.uint8))
    wanted = rf"format {version}, this version reads format {FORMAT_VERSION}; build them again with `xrdgen statistics"
    with pytest.raises(FormatError, match=wanted):
        Statistics.load(tmp_path / "s.npz")


@pytest.mark.parametrize("name", JOINT)
def test_joint_counts_that_do_not_add_up_are_refused(name: str, tmp_path: Path) -> None:
    statistics = Statistics.load("embedded:statistics")
    for change in ("one more", "no such group", "one column less"):
        table = getattr(statistics, name).copy()
        if change == "one more":
            table[5, -1] += 1
        elif change == "no such group":
            table[-1, 0] = 231
        else:
            table = table[:, 1:]
        replace(statistics, **{name: table}).save(tmp_path / "s.npz")
        with pytest.raises(FormatError, match=rf"{name} .*build them again"):
            Statistics.load(tmp_path / "s.npz")


@pytest.mark.parametrize("value", [0.0, -1.0, np.nan, np.inf])
@pytest.mark.parametrize("name", ["v_atomic", "density_factor", "lattice"])
def test_support_points_without_a_logarithm_are_refused(name: str, value: float) -> None:
    statistics = Statistics.load("embedded:statistics")
    values = getattr(statistics, name).copy()
    values.flat[2] = value
    with pytest.raises(FormatError, match=f"array {name} holds values that are not positive"):
        replace(statistics, **{name: values}).check()


def test_damaged_or_missing_file(tmp_path: Path) -> None:
    (tmp_path / "text.npz").write_text("no statistics")
    np.savez(tmp_path / "other.npz", x=np.zeros(3))
    whole = Path(__file__).parents[3] / "gen/xrdgen/data/statistics.npz"
    (tmp_path / "cut.npz").write_bytes(whole.read_bytes()[:5000])
    flipped = bytearray(whole.read_bytes())
    flipped[len(flipped) // 2] ^= 0x40
    (tmp_path / "flipped.npz").write_bytes(flipped)
    (tmp_path / "empty.npz").touch()
    for name in ("text", "other", "cut", "flipped", "empty"):
        with pytest.raises(FormatError, match="not a statistics file"):
            Statistics.load(tmp_path / f"{name}.npz")
    with pytest.raises(MissingFileError, match="no such file"):
        Statistics.load(tmp_path / "none.npz")
    with pytest.raises(InputError, match="no such embedded file"):
        Statistics.load("embedded:nothing")


def test_nothing_that_counts(rows: list[dict[str, Any]], tmp_path: Path) -> None:
    write_table(tmp_path / "t.parquet", table_of(rows[4:]))
    with pytest.raises(InputError, match="none of 2 structures counts"):
        build_statistics([tmp_path / "t.parquet"])
    with pytest.raises(InputError, match="nothing to count"):
        build_statistics([])


def test_licensed_source_is_marked(rows: list[dict[str, Any]], tmp_path: Path) -> None:
    write_table(tmp_path / "t.parquet", table_of([{**rows[0], "source": "ICSD", "collection_code": "5"}]))
    licensed = build_statistics([tmp_path / "t.parquet"])
    assert licensed.header["licensed"]
    assert licensed.merge(Statistics.load("embedded:statistics")).header["licensed"]
    assert not Statistics.load("embedded:statistics").header["licensed"]


def test_show(tmp_path: Path) -> None:
    statistics = Statistics.load("embedded:statistics")
    figures = summary(statistics)
    assert figures["structures"] == 33214
    assert len(figures["classes"]) == 89
    rock_salt = group_summary(statistics, 225)
    assert rock_salt["symbol"] == "Fm-3m"
    for histogram in ("elements_per_structure", "sites_per_structure", "atoms_per_cell"):
        assert sum(rock_salt[histogram].values()) == rock_salt["structures"]
    assert rock_salt["atoms_per_cell"]["8"] > 200  # rock salt itself
    plot(statistics, tmp_path / "s.png")
    assert (tmp_path / "s.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(InputError, match="cannot be plotted"):
        plot(statistics, tmp_path / "s.xyz")
    with pytest.raises(InputError, match="no structure in the statistics"):
        group_summary(statistics, int(np.flatnonzero(statistics.n_structures == 0)[0]) + 1)


def test_commands(run_command, rows: list[dict[str, Any]], tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    write_table(tmp_path / "t.parquet", table_of([{**rows[0], "source": "ICSD"}]))
    built = run_command("xrdgen", "statistics", "build", tmp_path / "t.parquet", "--out", tmp_path / "s.npz", "--json")
    assert built.returncode == 0, built.stderr
    assert json.loads(built.stdout)["structures"] == 1
    assert "licensed" in built.stderr
    shown = run_command("xrdgen", "statistics", "show", tmp_path / "s.npz")
    assert "225" in shown.stdout
    compared = run_command("xrdgen", "statistics", "show", "--compare", "-n", "100", "--json")
    assert compared.returncode == 0, compared.stderr
    figures = json.loads(compared.stdout)
    assert figures["crystals"] == 100
    assert set(figures["medians"]) == {"real", "paper", "improved"}
    assert 0.0 < figures["ks_distances"]["paper"]["volume"] < 0.5
    (tmp_path / "bad.npz").write_text("x")
    failed = run_command("xrdgen", "statistics", "show", tmp_path / "bad.npz")
    assert failed.returncode == 2
    assert failed.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"compare": True, "number": 99}, "-n 99: a comparison needs at least 100 crystals"),
        ({"number": 500}, "-n belongs to --compare"),
        ({"compare": True, "space_group": 14}, "--compare with --space-group"),
        ({"compare": True, "plot": Path("x.xyz")}, "x.xyz: cannot be plotted to"),
        ({"compare": True, "min_structures": 99_999}, "no space group has 99999 structures"),
    ],
)
def test_wrong_comparisons_are_one_clear_error(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        show(**{"file": "embedded:statistics", "space_group": None, "plot": None, "number": None, **options})


def test_distances_are_those_of_scipy_and_weights_count_as_often() -> None:
    rng = np.random.default_rng(2)
    one, other = rng.integers(0, 30, 300).astype(float), rng.integers(4, 40, 200).astype(float)
    assert ks_distance(one, other) == pytest.approx(stats.ks_2samp(one, other).statistic, abs=1e-12)
    weights = rng.integers(1, 5, 200)
    repeated = np.repeat(other, weights)
    assert ks_distance(one, other, None, weights.astype(float)) == pytest.approx(
        stats.ks_2samp(one, repeated).statistic, abs=1e-12
    )


def test_real_structures_keep_the_shares_of_their_groups(rows: list[dict[str, Any]]) -> None:
    """Of three structures of group 225 one has a vacancy and no density factor: the others count 3 / 2 each."""
    real = real_sample(count_structures(table_of(rows), Filters()), np.array([136, 225]))
    assert real.groups["volume"].tolist() == [136, 225, 225]
    assert real.weights["volume"].tolist() == [1.0, 1.5, 1.5]
    assert real.values["volume"] == pytest.approx([96.0, 125.0, 125.0], rel=1e-5)
    assert real.values["n_atoms"].tolist() == [6.0, 8.0]
    assert real.weights["n_atoms"].tolist() == [1.0, 3.0]
    assert real.values["c_over_a"] == pytest.approx([1.5], abs=1e-5)  # cubic lattices have none
    assert real.median("volume") == pytest.approx(125.0, rel=1e-5)


def test_comparison_is_tabled_and_plotted(tmp_path: Path) -> None:
    comparison = compare(Statistics.load("embedded:statistics"), 150)
    assert comparison.to_dict() == compare(Statistics.load("embedded:statistics"), 150).to_dict()
    table, _ = compare_view(comparison)
    terminal = Console(width=80, record=True, file=io.StringIO())
    terminal.print(table)
    text = terminal.export_text()
    for wanted in ("volume / Å³", "sites", "paper", "improved", "attempts refused"):
        assert wanted in text
    assert max(map(len, text.splitlines())) < 80
    compare_plot(comparison, tmp_path / "folder" / "c.svg")
    drawing = (tmp_path / "folder" / "c.svg").read_text()
    assert drawing.count("<path") > 30

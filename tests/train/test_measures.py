"""Accuracies, calibration, ranked candidates and pattern files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from xrdcommon.errors import FormatError, InputError, MissingFileError
from xrdcommon.grid import Grid
from xrdtrain.durations import parse_duration
from xrdtrain.evaluation.fixed_test_sets import embedded_path, parse_tests
from xrdtrain.evaluation.measures import evaluate
from xrdtrain.evaluation.test_set_pass import spread
from xrdtrain.inference.candidates import merge_enantiomorphs
from xrdtrain.labels import OUTSIDE, Classes
from xrdtrain.measured.emission import parse_radiation
from xrdtrain.measured.pattern import ReadOptions, Scan
from xrdtrain.measured.prepare import prepare
from xrdtrain.measured.reading import finish, read_measured

CLASSES = np.array([2, 14, 152, 154, 225, 227])


def test_measures_by_hand() -> None:
    labels = np.array([2, 2, 152, 154, 152, 225, 1])  # 1 is no class
    first = np.array([2, 14, 154, 152, 152, 227, 2])
    top = np.stack([first, np.where(first == labels, 14, labels)], axis=1)
    top[-1, 1] = 14
    sure = np.full((7, 2), 0.5)
    result = evaluate(labels, CLASSES, top, sure)
    assert (result["n"], result["n_outside_classes"], result["n_classes"]) == (7, 1, 6)
    assert result["top1"] == pytest.approx(2 / 6)
    assert result["top1_all"] == pytest.approx(2 / 7)
    assert result["top5"] == 1.0
    assert result["top5_all"] == pytest.approx(6 / 7)
    assert result["top1_enantiomorphs_merged"] == pytest.approx(4 / 6)
    assert result["top1_ceiling"] == pytest.approx(5 / 6)  # of two 152 and one 154 only two can be right
    assert result["top_k"] == pytest.approx([2 / 6, 1.0])
    assert result["crystal_system"] == pytest.approx(5 / 6)
    assert result["extinction_group"] == pytest.approx(4 / 6)
    assert result["chance"] == pytest.approx(1 / 6)
    assert result["most_frequent_group"] == {
        "space_group": 2,
        "top1": pytest.approx(2 / 6),
        "top1_all": pytest.approx(2 / 7),
    }
    assert result["calibration"]["ece"] == pytest.approx(0.5 - 2 / 6)
    assert sum(bin_["n"] for bin_ in result["calibration"]["bins"]) == 6
    assert result["per_group"]["152"]["top1"] == pytest.approx(0.5)
    assert result["per_group"]["152"]["n"] == 2
    assert result["per_group"]["1"]["is_class"] is False
    assert result["per_group"]["227"]["precision"] == 0.0
    assert result["per_crystal_system"]["trigonal"] == {
        "n": 3,
        "top1": pytest.approx(1 / 3),
        "top5": 1.0,
        "system": 1.0,
    }
    assert result["most_confused"][0]["n"] == 1


def test_nothing_inside_the_classes() -> None:
    result = evaluate(np.array([1, 1]), CLASSES, np.array([[2, 14], [2, 14]]), np.full((2, 2), 0.4))
    assert result["n_outside_classes"] == 2
    assert np.isnan(result["top1"])
    assert result["top1_all"] == 0.0


def test_classes() -> None:
    classes = Classes([225, 2, 14, 2])
    assert classes.tolist() == [2, 14, 225]
    assert classes.index(np.array([14, 1, 225])).tolist() == [1, OUTSIDE, 2]
    for wrong in ([0], [231], [-1]):
        with pytest.raises(InputError, match="must be 1 to 230"):
            classes.index(np.array(wrong))
    with pytest.raises(InputError, match="at least two"):
        Classes([5])


def test_enantiomorphs_are_one_candidate() -> None:
    candidates = merge_enantiomorphs(np.array([225, 154, 152, 2]), np.array([0.4, 0.3, 0.2, 0.1]))
    assert [candidate.label for candidate in candidates] == ["152/154", "225", "2"]
    assert candidates[0].probability == pytest.approx(0.5)
    assert candidates[0].space_group == 154
    assert candidates[0].symbol == "P3_121/P3_221"
    assert candidates[0].to_dict()["space_groups"] == [152, 154]
    assert sum(candidate.probability for candidate in candidates) == pytest.approx(1.0)


def test_pattern_files(tmp_path: Path) -> None:
    grid = Grid(5.0, 90.0, 0.1)
    angles = np.linspace(3.0, 95.0, 4000)
    intensity = 700 * np.exp(-0.5 * ((angles - 40) / 0.4) ** 2) - 1.0
    columns = np.stack([angles, intensity], axis=1)
    np.savetxt(tmp_path / "a.xy", columns, header="2theta I")
    np.savetxt(tmp_path / "b.csv", columns, delimiter=",", header="angle,counts", comments="")
    np.save(tmp_path / "c.npy", columns)
    copper = ReadOptions(radiation=parse_radiation("1.5406"))
    for name in ("a.xy", "b.csv", "c.npy"):
        read = read_measured(tmp_path / name, copper)
        np.testing.assert_allclose(np.stack([read.two_theta, read.intensity], axis=1), columns, rtol=1e-10)
        prepared = prepare(read, grid, 1.5406)
        assert prepared.values.shape == (851,)
        assert (prepared.values.min(), prepared.values.max()) == (0.0, 1.0)
        assert grid.two_theta[prepared.values.argmax()] == pytest.approx(40.0, abs=0.06)
        assert "brought onto 5 to 90" in " ".join(prepared.remarks)
    np.savetxt(tmp_path / "short.xy", columns[(angles > 10) & (angles < 80)])
    assert "counts as zero" in " ".join(prepare(read_measured(tmp_path / "short.xy", copper), grid, 1.5406).remarks)
    np.save(tmp_path / "one.npy", intensity)
    one = read_measured(tmp_path / "one.npy")
    assert one.on_grid
    assert one.intensity.shape == (4000,)


def test_wrong_patterns(tmp_path: Path) -> None:
    (tmp_path / "words.xy").write_text("1 2\n2 3\nsome words\n")
    (tmp_path / "empty.csv").write_text("")
    np.save(tmp_path / "cube.npy", np.zeros((3, 3, 3)))
    (tmp_path / "scan.raw").write_bytes(b"RAW1.01")
    (tmp_path / "not.npy").write_bytes(b"no array")
    for name in ("words.xy", "empty.csv", "cube.npy", "scan.raw", "not.npy"):
        with pytest.raises(FormatError, match=name.replace(".", r"\.")):
            read_measured(tmp_path / name)
    with pytest.raises(MissingFileError, match="no such pattern"):
        read_measured(tmp_path / "none.xy")
    angles = np.linspace(5, 90, 300)
    bump = np.exp(-((angles - 20) ** 2)) + 0.001
    copper = ReadOptions(radiation=parse_radiation("1.5406"))
    for two_theta, intensity, message in (
        (np.roll(angles, 50), bump, "must rise"),
        (angles, bump * np.nan, "not finite"),
        (angles, -bump, "no intensity above zero"),
        (angles / 4, bump, "less than half"),
        (angles, bump[:50], "as many of both"),
    ):
        with pytest.raises(InputError, match=message):
            prepare(finish(Scan(two_theta, intensity), Path("x"), copper), Grid(5.0, 90.0, 0.1), 1.5406)


def test_durations_and_test_names() -> None:
    for text, seconds in (("90", 90), ("5m", 300), ("1h30m", 5400), ("1.5h", 5400), ("2d", 172800), ("10 min", 600)):
        assert parse_duration(text) == seconds
    for text in ("", "five", "5x", "-3", "0s", "m"):
        with pytest.raises(InputError):
            parse_duration(text)
    assert parse_tests(["a=x.zarr", "dir/b.zarr", "embedded"]) == {
        "a": Path("x.zarr"),
        "b": Path("dir/b.zarr"),
        "amcsd": embedded_path(),
    }
    for wrong in (["a=x", "a=y"], ["=x"], ["a="], ["a/b=x"], ["training=x"]):
        with pytest.raises(InputError, match="--test"):
            parse_tests(wrong)
    assert spread(5, 10).tolist() == [0, 1, 2, 3, 4]
    assert len(np.unique(spread(25_000, 10_000))) == 10_000

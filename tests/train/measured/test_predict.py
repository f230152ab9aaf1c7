"""Predictions for measured patterns: the same must rank the same, bad files stop nobody, priors, several runs."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from xrdcommon.errors import InputError, MissingFileError
from xrdcommon.fixed_sets.fixed_set import FixedSet
from xrdtrain.inference.answer import Answerer
from xrdtrain.inference.load import load_run
from xrdtrain.inference.networks import caveats, open_network, split_arguments
from xrdtrain.inference.options import predict_options
from xrdtrain.inference.predict import PredictOptions, predict
from xrdtrain.inference.prior import class_prior, mineral_counts, static_ranking, trained_prior

EMBEDDED = Path(str(files("xrdtrain"))) / "embedded"


def write(path: Path, x: np.ndarray, y: np.ndarray, head: str = "") -> Path:
    path.write_text(head + "".join(f"{a:.5f} {b:.4f}\n" for a, b in zip(x, y, strict=True)))
    return path


def test_the_same_pattern_in_other_clothes_ranks_the_same(tmp_path: Path, trained: tuple[Path, Path]) -> None:
    run, real = trained
    data = FixedSet.open(real)
    x, y = data.grid.two_theta, 1e4 * data.patterns(0, 1)[0].astype(float)
    s = np.sin(np.radians(x / 2)) / 1.5406
    fine = np.linspace(5.0, 90.0, 8501)
    noise = np.random.default_rng(0)
    files = [
        write(tmp_path / "a_plain.xy", x, y),
        write(tmp_path / "b_fine.xy", fine, np.interp(fine, x, y)),
        write(tmp_path / "c_q.xy", 4 * np.pi * s, y, "# Q(A^-1) I\n"),
        write(tmp_path / "d_mo.xy", 2 * np.degrees(np.arcsin(0.7093 * s)), y, "# wavelength 0.7093\n"),
        write(tmp_path / "e_background.xy", fine, noise.poisson(np.interp(fine, x, y) + 300 + 2 * fine)),
    ]
    (tmp_path / "f_bad.xy").write_text("no numbers")
    answerer = Answerer([load_run(run)])
    answers = list(predict(answerer, [tmp_path / "a_plain.xy", tmp_path / "f_bad.xy", *files[1:]], PredictOptions()))
    assert [Path(item.name).name[0] for item in answers] == list("afbcde")
    assert "f_bad.xy: not a pattern" in str(answers[1].error)
    good = [item for item in answers if item.error is None]
    plain = {c.label: c.probability for c in good[0].candidates}
    assert good[0].candidates[0].probability > 0.5
    for item in good[1:]:
        assert item.candidates[0].label == good[0].candidates[0].label, item.name
        for candidate in item.candidates:
            assert candidate.probability == pytest.approx(plain[candidate.label], abs=0.05), item.name
    assert good[0].radiation is not None
    assert good[0].radiation.assumed
    assert good[3].radiation is not None
    assert good[3].radiation.source == "the file"
    # one at a time or together: the same
    alone = [next(iter(predict(answerer, [path], PredictOptions()))) for path in files]
    for one, other in zip(alone, good, strict=True):
        assert [c.label for c in one.candidates] == [c.label for c in other.candidates]
        np.testing.assert_allclose(
            [c.probability for c in one.candidates], [c.probability for c in other.candidates], atol=1e-5
        )


def test_command_answers_what_it_can(
    tmp_path: Path, trained: tuple[Path, Path], run_command: Callable[..., Any]
) -> None:
    run, real = trained
    data = FixedSet.open(real)
    folder = tmp_path / "measured"
    folder.mkdir()
    x, y = data.grid.two_theta, 1e4 * data.patterns(0, 1)[0].astype(float)
    write(folder / "good.xy", x, y, "# Cu K alpha\n")
    write(folder / "noise.xy", x, np.random.default_rng(1).normal(500, 20, len(x)), "# Cu K alpha\n")
    (folder / "picture.xy").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(50))
    (folder / "notes.pdf").write_bytes(b"%PDF")
    done = run_command("xrdtrain", "predict", run, folder, "--json", "--csv", tmp_path / "a.csv", "--top", 2)
    assert done.returncode == 2
    assert "picture.xy: a picture (PNG)" in done.stderr
    assert "1 of 3 files were not answered" in done.stderr
    assert "Traceback" not in done.stderr
    good, noise, picture = json.loads(done.stdout)
    assert len(good["candidates"]) == 2
    assert {"space_group", "symbol", "probability", "crystal_system", "extinction_symbol"} <= good["candidates"][
        0
    ].keys()
    assert not good["unlike_training"], good["doubts"]
    assert noise["unlike_training"]
    assert "noise" in " ".join(noise["doubts"])
    assert picture["candidates"] == []
    rows = list(csv.DictReader(io.StringIO((tmp_path / "a.csv").read_text())))
    assert [Path(row["file"]).name for row in rows] == ["good.xy", "noise.xy", "picture.xy"]
    assert rows[0]["symbol_1"] == good["candidates"][0]["symbol"]
    assert rows[2]["error"]
    table = run_command("xrdtrain", "predict", run, folder / "noise.xy", "--plot", tmp_path / "p.svg")
    assert table.returncode == 0, table.stderr
    assert "unlike anything trained on" in table.stdout
    assert (tmp_path / "p.svg").read_text().startswith("<?xml")

    # priors: uniform on a run whose training was uniform changes little, a file decides between equals
    wanted = int(good["candidates"][1]["space_group"])
    (tmp_path / "prior.csv").write_text(f"space_group,weight\n{wanted},1\n")
    network = load_run(run)
    shares = trained_prior(run, network.classes.numbers)
    assert shares.sum() == pytest.approx(1.0)
    assert shares == pytest.approx(np.full(6, 1 / 6), abs=0.05)
    done = run_command("xrdtrain", "predict", run, folder / "noise.xy", "--json", "--prior", tmp_path / "prior.csv")
    assert wanted in json.loads(done.stdout)[0]["candidates"][0]["space_groups"]

    # two runs that are the same answer as one
    both = run_command("xrdtrain", "predict", run, run, folder / "good.xy", "--json", "--top", 2)
    np.testing.assert_allclose(
        [c["probability"] for c in json.loads(both.stdout)[0]["candidates"]],
        [c["probability"] for c in good["candidates"]],
        atol=1e-6,
    )


def test_prior_of_minerals() -> None:
    counts = mineral_counts()
    assert counts.sum() == 1801
    assert static_ranking(counts)[:5] == [62, 14, 225, 15, 194]
    classes = np.array([2, 14, 62, 225])
    prior = class_prior("minerals", classes)
    assert prior.sum() == pytest.approx(1.0)
    assert prior.argmax() == 2
    np.testing.assert_allclose(class_prior("uniform", classes), 0.25)


@pytest.mark.parametrize(
    ("text", "said"),
    [("a,b\n1,2\n", "need space_group and weight"), ("space_group,weight\n999,1\n", "space group 999"),
     ("space_group,weight\n2,x\n", "line 2"), ("space_group,weight\n2,-1\n", "weight -1"),
     ("space_group,weight\n5,1\n", "no weight above zero")],
)  # fmt: skip
def test_bad_files_of_priors(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text(text)
    with pytest.raises(InputError, match=said):
        class_prior(str(tmp_path / "p.csv"), np.array([2, 14]))


def test_arguments_are_networks_then_patterns(trained: tuple[Path, Path]) -> None:
    run, _ = trained
    assert split_arguments([str(run), "a.xy", "b"]) == ([str(run)], [Path("a.xy"), Path("b")])
    assert split_arguments(["a.xy"]) == (["embedded:measured"], [Path("a.xy")])
    assert split_arguments(["embedded:other", "a.xy"])[0] == ["embedded:other"]
    with pytest.raises(InputError, match="no pattern given"):
        split_arguments([str(run)])
    with pytest.raises(MissingFileError, match="embedded:nothing: this package comes without that network"):
        open_network("embedded:nothing")


def test_words_become_options() -> None:
    options = predict_options(wavelength="MoKa", axis="Q", columns="3,1", two_theta_range=(10.0, 50.0))
    assert options.reading.radiation is not None
    assert options.reading.radiation.wavelengths == pytest.approx((0.7093, 0.71359))
    assert options.reading.columns == (3, 1)
    for wrong in ({"axis": "x"}, {"columns": "1"}, {"columns": "0,1"}, {"zero_shift": 9.0}, {"background": "no"}):
        with pytest.raises(InputError):
            predict_options(**wrong)  # type: ignore[arg-type]


def test_the_network_of_the_package_says_what_it_is(
    tmp_path: Path, trained: tuple[Path, Path], run_command: Callable[..., Any]
) -> None:
    run, real = trained
    network = load_run(run)
    first, *rest = caveats("embedded:measured", network)
    assert "6 of the 230 space groups" in first
    assert "5 to 90 degrees" in first
    assert rest
    told = caveats("embedded:measured", dataclasses.replace(network, card={"limits": ["no organics", "one  phase"]}))
    assert told == [first, "no organics", "one phase"]

    data = FixedSet.open(real)
    x, y = data.grid.two_theta, 1e4 * data.patterns(0, 1)[0].astype(float)
    file = write(tmp_path / "a.xy", x, y, "# Cu K alpha\n")
    done = run_command("xrdtrain", "predict", file, "--json")
    if any(EMBEDDED.glob("measured.safetensors")):
        assert done.returncode == 0, done.stderr
        assert "answers are those of embedded:measured" in done.stderr
        assert len(json.loads(done.stdout)[0]["candidates"]) == 5
    else:
        assert done.returncode == 2
        assert "embedded:measured: this package comes without that network" in done.stderr
    named = run_command("xrdtrain", "predict", run, file, "--json")
    assert "answers are those of" not in named.stderr

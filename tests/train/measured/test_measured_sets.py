"""Evaluation of measured patterns, and the gate on their features, with a trained run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from xrdcommon.errors import FormatError, InputError
from xrdcommon.fixed_sets.fixed_set import FixedSet
from xrdtrain.evaluation.evaluate import evaluate_run
from xrdtrain.inference.answer import FAR, Answerer
from xrdtrain.inference.features import fit_reference, load_reference
from xrdtrain.inference.gate import fit_gate
from xrdtrain.inference.load import load_run
from xrdtrain.inference.predict import PredictOptions, predict
from xrdtrain.measured.measured_set import is_measured_set, open_measured_set


def test_evaluate_and_gate(tmp_path: Path, trained: tuple[Path, Path], make_fixed_set: Any) -> None:
    run, real = trained
    data = FixedSet.open(real)
    x = data.grid.two_theta
    intensity = 1000.0 * data.patterns(0, 60).astype(np.float64)
    groups = data.samples["space_group"].astype(np.int64)
    intensity[3] = np.nan  # refused, and so wrong
    groups[4] = 1  # no class of the network
    verified = np.arange(60) < 20
    np.savez(tmp_path / "m.npz", two_theta=x[:-1], intensity=intensity[:, :-1], sg=groups, verified=verified)
    results = evaluate_run(run, [f"m={tmp_path / 'm.npz'}"], backgrounds=("auto", "none"), prior="trained")
    assert set(results) == {"m", "m-none"}
    measures = results["m"]
    assert (measures["n"], measures["n_outside_classes"], measures["n_refused"]) == (60, 1, 1)
    assert "not finite" in measures["refused"]["3"]
    assert 0.8 < measures["top1_all"] <= 58 / 60
    assert measures["top1_all"] <= measures["top5_all"] <= measures["top10_all"] <= 58 / 60
    assert measures["n_wavelength_assumed"] == 59
    assert measures["verified"]["n"] == 20
    assert measures["static_list_of_minerals"]["top1_all"] == pytest.approx(np.mean(groups == 62))
    assert measures["per_crystal_system"]["monoclinic"]["n"] == np.sum(groups == 14)
    with np.load(run / "evaluation" / "measured" / "m.npz") as arrays:
        assert arrays["probability"].shape == (60, 6)
        assert not arrays["answered"][3]

    # a folder with labels; a file that is missing counts as wrong
    folder = tmp_path / "folder"
    folder.mkdir()
    rows = ["file,space_group,wavelength"]
    for row in range(5, 11):
        np.savetxt(folder / f"{row}.xy", np.stack([x, intensity[row]], axis=1))
        rows.append(f"{row}.xy,{groups[row]},CuKa")
    rows += ["gone.xy,14,1.5406", "unlabelled.xy,,"]
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    assert is_measured_set(folder)
    measures = evaluate_run(run, [f"f={folder}"])["f"]
    assert (measures["n"], measures["n_refused"], measures["n_wavelength_assumed"]) == (7, 1, 0)
    assert measures["top1_all"] > 0.5

    # the gate on features: fitted on other synthetic patterns, it lets such pass and stops what is unlike them
    answerer = Answerer([load_run(run)])
    assert load_reference(run) is None
    reference = fit_gate(run, make_fixed_set("held-out.zarr", n=600))
    answerer = Answerer([load_run(run)])
    like = list(predict(answerer, [real], PredictOptions()))
    assert np.mean([FAR in item.doubts for item in like]) < 0.1
    comb = (np.sin(2 * np.pi * x / 3.0) ** 20) * 1000 + 1
    np.savetxt(tmp_path / "comb.xy", np.stack([x, comb], axis=1))
    (other,) = predict(answerer, [tmp_path / "comb.xy"], PredictOptions())
    assert FAR in other.doubts
    again = load_reference(run)
    assert again is not None
    assert again.threshold == reference.threshold
    assert again.mixtures is not None
    assert reference.mixtures is not None
    assert again.mixtures.caught == reference.mixtures.caught
    np.testing.assert_array_equal(again.mixtures.weights, reference.mixtures.weights)
    (run / "features.npz").write_bytes(b"PK\x03\x04junk")
    with pytest.raises(FormatError, match=r"features.npz: damaged"):
        load_reference(run)


def test_distances_are_those_of_mahalanobis() -> None:
    random = np.random.default_rng(3)
    groups = random.integers(1, 4, 4000)
    spread = np.array([2.0, 2.5, 3.0])
    features = (random.normal(size=(4000, 3)) * spread + 10.0 * groups[:, None]).astype(np.float32)
    reference = fit_reference(features, groups)
    centre = np.array([[20.0, 20.0, 20.0]], dtype=np.float32)
    assert reference.distance(centre)[0] < 0.3
    along = reference.distance(centre + np.array([[0, 0, 3.0]], dtype=np.float32))[0]
    assert along == pytest.approx(1.0, abs=0.3)
    # the 99 % quantile of chi with three degrees of freedom is 3.37; neighbours only shorten it
    assert reference.threshold == pytest.approx(3.37, rel=0.12)
    with pytest.raises(InputError, match="at least 500"):
        fit_reference(features[:100], groups[:100])


def test_bad_sets(tmp_path: Path) -> None:
    x, y = np.arange(10.0, 20.0, 0.1), np.ones((3, 100))
    for name, arrays, said in (
        ("a", {"two_theta": x, "intensity": y}, "need two_theta, intensity and sg"),
        ("b", {"two_theta": x, "intensity": y, "sg": np.array([1, 2])}, "do not fit"),
        ("c", {"two_theta": x, "intensity": y, "sg": np.array([1, 2, 999])}, "labels must be space groups"),
        ("d", {"two_theta": x, "intensity": y, "sg": np.array([1, 2, 3]), "verified": np.ones(2)}, "verified"),
    ):
        np.savez(tmp_path / f"{name}.npz", **arrays)
        with pytest.raises(FormatError, match=said):
            open_measured_set(tmp_path / f"{name}.npz")
    (tmp_path / "labels.csv").write_text("file,space_group\na.xy,Fm-3m\n")
    with pytest.raises(FormatError, match="no number"):
        open_measured_set(tmp_path)

"""One file without the run folder: the same answers from a bundle, a program of torch.export, and ONNX."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from xrdcommon.errors import FormatError, InputError, MissingFileError
from xrdcommon.files import write_json
from xrdcommon.grid import Grid
from xrdcommon.json_values import json_ready
from xrdtrain.evaluation.evaluate import evaluate_run
from xrdtrain.fitting.fit import fit
from xrdtrain.fitting.request import FitRequest
from xrdtrain.inference.answer import Answerer
from xrdtrain.inference.bundle import read_bundle, save_bundle
from xrdtrain.inference.calibration import Calibration
from xrdtrain.inference.export import METADATA, export
from xrdtrain.inference.features import FeatureReference
from xrdtrain.inference.load import Run, load_run
from xrdtrain.inference.mixtures import MixtureDetector
from xrdtrain.models import NetworkSpec

CPU = torch.device("cpu")


def trained(folder: Path, source: Path, model: str, options: tuple[str, ...] = ()) -> Run:
    """A run of two steps, calibrated by hand."""
    steps: dict[str, Any] = {"samples": 64, "batch": 32, "eval_every": 64}
    fit(FitRequest(source=source, run=folder, model=model, options=options, tests=("none",), **steps))
    bias = np.linspace(-0.5, 0.5, 6)
    write_json(folder / "calibration.json", Calibration(1.7, bias, {0.9: 0.05}, "test", 500, 64).to_dict())
    return load_run(folder, CPU)


def patterns_for(run: Run, n: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    values = random.uniform(0, 1, (n, run.grid.n_points)).astype(np.float32) ** 6
    mask = np.ones(values.shape, dtype=bool)
    mask[: n // 2, : run.grid.n_points // 4] = False
    values = values * mask
    return values / values.max(axis=1, keepdims=True), mask


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "options"),
    [
        ("patch-resnet-measured", ()),
        ("resnet-10-small", ()),
        ("patch-resnet-measured", ("sin2-theta", "peaks", "heads", "ema=0.5")),
        ("resnet-10-small", ("sin2-theta", "peaks", "dense-relu")),
    ],
)
def test_the_same_answers_from_one_file(
    model: str, options: tuple[str, ...], tmp_path: Path, make_fixed_set: Any
) -> None:
    run = trained(tmp_path / "run", make_fixed_set(), model, options)
    values, mask = patterns_for(run, 5)
    masks = mask if run.spec.input.has_mask else None
    expected = run.logits(values, masks)
    assert np.ptp(expected) > 0.5
    for suffix in (".safetensors", ".pt2", ".onnx"):
        export(run, tmp_path / f"net{suffix}")
    shutil.rmtree(tmp_path / "run")

    bundle = load_run(tmp_path / "net.safetensors", CPU)
    np.testing.assert_array_equal(bundle.logits(values, masks), expected)
    assert bundle.samples == 64
    assert bundle.config.model == model
    assert bundle.counts is not None
    assert bundle.counts.sum() == 64
    assert bundle.spec == run.spec

    inputs = [values] if masks is None else [values, masks.astype(np.float32)]
    description = {METADATA: ""}
    program = torch.export.load(tmp_path / "net.pt2", extra_files=description).module()
    found = program(*map(torch.from_numpy, inputs)).detach().numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5, rtol=1e-5)
    assert json.loads(description[METADATA])["network"]["classes"] == [2, 14, 62, 152, 154, 225]

    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(str(tmp_path / "net.onnx"), providers=["CPUExecutionProvider"])
    names = [item.name for item in session.get_inputs()]
    assert names == ["pattern", "mask"][: len(inputs)]
    (found,) = session.run(None, dict(zip(names, inputs, strict=True)))
    np.testing.assert_allclose(found, expected, atol=1e-5, rtol=1e-5)
    properties = session.get_modelmeta().custom_metadata_map
    assert NetworkSpec.from_dict(json.loads(properties["xrdstream"])["network"], "x") == run.spec


def test_a_bundle_is_used_as_a_run(
    tmp_path: Path, make_fixed_set: Any, run_command: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    data, file = make_fixed_set(), tmp_path / "net.safetensors"
    trained(tmp_path / "run", data, "patch-resnet")
    random = np.random.default_rng(0)
    means, whitening = random.normal(size=(6, 256)).astype(np.float32), np.eye(256, dtype=np.float32)
    mixtures = MixtureDetector(random.normal(size=1696).astype(np.float32), 0.25, 0.5)
    FeatureReference(means, whitening, 30.0, 500, mixtures).save(tmp_path / "run" / "features.npz")
    (tmp_path / "card.json").write_text('{"name": "test", "measured": {"real": 0.5}}')
    done = run_command("xrdtrain", "export", tmp_path / "run", "--out", file, "--card", tmp_path / "card.json")
    assert done.returncode == 0, done.stderr
    assert load_run(file).card == {"name": "test", "measured": {"real": 0.5}}
    assert str(tmp_path).encode() not in file.read_bytes()  # no places of this machine
    gate = load_run(file).gate
    assert gate is not None
    np.testing.assert_array_equal(gate.means, means)
    assert (gate.threshold, gate.n) == (30.0, 500)
    assert gate.mixtures is not None
    np.testing.assert_array_equal(gate.mixtures.weights, mixtures.weights)
    assert (gate.mixtures.bias, gate.mixtures.caught) == (0.25, 0.5)
    one, other = Answerer([load_run(tmp_path / "run")]), Answerer([load_run(file)])
    inputs = [patterns_for(load_run(file), 4)]
    for prior in ("trained", "uniform", "minerals"):
        (expected, far), (found, there) = one.probabilities(inputs, prior), other.probabilities(inputs, prior)
        np.testing.assert_allclose(found, expected, atol=1e-7)
        assert all((far[reason] == there[reason]).all() for reason in far)
    expected = evaluate_run(tmp_path / "run", [f"real={data}"])
    assert json_ready(evaluate_run(file, [f"real={data}"])) == json_ready(expected)
    fit(
        FitRequest(
            source=data, run=tmp_path / "tuned", model="patch-resnet", tests=("none",), samples=32, batch=32,
            learning_rate=1e-9, init_from=file,
        )
    )  # fmt: skip
    tuned, begun = load_run(tmp_path / "tuned").model.state_dict(), read_bundle(file).weights
    assert all(torch.allclose(tuned[name], begun[name], atol=1e-6) for name in begun)
    # a network of the package is found by its name
    monkeypatch.setattr("xrdtrain.inference.bundle.files", lambda package: tmp_path)
    (tmp_path / "embedded").mkdir()
    shutil.copy(file, tmp_path / "embedded" / "tiny.safetensors")
    assert load_run("embedded:tiny").samples == 64
    for wrong in ("embedded:huge", "embedded:../net"):
        with pytest.raises(MissingFileError, match=r"comes without that network \(it has embedded:tiny\)"):
            load_run(wrong)


def test_damaged_and_foreign_files(tmp_path: Path, make_fixed_set: Any) -> None:
    file = tmp_path / "net.safetensors"
    run = trained(tmp_path / "run", make_fixed_set(), "patch-resnet")
    export(run, file)
    content = file.read_bytes()
    for damaged in (b"", content[:1000], content[:-10], content[:-50] + b"\x7f" + content[-49:]):
        file.write_bytes(damaged)
        with pytest.raises(FormatError, match=r"net\.safetensors"):
            load_run(file)
    file.write_bytes(content)
    bundle = read_bundle(file)
    wrong = {name: value.clone() for name, value in bundle.weights.items()}
    wrong["logits.bias"][0] = torch.nan
    save_bundle(file, replace(bundle, weights=wrong))
    with pytest.raises(FormatError, match=r"weights of 'logits\.bias' are not finite"):
        load_run(file)
    from safetensors.torch import save_file

    save_file(bundle.weights, file)
    with pytest.raises(FormatError, match="format None"):
        load_run(file)
    with pytest.raises(MissingFileError, match="no such network"):
        load_run(tmp_path / "nothing.safetensors")
    with pytest.raises(InputError, match=r"cannot export '\.pth'; give one of \.safetensors, \.pt2, \.onnx"):
        export(run, tmp_path / "net.pth")


def test_a_report_on_one_file_shows_it_on_the_real_structures_of_the_package(
    tmp_path: Path, make_fixed_set: Any, run_command: Callable[..., Any]
) -> None:
    data, file = make_fixed_set(grid=Grid(5.0, 90.0, 0.05)), tmp_path / "small.safetensors"
    export(trained(tmp_path / "run", data, "patch-resnet"), file, {})
    done = run_command("xrdtrain", "report", file.name, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "small.html"
    page = (tmp_path / "small.html").read_text()
    measured = evaluate_run(file, ["amcsd=embedded"])["amcsd"]
    assert f"{100 * measured['top1']:.1f}" in page
    assert "patch-resnet" in page
    assert not list(tmp_path.glob("xrdtrain-*"))
    both = run_command("xrdtrain", "report", file.name, tmp_path / "run", cwd=tmp_path)
    assert both.stdout.strip() == "comparison.html", both.stderr

"""A network is saved whole: it is built from its own description, never from today's presets."""

from __future__ import annotations

import json
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from xrdcommon.errors import FormatError, InputError
from xrdcommon.files import read_json, write_json
from xrdcommon.fixed_sets.fixed_set import FixedSet
from xrdcommon.grid import Grid
from xrdcommon.measurement import Measurement
from xrdtrain.evaluation.evaluate import evaluate_run
from xrdtrain.fitting.fit import fit
from xrdtrain.fitting.request import FitRequest
from xrdtrain.inference.load import load_run
from xrdtrain.models import PRESETS, NetworkSpec, get_preset
from xrdtrain.models.presets import Recipe
from xrdtrain.runs import checkpoint

OLD = Path(__file__).parent / "data" / "run-0.1.0.tar.xz"
CPU = torch.device("cpu")
COARSE = Grid(5.0, 90.0, 1.0)


@pytest.fixture
def old_run(tmp_path: Path) -> Path:
    """Unpack the run that version 0.1.0 made (see data/make_run_0_1_0.py)."""
    with tarfile.open(OLD) as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path / "run-0.1.0"


@pytest.fixture
def other_presets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Change every preset: another version might have other networks under the same names."""
    for name, preset in list(PRESETS.items()):
        recipe = replace(preset.recipe, learning_rate=0.5, batch=7)
        monkeypatch.setitem(PRESETS, name, replace(get_preset("park-medium"), name=name, recipe=recipe))


def small(source: Path, run: Path, **options: Any) -> FitRequest:
    settings = {"model": "resnet-10-small", "tests": ("none",), "batch": 32, "eval_every": 64, **options}
    return FitRequest(source=source, run=run, **settings)


@pytest.mark.parametrize("name", PRESETS)
def test_network_reads_back(name: str) -> None:
    spec = get_preset(name).spec(Measurement(), (2, 14, 62), dropout=name.startswith("park"))
    content = json.loads(json.dumps(spec.to_dict()))
    assert NetworkSpec.from_dict(content, "x") == spec
    with torch.device("meta"):
        one, other = spec.build().state_dict(), NetworkSpec.from_dict(content, "x").build().state_dict()
    assert {key: value.shape for key, value in one.items()} == {key: value.shape for key, value in other.items()}
    assert one[f"{spec.build().output_layer}.weight"].shape[0] == 3
    recipe = get_preset(name).recipe
    assert Recipe.from_dict(json.loads(json.dumps(recipe.to_dict())), "x") == recipe


def test_what_another_version_wrote_is_refused() -> None:
    content = get_preset("resnet-10-small").spec(Measurement(), (2, 14)).to_dict()
    with pytest.raises(FormatError, match=r"network\.json: network of format 9"):
        NetworkSpec.from_dict({**content, "format": 9}, "network.json")
    later = {**content, "architecture": {**content["architecture"], "gated": True}}
    with pytest.raises(FormatError, match="does not know 'gated'"):
        NetworkSpec.from_dict(later, "network.json")
    with pytest.raises(FormatError, match=r"network\.json"):
        NetworkSpec.from_dict({**content, "classes": [14, 2]}, "network.json")


def test_old_run_predicts_as_it_did(old_run: Path, other_presets: None) -> None:
    run = load_run(old_run, CPU)
    expected = np.load(old_run / "expected.npz")
    for pattern, probability in zip(expected["patterns"], expected["probability"], strict=True):
        found = np.zeros(231)
        for candidate in run.predict(COARSE.two_theta, pattern):
            found[candidate.space_group] = candidate.probability
        np.testing.assert_allclose(found, probability, atol=1e-6)
    assert run.samples == 192
    assert run.config.wavelength == 1.5406
    assert run.config.recipe["optimiser"] == "adamw"


def test_old_run_is_evaluated_and_goes_on(old_run: Path, make_fixed_set: Any, other_presets: None) -> None:
    data = make_fixed_set(grid=COARSE)
    assert evaluate_run(old_run, [f"real={data}"])["real"]["n"] == 96
    config = read_json(old_run / "config.json")
    # the set of that time has gone: this one has the same patterns, and a hash of its own
    config["origin"]["content_hash"] = FixedSet.open(data).content_hash
    write_json(old_run / "config.json", config)
    before = checkpoint.load(checkpoint.checkpoints(old_run / "checkpoints")[-1], CPU)["model"]
    fit(FitRequest(source=data, run=old_run, samples=256))
    run = load_run(old_run, CPU)
    assert run.samples == 256
    assert run.config.batch == 32
    assert run.config.learning_rate == 3e-3
    assert run.spec == NetworkSpec.from_dict(read_json(old_run / "network.json"), "x")
    after = run.model.state_dict()
    assert before.keys() == after.keys()
    assert any(not torch.equal(before[key], after[key]) for key in before)


def test_resuming_never_rewrites_the_network(
    tmp_path: Path, make_fixed_set: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, run = make_fixed_set(), tmp_path / "run"
    fit(small(data, run, samples=64))
    written = (run / "network.json").read_bytes()
    recipe = read_json(run / "config.json")["recipe"]
    monkeypatch.setitem(PRESETS, "resnet-10-small", replace(get_preset("park-medium"), name="resnet-10-small"))
    fit(small(data, run, samples=128))
    assert (run / "network.json").read_bytes() == written
    assert read_json(run / "config.json")["recipe"] == recipe
    assert load_run(run, CPU).samples == 128
    # the checkpoint says what its weights are, also where the folder says something else
    content = read_json(run / "network.json")
    content["classes"] = content["classes"][:-1]
    write_json(run / "network.json", content)
    assert len(load_run(run, CPU).classes) == 6
    with pytest.raises(InputError):
        fit(small(data, run, samples=192))


def test_network_on_an_axis_of_its_own(tmp_path: Path, make_fixed_set: Any, make_spool: Any) -> None:
    """A network with steps of 0.02 degrees and a mask trains on a finer source and is measured on a finer set."""
    spool = make_spool(grid=Grid(10.0, 40.0, 0.01), shards=2, rows=96)
    wider = make_fixed_set("wider.zarr", n=24, grid=Grid(5.0, 50.0, 0.01))
    run = tmp_path / "run"
    results = fit(small(spool.path, run, model="patch-resnet-measured", tests=(f"wider={wider}",), samples=192))
    assert results["wider"]["n"] == 24
    loaded = load_run(run, CPU)
    assert loaded.grid == Grid(10.0, 40.0, 0.02)
    assert loaded.spec.input.shape == (2, 1501)
    assert loaded.predict(np.linspace(12.0, 39.0, 900), np.random.default_rng(0).uniform(0, 1, 900))
    # what was not measured is another input than zeros that were
    pattern, mask = np.zeros((1, 1501)), np.ones((1, 1501), dtype=bool)
    pattern[0, 200:220] = 1.0
    mask[0, 800:] = False
    assert np.abs(loaded.logits(pattern, mask) - loaded.logits(pattern)).max() > 1e-4
    short = make_fixed_set("short.zarr", n=24, grid=Grid(15.0, 40.0, 0.01))
    with pytest.raises(InputError, match=r"freeze or produce it again"):
        fit(small(spool.path, tmp_path / "b", tests=(f"short={short}",), samples=64))


def test_masked_training_goes_on_exactly(tmp_path: Path, make_fixed_set: Any) -> None:
    """What is hidden depends on the number of the sample alone, so a stop in between changes nothing."""
    run = tmp_path / "run"
    asked = small(make_fixed_set(grid=Grid(5.0, 30.0, 0.05)), run, model="patch-resnet-measured", samples=128)
    fit(asked)
    assert load_run(run, CPU).config.recipe["mask"] == {"share": 0.5, "ends": 0.3, "gap": 0.1}
    first, last = checkpoint.checkpoints(run / "checkpoints")
    whole = checkpoint.load(last, CPU)["model"]
    last.unlink()
    (run / "evaluation.json").unlink()
    assert checkpoint.load(first, CPU)["samples"] == 64
    fit(asked)
    again = checkpoint.load(last, CPU)["model"]
    for name, value in whole.items():
        assert torch.equal(value, again[name]), name

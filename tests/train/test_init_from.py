"""A training that begins with another network's weights and is told no model: it takes that network as it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from xrdcommon.errors import InputError
from xrdcommon.grid import Grid
from xrdtrain.fitting.dry_run import describe
from xrdtrain.fitting.fit import fit
from xrdtrain.fitting.options import FitRequest
from xrdtrain.inference.export import export
from xrdtrain.inference.load import Run, load_run
from xrdtrain.models import default_preset
from xrdtrain.models.resnet import ResNetSettings
from xrdtrain.precision import Precision


def request(source: Path, run: Path, **options: Any) -> FitRequest:
    """A training of one step that hardly changes the weights."""
    short: dict[str, Any] = {"samples": 32, "batch": 32, "learning_rate": 1e-9, "tests": ("none",)}
    return FitRequest(source=source, run=run, precision=Precision.FP32, **{**short, **options})


@pytest.fixture
def begun(tmp_path: Path, make_fixed_set: Any) -> tuple[Path, Path]:
    """A fixed set and a run on it of a model that is nobody's default, with options that change the network."""
    data, run = make_fixed_set(), tmp_path / "begun"
    options = ("peaks=8", "dense-relu", "sin2-theta", "label-smoothing=0.2")
    fit(request(data, run, model="resnet-10-small", options=options))
    return data, run


def same_weights(one: Run, other: Run) -> bool:
    """Return whether two networks have the same weights within a step of the smallest learning rate."""
    weights = other.model.state_dict()
    return all(torch.allclose(value, weights[name], atol=1e-6) for name, value in one.model.state_dict().items())


def test_the_network_is_that_of_the_run_with_its_options(begun: tuple[Path, Path], tmp_path: Path) -> None:
    data, run = begun
    fit(request(data, tmp_path / "next", init_from=run))
    there, here = load_run(run), load_run(tmp_path / "next")
    assert default_preset().name != here.config.model == "resnet-10-small"
    assert here.spec == there.spec
    assert isinstance(here.spec.architecture, ResNetSettings)
    assert (here.spec.architecture.peaks, here.spec.architecture.dense_activation) == (8, True)
    assert len(here.spec.input.channels) == 2
    assert same_weights(there, here)
    assert here.config.init_from == str(run)
    # how it is trained is the model's own recipe, and what is asked for now
    assert here.config.recipe["label_smoothing"] == 0.0
    assert "begins with the weights of" in "\n".join(describe(request(data, tmp_path / "dry", init_from=run)))
    with pytest.raises(InputError, match=r"peaks 8 there, 16 here.*leave --model and options"):
        fit(request(data, tmp_path / "other", init_from=run, options=("peaks=16",)))


def test_the_network_is_that_of_a_file(begun: tuple[Path, Path], tmp_path: Path, monkeypatch: Any) -> None:
    """An exported network, also where it comes with the package."""
    data, run = begun
    file = tmp_path / "embedded" / "tiny.safetensors"
    file.parent.mkdir()
    export(load_run(run), file)
    monkeypatch.setattr("xrdtrain.inference.bundle.files", lambda package: tmp_path)
    for number, place in enumerate((file, Path("embedded:tiny"))):
        fit(request(data, tmp_path / f"next-{number}", init_from=place, options=("ema=0.5",)))
        here = load_run(tmp_path / f"next-{number}")
        assert here.spec == load_run(run).spec
        assert here.config.recipe["ema"] == 0.5
        assert same_weights(load_run(run), here)


def test_what_does_not_fit_is_said(begun: tuple[Path, Path], tmp_path: Path, make_fixed_set: Any) -> None:
    data, run = begun
    with pytest.raises(InputError, match=r"peaks 8 there, 0 here.* both must be the same: leave --model and options"):
        fit(request(data, tmp_path / "plain", init_from=run, model="resnet-10-small"))
    narrow = make_fixed_set("narrow.zarr", grid=Grid(5.0, 60.0, 0.1))
    with pytest.raises(
        InputError, match=r"5 to 90 .*resnet-10-small .*5 to 60 .*both must be the same: train on patterns of its axis"
    ):
        fit(request(narrow, tmp_path / "narrow", init_from=run))
    text = (run / "config.json").read_text().replace('"resnet-10-small"', '"resnet-9-tiny"')
    (run / "config.json").write_text(text)
    with pytest.raises(InputError, match=r"--init-from .*begun: model 'resnet-9-tiny': not known"):
        fit(request(data, tmp_path / "unknown", init_from=run))
    assert not any((tmp_path / name / "config.json").exists() for name in ("plain", "narrow", "unknown"))

"""Options of training: each does what it says, resumes exactly, and leaves an exported network as it is."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from xrdcommon.errors import FormatError, InputError, Interrupted, XrdError
from xrdcommon.extinction import extinction_group
from xrdcommon.fields import empty_samples
from xrdcommon.fixed_sets.fixed_set import FixedSet
from xrdcommon.grid import Grid
from xrdcommon.measurement import Measurement
from xrdcommon.options import from_file
from xrdcommon.space_groups import CRYSTAL_SYSTEMS, crystal_system
from xrdtrain.api import load_run
from xrdtrain.distributed import Ranks
from xrdtrain.evaluation.calibrate import calibrate
from xrdtrain.experiments.experiment import fill, load
from xrdtrain.fitting.average import Average
from xrdtrain.fitting.dry_run import describe
from xrdtrain.fitting.fit import FitRequest, fit
from xrdtrain.fitting.heads import Heads, WithHeads, measures
from xrdtrain.fitting.mixing import draw_fractions, mix
from xrdtrain.fitting.objective import ClassWeights, Objective
from xrdtrain.fitting.trainer import Trainer
from xrdtrain.inputs.spec import Channel
from xrdtrain.inputs.squared_sine import on_squared_sine, squared_sine_axis
from xrdtrain.models import Recipe, get_preset
from xrdtrain.models.options import OPTIONS, with_options
from xrdtrain.models.peaks import PeakBranch
from xrdtrain.precision import Precision
from xrdtrain.runs import checkpoint
from xrdtrain.runs.config import read_config

ALONE = Ranks(0, 1, torch.device("cpu"))
SHORT: dict[str, Any] = {
    "tests": ("none",),
    "precision": Precision.FP32,
    "batch": 64,
    "model": "resnet-10-small",
    "eval_every": 256,
}
EVERYTHING = ("class-weights", "label-smoothing", "ema=0.9", "mix", "heads", "sin2-theta", "dense-relu", "peaks=16")


def last(run: Path) -> dict[str, Any]:
    """Load the last checkpoint."""
    return checkpoint.load(checkpoint.checkpoints(run / "checkpoints")[-1], torch.device("cpu"))


def recipe(*options: str) -> Recipe:
    """The recipe of a small model with options."""
    return with_options(get_preset("patch-resnet"), options).recipe


def test_options_change_what_they_name() -> None:
    base = get_preset("resnet-10-small")
    assert with_options(base, ()) == base
    changed = with_options(base, EVERYTHING)
    assert changed.recipe.class_weights == 0.5
    assert changed.recipe.label_smoothing == 0.1
    assert changed.recipe.ema == 0.9
    assert changed.recipe.heads == ("crystal-system", "extinction-group", "lattice", "crystallite-size")
    assert changed.channels == (Channel.PATTERN, Channel.SQUARED_SINE)
    assert changed.network.dense_activation  # type: ignore[union-attr]
    assert changed.network.peaks == 16  # type: ignore[union-attr]
    measured = with_options(get_preset("patch-resnet-measured"), ("sin2-theta",))
    assert measured.channels == (Channel.PATTERN, Channel.MASK, Channel.SQUARED_SINE)
    assert with_options(measured, ("sin2-theta=off",)) == get_preset("patch-resnet-measured")
    again = Recipe.from_dict(json.loads(json.dumps(changed.recipe.to_dict())), "here")
    assert again == changed.recipe


def test_the_experiment_has_an_arm_for_each() -> None:
    experiment = load("options")
    values = experiment.resolve({}, 1.0)
    tried = set()
    for arm in experiment.arm:
        words = shlex.split(fill(arm.fit, values, arm.name))
        preset = get_preset(words[words.index("--model") + 1])
        options = [words[place + 1] for place, word in enumerate(words) if word == "--option"]
        assert (with_options(preset, options) != preset) == bool(options)
        tried |= set(options)
    assert tried == OPTIONS.keys() - {"head-weight"}


@pytest.mark.parametrize(
    ("model", "option", "message"),
    [
        ("patch-resnet", "label-smothing=0.1", "did you mean label-smoothing"),
        ("patch-resnet", "ema=1.5", "--option ema=1.5: ema 1.5: must be 0 to 0.99999"),
        ("patch-resnet", "ema=nan", "must be 0 to"),
        ("patch-resnet", "mix=much", "must be a number"),
        ("patch-resnet", "heads=colour", "no head 'colour'"),
        ("patch-resnet", "head-weight=0.5", "there are no heads"),
        ("patch-resnet", "dense-relu", "only for the resnet models"),
        ("park-medium", "peaks", "only for the resnet and patch-resnet models"),
        ("resnet-10", "peaks=-1", "must be a whole number"),
        ("resnet-10", "sin2-theta=yes", "must be on or off"),
    ],
)
def test_wrong_options(model: str, option: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        with_options(get_preset(model), (option,))


def test_an_option_given_twice() -> None:
    with pytest.raises(InputError, match="given twice"):
        with_options(get_preset("patch-resnet"), ("ema", "ema=0.9"))


def test_recipe_of_another_version() -> None:
    with pytest.raises(FormatError, match="no head 'colour'"):
        Recipe.from_dict({**recipe().to_dict(), "heads": ["colour"]}, "here")
    old = {name: value for name, value in recipe().to_dict().items() if name not in ("ema", "heads", "mix")}
    assert Recipe.from_dict(old, "here") == recipe()


def test_class_weights_are_those_of_a_weighted_entropy() -> None:
    labels = torch.tensor([0, 0, 0, 0, 0, 0, 0, 1, 1, 2])
    logits = torch.randn(10, 3, generator=torch.Generator().manual_seed(1))
    loss = Objective(recipe("class-weights=1"), 3, ALONE, None)(logits, labels, empty_samples(10), {}, None)
    frequency = np.array([8, 3, 2]) / 13  # each counts once before the first
    weights = torch.tensor(1 / frequency / 3, dtype=torch.float32)
    assert float((frequency * weights.numpy()).sum()) == pytest.approx(1.0)
    expected = functional.cross_entropy(logits, labels, weight=weights, reduction="sum")
    assert float(loss) == pytest.approx(float(expected), rel=1e-6)
    counts = ClassWeights(0.5, 3, ALONE)
    first, second = counts.count(labels), counts.count(labels)
    assert second[2] / second[0] == pytest.approx((15 / 3) ** 0.5)
    assert first[2] > first[0]


def test_smoothed_labels() -> None:
    labels = torch.tensor([0, 2])
    logits = torch.tensor([[2.0, 0.0, -1.0], [0.5, 0.0, 1.0]])
    loss = Objective(recipe("label-smoothing=0.3"), 3, ALONE, None)(logits, labels, empty_samples(2), {}, None)
    soft = torch.full((2, 3), 0.1)
    soft[0, 0] = soft[1, 2] = 0.8
    expected = -(soft * logits.log_softmax(1)).sum()
    assert float(loss) == pytest.approx(float(expected), rel=1e-6)


def test_average_is_the_one_computed_by_hand() -> None:
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 3.0)
    average = Average(model, 0.5)
    expected = 3.0
    for step in range(1, 30):
        nn.init.constant_(model.weight, float(step))
        average.update(model)
        keep = min(0.5, (1 + step) / (10 + step))
        expected = keep * expected + (1 - keep) * step
        assert average.model.weight.item() == pytest.approx(expected, rel=1e-6)  # type: ignore[arg-type]
    assert model.weight.item() == 29.0


def test_mixed_patterns() -> None:
    fractions = draw_fractions(0.5, 7, 1000, 4000)
    assert 0.46 < (fractions > 0).mean() < 0.54
    assert 0.0 <= fractions.min() <= fractions.max() < 0.5
    assert (draw_fractions(0.5, 7, 1100, 100) == fractions[100:200]).all()  # by the number of the sample alone
    assert (draw_fractions(0.5, 8, 1000, 4000) != fractions).any()
    patterns = torch.tensor([[1.0, 0.0, 0.5], [0.2, 0.2, 1.0], [0.0, 1.0, 0.0], [1.0, 0.6, 0.0]], dtype=torch.float16)
    samples = empty_samples(4)
    samples["range_first"] = [np.nan, 10.0, 7.0, 8.0]
    samples["range_last"] = [np.nan, 80.0, 70.0, np.nan]
    given = np.array([0.25, 0.0, 0.4, 0.0], dtype=np.float32)
    before = patterns.clone()
    x, records = mix(patterns, samples, given)
    assert torch.equal(patterns, before)
    assert x[0].tolist() == pytest.approx([1.0, 0.15, 0.375], abs=1e-3)
    assert torch.equal(x[1], patterns[1].float())
    assert float(x[2].max()) == 1.0
    mixed = 0.6 * patterns[2].float() + 0.4 * patterns[1].float()
    assert torch.allclose(x[2], mixed / mixed.max(), atol=1e-3)
    assert records["range_first"][[0, 2]].tolist() == [8.0, 10.0]
    assert records["range_last"][2] == 70.0
    assert np.isnan(records["range_last"][0])
    assert np.isnan(samples["range_first"][0])
    labels = torch.tensor([0, 1, 2, 1])
    logits = torch.randn(4, 3, generator=torch.Generator().manual_seed(2))
    loss = Objective(recipe("mix"), 3, ALONE, None)(logits, labels, records, {}, given)
    soft = torch.tensor([[0.75, 0.25, 0.0], [0.0, 1.0, 0.0], [0.0, 0.4, 0.6], [0.0, 1.0, 0.0]])
    assert float(loss) == pytest.approx(float(-(soft * logits.log_softmax(1)).sum()), rel=1e-5)


def test_heads_learn_what_the_records_say() -> None:
    classes = (2, 14, 62, 152, 154, 225)
    samples = empty_samples(4)
    samples["space_group"] = [14, 152, 154, 225]
    samples["lattice"] = [[9, 9, 16.4, 90, 120, 90], *[[4, 4, 4, 90, 90, 90]] * 3]
    samples["volume"] = [1000, 64, 64, np.nan]
    samples["crystallite_size"] = [50, np.nan, 30, 30]
    wanted = measures("lattice", samples)
    assert wanted[0, :3] == pytest.approx([(np.log(a) - 2.2) / 0.6 for a in (9, 9, 16.4)], abs=1e-5)
    assert wanted[0, 4] == pytest.approx(-0.5 / 0.3, abs=1e-5)
    assert np.isnan(wanted[3, 6])
    assert np.isnan(measures("crystallite-size", samples)).tolist() == [[False], [True], [False], [False]]
    names = ("crystal-system", "extinction-group", "lattice", "crystallite-size")
    heads = Heads(names, 8, classes)
    features = torch.randn(4, 8, generator=torch.Generator().manual_seed(3))
    outputs = heads(features)
    plain = {name: values.detach() for name, values in outputs.items()}
    assert outputs["crystal-system"].shape[1] == len({crystal_system(group) for group in classes})
    assert outputs["extinction-group"].shape[1] == len({extinction_group(group) for group in classes})
    rows = torch.tensor([1.0, 1.0, 0.0, 1.0])
    total = heads.losses(outputs, samples, rows)
    systems = sorted({CRYSTAL_SYSTEMS.index(crystal_system(group)) for group in classes})
    expected = 0.0
    for row in (0, 1, 3):
        system = systems.index(CRYSTAL_SYSTEMS.index(crystal_system(int(samples["space_group"][row]))))
        expected += float(functional.cross_entropy(plain["crystal-system"][row], torch.tensor(system)))
        found = sorted({extinction_group(group) for group in classes})
        group = found.index(extinction_group(int(samples["space_group"][row])))
        expected += float(functional.cross_entropy(plain["extinction-group"][row], torch.tensor(group)))
        for name in names[2:]:
            error = np.abs(plain[name][row].numpy() - measures(name, samples)[row])
            huber = np.where(error < 1, 0.5 * error**2, error - 0.5)
            expected += float(np.nansum(huber) / len(error))
    assert total.item() == pytest.approx(expected, rel=1e-5)
    total.backward()  # type: ignore[no-untyped-call]
    assert all(parameter.grad is not None for parameter in heads.parameters())
    with pytest.raises(InputError, match="a method `features`"):
        WithHeads(nn.Linear(3, 3), names, classes)


@pytest.mark.parametrize("model", ["park-medium", "resnet-10-small", "patch-resnet"])
def test_features_lead_to_the_logits(model: str) -> None:
    network = get_preset(model).spec(get_measurement(), (1, 2, 14)).build().eval()
    x = torch.rand(2, get_measurement().grid.n_points)
    last_layer = network.get_submodule(network.output_layer)  # type: ignore[arg-type]
    assert torch.equal(last_layer(network.features(x)), network(x))  # type: ignore[operator]


def get_measurement() -> Measurement:
    """A short axis."""
    return Measurement(Grid(5.0, 90.0, 0.05), 1.5406)


def test_squared_sine_axis() -> None:
    """A cubic lattice's lines are evenly spaced on it, and their areas are what they are."""
    grid = Grid(5.0, 90.0, 0.01)
    axis = squared_sine_axis(grid)
    first = 0.02
    lines = first * np.arange(1, 25)
    angles = np.degrees(2 * np.arcsin(np.sqrt(lines)))
    pattern = np.exp(-0.5 * ((grid.two_theta[:, None] - angles) / 0.05) ** 2).sum(axis=1)
    x = torch.from_numpy(pattern.astype(np.float32)).repeat(2, 1)
    y = on_squared_sine(x, grid)
    assert y.shape == x.shape
    assert torch.equal(y[0], y[1])
    values = y[0].numpy()
    peaks = np.flatnonzero((values[1:-1] > values[:-2]) & (values[1:-1] >= values[2:]) & (values[1:-1] > 0.3)) + 1
    assert len(peaks) == 24
    assert axis[peaks] == pytest.approx(lines, abs=2e-4)
    # the mean over steps loses nothing: the integral over sin^2(theta) is that of the straight lines
    theta = np.radians(grid.two_theta) / 2
    assert np.trapezoid(values, axis) == pytest.approx(np.trapezoid(pattern, np.sin(theta) ** 2), rel=1e-3)
    # a slope that is coarser or finer than the new steps stays one
    slope = torch.linspace(0, 1, grid.n_points).unsqueeze(0)
    expected = np.interp(np.degrees(2 * np.arcsin(np.sqrt(axis))), grid.two_theta, np.linspace(0, 1, grid.n_points))
    assert on_squared_sine(slope, grid)[0].numpy()[5:-5] == pytest.approx(expected[5:-5], abs=1e-4)


def test_peaks_are_found_in_any_order() -> None:
    grid = Grid(5.0, 90.0, 0.02)
    points = grid.two_theta
    places, heights = np.array([20.0, 33.0, 47.5, 61.0, 80.0]), np.array([0.5, 1.0, 0.3, 0.8, 0.05])
    sigmas = np.array([0.05, 0.1, 0.2, 0.05, 0.1])
    pattern = (heights * np.exp(-0.5 * ((points[:, None] - places) / sigmas) ** 2)).sum(axis=1)
    branch = PeakBranch(8, grid.n_points)
    x = torch.from_numpy(pattern.astype(np.float32)).unsqueeze(0)
    position, height, width = (part[0].numpy() for part in branch.peaks(x))
    order = np.argsort(-heights)
    assert 5.0 + 85.0 * position[:5] == pytest.approx(places[order], abs=0.011)
    assert height[:5] == pytest.approx(heights[order], abs=2e-3)
    assert (height[5:] == 0).all()
    wide = dict(zip(sigmas[order].tolist(), width[:5].tolist(), strict=True))
    assert wide[0.05] < wide[0.1] < wide[0.2] < 1.0
    flat = torch.zeros(1, grid.n_points)
    flat[0, 100:103] = 0.5  # a plateau is one maximum
    assert int((branch.peaks(flat)[1] > 0).sum()) == 1
    assert torch.isfinite(branch(torch.zeros(1, grid.n_points))).all()
    said = branch(x)
    assert said.shape == (1, branch.width)
    noisy = branch(x + 0.001 * torch.rand(x.shape))
    assert not torch.equal(said, noisy)


@pytest.mark.parametrize("model", ["resnet-10-small", "patch-resnet"])
def test_stopped_and_continued_is_the_same(tmp_path: Path, make_spool: Any, monkeypatch: Any, model: str) -> None:
    """A checkpoint on the way, another process: the same weights, average, heads and counts, bit for bit."""
    one, two = make_spool("one", shards=4), make_spool("two", shards=4)
    options = tuple(option for option in EVERYTHING if model != "patch-resnet" or option != "dense-relu")
    request = {**SHORT, "model": model, "options": options, "samples": 448, "checkpoint_every": 128}
    fit(FitRequest(source=one.path, run=tmp_path / "a", **request))
    step = Trainer._step

    def dying(self: Trainer, batch: Any) -> None:
        if self.samples == 192:
            raise Interrupted("killed")
        step(self, batch)

    monkeypatch.setattr(Trainer, "_step", dying)
    with pytest.raises(Interrupted, match="killed"):
        fit(FitRequest(source=two.path, run=tmp_path / "b", **request))
    monkeypatch.setattr(Trainer, "_step", step)
    assert 0 < last(tmp_path / "b")["samples"] <= 192  # 128, unless the machine was slow enough for one between
    fit(FitRequest(source=two.path, run=tmp_path / "b", **request))
    first, second = last(tmp_path / "a"), last(tmp_path / "b")
    assert set(first["training"]) == {"class_counts", "model", "averaged_steps", "heads"} == set(second["training"])
    for part in (("model",), ("training", "model"), ("training", "heads")):
        left, right = first, second
        for key in part:
            left, right = left[key], right[key]
        assert all(torch.equal(value, right[name]) for name, value in left.items()), part
    assert first["training"]["averaged_steps"] == second["training"]["averaged_steps"]
    assert torch.equal(first["training"]["class_counts"], second["training"]["class_counts"])
    assert any(not torch.equal(value, first["training"]["model"][key]) for key, value in first["model"].items())
    weights = load_run(tmp_path / "a").model.state_dict()
    assert weights.keys() == first["model"].keys()  # no head in what is used
    assert all(torch.equal(weights[key], value) for key, value in first["model"].items())


def test_heads_leave_the_network_alone(tmp_path: Path, make_spool: Any) -> None:
    """Heads without weight: the same network, bit for bit; with weight: another one of the same shape."""
    weights = {}
    for name, options in {"a": (), "b": ("heads", "head-weight=0"), "c": ("heads=lattice", "head-weight=1")}.items():
        spool = make_spool(name, shards=2)
        fit(FitRequest(source=spool.path, run=tmp_path / f"run-{name}", samples=192, options=options, **SHORT))
        weights[name] = last(tmp_path / f"run-{name}")["model"]
    assert weights["a"].keys() == weights["b"].keys() == weights["c"].keys()
    assert all(torch.allclose(value, weights["b"][key], atol=1e-6) for key, value in weights["a"].items())
    assert any(not torch.allclose(value, weights["c"][key], atol=1e-4) for key, value in weights["a"].items())


def test_what_is_measured_is_the_average(tmp_path: Path, make_spool: Any, make_fixed_set: Any) -> None:
    spool, real = make_spool(shards=6), make_fixed_set(n=60)
    run = tmp_path / "run"
    request = FitRequest(
        source=spool.path, run=run, samples=768, options=("ema=0.8",), **{**SHORT, "tests": (f"real={real}",)}
    )
    results = fit(request)
    state = last(run)
    loaded = load_run(run)
    with np.load(run / "evaluation" / "real.npz") as arrays:
        logits = arrays["logits"].astype(np.float32)
    patterns = FixedSet.open(real).patterns(0, 60).astype(np.float32) ** 0.5
    network = loaded.spec.build().eval()
    with torch.no_grad():
        network.load_state_dict(state["model"])
        assert network(torch.from_numpy(patterns)).numpy() == pytest.approx(logits, abs=0.02)
        network.load_state_dict(state["training"]["model"])
        assert np.abs(network(torch.from_numpy(patterns)).numpy() - logits).max() > 0.05
    assert results["real"]["n"] == 60
    with pytest.raises(InputError, match="averaged weights"):
        calibrate(run, None)


def test_options_of_a_run_stay(tmp_path: Path, make_spool: Any, capsys: Any) -> None:
    spool = make_spool(shards=4)
    run = tmp_path / "run"
    fit(FitRequest(source=spool.path, run=run, samples=128, options=("ema=0.9", "sin2-theta", "mix=0.5"), **SHORT))
    assert "ema=0.9, mix=0.5" in capsys.readouterr().err
    with np.load(run / "evaluation" / "synthetic.npz") as arrays:
        assert 32 < len(arrays["labels"]) < 96  # those that no other was added to
    fit(FitRequest(source=spool.path, run=run, samples=192, options=("ema=0.9",), tests=("none",)))
    for other in ("ema=0.8", "ema=0", "sin2-theta=off", "dense-relu"):
        with pytest.raises(InputError, match=f"started otherwise .without --option {other}"):
            fit(FitRequest(source=spool.path, run=run, samples=256, options=(other,), tests=("none",)))
    assert load_run(run).spec.input.channels == (Channel.PATTERN, Channel.SQUARED_SINE)


def test_dry_run_touches_nothing(tmp_path: Path, make_spool: Any, run_command: Any) -> None:
    spool = make_spool(shards=2)
    before = sorted((path, path.stat().st_mtime_ns) for path in tmp_path.rglob("*"))
    options = [
        "--option",
        "ema",
        "--option=heads=lattice",
        "--samples",
        "6400",
        "--batch",
        "64",
        "--model",
        "patch-resnet",
    ]
    done = run_command("xrdtrain", "fit", spool.path, "--dry-run", "--run", tmp_path / "run", *options)
    assert done.returncode == 0, done.stderr
    assert "6,400 samples, 100 steps" in done.stdout
    assert "ema=0.999, heads=lattice, head-weight=0.1" in done.stdout
    assert "6 space groups" in done.stdout
    assert "test set    amcsd" in done.stdout
    assert sorted((path, path.stat().st_mtime_ns) for path in tmp_path.rglob("*")) == before
    lines = describe(FitRequest(source=tmp_path / "new", produce=1, run=tmp_path / "run"))
    assert "not there yet" in "\n".join(lines)
    with pytest.raises(InputError, match="no spool or fixed set there"):
        describe(FitRequest(source=tmp_path / "new", run=tmp_path / "run"))
    assert sorted((path, path.stat().st_mtime_ns) for path in tmp_path.rglob("*")) == before


def test_options_from_a_file(tmp_path: Path, make_spool: Any, run_command: Any) -> None:
    spool = make_spool(shards=2)
    file = tmp_path / "fit.toml"
    file.write_text('model = "patch-resnet"\nsamples = 128\nbatch = 64\noption = ["ema", "mix=0.2"]\ntest = "none"\n')
    done = run_command("xrdtrain", "fit", spool.path, "--config", file, "--run", tmp_path / "run", "--max-time", "1h")
    assert done.returncode == 0, done.stderr
    config = read_config(tmp_path / "run")
    assert (config.recipe["ema"], config.recipe["mix"], config.max_time) == (0.999, 0.2, 3600.0)
    done = run_command("xrdtrain", "fit", spool.path, "--option", "emma")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "did you mean ema" in done.stderr
    for line, message in {
        'precision = "fp8"': "--precision: 'fp8' is not one of auto, bf16, fp32",
        'resume = "no"': "--resume 'no': auto or never",
        'max-time = "soon"': "not a length of time",
        "test = [1]": "a text or a list",
        "sample = 3": "did you mean samples",
    }.items():
        file.write_text(line)
        with pytest.raises(XrdError, match=message):
            from_file(FitRequest, file, {})
    file.write_text('max-time = 90\nclasses = [14, 2]\nresume = "never"\ntest = ["a=b", "c=d"]\ncompile = false\n')
    request = FitRequest(max_time=90.0, classes=(2, 14), resume=False, tests=("a=b", "c=d"), compile=False)
    assert from_file(FitRequest, file, {}) == request


@pytest.mark.slow
def test_two_processes_with_everything(tmp_path: Path, make_spool: Any) -> None:
    """Over gloo: counts, average and heads are the same on both, and one checkpoint is written."""
    spool = make_spool(shards=4)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--no-python"]
    command += ["--", str(Path(sys.executable).with_name("xrdtrain")), "fit", str(spool.path)]
    command += ["--run", str(tmp_path / "run"), "--model", "patch-resnet", "--test", "none", "--samples", "450"]
    command += ["--batch", "45", "--precision", "fp32", "--eval-every", "225"]
    command += [word for option in EVERYTHING if option != "dense-relu" for word in ("--option", option)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    state = last(tmp_path / "run")
    with np.load(tmp_path / "run" / "evaluation" / "synthetic.npz") as arrays:
        assert len(arrays["labels"]) < 450
    assert int(state["training"]["class_counts"].sum()) == 450 + 6  # of both processes
    assert state["training"]["averaged_steps"] == 10

"""Put together what a training needs: its source, its network, every setting resolved, its test sets."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import shutil
from pathlib import Path

import torch
from torch import nn
from xrdcommon import console
from xrdcommon.errors import InputError
from xrdcommon.shards.format import SPOOL_FILE
from xrdcommon.spool.spool import Spool

from xrdtrain.data.batch import Source
from xrdtrain.data.fixed_source import FixedSource
from xrdtrain.data.progress import OnCrash
from xrdtrain.data.spool_source import SpoolSource
from xrdtrain.distributed import Ranks
from xrdtrain.evaluation.fixed_test_sets import EMBEDDED_NAME, TestSet, embedded_path, open_test_sets, parse_tests
from xrdtrain.fitting.options import FitRequest
from xrdtrain.fitting.request import TrainingPlan, chosen_feed, chosen_on_crash
from xrdtrain.inference.bundle import EMBEDDED
from xrdtrain.inference.load import load_run
from xrdtrain.inputs.axis import check_covers
from xrdtrain.labels import Classes
from xrdtrain.models import NetworkSpec, n_parameters
from xrdtrain.models.spec import Network, architecture_to_dict
from xrdtrain.precision import Precision
from xrdtrain.runs.config import RunConfig
from xrdtrain.runs.network import read_network


def chosen_batch(request: FitRequest, before: RunConfig | None, plan: TrainingPlan) -> int:
    """Return the samples of a step: what was asked for, else the run's, else the recipe's."""
    return request.batch or (before.batch if before else plan.recipe.batch)


def chosen_seed(request: FitRequest, before: RunConfig | None) -> int:
    """Return the seed: what was asked for, else the run's, else 0."""
    return request.seed if request.seed is not None else (before.seed if before else 0)


def make_source(
    request: FitRequest,
    before: RunConfig | None,
    place: Path,
    run: Path,
    run_id: str,
    ranks: Ranks,
    *,
    batch: int,
    seed: int,
) -> Source:
    """Open a spool or a fixed set to train on; nothing is claimed or written yet.

    Raises:
        InputError, MissingFileError, FormatError, SpoolError: not one, or options that it cannot have.

    """
    if (place / SPOOL_FILE).is_file():
        order_file = run / "claims.jsonl"
        return SpoolSource(
            Spool.open(place),
            run_id=run_id,
            order_file=order_file,
            batch=batch,
            ranks=ranks,
            feed=chosen_feed(request, before),
            on_crash=chosen_on_crash(request, before),
        )
    if request.on_crash is OnCrash.DISCARD:
        raise InputError("--on-crash discard: a fixed set is used again every epoch; only for a spool")
    if request.feed is not None:
        raise InputError("--feed: a queue of a spool; a fixed set has none")
    chosen = request.classes or (before.classes if before else None)
    return FixedSource(place, batch=batch, seed=seed, ranks=ranks, run=run, cache=request.cache, classes=chosen)


def chosen_network(plan: TrainingPlan, source: Source, run: Path) -> NetworkSpec:
    """Return the network that a run began with, or the preset's for this source.

    Raises:
        InputError: the source has other classes than the run's network, or does not cover its axis.

    """
    if plan.preset is not None:
        return plan.preset.spec(source.measurement, tuple(source.classes.tolist()), dropout=source.is_fixed)
    spec = read_network(run)
    check_covers("the source", source.measurement, spec.input.measurement, f"the network of {run}")
    if spec.classes != tuple(source.classes.tolist()):
        raise InputError(
            f"{run}: the run was started otherwise (classes were {len(spec.classes)} space groups, the source has "
            f"{len(source.classes)}); take another --run or the same source"
        )
    return spec


def chosen_configuration(
    request: FitRequest,
    before: RunConfig | None,
    plan: TrainingPlan,
    place: Path,
    source: Source,
    batch: int,
    seed: int,
    precision: Precision,
    run_id: str,
    spec: NetworkSpec,
    model: nn.Module,
) -> RunConfig:
    """Resolve every setting: what was asked for, else the run's, else the preset's."""
    samples, max_time = request.samples, request.max_time
    if before is not None:
        samples = before.samples if samples is None else samples
        max_time = before.max_time if max_time is None else max_time
    if samples is None and max_time is None:
        samples = plan.recipe.samples
    eval_every = request.eval_every or (before.eval_every if before else plan.recipe.samples_per_epoch)
    saved = request.checkpoint_every or (before.checkpoint_every if before else eval_every)
    rate = request.learning_rate or (before.learning_rate if before else plan.recipe.learning_rate)
    init_from = None if request.init_from is None else str(request.init_from)
    if init_from is not None and not init_from.startswith(EMBEDDED):
        init_from = str(Path(init_from).absolute())
    if init_from is None and before is not None:
        init_from = before.init_from
    return RunConfig(
        model=plan.model,
        source=str(place),
        origin=source.origin,
        grid=source.grid.to_dict(),
        classes=source.classes.tolist(),
        wavelength=source.measurement.wavelength,
        batch=batch,
        learning_rate=rate,
        seed=seed,
        samples=samples,
        max_time=max_time,
        eval_every=eval_every,
        checkpoint_every=saved,
        precision=precision.value,
        tests=before.tests if before else {},
        init_from=init_from,
        dropout=spec.dropout,
        n_parameters=n_parameters(model),
        run_id=run_id,
        recipe=plan.recipe.to_dict(),
        created=before.created if before else datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        version=importlib.metadata.version("xrdstream"),
        on_crash=chosen_on_crash(request, before).value,
    )


def chosen_test_sets(
    config: RunConfig, request: FitRequest, before: RunConfig | None, spec: NetworkSpec
) -> list[TestSet]:
    """Open the test sets asked for, else the run's, else the embedded real one."""
    embedded = False
    if request.tests is not None:
        paths = {} if request.tests == ("none",) else parse_tests(request.tests)
    elif before is not None:
        paths = {name: Path(path) for name, path in before.tests.items()}
    else:
        paths, embedded = {EMBEDDED_NAME: embedded_path()}, True
    reference = f"the source {config.source}"
    try:
        return open_test_sets(
            paths, measurement=spec.input.measurement, classes=Classes(spec.classes), reference=reference
        )
    except InputError as error:
        if not embedded:
            raise
        console.say(f"training without the embedded test set: {error}")
        return []


def initialise(model: Network, spec: NetworkSpec, other: str, config: RunConfig) -> None:
    """Take the weights of another run; in the last layer those of the classes that both know.

    Raises:
        InputError: another architecture or input.

    """
    run = load_run(other, torch.device("cpu"))
    if run.spec.architecture != spec.architecture or run.spec.input != spec.input:
        options = _options_apart(run.spec, spec)
        remedy = (
            "train on patterns of its axis and wavelength"
            if run.spec.input.measurement != spec.input.measurement
            else "leave --model and options of the network out to take its network"
        )
        raise InputError(
            f"--init-from {other}: model {run.config.model} ({run.spec.input}), but this run is {config.model} "
            f"({spec.input}{f'; {options}' if options else ''}); both must be the same: {remedy}"
        )
    weights = run.model.state_dict()
    if run.spec.classes != spec.classes:
        if not hasattr(model, "output_layer"):
            raise InputError(
                f"--init-from {other}: other classes, and {config.model} does not say which layer gives the logits; "
                "set `output_layer` to its name in the network"
            )
        shared = sorted(set(spec.classes) & set(run.spec.classes))
        here, there = ([classes.index(group) for group in shared] for classes in (spec.classes, run.spec.classes))
        for name, values in model.state_dict().items():
            if name.startswith(f"{model.output_layer}."):  # rows are classes
                known = weights[name]
                by_class = values.shape[0] == len(spec.classes) and known.shape[0] == len(run.spec.classes)
                weights[name] = values.index_copy(0, torch.tensor(here), known[there]) if by_class else values
        console.say(
            f"--init-from {other}: knows {len(shared)} of these {len(spec.classes)} space groups; "
            "in the last layer the others begin afresh"
        )
    model.load_state_dict(weights)


def _options_apart(there: NetworkSpec, here: NetworkSpec) -> str:
    """Say in what two networks of one kind differ, such as 'peaks 64 there, 0 here'; nothing of different kinds."""
    one, two = architecture_to_dict(there.architecture), architecture_to_dict(here.architecture)
    if one["kind"] != two["kind"]:
        return ""
    return ", ".join(f"{name} {one[name]} there, {two[name]} here" for name in one if one[name] != two[name])


def chosen_compilation(request: FitRequest, ranks: Ranks) -> bool:
    """Return whether to compile: on CUDA by default, on a CPU when asked for.

    Raises:
        InputError: asked for on a CPU without a C++ compiler.

    """
    if request.compile and ranks.device.type == "cpu" and not (shutil.which("g++") or os.environ.get("CXX")):
        raise InputError("--compile: needs a C++ compiler (g++) on a CPU; install one or leave --compile out")
    return ranks.device.type == "cuda" if request.compile is None else request.compile

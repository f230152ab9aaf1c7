"""`xrdtrain fit`: from what the user asked for to a trained run folder."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import secrets
import shutil
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from xrdcommon import console
from xrdcommon.errors import FormatError, InputError, Interrupted, MissingFileError
from xrdcommon.files import read_json, write_json
from xrdcommon.fixed_sets.fixed_set import is_fixed_set
from xrdcommon.json_values import json_ready
from xrdcommon.shards.format import SPOOL_FILE
from xrdcommon.signals import StopRequest, stop_on_signals
from xrdcommon.spool.spool import Spool

from xrdtrain.data.batch import Source
from xrdtrain.data.fixed_source import FixedSource
from xrdtrain.data.progress import OnCrash
from xrdtrain.data.spool_source import SpoolSource
from xrdtrain.distributed import Ranks, connect
from xrdtrain.evaluation.evaluate import evaluate_run
from xrdtrain.evaluation.fixed_test_sets import EMBEDDED_NAME, TestSet, embedded_path, open_test_sets, parse_tests
from xrdtrain.fitting.beforehand import check_beforehand
from xrdtrain.fitting.local_producer import Producer, leave_cores_to_producers, local_producer
from xrdtrain.fitting.request import (
    FitRequest,
    Plan,
    chosen_feed,
    chosen_on_crash,
    chosen_plan,
    chosen_run,
    chosen_source,
    earlier_run,
)
from xrdtrain.fitting.trainer import Trainer
from xrdtrain.inference.bundle import EMBEDDED
from xrdtrain.inference.classifier import Precision, resolve_precision
from xrdtrain.inference.load import load_run, network_of
from xrdtrain.inputs.axis import check_covers
from xrdtrain.labels import Classes
from xrdtrain.models import NetworkSpec, n_parameters
from xrdtrain.models.spec import FILE as NETWORK_FILE
from xrdtrain.models.spec import Network
from xrdtrain.runs import checkpoint
from xrdtrain.runs.config import RunConfig, check_same
from xrdtrain.runs.network import read_network, save_network

LOOK = 0.3
START_PATIENCE = 300.0
"""Seconds that a local producer gets to make its spool."""


def fit(request: FitRequest) -> dict[str, Any]:
    """Train, and return the content of evaluation.json.

    Raises:
        InputError, MissingFileError, SpoolError, FormatError: wrong input.
        Interrupted: stopped by a signal; the same request goes on.

    """
    with connect() as ranks, stop_on_signals(at_once=(signal.SIGINT,)) as stop:
        before = earlier_run(request)
        plan = chosen_plan(request, before)
        run = ranks.from_leader(chosen_run(request, plan.model, chosen_source(request, before)))
        request = replace(request, run=run)
        before = earlier_run(request)
        plan = chosen_plan(request, before)
        finished = ranks.from_leader(before is not None and ranks.leads and _finished(run, request))
        if before is not None and finished:
            return _measure_finished(run, request, before, ranks)
        place = chosen_source(request, before)
        if request.produce is not None and is_fixed_set(place):
            raise InputError(f"{place}: a fixed set; --produce works with a spool")
        compiled = _compiled(request, ranks)
        check_beforehand(request, before, place, request.batch or (before or plan.recipe).batch, ranks)
        with local_producer(
            place,
            request.produce if ranks.leads else None,
            request.produce_options if ranks.leads else "",
            run / "produce.log",
        ) as producer:
            _wait_for_source(place, request, producer, stop)
            return _train(request, before, plan, run, place, ranks, stop, producer, compiled=compiled)


def _train(
    request: FitRequest,
    before: RunConfig | None,
    plan: Plan,
    run: Path,
    place: Path,
    ranks: Ranks,
    stop: StopRequest,
    producer: Producer | None,
    *,
    compiled: bool,
) -> dict[str, Any]:
    """Put everything together and train."""
    run_id = ranks.from_leader(before.run_id if before else f"{run.name[:80]}-{secrets.token_hex(4)}")
    run_id = "".join(letter if letter.isalnum() or letter in "._-" else "_" for letter in run_id).lstrip(".-")
    batch = request.batch or (before.batch if before else plan.recipe.batch)
    seed = request.seed if request.seed is not None else (before.seed if before else 0)
    source: Source
    if (place / SPOOL_FILE).is_file():
        order_file = run / "claims.jsonl"
        source = SpoolSource(
            Spool.open(place),
            run_id=run_id,
            order_file=order_file,
            batch=batch,
            ranks=ranks,
            feed=chosen_feed(request, before),
            on_crash=chosen_on_crash(request, before),
        )
    else:
        if request.on_crash is OnCrash.DISCARD:
            raise InputError("--on-crash discard: a fixed set is used again every epoch; only for a spool")
        if request.feed is not None:
            raise InputError("--feed: a queue of a spool; a fixed set has none")
        chosen = request.classes or (before.classes if before else None)
        source = FixedSource(place, batch=batch, seed=seed, ranks=ranks, run=run, cache=request.cache, classes=chosen)
    if request.produce and ranks.device.type == "cpu":
        leave_cores_to_producers(request.produce)
    checkpoint.seed_everything(seed)
    spec = _network(plan, source, run)
    model = spec.build()
    precision = resolve_precision(request.precision, ranks.device)
    config = _configuration(request, before, plan, place, source, batch, seed, precision, run_id, spec, model)
    tests = _test_sets(config, request, before, spec)
    config = replace(config, tests={test.name: str(test.data.path.absolute()) for test in tests})
    state = None
    if before is not None:
        check_same(run, before, config)
    found = _checkpoint_to_resume(run, ranks)
    if found is not None:
        place, state = found
        if network_of(state, place, run) != spec:
            raise FormatError(f"{place}: holds another network than {run / NETWORK_FILE} describes")
    elif config.init_from is not None:
        _initialise(model, spec, config.init_from, config)
    if ranks.leads:
        run.mkdir(parents=True, exist_ok=True)
        save_network(
            run, spec, begins=before is None
        )  # first: it may be read from the configuration of an earlier version
        config.save(run)
        _say_plan(config, run, ranks, tests, state)
    trainer = Trainer(
        config=config,
        recipe=plan.recipe,
        spec=spec,
        run=run,
        model=model,
        source=source,
        tests=tests,
        ranks=ranks,
        stop=stop,
        producer=producer,
        compiled=compiled,
    )
    try:
        trainer.resume(state)
        results = trainer.train()
    finally:
        trainer.close()
    return json_ready(results)  # type: ignore[no-any-return]


def _checkpoint_to_resume(run: Path, ranks: Ranks) -> tuple[Path, dict[str, Any]] | None:
    """Return the newest sound checkpoint, the same on every rank; rank 0 looks for it and says what is damaged."""
    found = checkpoint.newest(run / "checkpoints", ranks.device) if ranks.leads else None
    place = ranks.from_leader(None if found is None else found[0])
    if place is None:
        return None
    return found or (place, checkpoint.load(place, ranks.device))


def _finished(run: Path, request: FitRequest) -> bool:
    """Return whether a run has reached its end and is not asked to go beyond."""
    found = checkpoint.checkpoints(run / "checkpoints")
    if not found or not (run / "evaluation.json").exists():
        return False
    try:
        counters = checkpoint.counters(found[-1])
    except FormatError:  # what is damaged is said, and the one before taken, by whoever goes on
        return False
    samples = int(found[-1].stem.split("-")[1])
    more_samples = request.samples is not None and request.samples > samples
    more_time = request.max_time is not None and request.max_time > float(counters["elapsed"])
    return bool(counters["finished"]) and not (more_samples or more_time)


def _measure_finished(run: Path, request: FitRequest, before: RunConfig, ranks: Ranks) -> dict[str, Any]:
    """Measure a finished run on test sets that it has not been measured on; return what is new of evaluation.json."""
    known = {name: Path(path).absolute() for name, path in before.tests.items()}
    paths = {} if request.tests in (None, ("none",)) else parse_tests(request.tests or ())
    new = {name: path.absolute() for name, path in paths.items() if known.get(name) != path.absolute()}
    if not ranks.leads:
        return {}
    if not new:
        console.say(
            f"{run}: finished already; --samples or --max-time beyond it goes on, --test NAME=PATH measures it on "
            "another set, or take another --run"
        )
        return {}
    console.say(f"{run}: finished already; measuring it on {', '.join(new)}")
    results: dict[str, Any] = json_ready(evaluate_run(run, [f"{name}={path}" for name, path in new.items()]))
    tests = {name: str(path) for name, path in {**known, **new}.items()}
    write_json(run / "evaluation.json", {**read_json(run / "evaluation.json"), **results})
    replace(before, tests=tests).save(run)
    return results


def _wait_for_source(place: Path, request: FitRequest, producer: Producer | None, stop: StopRequest) -> None:
    """Wait for the spool that a local producer makes; otherwise it must be there.

    Raises:
        MissingFileError: nothing is there.
        InputError: something else is there.
        Interrupted: a signal came.

    """
    if request.produce is not None:
        deadline = time.monotonic() + START_PATIENCE
        while not (place / SPOOL_FILE).is_file():
            if stop:
                raise Interrupted(f"stopped while waiting for {place}; the same command goes on")
            if producer is not None:
                producer.check()
            if time.monotonic() > deadline:
                raise InputError(f"{place}: xrdgen produce made no spool within {START_PATIENCE:.0f} s; see its log")
            time.sleep(LOOK)
        return
    if not place.exists():
        raise MissingFileError(
            f"{place}: no spool or fixed set there; start `xrdgen produce {place}` first, or add --produce N to "
            "produce beside the training"
        )
    if not (place / SPOOL_FILE).is_file() and not is_fixed_set(place):
        raise InputError(
            f"{place}: neither a spool (spool.json) nor a fixed set (zarr.json); make one with `xrdgen produce` or "
            "`xrdgen freeze`, or add --produce N with a new folder"
        )


def _network(plan: Plan, source: Source, run: Path) -> NetworkSpec:
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


def _configuration(
    request: FitRequest,
    before: RunConfig | None,
    plan: Plan,
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


def _test_sets(config: RunConfig, request: FitRequest, before: RunConfig | None, spec: NetworkSpec) -> list[TestSet]:
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


def _initialise(model: Network, spec: NetworkSpec, other: str, config: RunConfig) -> None:
    """Take the weights of another run; the last layer stays fresh where the classes differ.

    Raises:
        InputError: another architecture or input.

    """
    run = load_run(other, torch.device("cpu"))
    if run.spec.architecture != spec.architecture or run.spec.input != spec.input:
        raise InputError(
            f"--init-from {other}: model {run.config.model} ({run.spec.input}), but this run is {config.model} "
            f"({spec.input}); both must be the same"
        )
    weights = run.model.state_dict()
    if run.spec.classes != spec.classes:
        if not hasattr(model, "output_layer"):
            raise InputError(
                f"--init-from {other}: other classes, and {config.model} does not say which layer gives the logits; "
                "set `output_layer` to its name in the network"
            )
        own = model.state_dict()
        weights.update({name: own[name] for name in own if name.startswith(f"{model.output_layer}.")})
        console.say(f"--init-from {other}: other classes, so the last layer begins afresh")
    model.load_state_dict(weights)


def _compiled(request: FitRequest, ranks: Ranks) -> bool:
    """Return whether to compile: on CUDA by default, on a CPU when asked for.

    Raises:
        InputError: asked for on a CPU without a C++ compiler.

    """
    if request.compile and ranks.device.type == "cpu" and not (shutil.which("g++") or os.environ.get("CXX")):
        raise InputError("--compile: needs a C++ compiler (g++) on a CPU; install one or leave --compile out")
    return ranks.device.type == "cuda" if request.compile is None else request.compile


def _say_plan(config: RunConfig, run: Path, ranks: Ranks, tests: list[TestSet], state: dict[str, Any] | None) -> None:
    """Tell what is about to happen."""
    where = str(ranks.device) if ranks.world == 1 else f"{ranks.world} processes on {ranks.device.type}"
    limits = [f"{config.samples:,} samples"] if config.samples else []
    limits += [f"{config.max_time:g} s"] if config.max_time else []
    console.say(
        f"{config.model}: {config.n_parameters:,} parameters, {len(config.classes)} space groups, {config.precision} "
        f"on {where}; run folder {run}; until {' or '.join(limits)}"
    )
    for test in tests:
        outside = int((test.labels < 0).sum())
        console.say(
            f"test set {test.name}: {len(test):,} patterns, {outside} of them with space groups the network does "
            "not know"
        )
    if state is not None:
        console.say(f"going on after {int(state['samples']):,} samples")

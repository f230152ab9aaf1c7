"""`xrdtrain fit`: from what the user asked for to a trained run folder."""

from __future__ import annotations

import secrets
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from xrdcommon import console
from xrdcommon.errors import FormatError, InputError, Interrupted, MissingFileError
from xrdcommon.files import read_json, write_json
from xrdcommon.fixed_sets.fixed_set import is_fixed_set
from xrdcommon.json_values import json_ready
from xrdcommon.shards.format import SPOOL_FILE
from xrdcommon.signals import StopRequest, stop_on_signals

from xrdtrain.distributed import Ranks, connect
from xrdtrain.evaluation.evaluate import evaluate_run
from xrdtrain.evaluation.fixed_test_sets import TestSet, parse_tests
from xrdtrain.fitting.assembly import (
    chosen_batch,
    chosen_compilation,
    chosen_configuration,
    chosen_network,
    chosen_seed,
    chosen_test_sets,
    initialise,
    make_source,
)
from xrdtrain.fitting.beforehand import check_beforehand
from xrdtrain.fitting.local_producer import Producer, leave_cores_to_producers, local_producer
from xrdtrain.fitting.options import FitRequest
from xrdtrain.fitting.request import (
    TrainingPlan,
    chosen_plan,
    chosen_run,
    chosen_source,
    earlier_run,
)
from xrdtrain.fitting.trainer import Trainer
from xrdtrain.inference.classifier import resolve_precision
from xrdtrain.inference.load import network_of
from xrdtrain.models import Recipe
from xrdtrain.models.spec import FILE as NETWORK_FILE
from xrdtrain.runs import checkpoint
from xrdtrain.runs.config import RunConfig, check_same
from xrdtrain.runs.network import save_network

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
        compiled = chosen_compilation(request, ranks)
        check_beforehand(request, before, place, chosen_batch(request, before, plan), ranks)
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
    plan: TrainingPlan,
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
    batch, seed = chosen_batch(request, before, plan), chosen_seed(request, before)
    source = make_source(request, before, place, run, run_id, ranks, batch=batch, seed=seed)
    if request.produce and ranks.device.type == "cpu":
        leave_cores_to_producers(request.produce)
    checkpoint.seed_everything(seed)
    spec = chosen_network(plan, source, run)
    model = spec.build()
    precision = resolve_precision(request.precision, ranks.device)
    config = chosen_configuration(request, before, plan, place, source, batch, seed, precision, run_id, spec, model)
    tests = chosen_test_sets(config, request, before, spec)
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
        initialise(model, spec, config.init_from, config)
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


def _say_plan(config: RunConfig, run: Path, ranks: Ranks, tests: list[TestSet], state: dict[str, Any] | None) -> None:
    """Tell what is about to happen."""
    where = str(ranks.device) if ranks.world == 1 else f"{ranks.world} processes on {ranks.device.type}"
    limits = [f"{config.samples:,} samples"] if config.samples else []
    limits += [f"{config.max_time:g} s"] if config.max_time else []
    console.say(
        f"{config.model}: {config.n_parameters:,} parameters, {len(config.classes)} space groups, {config.precision} "
        f"on {where}; run folder {run}; until {' or '.join(limits)}"
    )
    if options := Recipe.from_dict(config.recipe, str(run)).options():
        console.say(f"options of training: {', '.join(options)}")
    for test in tests:
        outside = int((test.labels < 0).sum())
        console.say(
            f"test set {test.name}: {len(test):,} patterns, {outside} of them with space groups the network does "
            "not know"
        )
    if state is not None:
        console.say(f"going on after {int(state['samples']):,} samples")

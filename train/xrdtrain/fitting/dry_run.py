"""What `xrdtrain fit` would do, told without doing it."""

from __future__ import annotations

from dataclasses import replace

import torch
from xrdcommon.errors import InputError
from xrdcommon.fixed_sets.fixed_set import is_fixed_set
from xrdcommon.shards.format import SPOOL_FILE

from xrdtrain.distributed import Ranks
from xrdtrain.fitting.assembly import (
    chosen_batch,
    chosen_compilation,
    chosen_configuration,
    chosen_network,
    chosen_seed,
    chosen_test_sets,
    make_source,
)
from xrdtrain.fitting.beforehand import check_beforehand
from xrdtrain.fitting.options import FitRequest
from xrdtrain.fitting.request import chosen_plan, chosen_run, chosen_source, earlier_run
from xrdtrain.inference.classifier import resolve_precision
from xrdtrain.inference.load import load_run
from xrdtrain.models import Recipe
from xrdtrain.runs import checkpoint
from xrdtrain.runs.config import RunConfig, check_same


def describe(request: FitRequest) -> list[str]:
    """Return the lines of --dry-run; nothing is written, claimed or started.

    Raises:
        InputError, MissingFileError, FormatError, SpoolError: what `fit` would refuse too.

    """
    ranks = Ranks(0, 1, torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    before = earlier_run(request)
    plan = chosen_plan(request, before)
    place = chosen_source(request, before)
    run = chosen_run(request, plan.model, place)
    if before is None and run != request.run:
        request = replace(request, run=run)
        before = earlier_run(request)
        plan = chosen_plan(request, before)
    batch, seed = chosen_batch(request, before, plan), chosen_seed(request, before)
    check_beforehand(request, before, place, batch, ranks)
    if request.init_from is not None:
        load_run(request.init_from)
    there = (place / SPOOL_FILE).is_file() or is_fixed_set(place)
    if not there and request.produce is None:
        raise InputError(f"{place}: no spool or fixed set there; add --produce N, or start `xrdgen produce {place}`")
    begun = checkpoint.checkpoints(run / "checkpoints") if before is not None else []
    lines = [f"run         {run}{f', goes on from {begun[-1].name}' if begun else ''}"]
    if not there:
        lines += [
            f"source      {place}: not there yet; {request.produce} local producer workers would make it",
            f"model       {plan.model}",
            *_recipe_lines(plan.recipe, batch, request.learning_rate or plan.recipe.learning_rate),
        ]
        return [*lines, "nothing was done (--dry-run)"]
    source = make_source(request, before, place, run, "dry-run", ranks, batch=batch, seed=seed)
    spec = chosen_network(plan, source, run)
    with torch.device("meta"):
        model = spec.build()
    precision = resolve_precision(request.precision, ranks.device)
    config = chosen_configuration(request, before, plan, place, source, batch, seed, precision, "dry-run", spec, model)
    if before is not None:
        check_same(run, before, config)
    tests = chosen_test_sets(config, request, before, spec)
    kind = "fixed set" if source.is_fixed else "spool"
    compiled = ", compiled" if chosen_compilation(request, ranks) else ""
    lines += [
        f"source      {kind} {place}, {source.measurement}, {len(source.classes)} space groups",
        f"model       {plan.model}: {config.n_parameters:,} parameters, {spec}",
        f"computes    {precision} on {ranks.device}{compiled}",
        *_recipe_lines(plan.recipe, batch, config.learning_rate),
        f"length      {_length(config)}",
        f"measured    every {config.eval_every:,} samples, checkpoint every {config.checkpoint_every:,}",
    ]
    lines += [f"test set    {test.name}: {len(test):,} patterns, {test.data.path}" for test in tests]
    lines += [f"begins with the weights of {config.init_from}"] if config.init_from else []
    lines += (
        [f"produces    {request.produce} local workers {request.produce_options}".rstrip()] if request.produce else []
    )
    return [*lines, "nothing was done (--dry-run)"]


def _length(config: RunConfig) -> str:
    """Say when the training ends."""
    parts = [f"{config.samples:,} samples, {-(-config.samples // config.batch):,} steps"] if config.samples else []
    parts += [f"{config.max_time:g} s"] if config.max_time else []
    return ", or ".join(parts)


def _recipe_lines(recipe: Recipe, batch: int, rate: float) -> list[str]:
    """Say how it is trained."""
    decay = f", weight decay {recipe.weight_decay:g}" if recipe.weight_decay else ""
    mask = ", ranges hidden at random" if recipe.mask is not None else ""
    lines = [f"recipe      {recipe.optimiser}, learning rate {rate:g} {recipe.schedule}, batch {batch}{decay}{mask}"]
    if said := recipe.options():
        lines.append(f"options     {', '.join(said)}")
    return lines

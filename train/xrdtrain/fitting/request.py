"""What follows from what the user asked `xrdtrain fit` for together with the run that may be there already."""

from __future__ import annotations

import datetime
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from xrdcommon.errors import FormatError, InputError
from xrdcommon.fixed_sets.fixed_set import FixedSet, is_fixed_set
from xrdcommon.shards.format import SPOOL_FILE
from xrdcommon.spool.layout import MAIN, check_name
from xrdcommon.spool.spool import Spool

from xrdtrain.data.progress import OnCrash
from xrdtrain.fitting.options import FitRequest
from xrdtrain.inference.load import load_run
from xrdtrain.models import Preset, Recipe, default_preset, get_preset
from xrdtrain.models.options import with_options
from xrdtrain.models.spec import FILE as NETWORK_FILE
from xrdtrain.runs.config import RunConfig, read_config
from xrdtrain.runs.network import read_network

BEFORE_A_RUN = ("produce.log", "cache", NETWORK_FILE)
"""What may lie in a folder in which no run has begun."""


def earlier_run(request: FitRequest) -> RunConfig | None:
    """Return the configuration of a run that can go on.

    Raises:
        InputError: the folder holds something else, or must not be resumed.

    """
    run = request.run
    if run is None or not run.exists():
        return None
    if not (run / "config.json").is_file():
        if any(path.name not in BEFORE_A_RUN for path in run.iterdir()):
            raise InputError(f"{run}: holds files and is not a run folder; take another --run")
        return None
    if not request.resume:
        raise InputError(f"{run}: there is a run already and --resume is never; take another --run")
    return read_config(run)


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """The network to train and how: today's preset for a new run, what it began with for one that goes on.

    Attributes:
        model: name of the preset.
        recipe: how to train.
        preset: None for a run that goes on, whose network is its own.

    """

    model: str
    recipe: Recipe
    preset: Preset | None


def chosen_plan(request: FitRequest, before: RunConfig | None) -> TrainingPlan:
    """Return the run's plan, else the model asked for with its options, else the one that suits the machine.

    Raises:
        InputError: no such model or option, or the run was started with others.

    """
    if before is None:
        if request.model is not None:
            preset = get_preset(request.model)
        else:
            preset = default_preset() if request.init_from is None else _preset_of(request.init_from)
        preset = with_options(preset, request.options or ())
        return TrainingPlan(preset.name, preset.recipe, preset)
    if request.model not in (None, before.model):
        raise InputError(
            f"{request.run}: the run was started otherwise (model was {before.model}, now {request.model}); "
            "take another --run"
        )
    recipe = Recipe.from_dict(before.recipe, str(request.run))
    if request.options and request.run is not None:
        spec = read_network(request.run)
        now = Preset(before.model, spec.architecture, recipe, spec.input.transform, spec.input.channels)
        for option in request.options:
            if with_options(now, (option,)) != now:
                raise InputError(
                    f"{request.run}: the run was started otherwise (without --option {option}); take another --run or "
                    "leave the option out"
                )
    return TrainingPlan(before.model, recipe, None)


def _preset_of(place: Path) -> Preset:
    """Return the preset of a network to begin with, with the options that changed the network itself.

    Raises:
        InputError: no run, or of a model that this version does not have.

    """
    begun = load_run(place)
    try:
        preset = get_preset(begun.config.model)
    except InputError as error:
        raise InputError(f"--init-from {place}: {error}") from error
    given = begun.spec.input
    return replace(preset, network=begun.spec.architecture, transform=given.transform, channels=given.channels)


def chosen_run(request: FitRequest, model: str, source: Path) -> Path:
    """Return --run, else the latest unfinished run of this source in runs/, else a new runs/<date>-<model>.

    Args:
        request: what was asked for.
        model: that a new run would have.
        source: the spool or fixed set; nothing need be there yet.

    """
    if request.run is not None:
        return request.run
    if request.resume and (found := _unfinished(request, source)):
        return found[-1]
    base = Path("runs") / f"{datetime.date.today().isoformat()}-{model.replace(':', '.')}"
    number = 1
    while True:
        run = base if number == 1 else base.with_name(f"{base.name}-{number}")
        if not run.exists() or not any(path.name not in BEFORE_A_RUN for path in run.iterdir()):
            return run
        number += 1


def _unfinished(request: FitRequest, source: Path) -> list[Path]:
    """Return the runs that this request could go on with, oldest first; those of another version are passed over."""
    origin = origin_of(source)
    if origin is None:
        return []
    found = []
    for file in Path("runs").glob("*/config.json"):
        if (file.parent / "evaluation.json").exists():
            continue
        try:
            config = read_config(file.parent)
        except FormatError:
            continue
        same = {key: config.origin.get(key) for key in origin} == origin
        if same and request.model in (None, config.model) and request.feed in (None, config.origin.get("feed", MAIN)):
            found.append((config.created, file.parent))
    return [run for _, run in sorted(found)]


def origin_of(source: Path) -> dict[str, Any] | None:
    """Return what identifies a source among those that runs have read; None where there is none yet.

    Raises:
        SpoolError, FormatError: a damaged one.

    """
    if (source / SPOOL_FILE).is_file():
        return {"kind": "spool", "uuid": Spool.open(source).uuid}
    if is_fixed_set(source):
        return {"kind": "fixed set", "content_hash": FixedSet.open(source).content_hash}
    return None


def chosen_source(request: FitRequest, before: RunConfig | None) -> Path:
    """Return SOURCE, the run's source, $XRD_SPOOL or ./spool."""
    if request.source is not None:
        return request.source.absolute()
    if before is not None:
        return Path(before.source)
    return Path(os.environ.get("XRD_SPOOL") or "spool").absolute()


def chosen_feed(request: FitRequest, before: RunConfig | None) -> str:
    """Return the queue of the spool asked for, else the run's, else the main one.

    Raises:
        InputError: not a name, or the run reads another feed.

    """
    feed = None if request.feed is None else check_name(request.feed, "feed")
    if before is None:
        return feed or MAIN
    reads = str(before.origin.get("feed", MAIN))
    if feed not in (None, reads):
        raise InputError(f"--feed {feed}: the run reads feed '{reads}'; take another --run for another feed")
    return reads


def chosen_on_crash(request: FitRequest, before: RunConfig | None) -> OnCrash:
    """Return what was asked for, else what the run was started with."""
    if request.on_crash is not None:
        return request.on_crash
    return OnCrash(before.on_crash) if before else OnCrash.REPLAY

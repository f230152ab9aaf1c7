"""What the user asked `xrdtrain fit` for, and what follows from it together with the run that may be there already."""

from __future__ import annotations

import datetime
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xrdcommon.errors import FormatError, InputError
from xrdcommon.fixed_sets.fixed_set import FixedSet, is_fixed_set
from xrdcommon.shards.format import SPOOL_FILE
from xrdcommon.space_groups import parse_groups
from xrdcommon.spool.layout import MAIN, check_name
from xrdcommon.spool.spool import Spool

from xrdtrain.data.progress import OnCrash
from xrdtrain.inference.classifier import Precision
from xrdtrain.models import Preset, Recipe, default_preset, get_preset
from xrdtrain.models.spec import FILE as NETWORK_FILE
from xrdtrain.runs.config import RunConfig, read_config

BEFORE_A_RUN = ("produce.log", "cache", NETWORK_FILE)
"""What may lie in a folder in which no run has begun."""


@dataclass(frozen=True, slots=True)
class FitRequest:
    """What the user asked for; None: the preset's value, or the run's when it goes on.

    Attributes are those of the command (see `xrdtrain fit --help`).
    """

    source: Path | None = None
    run: Path | None = None
    model: str | None = None
    tests: tuple[str, ...] | None = None
    samples: int | None = None
    max_time: float | None = None
    resume: bool = True
    precision: Precision = Precision.AUTO
    compile: bool | None = None
    batch: int | None = None
    learning_rate: float | None = None
    eval_every: int | None = None
    checkpoint_every: int | None = None
    produce: int | None = None
    produce_options: str = ""
    init_from: Path | None = None
    seed: int | None = None
    classes: tuple[int, ...] | None = None
    feed: str | None = None
    on_crash: OnCrash | None = None
    cache: str | None = None

    def __post_init__(self) -> None:
        """Refuse numbers that make no sense."""
        for name in ("samples", "batch", "eval_every", "checkpoint_every", "max_time", "learning_rate"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise InputError(f"--{name.replace('_', '-')} {value}: must be positive and finite")
        if self.seed is not None and self.seed < 0:
            raise InputError(f"--seed {self.seed}: must not be negative")


def parse_classes(text: str) -> tuple[int, ...]:
    """Read space groups such as 2,14,62, or those of a run where a run folder is named.

    Raises:
        InputError: not space groups.
        FormatError: the folder is no run of this version.

    """
    if (Path(text) / "config.json").is_file():
        return tuple(read_config(Path(text)).classes)
    return tuple(parse_groups(text))


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
class Plan:
    """The network to train and how: today's preset for a new run, what it began with for one that goes on.

    Attributes:
        model: name of the preset.
        recipe: how to train.
        preset: None for a run that goes on, whose network is its own.

    """

    model: str
    recipe: Recipe
    preset: Preset | None


def chosen_plan(request: FitRequest, before: RunConfig | None) -> Plan:
    """Return the run's plan, else the model asked for, else the one that suits the machine.

    Raises:
        InputError: no such model, or the run has another.

    """
    if before is None:
        preset = default_preset() if request.model is None else get_preset(request.model)
        return Plan(preset.name, preset.recipe, preset)
    if request.model not in (None, before.model):
        raise InputError(
            f"{request.run}: the run was started otherwise (model was {before.model}, now {request.model}); "
            "take another --run"
        )
    return Plan(before.model, Recipe.from_dict(before.recipe, str(request.run)), None)


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

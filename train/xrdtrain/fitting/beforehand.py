"""What can be refused before anything is made: before a local producer starts and a run folder appears."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from xrdcommon.errors import InputError
from xrdcommon.fixed_sets.fixed_set import FixedSet
from xrdcommon.spool.feeds import check_feed
from xrdcommon.spool.spool import Spool

from xrdtrain.distributed import Ranks
from xrdtrain.evaluation.fixed_test_sets import parse_tests
from xrdtrain.fitting.options import FitRequest
from xrdtrain.fitting.request import chosen_feed, origin_of
from xrdtrain.inference.load import load_run
from xrdtrain.runs.config import RunConfig


def check_beforehand(request: FitRequest, before: RunConfig | None, place: Path, batch: int, ranks: Ranks) -> None:
    """Refuse what the training would refuse later, beside a producer that is running by then.

    Args:
        request: what was asked for.
        before: the run that goes on.
        place: the source.
        batch: samples of a step.
        ranks: the processes.

    Raises:
        InputError, MissingFileError, SpoolError, FormatError: see the messages.

    """
    origin = origin_of(place)
    if before is not None:
        _check_source(request, before, place, origin)
    if batch < ranks.world:
        raise InputError(f"batch of {batch} for {ranks.world} processes: each needs at least one sample")
    if origin is None and request.produce is None:
        return  # said when it is waited for
    if origin is None or origin["kind"] == "spool":
        if request.classes is not None:
            raise InputError("--classes: a spool's classes are those it was made with; only for a fixed set")
        if request.cache is not None:
            raise InputError("--cache: a spool is read once and in order; only for a fixed set")
        feed = chosen_feed(request, before)
        if origin is None:
            Spool.check_folder(place)
        else:
            check_feed(Spool.open(place), feed)
    if request.produce is None:
        return  # the rest is refused before anything is made
    for path in parse_tests([test for test in request.tests or () if test != "none"]).values():
        FixedSet.open(path)
    if request.init_from is not None:
        load_run(request.init_from)
    if before is not None:
        for name in ("batch", "seed"):
            asked, there = getattr(request, name), getattr(before, name)
            if asked not in (None, there):
                raise InputError(
                    f"{request.run}: the run was started otherwise ({name} was {there}, now {asked}); take another "
                    "--run or the same options"
                )


def _check_source(request: FitRequest, before: RunConfig, place: Path, origin: Mapping[str, Any] | None) -> None:
    if origin is not None and {key: before.origin.get(key) for key in origin} == origin:
        return
    if origin is None and request.produce is None:
        return  # said when it is waited for
    there = "there is none yet" if origin is None else f"another one, {_describe(origin)}, is there now"
    raise InputError(
        f"{request.run}: the run reads {_describe(before.origin)}; in {place} {there}; "
        "take another --run for another source"
    )


def _describe(origin: Mapping[str, Any]) -> str:
    """Name a source in a few words."""
    if origin.get("kind") == "spool":
        return f"spool {str(origin.get('uuid'))[:8]}"
    return f"fixed set {str(origin.get('content_hash'))[:8]}"

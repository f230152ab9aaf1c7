"""What a bare `xrdtrain fit` goes on with, what it refuses before it makes anything, and what it does without data."""

from __future__ import annotations

import datetime
import json
import re
from pathlib import Path
from typing import Any

import pytest
from xrdcommon.errors import InputError, XrdError
from xrdcommon.spool.audit import audit
from xrdtrain.fitting import request as module
from xrdtrain.fitting.fit import FitRequest, fit
from xrdtrain.fitting.request import chosen_run
from xrdtrain.inference.classifier import Precision
from xrdtrain.inference.load import load_run

COMMON: dict[str, Any] = {"tests": ("none",), "precision": Precision.FP32, "batch": 32, "model": "resnet-10-small"}


class Days(datetime.date):
    """A calendar that the test turns."""

    day = 1

    @classmethod
    def today(cls) -> datetime.date:
        return datetime.date(2026, 3, cls.day)


@pytest.fixture
def days(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> type[Days]:
    monkeypatch.setattr(module.datetime, "date", Days)
    monkeypatch.chdir(tmp_path)
    Days.day = 1
    return Days


def fails_without_dictionary(request: FitRequest) -> str:
    """Run a training that must be refused; return its one line."""
    with pytest.raises(XrdError) as caught:
        fit(request)
    text = str(caught.value)
    assert "{" not in text
    assert "\n" not in text
    return text


def test_the_unfinished_run_of_this_source(days: type[Days], make_spool: Any, tmp_path: Path) -> None:
    """After midnight and beside a run of another spool; a finished one is left alone."""
    one, two = make_spool("one", shards=4), make_spool("two", shards=2)

    def chosen(source: Path, **options: Any) -> str:
        return str(chosen_run(FitRequest(source=source, **options), "resnet-10-small", source))

    fit(FitRequest(source=one.path, samples=64, **COMMON))
    first = Path("runs/2026-03-01-resnet-10-small")
    (first / "evaluation.json").unlink()  # stopped on the way
    days.day = 2
    assert chosen(one.path) == str(first)
    assert chosen(two.path) == "runs/2026-03-02-resnet-10-small"
    days.day = 1
    assert chosen(two.path) == f"{first}-2"
    assert chosen(one.path, resume=False) == f"{first}-2"
    assert chosen(one.path, model="park-medium") == f"{first}-2"  # the name of the date is another matter
    assert chosen(one.path, feed="b") == f"{first}-2"
    days.day = 2
    fit(FitRequest(source=one.path, samples=128, **COMMON))
    assert [path.name for path in Path("runs").iterdir()] == [first.name]
    assert (audit(one).used, audit(one).claimed) == (128, 32)
    assert chosen(one.path) == "runs/2026-03-02-resnet-10-small"
    assert chosen(tmp_path / "not-yet") == "runs/2026-03-02-resnet-10-small"


def test_nothing_is_made_before_a_refusal(
    days: type[Days], make_spool: Any, make_fixed_set: Any, tmp_path: Path
) -> None:
    """Neither a spool nor a run folder nor a producer's log."""
    spool, run = make_spool("one", shards=2), tmp_path / "run"
    fit(FitRequest(source=spool.path, run=run, samples=64, **COMMON))
    new = tmp_path / "spool-mine"
    other = make_spool("other", shards=1)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("years of work")
    fixed = make_fixed_set()
    there = sorted(str(path) for path in tmp_path.rglob("*"))
    refused: list[tuple[dict[str, Any], str]] = [
        ({"source": new, "run": run, "samples": 640}, r"the run reads spool \w{8}; in .*spool-mine there is none yet"),
        ({"source": other.path, "run": run, "samples": 640}, "another one, spool"),
        ({"source": fixed, "run": run, "samples": 640, "produce": None}, "another one, fixed set"),
        ({"source": spool.path, "run": run, "samples": 640, "batch": 64}, "batch was 32, now 64"),
        ({"source": new, "tests": ("mine=nowhere.zarr",)}, "nowhere.zarr"),
        ({"source": new, "init_from": tmp_path / "no-run"}, "no such run"),
        ({"source": new, "classes": (2, 14)}, "--classes: a spool's classes"),
        ({"source": new, "feed": "../b"}, "feed"),
        ({"source": new, "model": "no.such:module"}, "no.such cannot be imported"),
        ({"source": tmp_path / "full"}, "holds other files"),
    ]
    for options, expected in refused:
        text = fails_without_dictionary(FitRequest(**{**COMMON, "produce": 1, **options}))
        assert re.search(expected, text), text
        assert sorted(str(path) for path in tmp_path.rglob("*")) == there, text


def test_no_dictionary_in_what_differs(days: type[Days], make_spool: Any, tmp_path: Path) -> None:
    spool, run = make_spool("one", shards=2), tmp_path / "run"
    fit(FitRequest(source=spool.path, run=run, samples=64, **COMMON))
    config = json.loads((run / "config.json").read_text())
    config["origin"]["root_seed"] = 12
    config["grid"]["step"] = 0.2
    (run / "config.json").write_text(json.dumps(config))
    text = fails_without_dictionary(FitRequest(source=spool.path, run=run, samples=128, **COMMON))
    assert "origin root_seed was 12, now 11; grid step was 0.2, now 0.1" in text


@pytest.mark.slow
def test_training_on_nothing(days: type[Days], tmp_path: Path, make_spool: Any, run_command: Any) -> None:
    """An empty spool until the time is up: one line, exit code 2, and no network that anybody could take for one."""
    spool = make_spool("spool", shards=0)
    done = run_command(
        "xrdtrain", "fit", spool.path, "--run", tmp_path / "run", "--max-time", "2s", "--test", "none", "--batch", 32,
        "--model", "resnet-10-small",
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert "nothing was trained" in done.stderr
    assert f"xrdgen produce {spool.path}" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run" / "evaluation.json").exists()
    assert not list((tmp_path / "run").glob("checkpoints/*"))
    with pytest.raises(InputError, match="no checkpoint yet"):
        load_run(tmp_path / "run")
    assert audit(spool).ok

"""Two trainings fed from one production: each gets every shard."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from xrdcommon.errors import InputError, SpoolError
from xrdcommon.spool.audit import audit
from xrdcommon.spool.feeds import open_feed
from xrdcommon.spool.gc import collect
from xrdtrain.fitting.fit import FitRequest, fit
from xrdtrain.inference.classifier import Precision


def request(source: Path, run: Path, **options: Any) -> FitRequest:
    given = {"model": "resnet-10-small", "tests": ("none",), "batch": 32, "eval_every": 160, "samples": 320}
    return FitRequest(source=source, run=run, precision=Precision.FP32, **{**given, **options})


def test_two_trainings_get_every_sample_each(
    tmp_path: Path, make_spool: Any, fill_spool: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    spool = make_spool("spool", shards=1)
    open_feed(spool, "gone")
    collect(spool, without_feed="gone", patience=0.1)
    with pytest.raises(SpoolError, match="feed 'gone' was removed"):
        fit(request(spool.path, tmp_path / "x", feed="gone"))
    open_feed(spool, "b")
    fill_spool(spool, 1, 2, 160)
    fit(request(spool.path, tmp_path / "first"))
    fit(request(spool.path, tmp_path / "second", feed="b"))
    found = audit(spool)
    assert found.ok
    assert {feed: (found.feeds[feed].produced, found.feeds[feed].used) for feed in ("main", "b")} == {
        "main": (480, 320),
        "b": (320, 320),
    }
    # Going on with a run keeps its feed.
    fill_spool(spool, 3, 1, 160)
    fit(FitRequest(run=tmp_path / "second", samples=480))
    assert audit(spool).feeds["b"].used == 480
    with pytest.raises(InputError, match="the run reads feed 'b'"):
        fit(FitRequest(run=tmp_path / "second", samples=640, feed="main"))
    capsys.readouterr()
    with pytest.raises(InputError, match=r"feed '\.\.': use 1 to 100 letters"):
        fit(request(spool.path, tmp_path / "third", feed=".."))


def test_a_new_feed_says_what_it_will_get(tmp_path: Path, run_command: Any, make_spool: Any) -> None:
    spool = make_spool("spool", shards=2)
    done = run_command(
        "xrdtrain", "fit", spool.path, "--run", tmp_path / "run", "--feed", "late", "--max-time", "2s",
        "--test", "none", "--model", "resnet-10-small", "--batch", 32,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr  # nothing came, so nothing was trained
    assert (
        "feed 'late' is new: it gets the shards that are published from now on, none of the 320 samples" in done.stderr
    )
    found = audit(spool)
    assert (found.ok, found.feeds["late"].produced, found.feeds["main"].ready) == (True, 0, 320)

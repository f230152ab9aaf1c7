"""`xrdgen status`: what it says of real producers and trainings, alive and killed, and that it stays true and quick."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from xrdcommon.spool.audit import audit
from xrdcommon.spool.consumer import start_consumer
from xrdcommon.spool.records import Record, RecordCache
from xrdcommon.spool.spool import Spool
from xrdcommon.spool.usage import Notes
from xrdgen.production.monitoring.status import Observer, rate, rejection_rates, use_rate
from xrdgen.production.monitoring.status_view import duration, lines, short

XRDGEN = Path(sys.executable).parent / "xrdgen"
README = Path(__file__).resolve().parents[3] / "gen" / "xrdgen" / "production" / "monitoring" / "README.md"

StartToy = Callable[..., "subprocess.Popen[str]"]

_TRAINING = """
import sys, time
from xrdcommon.spool.spool import Spool
from xrdcommon.spool.consumer import start_consumer
consumer = start_consumer(Spool.open(sys.argv[1]), "killed")
names = consumer.claim(2)
consumer.cover({str(names[0]): names[0].rows, str(names[1]): 5}, step=1)
print("ready", flush=True)
time.sleep(600)
"""


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    """Six shards of 20 rows, 17 in the last."""
    from toy_production import configuration

    spool = Spool.create(tmp_path / "spool", configuration(20), 7)
    produce(spool, 117)
    return spool


def produce(spool: Spool, samples: int) -> None:
    """Produce up to a total."""
    from toy_production import ToyRows
    from xrdgen.production.produce import produce as run

    run(spool, workers=0, samples=samples, factory=ToyRows)


def wait_for(look: Callable[[], dict[str, Any]], found: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Look until it is found; the patience is for slow machines alone."""
    end = time.monotonic() + 60
    while True:
        state = look()
        if found(state) or time.monotonic() > end:
            return state
        time.sleep(0.1)


def counts(state: dict[str, Any]) -> dict[str, int]:
    """Return what an audit says too, of a spool with one feed."""
    return {key: n for key, n in state["feeds"]["main"].items() if n}


def fresh(spool: Spool) -> dict[str, int]:
    return {key: n for key, n in asdict(audit(spool).feeds["main"]).items() if n}


def test_a_production_is_shown_at_work_paused_and_killed(tmp_path: Path, start_toy: StartToy) -> None:
    path = tmp_path / "spool"
    process = start_toy(path, "--rows", 20, "--samples", 5000, "--high", 200_000)
    wait_for(lambda: {"there": (path / "spool.json").exists()}, lambda state: state["there"])
    observer = Observer(Spool.open(path))
    state = wait_for(observer.look, lambda state: bool(state["streams"]) and bool(state["streams"][0]["paused"]))
    (stream,) = state["streams"]
    assert (stream["state"], stream["pid"], stream["workers"]) == ("running", process.pid, 0)
    assert stream["paused"] == "high watermark reached"
    assert (state["producers"], state["eta"]["target_samples"]) == (1, 5000)
    files = [file.stat().st_size for file in (path / "ready" / "main").iterdir()]
    assert (state["backlog"]["bytes"], state["backlog"]["high_bytes"]) == (sum(files), 200_000)
    assert state["backlog"]["share_of_high"] == round(sum(files) / 200_000, 4)
    assert state["samples_produced"] == 20 * len(files) == stream["samples"]
    assert state["samples_per_second"] > 0
    left = (5000 - state["samples_produced"]) / state["samples_per_second"]
    assert state["eta"]["seconds_to_target"] == pytest.approx(left, abs=0.1)
    assert any(line.startswith("stream 0: running, paused") for line in lines(state))
    process.send_signal(signal.SIGKILL)
    process.wait()
    state = observer.look()
    assert (state["producers"], state["streams"][0]["state"], state["streams"][0]["workers"]) == (0, "dead", None)
    assert state["backlog"]["share_of_high"] is None
    assert (state["ok"], state["samples_lost"]) == (True, 0)


def test_trainings_are_shown_alive_killed_and_stopped(spool: Spool) -> None:
    observer = Observer(spool)
    command = [sys.executable, "-c", _TRAINING, str(spool.path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        (killed,) = observer.look()["consumers"]
        process.kill()
    expected = {"run": "killed", "feed": "main", "samples_used": 25, "shards_claimed": 1, "samples_claimed": 15}
    assert {key: killed[key] for key in expected} == expected
    assert (killed["state"], killed["pid"]) == ("running", process.pid)
    assert killed["samples_per_second"] > 0
    assert killed["last_checkpoint_seconds"] is not None
    with start_consumer(spool, "other") as consumer:
        (name,) = consumer.claim(1)
        consumer.discard({str(name): (0, 4)})
        assert [training["last_checkpoint_seconds"] for training in observer.look()["consumers"]][1] is None
        consumer.cover({str(name): 10}, step=1)
        states = {training["run"]: training for training in observer.look()["consumers"]}
    assert (states["killed"]["state"], states["killed"]["samples_per_second"]) == ("dead", 0.0)
    other = states["other"]
    assert (other["state"], other["samples_used"], other["samples_discarded"]) == ("running", 6, 4)
    assert other["last_checkpoint_seconds"] is not None  # it has not used up any shard
    state = observer.look()
    assert [training["state"] for training in state["consumers"]] == ["dead", "stopped"]
    assert state["samples_used"] == sum(training["samples_used"] for training in state["consumers"]) == 31
    assert state["samples_claimed"] == sum(training["samples_claimed"] for training in state["consumers"]) == 25


def test_looks_again_agree_with_an_audit_from_scratch(spool: Spool) -> None:
    """Notes that grow, are torn, taken back, and void ones of a process that woke up late."""
    observer = Observer(spool)
    assert counts(observer.look()) == fresh(spool) == {"produced": 117, "ready": 117}
    notes = spool.layout.consumer("run") / "used.jsonl"
    with start_consumer(spool, "run") as consumer:
        names = consumer.claim(4)
        consumer.cover({str(names[0]): names[0].rows, str(names[1]): 7}, step=1)
        assert counts(observer.look()) == fresh(spool)
        size = notes.stat().st_size
        line = json.dumps({"epoch": consumer.epoch, "name": str(names[2]), "rows": 20, "unix_time": time.time()})
        for torn in (line[:40], line, line + "\n"):  # a write that a full disk cut short...
            with notes.open("a") as stream:
                stream.write(torn)
            assert counts(observer.look()) == fresh(spool)
            os.truncate(notes, size)  # ...and that was taken back
            assert counts(observer.look()) == fresh(spool)
        consumer.cover({str(names[1]): names[1].rows}, step=2)
        assert counts(observer.look()) == fresh(spool)
    with start_consumer(spool, "run") as consumer:
        (spool.layout.claims("run", consumer.epoch) / str(names[3])).write_bytes(b"damaged")
        assert consumer.load(names[3]) is None
        with notes.open("a") as stream:
            stream.write(json.dumps({"epoch": consumer.epoch - 1, "name": str(names[2]), "rows": 20}) + "\n")
        state = observer.look()
    assert counts(state) == fresh(spool) == {"produced": 117, "used": 40, "claimed": 20, "quarantined": 20, "ready": 37}
    assert state["quarantine"]["shards"] == 1
    assert state["quarantine"]["last"]["name"] == str(names[3])
    assert state["quarantine"]["last"]["reason"] in "\n".join(
        json.loads(line)["reason"] for line in spool.layout.quarantine_log.read_text().splitlines()
    )
    produce(spool, 157)
    next(spool.layout.ready.iterdir()).unlink()
    state = observer.look()
    assert (counts(state), state["ok"]) == (fresh(spool), False)
    assert state["samples_lost"] in (17, 20)
    assert any(line.startswith("lost") for line in lines(state))


def test_summaries_say_what_the_records_say(tmp_path: Path) -> None:
    import many_shards

    spool = many_shards.fill(tmp_path / "spool", 1100, ready=50, streams=1)
    plain, first, again = (RecordCache(spool.layout, summaries=with_it) for with_it in (False, True, True))
    plain.refresh()
    assert not list(spool.path.rglob("published/*.json"))
    first.refresh()
    summaries = sorted(spool.path.rglob("published/*.json"))
    assert [file.name for file in summaries] == ["000000.json"]
    again.refresh()
    expected = sorted(plain, key=lambda found: found[:2])
    assert len(expected) == 1100
    for cache in (first, again):
        assert sorted(cache, key=lambda found: found[:2]) == expected
        assert cache.rejections == plain.rejections
    record = Record.read(spool.layout.record(0, 5))
    assert plain.rejections["14"]["accepted"] == 1100 * 100
    assert plain.of(0)[5] == Record(**{**asdict(record), "rejections": {}})
    for content in ("{", '{"records": {}, "rejections": {}}', '{"records": {"0": ["x"]}}'):
        summaries[0].write_text(content)
        assert Observer(spool).look()["samples_produced"] == 1100 * many_shards.ROWS
    os.unlink(spool.layout.record(0, 7))  # a summary does not hide that a record has gone
    state = Observer(spool).look()
    assert (state["samples_produced"], state["unexplained"]) == (1099 * many_shards.ROWS, 1)


def test_rates() -> None:
    def record(at: float, rows: int) -> Record:
        return Record("", rows, 1, "", "", 10.0, at, "")

    assert rate([], 1000.0) == 0.0
    assert rate([record(980.0, 100), record(990.0, 200)], 1000.0) == 10.0  # since 970, when the first was begun
    assert rate([record(900.0, 5000), record(980.0, 100), record(990.0, 200)], 1000.0) == 5.0
    notes = Notes("run", "main", opened=1000.0)
    assert use_rate(notes, 1001.0) == 0.0
    notes.times = [(500.0, 9999), (1020.0, 100), (1040.0, 100), (1090.0, 300), (1100.0, 50), (1100.0, 50)]
    assert use_rate(notes, 1110.0) == pytest.approx(
        400 / 60, abs=0.05
    )  # of the last cover, back to the one at least a minute before
    assert use_rate(notes, 1500.0) == pytest.approx(400 / 460, abs=0.05)  # nothing for long: slower and slower
    crystals = {"2": {"accepted": 3, "symmetry": 1}, "14": {"accepted": 9, "lattice_redraws": 7, "rechecked": 4}}
    assert rejection_rates(crystals) == [(0.25, 2), (0.0, 14)]
    assert [short(n) for n in (0, 999, 99_999, 123_456, 999_999, 12_345_678, 9.9e9)] == [
        *("0", "999", "99999", "123 k", "1000 k", "12.3 M", "9.9 G")
    ]
    assert [duration(s) for s in (0.4, 119, 120, 7200, 200_000)] == ["0 s", "119 s", "2 min", "2 h", "2 d"]


def test_every_key_is_explained(spool: Spool) -> None:
    with start_consumer(spool, "run") as consumer:
        consumer.claim(1)
        state = Observer(spool).look()
    explained = set(re.findall(r"`([a-z_]+)`", README.read_text()))
    nested = [state, state["backlog"], state["eta"], state["streams"][0], state["consumers"][0], state["quarantine"]]
    keys = {key for content in [*nested, state["feeds"]["main"]] for key in content}
    assert keys <= explained
    assert {"samples_produced", "samples_used", "shards_ready", "bytes_ready", "producers"} < keys


@contextmanager
def watching(*arguments: object, **options: Any) -> Iterator[subprocess.Popen[str]]:
    command = [str(XRDGEN), "status", *map(str, arguments), "--watch", "--interval", "0.2"]
    with subprocess.Popen(command, text=True, **options) as process:
        try:
            yield process
        finally:
            process.kill()


def test_watch_writes_a_json_line_a_look_until_ctrl_c(spool: Spool) -> None:
    with watching(spool.path, "--json", stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["samples_produced"] == 117
        produce(spool, 137)
        states = (json.loads(line) for line in process.stdout)
        assert next(state for state in states if state["samples_produced"] != 117)["samples_produced"] == 137
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "")
    assert all(json.loads(line)["ok"] for line in rest.splitlines())


def test_watch_is_written_in_place_on_a_terminal(spool: Spool) -> None:
    ours, theirs = pty.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "80", "LINES": "40"}
    with watching(spool.path, stdin=theirs, stdout=theirs, stderr=theirs, env=environment) as process:
        os.close(theirs)
        text = ""
        while text.count("produced     117 samples") < 3:
            text += os.read(ours, 65536).decode()
        process.send_signal(signal.SIGINT)
        last = ""
        try:
            while piece := os.read(ours, 65536).decode():
                last += piece
        except OSError:  # the terminal's other end is closed
            pass
        assert process.wait(timeout=60) == 0
    os.close(ours)
    assert "\x1b[2J" not in text  # never emptied
    assert "\x1b[2K" not in text
    assert "\x1b[?1049h" in text
    shown = last.partition("\x1b[?1049l")[2]  # the last look stays when the screen of its own is left
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown)
    assert "produced     117 samples" in plain
    assert "stream 0: stopped" in plain


def test_lines_fit_in_80_columns(spool: Spool) -> None:
    with start_consumer(spool, "a-run-with-a-name-that-is-much-too-long-for-a-table") as consumer:
        consumer.claim(1)
        state = Observer(spool).look()
    state["streams"] = [
        {**state["streams"][0], "stream": n, "host": "node" * 9, "pid": 4_000_000, "workers": 256, "samples": 10**10}
        for n in range(40)
    ]
    state |= {"samples_produced": 10**11, "samples_ready": 10**9, "oldest_ready_seconds": 1e6}
    state["crystals"] = {str(group): {"accepted": 1, "symmetry": 1} for group in range(190, 200)}
    text = lines(state)
    assert max(map(len, text[1:])) <= 80
    assert "and 28 more (--json has all)" in text


def test_an_interval_that_is_none(spool: Spool) -> None:
    command = [str(XRDGEN), "status", str(spool.path), "--watch", "--interval", "0"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 2
    assert "--interval 0.0: must be" in result.stderr

"""What goes wrong on real machines: each fault one clear line, nothing damaged, nothing published or deleted twice."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
from pathlib import Path

import pytest
from spool_shards import CONFIGURATION, counts, publish
from xrdcommon.errors import DiskFullError, SpoolError, XrdError
from xrdcommon.spool.audit import audit
from xrdcommon.spool.consumer import start_consumer
from xrdcommon.spool.feeds import open_feed
from xrdcommon.spool.gc import collect
from xrdcommon.spool.producer import Stream
from xrdcommon.spool.spool import Spool

ELSEWHERE = """
import sys
from xrdcommon.errors import SpoolError
from xrdcommon.spool.spool import Spool
from xrdcommon.spool import lease
lease._machine = lambda: "another machine"
lease.BEAT_INTERVAL = 0.05
def attempt(what):
    try:
        print(what(), flush=True)
    except SpoolError as error:
        print(f"stopped: {error}", flush=True)
"""

FROZEN_MAKER = (
    ELSEWHERE
    + """
from spool_shards import fill, publish
from xrdcommon.spool.producer import Draft, Stream
stream = Stream.open(Spool.open(sys.argv[1]))
stream.prepare(0)
with Draft(stream.spool, stream.number, 0) as draft:
    fill(draft, 0)
    print("frozen here", flush=True)
    sys.stdin.readline()
    attempt(lambda: draft.publish({}))
attempt(stream.lease.verify)
"""
)

FROZEN_TRAINING = (
    ELSEWHERE
    + """
from xrdcommon.spool.consumer import start_consumer
consumer = start_consumer(Spool.open(sys.argv[1]), "run")
first, second, third = map(str, consumer.claim(3))
consumer.cover({first: 100, second: 30}, step=1)
print("frozen here", flush=True)
sys.stdin.readline()
attempt(lambda: consumer.cover({second: 100, third: 100}, step=2))
attempt(lambda: consumer.discard({third: (0, 100)}))
attempt(lambda: consumer.claim(1))
attempt(consumer.release)
"""
)


def freeze(process: subprocess.Popen[str]) -> None:
    """Stop a process where it waits, as a machine that hangs would."""
    assert process.stdout is not None
    assert process.stdout.readline() == "frozen here\n"
    process.send_signal(signal.SIGSTOP)


def wake(process: subprocess.Popen[str]) -> list[str]:
    """Let it go on and return what it says."""
    process.send_signal(signal.SIGCONT)
    said, errors = process.communicate("go on\n", timeout=30)
    assert (process.returncode, errors) == (0, "")
    return said.splitlines()


def test_a_maker_frozen_past_its_lease(spool: Spool, run_script) -> None:
    frozen = run_script(FROZEN_MAKER, spool.path)
    freeze(frozen)
    heir = Stream.open(spool, patience=0.5)
    assert (heir.number, heir.lease.epoch) == (0, 2)
    record = publish(heir, 0)
    assert record is not None
    said = wake(frozen)
    assert said[0] == "None"  # it publishes nothing
    assert said[1].startswith("stopped:")
    assert "another process has taken over" in said[1]
    assert [path.name for path in spool.layout.ready.iterdir()] == [record.name]
    assert counts(spool) == {"produced": 100, "ready": 100}
    assert not list(spool.layout.temporary.iterdir())
    heir.lease.verify()
    heir.close()


def test_a_training_frozen_past_its_lease(spool: Spool, stream: Stream, run_script) -> None:
    for shard in range(5):
        publish(stream, shard)
    frozen = run_script(FROZEN_TRAINING, spool.path)
    freeze(frozen)
    with start_consumer(spool, "run", patience=0.5) as heir:
        second, third = map(str, heir.held())
        heir.cover({second: 60}, step=2)
        said = wake(frozen)
        assert len(said) == 4
        assert all(line.startswith("stopped:") and "another process has taken over" in line for line in said)
        assert counts(spool) == {"produced": 500, "used": 160, "ready": 200, "claimed": 140}
        assert [str(name) for name in heir.held()] == [second, third]
        heir.cover({second: 100, third: 100}, step=3)
    assert counts(spool) == {"produced": 500, "used": 300, "ready": 200}


def test_what_a_frozen_training_was_about_to_write_counts_for_nothing(spool: Spool, stream: Stream) -> None:
    """It had verified its lease and froze just before it wrote, moved or deleted."""
    for shard in range(3):
        publish(stream, shard)
    frozen = start_consumer(spool, "run")
    first, second = frozen.claim(2)
    frozen.cover({str(first): 30}, step=1)
    frozen.close()  # what observers conclude
    with start_consumer(spool, "run") as heir:
        frozen.verify = frozen.claims.verify = lambda: None  # type: ignore[method-assign]
        frozen._write_coverage({str(first): [(0, 90)]}, step=2)
        assert counts(spool) == {"produced": 300, "used": 30, "ready": 100, "claimed": 170}
        frozen._used = {str(first), str(second)}
        frozen._delete_used()
        assert frozen.claim(1) == []
        frozen.release()
        with pytest.raises(SpoolError, match="a claimed shard is gone"):
            frozen.load(first)
        assert [heir.load(name) is not None for name in heir.held()] == [True, True]
        assert counts(spool) == {"produced": 300, "used": 30, "ready": 100, "claimed": 170}
    with start_consumer(spool, "run") as heir:
        assert heir.rows_used(first) == 30


# --- folders


def one_line(error: XrdError) -> str:
    text = str(error)
    assert "\n" not in text
    return text


def test_a_spool_of_another_format(spool: Spool) -> None:
    content = json.loads(spool.layout.spool_file.read_text())
    for found, remedy in ((1, "the older xrdstream that made it"), (3, "use the newer xrdstream")):
        spool.layout.spool_file.write_text(json.dumps(content | {"xrdstream_spool": found}))
        with pytest.raises(SpoolError) as refused:
            Spool.open(spool.path)
        assert f"spool of format {found}, this version knows 2" in one_line(refused.value)
        assert remedy in str(refused.value)
        with pytest.raises(SpoolError, match=f"format {found}"):
            Spool.create(spool.path, CONFIGURATION)


def test_a_read_only_spool_can_be_looked_at(small_disk: Path) -> None:
    spool = Spool.create(small_disk / "spool", CONFIGURATION, 7)
    stream = Stream.open(spool)
    publish(stream, 0)
    stream.close()
    (spool.layout.temporary / "p000000-000007.aaaaaaaaaaaa").mkdir()
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    try:
        assert counts(spool) == {"produced": 100, "ready": 100}
        assert len(collect(spool, dry_run=True).drafts) == 1
        for refused in (
            lambda: Stream.open(spool),
            lambda: start_consumer(spool, "run"),
            lambda: open_feed(spool, "b"),
            spool.request_stop,
            lambda: collect(spool),
            lambda: Spool.create(small_disk / "new", CONFIGURATION),
        ):
            with pytest.raises(SpoolError, match=r"cannot be written \(Read-only file system\)") as error:
                refused()
            one_line(error.value)
    finally:
        subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    assert counts(spool) == {"produced": 100, "ready": 100}


def fill_up(path: Path) -> None:
    """Leave no page of a file system free."""
    with path.open("wb", buffering=0) as full, contextlib.suppress(OSError):
        while True:
            full.write(bytes(4096))


def test_a_full_disk_loses_nothing(small_disk: Path) -> None:
    spool = Spool.create(small_disk / "spool", CONFIGURATION, 7)
    open_feed(spool, "b")
    stream = Stream.open(spool)
    publish(stream, 0)
    publish(stream, 1)
    consumer = start_consumer(spool, "run")
    first, second = consumer.claim(2)
    ballast = small_disk / "ballast"
    fill_up(ballast)
    stream.prepare(2)
    for _ in range(3):
        with pytest.raises(DiskFullError, match="no space left"):
            publish(stream, 2)
    assert not list(spool.layout.temporary.iterdir())
    with pytest.raises(DiskFullError, match="no space left"):
        consumer.cover({str(first): 10, str(second): 10}, step=1)
    assert consumer.load(first) is not None
    result = audit(spool)
    assert (result.ok, result.produced, result.feeds["b"].ready) == (True, 400, 200)
    ballast.unlink()
    assert publish(stream, 2) is not None
    consumer.cover({str(first): 100, str(second): 100}, step=100)
    assert counts(spool) == {"produced": 600, "used": 200, "ready": 400}
    consumer.close()
    stream.close()


def test_two_configurations_at_once_make_one_spool(tmp_path: Path, run_script) -> None:
    script = (
        "import sys\nfrom spool_shards import CONFIGURATION\nfrom xrdcommon.errors import SpoolError\n"
        "from xrdcommon.spool.spool import Spool\nsys.stdin.readline()\n"
        "try: Spool.create(sys.argv[1], CONFIGURATION | {'rows_per_shard': int(sys.argv[2])})\n"
        "except SpoolError as error: print(error)\n"
    )
    makers = [run_script(script, tmp_path / "spool", rows) for rows in (10, 20)]
    for maker in makers:
        assert maker.stdin is not None
        maker.stdin.write("go\n")
        maker.stdin.flush()
    said = sorted(maker.communicate(timeout=30)[0] for maker in makers)
    rows = Spool.open(tmp_path / "spool").configuration["rows_per_shard"]
    assert said[0] == ""
    assert f"rows_per_shard is {rows} there, {30 - rows} asked for" in said[1]
    assert said[1].count("\n") == 1

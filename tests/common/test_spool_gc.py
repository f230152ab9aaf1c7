"""`gc`: what the dead have left goes, what the living work on stays, and the audit stays exact."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest
from spool_shards import counts, fill, publish
from xrdcommon.errors import InputError, SpoolError
from xrdcommon.spool import lease as leases
from xrdcommon.spool.audit import audit
from xrdcommon.spool.consumer import start_consumer
from xrdcommon.spool.feeds import open_feed
from xrdcommon.spool.gc import Garbage, collect
from xrdcommon.spool.lease import Lease
from xrdcommon.spool.producer import Draft, Stream
from xrdcommon.spool.spool import Spool

NOT_A_PID = 2**22 + 1  # above Linux's limit


def everything(spool: Spool) -> dict[str, int]:
    return {
        str(path.relative_to(spool.path)): path.stat().st_size
        for path in spool.path.rglob("*")
        if path.suffix != ".beat"
    }


def look_and_collect(spool: Spool, **options: object) -> Garbage:
    """Collect, and check that a dry run has said the same and done nothing."""
    before = everything(spool)
    dry = collect(spool, dry_run=True, patience=0.2, **options)
    assert everything(spool) == before
    found = collect(spool, patience=0.2, **options)
    assert {**dry.to_dict(), "dry_run": False, "finished": found.finished, "leases": found.leases} == found.to_dict()
    return found


KILLED_MAKER = """
import os, signal, sys
from spool_shards import fill
from xrdcommon.spool.spool import Spool
from xrdcommon.spool.producer import Draft, Stream
stream = Stream.open(Spool.open(sys.argv[1]))
stream.prepare(0)
draft = Draft(stream.spool, stream.number, 0).__enter__()
fill(draft, 0)
if sys.argv[2] == "published":
    import xrdcommon.spool.producer as module
    module.finish = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
    draft.publish({})
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("state", ["unfinished", "published"])
def test_drafts_of_the_dead_go_and_those_of_the_living_stay(
    spool: Spool, stream: Stream, run_script, state: str
) -> None:
    killed = run_script(KILLED_MAKER, spool.path, state)
    _, text = killed.communicate()
    assert killed.returncode == -signal.SIGKILL, text
    (dead,) = (path.name for path in spool.layout.temporary.iterdir())
    assert dead.startswith("p000001-")
    with Draft(spool, stream.number, 0) as draft:
        stream.prepare(0)
        fill(draft, 0)
        found = look_and_collect(spool)
        assert found.drafts == [dead]
        assert [reason.partition(":")[2] for reason in found.left] == [" stream 0 has a living producer"]
        assert draft.publish({}) is not None
    published = state == "published"
    assert found.finished == published
    assert counts(spool) == {"produced": 100 + 100 * published, "ready": 100 + 100 * published}
    assert not list(spool.layout.temporary.iterdir())
    again = look_and_collect(spool)
    assert (again.drafts, again.left) == ([], [])


def test_nothing_to_remove(spool: Spool, stream: Stream) -> None:
    publish(stream, 0)
    with start_consumer(spool, "run") as consumer:
        consumer.claim(1)
        before = everything(spool)
        found = look_and_collect(spool)
        assert found.lines() == ["nothing to remove"]
        assert everything(spool) == before
        consumer.verify()
    stream.lease.verify()


def test_files_half_way_to_their_name(spool: Spool, run_script) -> None:
    start_consumer(spool, "run").close()
    layout = spool.layout
    dead = [
        layout.temporary / f".000001.json.{NOT_A_PID}.0123456789ab",
        layout.control / f".scheduler.json.{NOT_A_PID}.tmp",
        layout.consumer("run") / f".coverage.000001.json.{NOT_A_PID}.tmp",
    ]
    living = [
        layout.temporary / f".000001.json.{os.getpid()}.0123456789ab",
        layout.root / "notes.tmp",
        layout.root / ".hidden",
    ]
    for path in dead + living:
        path.write_text("half")
    (layout.root / "spool.json.creating").touch()
    found = look_and_collect(spool)
    names = {"spool.json.creating", *(str(path.relative_to(spool.path)) for path in dead)}
    assert set(found.temporary) == names
    assert not any(path.exists() for path in dead)
    assert all(path.exists() for path in living)
    # Written to while it is watched: its maker lives on another machine.
    script = (
        "import sys, time\nwith open(sys.argv[1], 'w', buffering=1) as stream:\n"
        "  for i in range(1000): print(i, file=stream); time.sleep(0.02)\n"
    )
    run_script(script, dead[0])
    while not dead[0].exists():
        pass
    assert collect(spool, patience=0.5).left == [f"tmp/{dead[0].name}: somebody is working on it"]
    assert dead[0].exists()


def test_claim_folders_and_leases(spool: Spool, stream: Stream) -> None:
    publish(stream, 0)
    publish(stream, 1)
    for _ in range(3):
        start_consumer(spool, "empty").close()
    with start_consumer(spool, "full") as consumer:
        (name,) = consumer.claim(1)
    living = start_consumer(spool, "living")
    found = look_and_collect(spool)
    assert found.claim_folders == ["claimed/empty.000003"]
    assert sorted(path.name for path in spool.layout.claimed.iterdir()) == ["full.000001", "living.000001"]
    assert found.leases >= 3
    epochs = {path.name[:6] for path in (spool.layout.consumer("empty") / "leases").iterdir()}
    assert epochs == {"000004"}  # numbers are never used again
    assert start_consumer(spool, "empty").epoch == 5
    living.verify()
    living.close()
    with start_consumer(spool, "full") as consumer:
        assert consumer.held() == [name]


def test_the_address_of_a_dead_coordinator(spool: Spool, stream: Stream) -> None:
    spool.layout.scheduler_file.write_text(json.dumps({"address": "tcp://127.0.0.1:1"}))
    spool.request_stop()
    assert look_and_collect(spool).control == []
    stream.close()
    elected = spool.layout.control / "coordinator"
    elected.mkdir()
    lease = Lease.acquire(elected, spool.layout.temporary)
    assert lease is not None
    assert look_and_collect(spool).control == []
    lease.release()
    assert look_and_collect(spool).control == ["control/scheduler.json"]
    # A wish of the user's stays.
    assert sorted(path.name for path in spool.layout.control.iterdir()) == ["coordinator", "stop"]


def test_an_owner_elsewhere_is_watched(spool: Spool, stream: Stream, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = spool.layout.consumer("far")
    folder.mkdir()
    (spool.layout.claims("far", 1)).mkdir()
    monkeypatch.setattr(leases, "_machine", lambda: "another machine")
    monkeypatch.setattr(leases, "BEAT_INTERVAL", 0.05)
    owner = Lease.acquire(folder, spool.layout.temporary)
    assert owner is not None
    monkeypatch.setattr(leases, "_machine", lambda: "this machine")
    assert collect(spool, patience=2.0).claim_folders == []
    owner._stop.set()  # as if frozen
    owner._thread.join()
    assert collect(spool, patience=0.3).claim_folders == ["claimed/far.000001"]
    with pytest.raises(SpoolError, match="has taken over"):
        owner.verify()


# --- claims of a training that is gone


def claims_of_three(spool: Spool, stream: Stream) -> list[str]:
    for shard in range(4):
        publish(stream, shard)
    with start_consumer(spool, "run") as consumer:
        names = [str(name) for name in consumer.claim(3)]
        consumer.cover({names[0]: 100, names[1]: 30}, step=1)
    return names


def test_claims_stay_until_they_are_released(spool: Spool, stream: Stream) -> None:
    names = claims_of_three(spool, stream)
    look_and_collect(spool)
    assert counts(spool) == {"produced": 400, "used": 130, "ready": 100, "claimed": 170}
    found = look_and_collect(spool, release="run")
    assert (found.released, found.kept) == ([names[2]], [names[1]])
    assert counts(spool) == {"produced": 400, "used": 130, "ready": 200, "claimed": 70}
    found = look_and_collect(spool, release="run", discard_partly=True)
    assert (found.released, found.kept, found.given_up) == ([], [], 70)
    assert counts(spool) == {"produced": 400, "used": 130, "ready": 200, "discarded": 70}
    assert len(list(spool.path.rglob("*.tar"))) == 2
    with start_consumer(spool, "run") as consumer:  # the same name may train again
        assert consumer.held() == []
        assert len(consumer.claim(9)) == 2


def test_a_living_training_is_not_released(spool: Spool, stream: Stream) -> None:
    publish(stream, 0)
    with start_consumer(spool, "run") as consumer:
        consumer.claim(1)
        for dry_run in (True, False):
            with pytest.raises(SpoolError, match=r"training 'run' is running|another running process trains as 'run'"):
                collect(spool, release="run", dry_run=dry_run)
    with pytest.raises(InputError, match="no training 'other' here; there are run"):
        collect(spool, release="other")
    with pytest.raises(InputError, match="only together with --release"):
        collect(spool, discard_partly=True)
    assert counts(spool) == {"produced": 100, "claimed": 100}


def test_a_feed_is_removed(spool: Spool, stream: Stream) -> None:
    open_feed(spool, "b")
    publish(stream, 0)
    with (
        start_consumer(spool, "run", "b"),
        pytest.raises(SpoolError, match="training 'run' reads feed 'b'; stop it first"),
    ):
        collect(spool, without_feed="b")
    publish(stream, 1)
    found = look_and_collect(spool, without_feed="b")
    assert found.discarded == {"b": 200}
    assert "discarded: 200 samples of removed feed b" in found.lines()
    assert look_and_collect(spool, without_feed="b").discarded == {}
    assert counts(spool) == {"produced": 400, "ready": 200, "discarded": 200}


def test_nothing_is_removed_from_another_spool(spool: Spool, stream: Stream, tmp_path: Path) -> None:
    names = claims_of_three(spool, stream)
    stream.close()
    publish_draft = spool.layout.temporary / "p000000-000009.aaaaaaaaaaaa"
    publish_draft.mkdir()
    (spool.layout.temporary / f".x.{NOT_A_PID}.tmp").touch()
    open_feed(spool, "b")
    content = json.loads(spool.layout.spool_file.read_text())
    spool.layout.spool_file.write_text(json.dumps(content | {"uuid": "another"}))
    for options in ({}, {"release": "run", "discard_partly": True}):
        with pytest.raises(SpoolError, match="nothing is deleted"):
            collect(spool, patience=0.1, **options)
    assert (spool.layout.temporary / f".x.{NOT_A_PID}.tmp").exists()
    assert sum(path.name in names for path in spool.path.rglob("*.tar")) == 2


def test_the_command(spool: Spool, stream: Stream, run_command) -> None:
    claims_of_three(spool, stream)
    stream.close()
    (spool.layout.temporary / "p000000-000009.aaaaaaaaaaaa").mkdir()
    dry = run_command("xrdgen", "gc", spool.path, "--dry-run")
    assert (dry.returncode, dry.stdout) == (0, "would be removed: unfinished shard tmp/p000000-000009.aaaaaaaaaaaa\n")
    done = run_command("xrdgen", "gc", spool.path, "--release", "run", "--discard-partly", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["dry_run"], len(report["drafts"]), len(report["released"]), report["given_up"]) == (False, 1, 1, 70)
    wrong = run_command("xrdgen", "gc", spool.path, "--release", "../x")
    assert (wrong.returncode, wrong.stderr.count("\n")) == (2, 1)
    assert audit(spool).ok

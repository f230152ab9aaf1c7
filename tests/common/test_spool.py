"""The spool's protocol: publication at most once, claims, covering, take-over, quarantine, audit."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from spool_shards import CONFIGURATION, GRID, counts, fill, publish
from xrdcommon.errors import InputError, MissingFileError, SpoolError
from xrdcommon.fields import SAMPLE_DTYPE
from xrdcommon.shards import ShardName
from xrdcommon.spool import claims
from xrdcommon.spool import lease as leases
from xrdcommon.spool.audit import audit
from xrdcommon.spool.backlog import Backlog, Watermarks, parse_bytes
from xrdcommon.spool.consumer import Consumer, start_consumer
from xrdcommon.spool.journal import append_lines, create_once, read_lines
from xrdcommon.spool.lease import Lease, State
from xrdcommon.spool.producer import Draft, Stream, finish_shard
from xrdcommon.spool.records import Record
from xrdcommon.spool.spool import Spool

# --- the folder


def test_a_spool_is_opened_as_it_was_made(spool: Spool) -> None:
    again = Spool.open(spool.path, CONFIGURATION, 7)
    assert (again.uuid, again.root_seed, again.classes, again.grid) == (spool.uuid, 7, [1, 2], GRID)
    assert Spool.create(spool.path, CONFIGURATION, 7).uuid == spool.uuid
    assert spool.backlog() == Backlog()


def test_another_configuration_names_what_differs(spool: Spool) -> None:
    other = CONFIGURATION | {"generator": {"preset": "x"}, "rows_per_shard": 5}
    with pytest.raises(
        SpoolError, match=r"generator\.preset is paper there, x asked for; rows_per_shard is 100 there, 5"
    ):
        Spool.open(spool.path, other)
    with pytest.raises(SpoolError, match="seed is 7 there, 8 asked for"):
        Spool.create(spool.path, CONFIGURATION, 8)


def test_a_users_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(SpoolError, match="holds other files"):
        Spool.create(tmp_path, CONFIGURATION, 7)
    with pytest.raises(SpoolError, match="not a spool"):
        Spool.open(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    with pytest.raises(SpoolError, match="cannot be written"):
        Spool.create(tmp_path / "thesis.tex" / "spool", CONFIGURATION, 7)


def test_wrong_spools_are_named(tmp_path: Path, spool: Spool) -> None:
    with pytest.raises(MissingFileError, match="xrdgen produce"):
        Spool.open(tmp_path / "nothing")
    file = spool.layout.spool_file
    content = json.loads(file.read_text())
    file.write_text(json.dumps(content | {"xrdstream_spool": 99}))
    with pytest.raises(SpoolError, match=r"format 99, this version knows 2; use the newer"):
        Spool.open(spool.path)
    file.write_text("{}")
    with pytest.raises(SpoolError, match="does not describe a spool"):
        Spool.open(spool.path)
    file.write_text("{")
    with pytest.raises(SpoolError, match="description is damaged"):
        Spool.open(spool.path)


def test_an_interrupted_creation_is_finished(tmp_path: Path) -> None:
    statistics = tmp_path / "statistics.npz"
    statistics.write_bytes(b"numbers")
    Spool.create(tmp_path / "s", CONFIGURATION, 7, {"statistics.npz": statistics})
    (tmp_path / "s" / "spool.json").rename(tmp_path / "s" / "spool.json.creating")
    spool = Spool.create(tmp_path / "s", CONFIGURATION, 7, {"statistics.npz": statistics})
    assert (spool.path / "statistics.npz").read_bytes() == b"numbers"
    assert not (spool.path / "spool.json.creating").exists()


# --- publication


def test_a_shard_is_published_once(spool: Spool, stream: Stream) -> None:
    record = publish(stream, 0)
    assert record is not None
    assert publish(stream, 0) is None
    assert list(spool.layout.temporary.iterdir()) == []
    assert [path.name for path in spool.layout.ready.iterdir()] == [record.name]
    assert counts(spool) == {"produced": 100, "ready": 100}
    assert spool.backlog() == Backlog(shards=1, bytes=record.bytes, samples=100)


def test_of_many_makers_of_a_shard_one_publishes(spool: Spool, stream: Stream) -> None:
    stream.prepare(0)
    results: list[Record | None] = []
    barrier = threading.Barrier(8)

    def make() -> None:
        with Draft(spool, stream.number, 0) as draft:
            fill(draft, 0)
            barrier.wait()
            results.append(draft.publish({}))

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 8
    assert sum(record is not None for record in results) == 1
    assert counts(spool) == {"produced": 100, "ready": 100}


def test_a_shard_given_up_leaves_nothing(spool: Spool, stream: Stream) -> None:
    stream.prepare(0)
    samples = np.zeros(65, dtype=SAMPLE_DTYPE)
    with Draft(spool, stream.number, 0) as draft, pytest.raises(InputError, match="1 to 64 rows"):
        draft.writer.write_block(np.zeros((65, GRID.n_points)), samples)
    assert list(spool.layout.temporary.iterdir()) == []
    assert counts(spool) == {}


@pytest.mark.parametrize("how", ["owner tidies", "task is repeated"])
def test_a_publication_cut_short_is_finished(spool: Spool, stream: Stream, how: str) -> None:
    """Killed between the record and the rename: the shard is in tmp/ and counts as ready."""
    record = publish(stream, 0)
    assert record is not None
    folder = spool.layout.temporary / record.token
    folder.mkdir()
    (spool.layout.ready / record.name).rename(folder / "main.tar")
    assert counts(spool) == {"produced": 100, "ready": 100}
    if how == "owner tidies":
        assert stream.tidy() == 1
        assert list(spool.layout.temporary.iterdir()) == []
    else:
        assert finish_shard(spool, stream.number, 0) == record
    assert [path.name for path in spool.layout.ready.iterdir()] == [record.name]
    assert stream.tidy() == 0


def test_a_maker_that_wakes_up_late_publishes_nothing(spool: Spool, stream: Stream) -> None:
    stream.prepare(0)
    with Draft(spool, stream.number, 0) as draft:
        fill(draft, 0)
        stream.tidy()  # the owner thinks it dead
        assert draft.publish({}) is None
    assert counts(spool) == {}
    assert publish(stream, 0) is not None


# --- leases


def test_streams_are_adopted_only_from_the_dead(spool: Spool) -> None:
    first = Stream.open(spool)
    second = Stream.open(spool)
    assert (first.number, second.number) == (0, 1)
    first.close()
    third = Stream.open(spool)
    assert third.number == 0
    for stream in (second, third):
        stream.close()
    script = (
        "import os, signal, sys; from xrdcommon.spool.spool import Spool; from xrdcommon.spool.producer import Stream; "
        "print(Stream.open(Spool.open(sys.argv[1])).number, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    dead = subprocess.run([sys.executable, "-c", script, spool.path], stdout=subprocess.PIPE, text=True, check=False)
    assert (dead.returncode, dead.stdout) == (-signal.SIGKILL, "0\n")
    assert leases.observe(spool.layout.stream(0)) is State.DEAD
    fourth = Stream.open(spool)
    assert (fourth.number, fourth.lease.epoch) == (0, 4)
    fourth.close()


def test_silent_owners_elsewhere_are_watched_together_and_the_lowest_stream_is_adopted(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "BEAT_INTERVAL", 0.05)
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(leases, "_machine", lambda: "another machine")
        owners = [Stream.open(spool) for _ in range(4)]
        assert [owner.number for owner in owners] == [0, 1, 2, 3]
    watching: set[Path] = set()
    together: list[int] = []
    beats = leases._beats

    def watch(folder: Path, epoch: int, patience: float) -> bool:
        watching.add(folder)
        time.sleep(0.2)
        together.append(len(watching))
        alive = beats(folder, epoch, patience)
        watching.discard(folder)
        return alive

    for owner in (owners[1], owners[2]):  # as if frozen
        owner.lease._stop.set()
        owner.lease._thread.join()
    monkeypatch.setattr(leases, "_beats", watch)
    heir = Stream.open(spool, patience=1.0)
    assert (heir.number, heir.lease.epoch) == (1, 2)
    assert max(together) == 4
    second = Lease.acquire(spool.layout.stream(1), spool.layout.temporary, patience=1.0, silent_epoch=1)
    assert second is None  # another heir was faster
    for owner in (heir, owners[0], owners[3]):
        owner.close()


def test_an_owner_elsewhere_is_judged_by_its_counter(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = spool.layout.consumers / "run"
    folder.mkdir()
    monkeypatch.setattr(leases, "_machine", lambda: "another machine")
    monkeypatch.setattr(leases, "BEAT_INTERVAL", 0.05)
    owner = Lease.acquire(folder, spool.layout.temporary)
    assert owner is not None
    monkeypatch.undo()
    assert leases.observe(folder) is State.ELSEWHERE
    owner_beats = leases.beat(folder)
    monkeypatch.setattr(leases, "BEAT_INTERVAL", 0.05)
    assert Lease.acquire(folder, spool.layout.temporary, patience=5.0) is None
    assert leases.beat(folder) != owner_beats
    owner._stop.set()  # as if frozen
    owner._thread.join()
    heir = Lease.acquire(folder, spool.layout.temporary, patience=0.3)
    assert heir is not None
    heir.verify()
    with pytest.raises(SpoolError, match="has taken over"):
        owner.verify()
    heir.release()


# --- consumption


def test_claim_load_cover_delete(spool: Spool, stream: Stream) -> None:
    for shard in range(3):
        publish(stream, shard)
    with start_consumer(spool, "run") as consumer:
        first, second = consumer.claim(2)
        assert [name.shard for name in (first, second)] == [0, 1]
        shard = consumer.load(first)
        assert shard is not None
        assert shard.samples["index"].tolist() == list(range(100))
        assert consumer.held() == [first, second]
        assert counts(spool) == {"produced": 300, "ready": 100, "claimed": 200}
        assert (spool.backlog().shards, spool.backlog().all_shards) == (1, 3)
        consumer.cover({str(first): 100, str(second): 30}, step=1)
        consumer.cover({str(first): 100, str(second): 30}, step=1)
        assert consumer.held() == [second]
        assert (consumer.rows_used(first), consumer.rows_used(second)) == (100, 30)
        assert counts(spool) == {"produced": 300, "used": 130, "ready": 100, "claimed": 70}
        consumer.cover({str(second): 100}, step=2)
        assert counts(spool) == {"produced": 300, "used": 200, "ready": 100}
        assert list(consumer._claims.iterdir()) == []


def test_wrong_covers_are_refused(spool: Spool, stream: Stream) -> None:
    publish(stream, 0)
    with start_consumer(spool, "run") as consumer:
        (name,) = consumer.claim(5)
        with pytest.raises(InputError, match="101 rows used of 100"):
            consumer.cover({str(name): 101}, step=1)
        with pytest.raises(SpoolError, match="not held by run 'run'"):
            consumer.cover({str(ShardName(9, 0, 10, 10, "0" * 12)): 10}, step=1)
        assert consumer.held() == [name]
    with pytest.raises(InputError, match="run id"):
        start_consumer(spool, "../elsewhere")


def test_a_resumed_run_holds_what_it_held(spool: Spool, stream: Stream) -> None:
    for shard in range(4):
        publish(stream, shard)
    with start_consumer(spool, "run") as consumer:
        names = consumer.claim(3)
        consumer.cover({str(names[0]): 100, str(names[1]): 40}, step=1)
    with start_consumer(spool, "run") as consumer:
        assert consumer.held() == names[1:]
        assert consumer.rows_used(names[1]) == 40
        assert consumer.load(names[1]) is not None
        consumer.cover({str(names[0]): 100, str(names[1]): 40}, step=1)  # the checkpoint's cover, repeated
        consumer.release()
    assert counts(spool) == {"produced": 400, "used": 140, "ready": 200, "claimed": 60}
    with start_consumer(spool, "other") as consumer:
        assert [name.shard for name in consumer.claim(9)] == [2, 3]


def test_a_run_has_one_living_process(spool: Spool) -> None:
    with start_consumer(spool, "run"):
        with pytest.raises(SpoolError, match="another running process trains as 'run'"):
            start_consumer(spool, "run")
        start_consumer(spool, "other").close()
    start_consumer(spool, "run").close()


def test_a_run_that_was_taken_over_can_do_nothing(spool: Spool, stream: Stream) -> None:
    """A trainer frozen for longer than its lease wakes up beside its successor."""
    publish(stream, 0)
    publish(stream, 1)
    frozen = start_consumer(spool, "run")
    (name,) = frozen.claim(1)
    path = spool.layout.consumer("run") / "leases" / f"{frozen.epoch:06d}.released"
    path.touch()  # what an observer concludes after the lease's patience
    heir = start_consumer(spool, "run")
    assert heir.held() == [name]
    with pytest.raises(SpoolError, match="has taken over"):
        frozen.cover({str(name): 100}, step=5)
    with pytest.raises(SpoolError, match="has taken over"):
        frozen.claim(1)
    # Even its note, were it written just then, counts for nothing.
    append_lines(frozen._used_file, [{"epoch": frozen.epoch, "step": 5, "name": str(name), "rows": 100}])
    assert counts(spool) == {"produced": 200, "ready": 100, "claimed": 100}
    heir.cover({str(name): 100}, step=5)
    assert counts(spool) == {"produced": 200, "used": 100, "ready": 100}
    heir.close()


KILLED = """
import os, signal, sys
from xrdcommon.spool.spool import Spool
from xrdcommon.spool import consumer as module
from xrdcommon.spool.consumer import start_consumer
consumer = start_consumer(Spool.open(sys.argv[1]), "run")
first, second = consumer.claim(2)
die = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
if sys.argv[2] == "before the note":
    module.append_lines = die
elif sys.argv[2] == "before the deletion":
    module.Consumer._delete_used = die
else:
    module.write_coverage = die
consumer.cover({str(first): first.rows, str(second): 10}, step=1)
"""


@pytest.mark.parametrize("when", ["before the note", "before the deletion", "before the coverage"])
def test_killed_while_covering(spool: Spool, stream: Stream, when: str) -> None:
    publish(stream, 0)
    publish(stream, 1)
    killed = subprocess.run([sys.executable, "-c", KILLED, spool.path, when], check=False)
    assert killed.returncode == -signal.SIGKILL
    used = 0 if when == "before the note" else 100
    assert audit(spool).used == used
    with start_consumer(spool, "run") as consumer:
        names = [ShardName.parse(str(name)) for name in consumer.held()]
        assert [name.shard for name in names] == ([0, 1] if when == "before the note" else [1])
        every = {str(name): name.rows for name in names}
        consumer.cover(every, step=2)
    assert counts(spool) == {"produced": 200, "used": 200}
    assert not any(path.suffix == ".tar" for path in spool.path.rglob("*"))


def test_parallel_claimers_get_disjoint_shards(spool: Spool, stream: Stream) -> None:
    for shard in range(40):
        publish(stream, shard, rows=1)
    script = (
        "import sys\nfrom xrdcommon.spool.consumer import start_consumer\nfrom xrdcommon.spool.spool import Spool\n"
        "sys.stdin.readline()\n"
        "consumer = start_consumer(Spool.open(sys.argv[1]), sys.argv[2])\n"
        "while names := consumer.claim(1): print(names[0])\n"
    )
    command = [sys.executable, "-c", script, str(spool.path)]
    claimers = [
        subprocess.Popen([*command, f"run{i}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for i in range(3)
    ]
    for claimer in claimers:
        assert claimer.stdin is not None
        claimer.stdin.write("go\n")
        claimer.stdin.flush()
    claimed = [claimer.communicate()[0].split() for claimer in claimers]
    every = [name for names in claimed for name in names]
    assert len(every) == len(set(every)) == 40
    assert counts(spool) == {"produced": 40, "claimed": 40}


# --- damage


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def test_a_damaged_shard_goes_to_quarantine(spool: Spool, stream: Stream) -> None:
    for shard in range(2):
        publish(stream, shard)
    with start_consumer(spool, "run") as consumer:
        first, second = consumer.claim(2)
        damage(consumer._claims / str(first))
        assert consumer.load(first) is None
        assert consumer.load(first) is None
        assert consumer.load(second) is not None
        assert (spool.layout.quarantined("main") / str(first)).exists()
        (entry,) = read_lines(spool.layout.quarantine_log)
        assert entry["name"] == str(first)
        assert "checksum" in entry["reason"]
        consumer.cover({str(second): 100}, step=1)
    assert counts(spool) == {"produced": 200, "used": 100, "quarantined": 100}


def test_too_much_damage_stops_the_training(spool: Spool, stream: Stream) -> None:
    for shard in range(4):
        publish(stream, shard)
    with start_consumer(spool, "run") as consumer:
        names = consumer.claim(4)
        assert consumer.load(names[0]) is not None
        for name in names[1:]:
            os.truncate(consumer._claims / str(name), 1000)
        assert consumer.load(names[1]) is None
        assert consumer.load(names[2]) is None
        with pytest.raises(SpoolError, match="3 of 4 shards are damaged"):
            consumer.load(names[3])
    assert counts(spool) == {"produced": 400, "claimed": 100, "quarantined": 300}


def test_a_shard_that_has_gone_stops_the_training(spool: Spool, stream: Stream) -> None:
    publish(stream, 0)
    with start_consumer(spool, "run") as consumer:
        (name,) = consumer.claim(1)
        (consumer._claims / str(name)).unlink()
        with pytest.raises(SpoolError, match="a claimed shard is gone"):
            consumer.load(name)
    result = audit(spool)
    assert (result.ok, result.lost, result.lost_shards) == (False, 100, [str(name)])


def test_nothing_is_deleted_in_another_spool(spool: Spool, stream: Stream) -> None:
    publish(stream, 0)
    with start_consumer(spool, "run") as consumer:
        (name,) = consumer.claim(1)
        content = json.loads(spool.layout.spool_file.read_text())
        spool.layout.spool_file.write_text(json.dumps(content | {"uuid": "another"}))
        with pytest.raises(SpoolError, match="nothing is deleted"):
            consumer.cover({str(name): 100}, step=1)
        assert (consumer._claims / str(name)).exists()


def test_the_audit_finds_what_is_wrong(spool: Spool, stream: Stream) -> None:
    record = publish(stream, 0)
    assert record is not None
    entry = {"epoch": 1, "step": 1, "name": record.name, "rows": 100}
    for run in ("a", "b"):
        (spool.layout.consumers / run).mkdir()
        append_lines(spool.layout.consumers / run / "used.jsonl", [entry])
    result = audit(spool)
    assert (result.ok, result.used, result.used_twice, result.used_twice_shards) == (False, 100, 100, [record.name])
    assert result.unexplained == [record.name]  # used, and still where it could be claimed
    stray = str(ShardName(77, 0, 10, 10, "0" * 12))
    (spool.layout.ready / stray).touch()
    assert stray in audit(spool).unexplained


def test_the_audit_reports_rechecks(spool: Spool, stream: Stream) -> None:
    publish(stream, 0)
    assert not any("rechecked" in line for line in audit(spool).lines())
    publish(stream, 1, rechecked=2)
    publish(stream, 2, rechecked=3, symmetry=7)
    result = audit(spool)
    assert (result.ok, result.rechecked, result.refuted) == (True, 5, 0)
    assert "rechecked    5 crystals by spglib, 0 refuted" in result.lines()
    publish(stream, 3, rechecked=4, recheck=1)
    result = audit(spool)
    assert result.ok  # a refuted crystal is in no shard
    assert {key: result.to_dict()[key] for key in ("rechecked", "refuted", "produced")} == {
        "rechecked": 9,
        "refuted": 1,
        "produced": 400,
    }
    assert any(line.startswith("rechecked    9 crystals by spglib, 1 refuted") for line in result.lines())


# --- small parts


def test_torn_lines_count_as_never_written(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    append_lines(path, [{"n": 1}])
    with path.open("ab") as stream:
        stream.write(b'{"n": 2, "te')
    append_lines(path, [{"n": 3}])
    assert [entry["n"] for entry in read_lines(path)] == [1, 3]


def test_a_file_is_created_once(tmp_path: Path) -> None:
    assert create_once(tmp_path / "record", {"a": 1}, tmp_path)
    assert not create_once(tmp_path / "record", {"a": 2}, tmp_path)
    assert json.loads((tmp_path / "record").read_text()) == {"a": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["record"]


@pytest.mark.parametrize(("text", "size"), [("20GB", 20 * 10**9), ("1.5 MiB", 3 << 19), ("1e3", 1000), ("7b", 7)])
def test_sizes_are_read(text: str, size: int) -> None:
    assert parse_bytes(text) == size


@pytest.mark.parametrize("text", ["-1GB", "0", "much", "1PB", "", "1.2.3GB"])
def test_wrong_sizes_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="positive number with a unit"):
        parse_bytes(text)


def test_watermarks() -> None:
    marks = Watermarks(high_bytes=1000, low_bytes=500, high_shards=10, low_shards=5)
    half = Backlog(shards=3, bytes=300, claimed_shards=2, claimed_bytes=200)
    assert marks.low(half, more_shards=0, shard_bytes=100)
    assert not marks.low(half, more_shards=1, shard_bytes=100)
    assert not marks.full(half, more_shards=5, shard_bytes=100)
    assert marks.full(half, more_shards=6, shard_bytes=10)
    assert marks.full(half, more_shards=1, shard_bytes=501)
    with pytest.raises(InputError, match="low <= high"):
        Watermarks(high_bytes=10, low_bytes=20)


def test_consumer_is_what_spool_gives(spool: Spool) -> None:
    with start_consumer(spool, "run") as consumer:
        assert isinstance(consumer, Consumer)
        assert consumer.claim(3) == []


def test_a_long_queue_is_not_read_for_every_claim(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    """20,000 shards wait: a claim of one takes the first, whoever else claims, and does not list all of them."""
    names = [ShardName(shard, 0, 100, 512, f"{shard:012x}") for shard in range(20_000)]
    for name in names:
        (spool.layout.ready / str(name)).touch()
    looks: list[Path] = []
    real = claims.names_in
    monkeypatch.setattr(claims, "names_in", lambda folder: looks.append(folder) or real(folder))
    with start_consumer(spool, "a") as one, start_consumer(spool, "b") as other:
        first = [one.claim(1)[0] for _ in range(40)]
        second = other.claim(30)
        third = [one.claim(2) for _ in range(20)]
        taken = [*first, *second, *(name for pair in third for name in pair)]
    assert first == names[:40]
    assert second == names[40:70]
    assert sorted(taken) == names[:110]
    assert len(looks) <= 4

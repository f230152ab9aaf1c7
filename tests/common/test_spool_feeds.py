"""Feeds: each gets every shard exactly once, whoever is killed between them, and the audit holds for each."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from spool_shards import counts, publish
from xrdcommon.errors import InputError, SpoolError
from xrdcommon.shards import ShardName
from xrdcommon.spool import feeds as module
from xrdcommon.spool.audit import audit
from xrdcommon.spool.backlog import Backlog
from xrdcommon.spool.consumer import Consumer, start_consumer
from xrdcommon.spool.feeds import feeds, open_feed, remove_feed, sweep
from xrdcommon.spool.producer import Stream, finish
from xrdcommon.spool.records import Record
from xrdcommon.spool.spool import Spool


def queue(spool: Spool, feed: str) -> list[str]:
    return sorted(path.name for path in spool.layout.feed(feed).glob("*.tar"))


def use_all(consumer: Consumer) -> list[str]:
    names = consumer.claim(100)
    for name in names:
        shard = consumer.load(name)
        assert shard is not None
        assert shard.samples["index"].tolist() == list(range(name.rows))
    consumer.cover({str(name): name.rows for name in names}, step=1)
    return [str(name) for name in names]


def test_every_feed_gets_every_shard(spool: Spool, stream: Stream) -> None:
    assert open_feed(spool, "b")
    assert not open_feed(spool, "b")
    assert feeds(spool.layout) == ["b", "main"]
    records = [publish(stream, shard) for shard in range(3)]
    names = [record.name for record in records if record is not None]
    size = sum(record.bytes for record in records if record is not None)
    assert queue(spool, "main") == queue(spool, "b") == names
    assert os.path.samefile(spool.layout.feed("b") / names[0], spool.layout.ready / names[0])
    once = Backlog(shards=3, bytes=size, samples=300)
    assert spool.backlog() == spool.backlog("main") == spool.backlog("b") == once  # one file, counted once
    with start_consumer(spool, "first") as first, start_consumer(spool, "second", "b") as second:
        assert use_all(first) == names
        assert counts(spool) == {"produced": 600, "used": 300, "ready": 300}
        assert counts(spool, "main") == {"produced": 300, "used": 300}
        assert counts(spool, "b") == {"produced": 300, "ready": 300}
        assert (spool.backlog(), spool.backlog("main")) == (once, Backlog())  # the slower feed still needs the files
        claimed = second.claim(1)
        assert spool.backlog() == spool.backlog("b")
        assert (spool.backlog().shards, spool.backlog().claimed_shards) == (2, 1)
        second.cover({str(claimed[0]): 40}, step=1)
        assert counts(spool, "b") == {"produced": 300, "used": 40, "ready": 200, "claimed": 60}
        second.cover({str(claimed[0]): 100}, step=2)
        assert use_all(second) == names[1:]
    assert counts(spool) == {"produced": 600, "used": 600}
    assert spool.backlog() == Backlog()
    assert audit(spool).made == 300
    assert not list(spool.path.rglob("*.tar"))


def test_trainings_of_one_feed_share_it(spool: Spool, stream: Stream) -> None:
    open_feed(spool, "b")
    for shard in range(4):
        publish(stream, shard)
    with start_consumer(spool, "x", "b") as one, start_consumer(spool, "y", "b") as other:
        mine, yours = one.claim(2), other.claim(2)
        assert not set(mine) & set(yours)
        assert one.claim(1) == []
        other.release()
    assert counts(spool, "b") == {"produced": 400, "ready": 200, "claimed": 200}
    assert counts(spool, "main") == {"produced": 400, "ready": 400}


def test_a_feed_opened_later_gets_what_comes_later(spool: Spool, stream: Stream) -> None:
    publish(stream, 0)
    open_feed(spool, "late")
    publish(stream, 1)
    assert [ShardName.parse(name).shard for name in queue(spool, "late")] == [1]
    assert counts(spool, "late") == {"produced": 100, "ready": 100}
    assert counts(spool, "main") == {"produced": 200, "ready": 200}


def test_a_run_stays_with_its_feed(spool: Spool) -> None:
    open_feed(spool, "b")
    start_consumer(spool, "run", "b").close()
    with pytest.raises(SpoolError, match="run 'run' reads feed 'b', not 'main'"):
        start_consumer(spool, "run")
    start_consumer(spool, "run", "b").close()
    with pytest.raises(SpoolError, match="no feed 'c'; there are b, main"):
        start_consumer(spool, "run", "c")
    with pytest.raises(InputError, match=r"feed '\.\./up': use 1 to 100 letters"):
        open_feed(spool, "../up")


MAKER = """
import os, signal, sys
from pathlib import Path
from spool_shards import publish
from xrdcommon.spool.spool import Spool
from xrdcommon.spool.producer import Stream

renames, links, die_at = 0, 0, sys.argv[2]
rename, link = Path.rename, os.link

def watched_rename(self, target):
    global renames
    if "ready" in Path(target).parts:
        if die_at == f"before delivery {renames}":
            os.kill(os.getpid(), signal.SIGKILL)
        renames += 1
    return rename(self, target)

def watched_link(source, target):
    global links
    recorded = "published" in Path(target).parts
    if die_at == ("before the record" if recorded else f"before link {links}"):
        os.kill(os.getpid(), signal.SIGKILL)
    links += Path(target).suffix == ".tar"
    return link(source, target)

stream = Stream.open(Spool.open(sys.argv[1]))
Path.rename, os.link = watched_rename, watched_link
publish(stream, 0)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize(
    ("die_at", "delivered"),
    [
        ("before link 0", -1),
        ("before link 1", -1),
        ("before the record", -1),
        ("before delivery 0", 0),
        ("before delivery 1", 1),
        ("before delivery 2", 2),
        ("after all", 3),
    ],
)
def test_a_maker_killed_between_feeds(spool: Spool, run_script, die_at: str, delivered: int) -> None:
    """Each feed gets the shard exactly once, although one of them has used it before the others got it."""
    for feed in ("a", "b"):
        open_feed(spool, feed)
    killed = run_script(MAKER, spool.path, die_at)
    _, text = killed.communicate()
    assert killed.returncode == -signal.SIGKILL, text
    order = ["a", "b", "main"]  # in which deliveries are made
    assert [feed for feed in order if queue(spool, feed)] == order[: max(0, delivered)]
    assert counts(spool) == ({} if delivered < 0 else {"produced": 300, "ready": 300})
    used: dict[str, list[str]] = {feed: [] for feed in order}
    for feed in order[: max(0, delivered)]:
        with start_consumer(spool, f"run-{feed}", feed) as consumer:
            used[feed] += use_all(consumer)
    stream = Stream.open(spool)  # the next producer mends it
    record = publish(stream, 0) or Record.read(spool.layout.record(stream.number, 0))
    for _ in range(3):
        assert not finish(spool, record)
        stream.tidy()
    assert [feed for feed in order if queue(spool, feed)] == order[max(0, delivered) :]
    for feed in order:
        with start_consumer(spool, f"run-{feed}", feed) as consumer:
            used[feed] += use_all(consumer)
    stream.close()
    assert used == {feed: [record.name] for feed in order}
    assert counts(spool) == {"produced": 300, "used": 300}
    assert not list(spool.path.rglob("*.tar"))
    assert not list(spool.layout.temporary.iterdir())


def test_the_audit_names_the_feed_that_lost(spool: Spool, stream: Stream) -> None:
    open_feed(spool, "b")
    record = publish(stream, 0)
    assert record is not None
    (spool.layout.feed("b") / record.name).unlink()
    result = audit(spool)
    assert (result.ok, result.lost, result.feeds["b"].lost, result.feeds["main"].lost) == (False, 100, 100, 0)
    assert result.lost_shards == [f"{record.name} of feed b"]
    assert result.to_dict()["feeds"]["main"]["ready"] == 100
    assert any(line.split() == ["lost", "100", "100", "0"] for line in result.lines())
    # A shard in a queue that it was not delivered to could be used there.
    open_feed(spool, "c")
    os.link(spool.layout.ready / record.name, spool.layout.feed("c") / record.name)
    assert audit(spool).unexplained == [record.name]


def test_a_delivery_whose_folder_has_gone_is_kept(spool: Spool, stream: Stream) -> None:
    open_feed(spool, "b")
    publish(stream, 0)
    real = module.feeds(spool.layout)
    moved = spool.layout.feed("b").rename(spool.path / "elsewhere")
    record = publish(stream, 1)
    assert record is not None
    assert record.feeds == ["main"]  # no longer a feed
    moved.rename(spool.layout.feed("b"))
    assert real == ["b", "main"]
    token = spool.layout.temporary / record.token
    token.mkdir()
    (spool.layout.ready / record.name).rename(token / "main.tar")
    spool.layout.ready.rename(spool.path / "elsewhere")
    with pytest.raises(SpoolError, match="the folder of a feed is gone"):
        finish(spool, record)
    (spool.path / "elsewhere").rename(spool.layout.ready)
    assert stream.tidy() == 1
    assert counts(spool, "main") == {"produced": 200, "ready": 200}


# --- removing a feed


def test_a_removed_feed_is_accounted_for(spool: Spool, stream: Stream) -> None:
    open_feed(spool, "b")
    for shard in range(3):
        record = publish(stream, shard)
    assert record is not None
    with start_consumer(spool, "run", "b") as consumer:
        first, second = consumer.claim(2)
        consumer.cover({str(first): 100, str(second): 25}, step=1)
    remove_feed(spool, "b")
    assert sweep(spool, "b") == 100
    assert sweep(spool, "b") == 0
    assert counts(spool, "b") == {"produced": 300, "used": 125, "claimed": 75, "discarded": 100}
    publish(stream, 3)
    assert feeds(spool.layout) == ["main"]
    assert counts(spool) == {"produced": 700, "used": 125, "ready": 400, "claimed": 75, "discarded": 100}
    with pytest.raises(SpoolError, match="feed 'b' was removed"):
        open_feed(spool, "b")
    with start_consumer(spool, "run", "b") as consumer:  # what it holds it may use up
        consumer.cover({str(second): 100}, step=2)
        with pytest.raises(SpoolError, match="feed 'b' was removed; nothing more will come"):
            consumer.claim(1)
    assert counts(spool, "b") == {"produced": 300, "used": 200, "discarded": 100}
    with pytest.raises(SpoolError, match="feed 'main' is the only one"):
        remove_feed(spool, "main")
    with pytest.raises(SpoolError, match="no feed 'x'; there are main"):
        remove_feed(spool, "x")


def test_a_delivery_under_way_to_a_removed_feed(spool: Spool, stream: Stream) -> None:
    """Killed before it reached the feed, which is removed meanwhile: found by the next sweep, never claimed."""
    open_feed(spool, "b")
    record = publish(stream, 0)
    assert record is not None
    token = spool.layout.temporary / record.token
    token.mkdir()
    (spool.layout.feed("b") / record.name).rename(token / "b.tar")
    remove_feed(spool, "b")
    assert sweep(spool, "b") == 0
    assert counts(spool, "b") == {"produced": 100, "ready": 100}
    assert stream.tidy() == 1
    assert sweep(spool, "b") == 100
    assert counts(spool, "b") == {"produced": 100, "discarded": 100}
    assert counts(spool, "main") == {"produced": 100, "ready": 100}


SWEEPER = """
import os, signal, sys
from pathlib import Path
from xrdcommon.spool.spool import Spool
from xrdcommon.spool import feeds
die = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
unlink = Path.unlink
if sys.argv[2] == "before the note":
    feeds.append_lines = die
else:
    Path.unlink = lambda path, missing_ok=False: die() if path.suffix == ".tar" else unlink(path, missing_ok)
feeds.sweep(Spool.open(sys.argv[1]), "b")
"""


@pytest.mark.parametrize("when", ["before the note", "before the deletion"])
def test_killed_while_discarding(spool: Spool, stream: Stream, run_script, when: str) -> None:
    open_feed(spool, "b")
    publish(stream, 0)
    remove_feed(spool, "b")
    killed = run_script(SWEEPER, spool.path, when)
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    noted = when != "before the note"
    assert counts(spool, "b") == {"produced": 100, ("discarded" if noted else "ready"): 100}
    assert sweep(spool, "b") == (0 if noted else 100)
    assert counts(spool, "b") == {"produced": 100, "discarded": 100}
    assert list(spool.path.rglob("*.tar")) == list(spool.layout.ready.iterdir())


# --- damage and giving up


def test_damage_is_found_by_every_feed(spool: Spool, stream: Stream) -> None:
    open_feed(spool, "b")
    record = publish(stream, 0)
    assert record is not None
    os.truncate(spool.layout.ready / record.name, 1000)
    for run, feed in (("x", "main"), ("y", "b")):
        with start_consumer(spool, run, feed) as consumer:
            (name,) = consumer.claim(1)
            assert consumer.load(name) is None
        assert (spool.layout.quarantined(feed) / record.name).exists()
    assert counts(spool) == {"produced": 200, "quarantined": 200}


def test_rows_given_up_are_neither_used_nor_lost(spool: Spool, stream: Stream) -> None:
    for shard in range(2):
        publish(stream, shard)
    with start_consumer(spool, "run") as consumer:
        first, second = map(str, consumer.claim(2))
        consumer.cover({first: 30}, step=1)
        for _ in range(2):  # repeating changes nothing
            consumer.discard({first: (30, 50), second: (0, 10)})
        consumer.discard({first: (40, 55)})
        assert counts(spool) == {"produced": 200, "used": 30, "claimed": 135, "discarded": 35}
        consumer.cover({first: 60, second: 10}, step=2)
        assert counts(spool) == {"produced": 200, "used": 35, "claimed": 130, "discarded": 35}
    with start_consumer(spool, "run") as consumer:  # notes outlive the process
        consumer.cover({first: 100, second: 100}, step=3)
        with pytest.raises(SpoolError, match="nothing of it is given up"):
            consumer.discard({first: (0, 1)})
    assert counts(spool) == {"produced": 200, "used": 165, "discarded": 35}
    assert not list(spool.path.rglob("*.tar"))


def test_wrong_rows_are_not_given_up(spool: Spool, stream: Stream) -> None:
    publish(stream, 0)
    with start_consumer(spool, "run") as consumer:
        (name,) = consumer.claim(1)
        for rows in ((0, 101), (5, 5), (-1, 3)):
            with pytest.raises(InputError, match="given up of 100"):
                consumer.discard({str(name): rows})
        consumer.release()
    assert counts(spool) == {"produced": 100, "ready": 100}


def test_the_folder_of_a_feed_is_its_list(tmp_path: Path, spool: Spool) -> None:
    """Snapshots and other hidden folders that file systems put everywhere are no feeds."""
    (spool.layout.feeds / ".snapshot").mkdir()
    (spool.layout.feeds / "notes.txt").touch()
    assert feeds(spool.layout) == ["main"]

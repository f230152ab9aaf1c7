"""What lies in a shard's place and cannot be read goes to quarantine: nothing hangs, nothing ends with a traceback."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from spool_shards import counts, publish
from xrdcommon.errors import DiskFullError
from xrdcommon.shards import ShardName
from xrdcommon.spool.consumer import start_consumer
from xrdcommon.spool.feeds import open_feed, remove_feed, sweep
from xrdcommon.spool.journal import append_lines, read_lines
from xrdcommon.spool.producer import Stream
from xrdcommon.spool.spool import Spool


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "notes.txt").write_text("somebody's")


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def link_to_nowhere(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.parent / "gone")


def link_to_itself(path: Path) -> None:
    path.unlink()
    path.symlink_to(path)


def json_list(path: Path) -> None:
    path.write_text("[1, 2, 3]")


@pytest.mark.parametrize("spoil", [folder, pipe, link_to_nowhere, link_to_itself, json_list])
def test_no_file_goes_to_quarantine(spool: Spool, stream: Stream, spoil: Callable[[Path], None]) -> None:
    for shard in range(3):
        publish(stream, shard)
    (first, second, third) = sorted(spool.layout.ready.iterdir())
    spoil(second)
    with start_consumer(spool, "run") as consumer:
        loaded = {str(name): consumer.load(name) for name in consumer.claim(3)}
        assert [name for name, shard in loaded.items() if shard is None] == [second.name]
        assert os.path.lexists(spool.layout.quarantined("main") / second.name)
        assert second.name in spool.layout.quarantine_log.read_text()
        consumer.cover({first.name: 100, third.name: 100}, step=1)
        consumer.cover({second.name: 0}, step=1)  # a checkpoint may name it: it is there, in quarantine
    assert counts(spool) == {"produced": 300, "used": 200, "quarantined": 100}


@pytest.mark.parametrize("member", ["list", "no run", "run of text"])
def test_a_member_of_other_json(spool: Spool, stream: Stream, member: str) -> None:
    """A right checksum over a header that is no header: the fault of whoever wrote it, and no traceback."""
    publish(stream, 0)
    (path,) = spool.layout.ready.iterdir()
    content = io.BytesIO()
    with tarfile.open(path) as old, tarfile.open(fileobj=content, mode="w", format=tarfile.USTAR_FORMAT) as new:
        for info in old:
            data = old.extractfile(info).read()  # type: ignore[union-attr]
            if info.name.endswith(".json"):
                header = json.loads(data)
                if member == "no run":
                    del header["run"]
                changed = {"list": [1, 2], "no run": header, "run of text": {**header, "run": "many"}}[member]
                data = json.dumps(changed).encode()
                info.size = len(data)
            new.addfile(info, io.BytesIO(data))
    data, name = content.getvalue(), ShardName.parse(path.name)
    path.unlink()
    made = ShardName(name.shard, name.producer, name.rows, len(data), hashlib.sha256(data).hexdigest()[:12])
    (spool.layout.ready / str(made)).write_bytes(data)
    with start_consumer(spool, "run") as consumer:
        assert consumer.load(consumer.claim(1)[0]) is None
    assert (spool.layout.quarantined("main") / str(made)).exists()


def test_a_removed_feed_with_a_folder_in_it(spool: Spool, stream: Stream) -> None:
    open_feed(spool, "b")
    publish(stream, 0)
    (path,) = spool.layout.feed("b").glob("*.tar")
    folder(path)
    remove_feed(spool, "b")
    assert sweep(spool, "b", patience=0.1) == 100
    assert sweep(spool, "b", patience=0.1) == 0
    assert counts(spool, "b") == {"produced": 100, "discarded": 100}
    assert [file.read_text() for file in spool.layout.feed("b").rglob("notes.txt")] == ["somebody's"]


def test_a_log_of_several_is_never_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that met a full disk is not taken back over what another process has appended meanwhile."""
    log = tmp_path / "log.jsonl"
    append_lines(log, [{"n": 1}])
    real, torn = os.write, []

    def full(descriptor: int, content: bytes) -> int:
        """Half a line fits; another process's whole line comes behind it."""
        if torn:
            return real(descriptor, content)
        torn.append(content)
        written = real(descriptor, content[: len(content) // 2])
        append_lines(log, [{"n": 3}], shared=True)
        return written

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(DiskFullError):
        append_lines(log, [{"n": 2}], shared=True)
    append_lines(log, [{"n": 4}], shared=True)
    assert [entry["n"] for entry in read_lines(log)] == [1, 3, 4]

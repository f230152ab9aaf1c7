"""Records and notes that somebody edited: the audit names each with its remedy; nothing goes on as if all were well."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from spool_shards import counts, publish
from xrdcommon.errors import FormatError, SpoolError
from xrdcommon.spool.audit import audit
from xrdcommon.spool.consumer import start_consumer
from xrdcommon.spool.layout import EDITED
from xrdcommon.spool.lease import observe
from xrdcommon.spool.producer import Stream, finish_shard
from xrdcommon.spool.spool import Spool


def change(path: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    """Edit a JSON file; the edit's result takes its place unless it is None."""
    content = json.loads(path.read_text())
    result = edit(content)
    path.write_text(json.dumps(content if result is None else result))


@pytest.fixture
def half_used(spool: Spool, stream: Stream) -> Spool:
    """Three shards; a training has used one and a half."""
    for shard in range(3):
        publish(stream, shard)
    with start_consumer(spool, "run") as consumer:
        first, second = consumer.claim(2)
        consumer.cover({str(first): 100, str(second): 50}, step=1)
    assert counts(spool) == {"produced": 300, "used": 150, "ready": 100, "claimed": 50}
    return spool


RECORDS: dict[str, Callable[[dict[str, Any]], object]] = {
    "rows": lambda record: record.update(rows=64),
    "rows of text": lambda record: record.update(rows="100"),
    "bytes": lambda record: record.update(bytes=record["bytes"] + 1),
    "no rows": lambda record: record.pop("rows") and None,
    "more": lambda record: record.update(colour="red"),
    "name": lambda record: record.update(name="shard"),
    "token": lambda record: record.update(token="../../etc"),
    "feeds": lambda record: record.update(feeds=None),
    "feed": lambda record: record.update(feeds=["../ready"]),
    "rejections": lambda record: record.update(rejections=[1]),
    "a list": lambda record: [record],
    "null": lambda record: "",
}


@pytest.mark.parametrize("edit", RECORDS)
def test_a_record(half_used: Spool, edit: str) -> None:
    file = half_used.layout.record(0, 1)
    change(file, RECORDS[edit])
    found = audit(half_used)
    assert not found.ok
    (sentence,) = found.edited
    assert sentence.startswith(f"{file}: not the record of a shard (")
    assert sentence.endswith(EDITED)
    assert f"edited: {sentence}" in found.lines()
    assert found.unexplained == []
    with pytest.raises(FormatError, match="not the record of a shard"):  # production does not go on with it
        finish_shard(half_used, 0, 1)


def edit_line(path: Path, number: int, **values: object) -> None:
    lines = path.read_text().splitlines()
    lines[number] = json.dumps({**json.loads(lines[number]), **values})
    path.write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize(
    "values",
    [{"rows": 99}, {"rows": "100"}, {"name": 7}, {"epoch": "1"}, {"epoch": None}, {"name": "p000000-000000.tar"}],
)
def test_a_note_of_use(half_used: Spool, values: dict[str, object]) -> None:
    file = half_used.layout.consumer("run") / "used.jsonl"
    edit_line(file, 1, **values)
    found = audit(half_used)
    assert not found.ok
    (sentence,) = found.edited
    assert sentence.startswith(f"{file}: entry ")
    assert sentence.endswith(EDITED)
    with pytest.raises(FormatError, match="entry"):
        start_consumer(half_used, "run")


@pytest.mark.parametrize("edit", ["a list", "rows of text", "too many", "torn"])
def test_other_notes(half_used: Spool, edit: str) -> None:
    folder = half_used.layout.consumer("run")
    (coverage,) = folder.glob("coverage.*.json")
    if edit == "a list":
        with (folder / "used.jsonl").open("a") as notes:
            notes.write("[1, 2]\n")
    elif edit == "rows of text":
        change(coverage, lambda content: content.update(rows=dict.fromkeys(content["rows"], "some")))
    elif edit == "too many":
        change(coverage, lambda content: content.update(rows=dict.fromkeys(content["rows"], 100)))
    else:
        change(folder / "feed.json", lambda content: {"feeds": 1})
    found = audit(half_used)
    assert not found.ok
    assert len(found.edited) == 1
    assert str(folder) in found.edited[0]
    assert found.edited[0].endswith(EDITED)


def test_a_lease(half_used: Spool) -> None:
    (lease,) = (half_used.layout.consumer("run") / "leases").glob("*.json")
    lease.with_suffix(".released").unlink()
    lease.write_text('["me"]')
    with pytest.raises(FormatError, match="does not name an owner"):
        observe(half_used.layout.consumer("run"))


def test_a_configuration(half_used: Spool) -> None:
    """Nobody opens a spool whose next shards would be of another grid than its first."""
    change(half_used.layout.spool_file, lambda content: content["configuration"]["grid"].update(step=2.5))
    with pytest.raises(SpoolError, match=r"the configuration was changed after the spool was made.*put back"):
        Spool.open(half_used.path)
    change(half_used.layout.spool_file, lambda content: content.update(configuration=[1]))
    with pytest.raises(SpoolError, match=r"spool\.json"):
        Spool.open(half_used.path)


def test_a_used_shard_copied_back(spool: Spool, stream: Stream, capsys: pytest.CaptureFixture[str]) -> None:
    """The audit sees it before a training does, its own training refuses it, another one's second use is counted."""
    publish(stream, 0)
    (file,) = spool.layout.ready.iterdir()
    kept = spool.path.parent / file.name
    shutil.copy(file, kept)
    with start_consumer(spool, "run") as consumer:
        (name,) = consumer.claim(1)
        consumer.cover({str(name): 100}, step=1)
        shutil.copy(kept, file)
        found = audit(spool)
        assert (found.ok, found.unexplained) == (False, [file.name])
        assert any("move it out of the spool" in line for line in found.lines())
        assert consumer.claim(1) == []
        assert "'run' has used it before, somebody copied it back" in capsys.readouterr().err
    found = audit(spool)
    assert (found.ok, found.used, found.used_twice, found.copied) == (True, 100, 0, [file.name])
    assert any(line.startswith("copied back after its use") for line in found.lines())
    shutil.copy(kept, file)
    with start_consumer(spool, "other") as consumer:
        assert consumer.claim(1) == [name]
        consumer.cover({str(name): 100}, step=1)
    assert audit(spool).used_twice == 100

"""Shards: what is written is read, damage is noticed, stock tools read them."""

from __future__ import annotations

import gc
import hashlib
import os
import tarfile
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from xrdcommon.errors import CorruptShardError, FormatError, InputError, MissingFileError
from xrdcommon.fields import SAMPLE_DTYPE
from xrdcommon.shards import BLOCK_ROWS, ShardName, ShardWriter, read_shard
from xrdcommon.shards.writer import EarlyFlush

POINTS = 37


def content(rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    patterns = random.random((rows, POINTS)).astype(np.float32)
    samples = np.zeros(rows, dtype=SAMPLE_DTYPE)
    samples["space_group"] = random.integers(1, 231, rows)
    samples["index"] = np.arange(rows)
    samples["composition"] = random.random((rows, 103))
    return patterns, samples


def write(folder: Path, rows: int, seed: int = 0) -> Path:
    patterns, samples = content(rows, seed)
    draft = folder / f"draft-{rows}-{seed}"
    writer = ShardWriter(draft, run=5, producer=17, shard=42, configuration_hash="c0ffee")
    for first in range(0, rows, BLOCK_ROWS):
        writer.write_block(patterns[first : first + BLOCK_ROWS], samples[first : first + BLOCK_ROWS])
    name, digest = writer.finish()
    assert digest.startswith(name.sha12)
    assert draft.stat().st_size == name.bytes
    return draft.rename(folder / str(name))


@pytest.mark.parametrize("rows", [1, 63, 64, 65, 200])
def test_what_is_written_is_read(tmp_path: Path, rows: int) -> None:
    shard = read_shard(write(tmp_path, rows))
    patterns, samples = content(rows)
    assert len(shard) == rows
    assert (shard.run, shard.configuration_hash) == (5, "c0ffee")
    assert shard.patterns.dtype == np.float16
    np.testing.assert_array_equal(shard.patterns, patterns.astype(np.float16))
    np.testing.assert_array_equal(shard.samples, samples)
    assert shard.patterns.flags.writeable  # torch warns about arrays that are not
    assert [block.first_row for block in shard.blocks] == list(range(0, rows, BLOCK_ROWS))


def test_same_content_same_bytes(tmp_path: Path) -> None:
    (tmp_path / "again").mkdir()
    assert write(tmp_path, 100).read_bytes() == write(tmp_path / "again", 100).read_bytes()


def test_early_flushes_change_nothing_but_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "again").mkdir()
    expected = write(tmp_path, 300)
    monkeypatch.setattr("xrdcommon.shards.writer.FLUSH_BYTES", 1)  # after every block
    path = write(tmp_path / "again", 300)
    assert path.read_bytes() == expected.read_bytes()
    assert not [thread for thread in threading.enumerate() if thread.name == "shard-flush"]


def test_a_failed_flush_is_not_forgotten() -> None:
    """The kernel tells one fsync only that bytes were lost; a pipe cannot be flushed at all."""
    ends = os.pipe()
    flush = EarlyFlush(ends[1])
    flush.begin()
    for _ in range(2):
        with pytest.raises(OSError, match="Invalid argument"):
            flush.wait()
    for end in ends:
        os.close(end)


def test_the_name_is_read_back() -> None:
    name = ShardName(shard=42, producer=17, rows=1024, bytes=17485824, sha12="0123456789ab")
    assert str(name) == "p000017-000042.n1024.b17485824.0123456789ab.tar"
    assert ShardName.parse(str(name)) == name
    large = ShardName(shard=12_345_678, producer=1_000_000, rows=1, bytes=1, sha12="0" * 12)
    assert ShardName.parse(str(large)) == large


@pytest.mark.parametrize("name", ["x.tar", "p1-2.n3.b4.0123456789ab.tar", "p000017-000042.n1.b1.0123456789AB.tar"])
def test_other_names_are_refused(name: str) -> None:
    assert not ShardName.is_name(name)
    with pytest.raises(FormatError, match="not the name of a shard"):
        ShardName.parse(name)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_damage_is_noticed(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("damage")
    path = write(folder, 70)
    whole = bytearray(path.read_bytes())
    kind = data.draw(st.sampled_from(["flip", "cut", "longer"]))
    if kind == "flip":
        bit = data.draw(st.integers(0, 8 * len(whole) - 1))
        whole[bit // 8] ^= 1 << bit % 8
    elif kind == "cut":
        del whole[data.draw(st.integers(0, len(whole) - 1)) :]
    else:
        whole += b"\0"
    path.write_bytes(whole)
    with pytest.raises(CorruptShardError, match=str(path)):
        read_shard(path)


def rename_to_content(path: Path, content: bytes) -> Path:
    """Give other bytes a name whose size and checksum are right, as a faulty writer would."""
    name = ShardName.parse(path.name)
    sha12 = hashlib.sha256(content).hexdigest()[:12]
    other = path.with_name(str(replace(name, bytes=len(content), sha12=sha12)))
    other.write_bytes(content)
    return other


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"ustar", b"vstar", "no header at byte 0"),
        (b"000017-000042-0000", b"000017-000042-0001", "block 0"),
        (b"\x93NUMPY\x01\x00", b"\x93NUMPY\x02\x00", "npy version"),
        (b"'descr': '<f2'", b"'descr': '<i2'", "block 0 holds int16"),
        (b"'descr': '<f2'", b"'descr': '|O8'", "block 0"),
        (b"(64, 37)", b"(64, 36)", "block 0: npy of type float16"),
        (b"'fortran_order': False", b"'fortran_order': True ", "Fortran order"),
        (b'"first_row": 0', b'"first_row": 1', "block 0 is"),
    ],
)
def test_a_wrong_layout_under_a_right_checksum_is_refused(tmp_path: Path, old: bytes, new: bytes, message: str) -> None:
    path = write(tmp_path, 70)
    content = path.read_bytes()
    assert len(old) == len(new)
    assert old in content
    with pytest.raises(CorruptShardError, match=message):
        read_shard(rename_to_content(path, content.replace(old, new, 1)))


@pytest.mark.parametrize("size", [b"00077777777", b"zzzzzzzzzzz"])
def test_a_tar_header_that_lies_is_refused(tmp_path: Path, size: bytes) -> None:
    path = write(tmp_path, 70)
    content = bytearray(path.read_bytes())
    content[124:135] = size
    with pytest.raises(CorruptShardError, match="not a tar"):
        read_shard(rename_to_content(path, bytes(content)))


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="no such shard"):
        read_shard(tmp_path / str(ShardName(1, 2, 3, 4, "0" * 12)))


def test_blocks_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    patterns, samples = content(65)
    writer = ShardWriter(tmp_path / "draft", run=0, producer=0, shard=0, configuration_hash="")
    with pytest.raises(InputError, match="1 to 64 rows"):
        writer.write_block(patterns, samples)
    with pytest.raises(InputError, match="1 to 64 rows"):
        writer.write_block(patterns[:3], samples[:2])
    with pytest.raises(InputError, match="SAMPLE_DTYPE"):
        writer.write_block(patterns[:2], np.zeros(2, dtype=np.dtype([("a", "i4")])))
    writer.abort()


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # webdataset leaves its files to the garbage collector
def test_stock_tar_and_webdataset_read_shards(tmp_path: Path) -> None:
    webdataset = pytest.importorskip("webdataset")
    paths = [write(tmp_path, 150, seed) for seed in (1, 2)]
    with tarfile.open(paths[0]) as archive:
        assert all(member.mtime == 0 and member.uid == 0 for member in archive)
    one = list(webdataset.WebDataset(str(paths[0]), shardshuffle=False).decode())
    assert [len(sample["pattern.npy"]) for sample in one] == [64, 64, 22]
    patterns, samples = content(150, seed=1)
    np.testing.assert_array_equal(np.concatenate([s["pattern.npy"] for s in one]), patterns.astype(np.float16))
    np.testing.assert_array_equal(np.concatenate([s["samples.npy"] for s in one]), samples)
    assert one[1]["json"]["first_row"] == 64
    assert len({sample["__key__"] for sample in one}) == 3
    del one
    gc.collect()

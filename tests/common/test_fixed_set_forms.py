"""Fixed sets in Zarr, in tar shards and in the cache: nothing changes on the way, and damage is never passed on."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import webdataset
from numpy.typing import NDArray
from xrdcommon.errors import FormatError, InputError, MissingFileError
from xrdcommon.fields import SAMPLE_DTYPE
from xrdcommon.fixed_sets.cache import cache_file, load, make_cache, open_cache
from xrdcommon.fixed_sets.convert import convert
from xrdcommon.fixed_sets.fixed_set import FixedSet, write_fixed_set
from xrdcommon.fixed_sets.format import TARS_FILE, encode_ids
from xrdcommon.fixed_sets.writer import create, finish_set, write_shard
from xrdcommon.grid import Grid
from xrdcommon.shards.writer import ShardWriter
from xrdcommon.spool.producer import Draft, Stream
from xrdcommon.spool.spool import Spool

GRID = Grid(10.0, 20.0, 0.1)
N = 2100
"""Two whole shards and a part."""

ATTRIBUTES = {"simulation": {"wavelength": 1.5406}, "citations": ["x", "y"], "a": None}


def samples_of(n: int, seed: int = 1, shard: int = 0) -> NDArray[Any]:
    random = np.random.default_rng(seed)
    samples = np.zeros(n, dtype=SAMPLE_DTYPE)
    samples["space_group"] = random.integers(1, 231, n)
    samples["lattice"] = random.uniform(3, 20, (n, 6))
    samples["composition"] = random.integers(0, 5, (n, 103))
    samples["density_factor"] = np.nan
    samples["run"], samples["producer"], samples["shard"], samples["index"] = 2**63 + 5, 3, shard, np.arange(n)
    return samples


def patterns_of(n: int, seed: int = 2) -> NDArray[np.float16]:
    return np.random.default_rng(seed).random((n, GRID.n_points), dtype=np.float32).astype(np.float16)


IDS = [f"test:é{row}" for row in range(N)]


@pytest.fixture
def zarr_set(tmp_path: Path) -> Path:
    path = tmp_path / "set.zarr"
    write_fixed_set(path, GRID, [patterns_of(N)], samples_of(N), IDS, ATTRIBUTES)
    return path


@pytest.fixture
def tar_set(zarr_set: Path, tmp_path: Path) -> Path:
    convert(zarr_set, tmp_path / "tars")
    return tmp_path / "tars"


def content(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Return bytes and time of change of every file below a folder."""
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file()
    }


def only_bytes(folder: Path) -> dict[str, bytes]:
    return {name: found[0] for name, found in content(folder).items()}


def damage(file: Path) -> None:
    changed = bytearray(file.read_bytes())
    changed[len(changed) // 3] ^= 4
    file.write_bytes(changed)


def test_shards_written_apart_in_any_order_are_the_writers_bytes(zarr_set: Path, tmp_path: Path) -> None:
    apart, patterns = tmp_path / "apart.zarr", patterns_of(N)
    create(apart, GRID, N)
    write_shard(apart, 2, patterns_of(N - 2048, seed=9))  # an earlier attempt of another length and content
    for number in (2, 0, 1):
        write_shard(apart, number, patterns[1024 * number : 1024 * (number + 1)])
    (apart / "pattern" / "c" / "0" / "0.1234.partial").write_bytes(b"left by a killed writer")
    with pytest.raises(FormatError, match="not a fixed set"):
        FixedSet.open(apart)  # without records and header it is none
    digest = FixedSet.open(zarr_set).attributes["patterns_sha256"]
    for _ in range(2):  # a finish that was interrupted is done again
        finish_set(apart, GRID, samples_of(N), encode_ids(IDS), digest, ATTRIBUTES)
    assert only_bytes(apart) == only_bytes(zarr_set)


def test_there_and_back_gives_the_same_bytes(zarr_set: Path, tar_set: Path, tmp_path: Path) -> None:
    before = content(zarr_set), content(tar_set)
    back = convert(tar_set, tmp_path / "deep" / "back.zarr")
    assert only_bytes(back.path) == only_bytes(zarr_set)
    again = convert(back.path, tmp_path / "again")
    assert only_bytes(again.path) == only_bytes(tar_set)
    assert (content(zarr_set), content(tar_set)) == before
    assert {path.name for path in tmp_path.iterdir()} == {"set.zarr", "tars", "deep", "again"}


def test_tar_shards_open_as_a_fixed_set(zarr_set: Path, tar_set: Path) -> None:
    before = content(tar_set)
    one, other = FixedSet.open(zarr_set), pickle.loads(pickle.dumps(FixedSet.open(tar_set)))
    assert len(list(tar_set.glob("*.tar"))) == 3
    assert other.content_hash == one.content_hash
    assert other.attributes == one.attributes
    assert other.ids == IDS
    assert other.samples.tobytes() == samples_of(N).tobytes()
    np.testing.assert_array_equal(other.patterns(), patterns_of(N))
    np.testing.assert_array_equal(other.patterns(1000, 1030), patterns_of(N)[1000:1030])
    assert other.patterns(5, 5).shape == (0, GRID.n_points)
    rows = np.random.default_rng(0).integers(0, N, 70)
    np.testing.assert_array_equal(other.take(rows), patterns_of(N)[rows])
    assert content(tar_set) == before


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # webdataset leaves its files to the garbage collector
def test_stock_webdataset_reads_them(tar_set: Path) -> None:
    paths = sorted(str(path) for path in tar_set.glob("*.tar"))
    data = webdataset.WebDataset(paths, shardshuffle=False).decode()
    blocks = list(data.to_tuple("pattern.npy", "samples.npy", "json"))
    np.testing.assert_array_equal(np.concatenate([block[0] for block in blocks]), patterns_of(N))
    assert np.concatenate([block[1] for block in blocks]).tobytes() == samples_of(N).tobytes()
    assert [name for block in blocks for name in block[2]["ids"]] == IDS


def test_a_damaged_source_is_refused_and_leaves_nothing(zarr_set: Path, tar_set: Path, tmp_path: Path) -> None:
    damage(zarr_set / "pattern" / "c" / "1" / "0")
    before = {path.name for path in tmp_path.iterdir()}
    with pytest.raises(FormatError, match="damaged patterns in rows 1024 to 2047"):
        convert(zarr_set, tmp_path / "new")
    data = FixedSet.open(zarr_set)
    with pytest.raises(FormatError, match="damaged patterns"):
        make_cache(data, tmp_path / "cache")
    with pytest.raises(FormatError, match="damaged patterns"):
        load(data)
    assert list((tmp_path / "cache").iterdir()) == []
    (tmp_path / "cache").rmdir()

    second = sorted(tar_set.glob("*.tar"))[1]
    changed = bytearray(second.read_bytes())
    changed[300_000] ^= 1  # a pattern's: the records still match the header
    second.write_bytes(changed)
    assert FixedSet.open(tar_set).patterns(0, 1024).shape == (1024, GRID.n_points)
    with pytest.raises(FormatError, match=r"checksum .*convert it again"):
        FixedSet.open(tar_set).patterns(1024, 1025)
    with pytest.raises(FormatError, match="checksum"):
        convert(tar_set, tmp_path / "new.zarr")
    second.unlink()
    with pytest.raises(FormatError, match="damaged set in tar shards"):
        FixedSet.open(tar_set)
    assert {path.name for path in tmp_path.iterdir()} == before


def test_patterns_swapped_under_valid_checksums_are_found(zarr_set: Path, tmp_path: Path) -> None:
    shards = zarr_set / "pattern" / "c"
    shutil.copyfile(shards / "0" / "0", shards / "1" / "0")
    with pytest.raises(FormatError, match="not those of its header"):
        convert(zarr_set, tmp_path / "new")
    with pytest.raises(FormatError, match="not those of its header"):
        make_cache(FixedSet.open(zarr_set), tmp_path / "cache")


def test_headers_of_others_are_refused(tar_set: Path) -> None:
    file = tar_set / TARS_FILE
    header = json.loads(file.read_text())
    for change, message in (
        ({"format": 9}, "format 9, this version reads format 1"),
        ({"kind": "photos"}, "not one of xrdstream"),
        ({"set": {**header["set"], "rows": 7}}, "records do not match"),
        ({"set": {**header["set"], "format": 8}}, "format 8"),
        ({"shards": ["x.tar"]}, "not the name of a shard"),
        ({"shards": header["shards"][:2]}, "records do not match"),
    ):
        file.write_text(json.dumps({**header, **change}))
        with pytest.raises(FormatError, match=message):
            FixedSet.open(tar_set)


def test_places_are_checked_before_any_work(zarr_set: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    before = content(zarr_set)
    with pytest.raises(InputError, match="nothing is overwritten"):
        convert(zarr_set, tmp_path / "mine")
    with pytest.raises(InputError, match="inside the source"):
        convert(zarr_set, zarr_set / "tars")
    with pytest.raises(MissingFileError, match="no such folder"):
        convert(tmp_path / "absent", tmp_path / "new")
    with pytest.raises(InputError, match="neither a fixed set nor a folder of finished shards"):
        convert(tmp_path / "mine", tmp_path / "new")
    with pytest.raises(InputError, match="its own grid"):
        convert(zarr_set, tmp_path / "new", GRID)
    assert content(zarr_set) == before
    assert not (tmp_path / "new").exists()


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    """Three shards of 160 rows, ready."""
    configuration = {"grid": GRID.to_dict(), "classes": list(range(1, 231)), "simulation": {"wavelength": 1.2}}
    made = Spool.create(tmp_path / "spool", configuration, 11)
    stream = Stream.open(made)
    for shard in range(3):
        stream.prepare(shard)
        with Draft(made, stream.number, shard) as draft:
            for row in range(0, 160, 64):
                rows = slice(row, row + 64)
                draft.writer.write_block(patterns_of(160, shard)[rows], samples_of(160, shard, shard)[rows])
            assert draft.publish({}) is not None
    stream.close()
    return made


def test_a_stream_can_be_kept(spool: Spool, tmp_path: Path) -> None:
    before = content(spool.path)
    (ready,) = {path.parent for path in spool.path.rglob("ready/**/*.tar")}
    kept = convert(ready, tmp_path / "kept.zarr")
    assert kept.grid == GRID
    assert kept.attributes["simulation"]["wavelength"] == 1.2
    assert kept.samples.tobytes() == np.concatenate([samples_of(160, shard, shard) for shard in range(3)]).tobytes()
    np.testing.assert_array_equal(kept.patterns(), np.concatenate([patterns_of(160, shard) for shard in range(3)]))
    assert kept.ids[161] == "8000000000000005:3:1:1"
    assert content(spool.path) == before
    with pytest.raises(InputError, match="its spool gives the grid"):
        convert(ready, tmp_path / "new", GRID)
    with pytest.raises(InputError, match=r"name the folder of its shards, for example .*ready/main"):
        convert(spool.path, tmp_path / "new")

    loose = tmp_path / "loose"
    shutil.copytree(ready, loose)
    with pytest.raises(InputError, match="give --two-theta-min"):
        convert(loose, tmp_path / "new")
    with pytest.raises(InputError, match=r"101 points, but 10 to 20 degrees 2theta in steps of 0\.2"):
        convert(loose, tmp_path / "new", Grid(10.0, 20.0, 0.2))
    assert convert(loose, tmp_path / "loose.zarr", GRID).content_hash == kept.content_hash
    writer = ShardWriter(loose / "draft", run=11, producer=9, shard=0, configuration_hash="another")
    writer.write_block(patterns_of(5), samples_of(5))
    name, _ = writer.finish()
    (loose / "draft").rename(loose / str(name))
    with pytest.raises(InputError, match="different configurations"):
        convert(loose, tmp_path / "new", GRID)
    shutil.copyfile(loose / str(name), loose / str(name).replace(name.sha12, "0" * 12))
    with pytest.raises(InputError, match="one shard twice"):
        convert(loose, tmp_path / "new", GRID)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("form", ["zarr", "tars"])
def test_the_cache_holds_the_patterns_and_is_made_once(
    zarr_set: Path, tar_set: Path, tmp_path: Path, form: str
) -> None:
    source = zarr_set if form == "zarr" else tar_set
    data, cache, before = FixedSet.open(source), tmp_path / "deep" / "cache", content(source)
    with pytest.raises(FormatError, match="damaged copy"):
        open_cache(data, cache)
    make_cache(data, cache)
    np.testing.assert_array_equal(open_cache(data, cache), patterns_of(N))
    np.testing.assert_array_equal(load(data), patterns_of(N))
    (file,) = cache.iterdir()
    made = file.stat()
    make_cache(FixedSet.open(tar_set if form == "zarr" else zarr_set), cache)  # the same content: the same file
    assert [path.stat().st_ino for path in cache.iterdir()] == [made.st_ino]
    with pytest.raises(ValueError, match="read-only"):
        open_cache(data, cache)[0] = 0
    with file.open("r+b") as stream:
        stream.truncate(made.st_size - 1000)
    with pytest.raises(FormatError, match="damaged copy"):
        open_cache(data, cache)
    np.save(cache_file(data, cache), patterns_of(3))
    with pytest.raises(FormatError, match="not a copy"):
        open_cache(data, cache)
    assert content(source) == before

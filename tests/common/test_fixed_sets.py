"""Fixed sets: what is written is read, by us and by stock Zarr; everything else is refused in one line."""

from __future__ import annotations

import errno
import json
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from numpy.typing import NDArray
from xrdcommon.errors import DiskFullError, FormatError, InputError, MissingFileError
from xrdcommon.fields import SAMPLE_DTYPE, SAMPLE_FIELDS
from xrdcommon.fixed_sets.fixed_set import FixedSet, fixed_set_writer, write_fixed_set
from xrdcommon.fixed_sets.format import decode_ids
from xrdcommon.grid import Grid

GRID = Grid(10.0, 20.0, 0.1)


def make_samples(n: int, seed: int = 1) -> NDArray[Any]:
    rng = np.random.default_rng(seed)
    samples = np.zeros(n, dtype=SAMPLE_DTYPE)
    samples["space_group"] = rng.integers(1, 231, n)
    samples["crystallite_size"] = rng.uniform(20, 100, n)
    samples["lattice"] = rng.uniform(3, 20, (n, 6))
    samples["composition"] = rng.integers(0, 5, (n, 103))
    samples["density_factor"] = np.nan
    samples["index"] = np.arange(n)
    return samples


def make_patterns(n: int, seed: int = 2) -> NDArray[np.float32]:
    return np.random.default_rng(seed).random((n, GRID.n_points), dtype=np.float32)


def blocks(patterns: NDArray[np.float32], size: int) -> Iterator[NDArray[np.float32]]:
    for start in range(0, len(patterns), size):
        yield patterns[start : start + size]


def ids_of(n: int) -> list[str]:
    return [f"test:é{row}" for row in range(n)]


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "set.zarr"
    write_fixed_set(path, GRID, [make_patterns(130)], make_samples(130), ids_of(130), {"source": "a test"})
    return path


# 2100 rows: two whole shards and a part; blocks that do not divide them.
@pytest.mark.parametrize(("n", "block"), [(1, 1), (64, 64), (2100, 333), (2100, 2100), (1024, 100)])
def test_round_trip(tmp_path: Path, n: int, block: int) -> None:
    patterns, samples = make_patterns(n), make_samples(n)
    path = tmp_path / "deep" / "set.zarr"
    write_fixed_set(path, GRID, blocks(patterns, block), samples, ids_of(n), {"citation": ["x", "y"]})
    opened = FixedSet.open(path)
    assert len(opened) == n
    assert opened.grid == GRID
    assert opened.attributes["citation"] == ["x", "y"]
    assert opened.ids == ids_of(n)
    assert opened.samples.dtype == SAMPLE_DTYPE
    assert opened.samples.tobytes() == samples.tobytes()
    np.testing.assert_array_equal(opened.patterns(), patterns.astype(np.float16))
    np.testing.assert_array_equal(opened.patterns(n // 2, n), patterns[n // 2 :].astype(np.float16))
    order = np.random.default_rng(0).integers(0, n, 50)
    np.testing.assert_array_equal(opened.take(order), patterns[order].astype(np.float16))
    assert [entry.name for entry in path.parent.iterdir()] == ["set.zarr"]


def test_read_only_set_survives_use_and_pickling(written: Path) -> None:
    before = {file: file.stat().st_mtime_ns for file in written.rglob("*")}
    opened = pickle.loads(pickle.dumps(FixedSet.open(written)))
    assert opened.patterns(3, 5).shape == (2, GRID.n_points)
    assert opened.take([]).shape == (0, GRID.n_points)
    with pytest.raises(InputError, match="rows 0 to 130 asked for"):
        opened.take([0, 130])
    assert {file: file.stat().st_mtime_ns for file in written.rglob("*")} == before


def test_stock_zarr_reads_it(written: Path) -> None:
    group = zarr.open(written, mode="r")
    assert isinstance(group, zarr.Group)
    assert set(group.array_keys()) == {"pattern", "id", *(field.name for field in SAMPLE_FIELDS)}
    pattern = group["pattern"]
    assert isinstance(pattern, zarr.Array)
    assert (pattern.shape, pattern.chunks, pattern.shards) == ((130, 101), (64, 101), (1024, 101))
    np.testing.assert_array_equal(pattern[:], make_patterns(130).astype(np.float16))
    np.testing.assert_array_equal(group["space_group"][:], make_samples(130)["space_group"])  # type: ignore[index]


def test_bytes_and_hash_follow_the_content_alone(tmp_path: Path, written: Path) -> None:
    again = tmp_path / "again.zarr"
    write_fixed_set(again, GRID, blocks(make_patterns(130), 7), make_samples(130), ids_of(130), {"source": "a test"})
    files = sorted(file.relative_to(written) for file in written.rglob("*") if file.is_file())
    assert files == sorted(file.relative_to(again) for file in again.rglob("*") if file.is_file())
    assert all((written / file).read_bytes() == (again / file).read_bytes() for file in files)
    assert FixedSet.open(written).content_hash == FixedSet.open(again).content_hash
    other = tmp_path / "other.zarr"
    write_fixed_set(other, GRID, [make_patterns(130, seed=3)], make_samples(130), ids_of(130), {})
    assert FixedSet.open(other).content_hash != FixedSet.open(written).content_hash


def test_overwrites_only_fixed_sets_and_only_when_asked(tmp_path: Path, written: Path) -> None:
    arguments: tuple[Any, ...] = (GRID, [make_patterns(2)], make_samples(2), ids_of(2), {})
    with pytest.raises(InputError, match="--force"):
        write_fixed_set(written, *arguments)
    assert len(FixedSet.open(written)) == 130
    write_fixed_set(written, *arguments, overwrite=True)
    assert len(FixedSet.open(written)) == 2

    (written / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="not a fixed set"):
        write_fixed_set(written, *arguments, overwrite=True)
    assert (written / "notes.txt").read_text() == "mine"

    folder = tmp_path / "photos"
    folder.mkdir()
    zarr.create_group(tmp_path / "foreign.zarr")
    (tmp_path / "file").write_text("x")
    for place in (folder, tmp_path / "foreign.zarr", tmp_path / "file"):
        with pytest.raises(InputError, match="not a fixed set"):
            write_fixed_set(place, *arguments, overwrite=True)


def test_failure_leaves_nothing_behind(tmp_path: Path, written: Path) -> None:
    def fails() -> Iterator[NDArray[np.float32]]:
        yield make_patterns(1500)
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(DiskFullError, match="free some"):
        write_fixed_set(written, GRID, fails(), make_samples(2000), ids_of(2000), {}, overwrite=True)
    assert [entry.name for entry in tmp_path.iterdir()] == ["set.zarr"]
    assert len(FixedSet.open(written)) == 130


@pytest.mark.parametrize("n", [3, 5])
def test_blocks_must_add_up(tmp_path: Path, n: int) -> None:
    with pytest.raises(InputError, match="need as many"):
        write_fixed_set(tmp_path / "x.zarr", GRID, [make_patterns(n)], make_samples(4), ids_of(4), {})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("value", [np.nan, -0.01, 1.5])
def test_intensities_outside_the_unit_interval_are_refused(tmp_path: Path, value: float) -> None:
    patterns = make_patterns(4)
    patterns[2, 7] = value
    with pytest.raises(InputError, match=r"not within \[0, 1\]"):
        write_fixed_set(tmp_path / "x.zarr", GRID, [patterns], make_samples(4), ids_of(4), {})


def test_bad_arguments(tmp_path: Path) -> None:
    path = tmp_path / "x.zarr"
    with pytest.raises(InputError, match="need the same number of rows and 101 points"):
        write_fixed_set(path, GRID, [np.zeros((4, 100))], make_samples(4), ids_of(4), {})
    with pytest.raises(InputError, match="1 to 64 bytes"):
        write_fixed_set(path, GRID, [make_patterns(1)], make_samples(1), ["é" * 33], {})
    with pytest.raises(InputError, match="'grid' of a fixed set is reserved"):
        write_fixed_set(path, GRID, [make_patterns(1)], make_samples(1), ids_of(1), {"grid": 1})
    with pytest.raises(InputError, match="nothing to write"), fixed_set_writer(path, GRID, {}):
        pass
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_a_fixed_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="xrdgen freeze"):
        FixedSet.open(tmp_path / "absent.zarr")
    with pytest.raises(FormatError, match=r"no zarr\.json"):
        FixedSet.open(tmp_path)
    zarr.create_group(tmp_path / "foreign.zarr")
    with pytest.raises(FormatError, match="not a fixed set of xrdstream"):
        FixedSet.open(tmp_path / "foreign.zarr")
    (tmp_path / "zarr.json").write_text("{")
    with pytest.raises(FormatError, match="not valid JSON"):
        FixedSet.open(tmp_path)


def test_newer_format_is_refused_with_both_versions(written: Path) -> None:
    content = json.loads((written / "zarr.json").read_text())
    content["attributes"]["xrdstream"]["format"] = 7
    (written / "zarr.json").write_text(json.dumps(content))
    with pytest.raises(FormatError, match="format 7, this version reads formats 1 to 2"):
        FixedSet.open(written)


def test_damage_is_found(written: Path, tmp_path: Path) -> None:
    shard = written / "pattern" / "c" / "0" / "0"
    content = bytearray(shard.read_bytes())
    content[len(content) // 3] ^= 4
    shard.write_bytes(content)
    with pytest.raises(FormatError, match="damaged patterns"):
        FixedSet.open(written).patterns()
    shard.unlink()
    with pytest.raises(FormatError, match="patterns missing in rows 0 to 9"):
        FixedSet.open(written).patterns(0, 10)
    groups = written / "space_group" / "c" / "0"
    groups.unlink()
    with pytest.raises(FormatError, match="records do not match"):
        FixedSet.open(written)
    (written / "volume" / "zarr.json").unlink()
    with pytest.raises(FormatError, match="array 'volume' is missing"):
        FixedSet.open(written)


def test_every_registered_field_is_stored(written: Path) -> None:
    group = zarr.open_group(written, mode="r")
    for field in SAMPLE_FIELDS:
        array = group[field.name]
        assert isinstance(array, zarr.Array)
        assert (array.dtype, array.shape) == (np.dtype(field.dtype), (130, *field.shape))
    assert decode_ids(np.asarray(group["id"][:])) == ids_of(130)  # type: ignore[index]

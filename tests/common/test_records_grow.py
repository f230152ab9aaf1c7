"""Records grow: what version 0.1.0 wrote is read by versions with more fields, and what those write is read here.

`tests/data/version-0.1.0` holds files of that version and the script that made them. A version with more fields is a
process of its own whose registry was given two before anything else was imported.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from xrdcommon.errors import FormatError, InputError
from xrdcommon.fields import FIRST_DTYPE, SAMPLE_DTYPE, SAMPLE_FIELDS, described_dtype, empty_samples, known_fields
from xrdcommon.fixed_sets.convert import convert
from xrdcommon.fixed_sets.fixed_set import FixedSet, write_fixed_set
from xrdcommon.grid import Grid
from xrdcommon.shards import ShardName, ShardWriter, read_shard
from xrdcommon.spool.audit import audit
from xrdcommon.spool.consumer import start_consumer
from xrdcommon.spool.spool import Spool

OLD = Path(__file__).parents[1] / "data" / "version-0.1.0"
SHARDS = sorted((OLD / "spool" / "ready" / "main").iterdir())
SETS = ("set.zarr", "set-tars")
GRID = Grid(10.0, 20.0, 0.1)

GROWN = """
import sys
from pathlib import Path
import xrdcommon.fields as fields
fields.SAMPLE_FIELDS = (
    fields.Field("eta", "<f4", (), "mixing parameter", 0.25, "9.0.0"),
    *fields.SAMPLE_FIELDS,
    fields.Field("hkl", "<i2", (3,), "texture axis", -7, "9.0.0"),
)
fields.SAMPLE_DTYPE = fields.record_dtype(fields.SAMPLE_FIELDS)
import numpy as np
from xrdcommon.fixed_sets.convert import convert
from xrdcommon.fixed_sets.fixed_set import FixedSet, write_fixed_set
from xrdcommon.grid import Grid
from xrdcommon.shards import ShardWriter, read_shard
from xrdcommon.spool.consumer import start_consumer
from xrdcommon.spool.spool import Spool

def checked(samples):
    assert samples.dtype == fields.SAMPLE_DTYPE
    assert (samples["eta"] == 0.25).all() and (samples["hkl"] == -7).all() and samples["hkl"].shape[1:] == (3,)
    return samples

source, target = Path(sys.argv[1]), Path(sys.argv[2])
"""

Later = Callable[..., None]


@pytest.fixture
def later() -> Later:
    """Run lines in a version with two more fields, given `source` and `target`."""

    def run(lines: str, source: Path, target: Path) -> None:
        command = [sys.executable, "-c", GROWN + lines, str(source), str(target)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    return run


def old_spool(folder: Path) -> Path:
    """Return a copy of the spool with its empty folders, which git does not keep."""
    spool = shutil.copytree(OLD / "spool", folder / "spool")
    for name in ("claimed", "consumers", "control", "quarantine", "tmp"):
        (spool / name).mkdir(exist_ok=True)
    return spool


def grown_samples(n: int) -> np.ndarray:
    """Records of a later version."""
    dtype = np.dtype([("eta", "<f4"), *SAMPLE_DTYPE.descr, ("hkl", "<i2", (3,))])
    samples = np.zeros(n, dtype=dtype)
    samples["eta"], samples["hkl"] = 0.5, (1, 0, 2)
    samples["space_group"] = np.arange(n) % 230 + 1
    samples["volume"] = np.arange(n)
    return samples


def test_every_field_has_a_documented_default() -> None:
    for field, value in zip(SAMPLE_FIELDS, empty_samples(1)[0], strict=True):
        assert field.default is not None or field.name == "space_group"
        assert np.all(value == (field.default or 0)) or np.all(np.isnan(value))
    assert described_dtype(None) == FIRST_DTYPE == np.load(OLD / "run" / "evaluation" / "real.npz")["samples"].dtype


def test_a_later_version_reads_shards_of_0_1_0(later: Later, tmp_path: Path) -> None:
    later("np.save(target, checked(read_shard(source).samples))", SHARDS[0], tmp_path / "found.npy")
    found, now = np.load(tmp_path / "found.npy"), read_shard(SHARDS[0]).samples
    assert len(now) == 32
    for name in FIRST_DTYPE.names or ():
        np.testing.assert_array_equal(found[name], now[name])


def test_a_later_version_uses_a_spool_of_0_1_0(later: Later, tmp_path: Path) -> None:
    spool = old_spool(tmp_path)
    take = """
with start_consumer(Spool.open(source), "later") as consumer:
    for name in consumer.claim(2):
        assert len(checked(consumer.load(name).samples)) == 32
        consumer.cover({str(name): name.rows}, step=1)
"""
    later(take, spool, tmp_path)
    result = audit(Spool.open(spool))
    assert (result.ok, result.produced, result.used, result.quarantined) == (True, 64, 64, 0)


@pytest.mark.parametrize("name", SETS)
def test_a_later_version_reads_sets_of_0_1_0(later: Later, tmp_path: Path, name: str) -> None:
    later("np.save(target, checked(FixedSet.open(source).samples))", OLD / name, tmp_path / "found.npy")
    found, now = np.load(tmp_path / "found.npy"), FixedSet.open(OLD / name).samples
    assert len(now) == 64
    for field in FIRST_DTYPE.names or ():
        np.testing.assert_array_equal(found[field], now[field])


@pytest.mark.parametrize("name", SETS)
def test_a_set_of_0_1_0_converted_later_is_the_same_set(later: Later, tmp_path: Path, name: str) -> None:
    later("checked(convert(source, target).samples)", OLD / name, tmp_path / "converted")
    old, new = FixedSet.open(OLD / name), FixedSet.open(tmp_path / "converted")
    assert new.content_hash == old.content_hash
    assert new.stored.dtype == old.stored.dtype == FIRST_DTYPE
    np.testing.assert_array_equal(new.patterns(), old.patterns())


def test_shards_of_a_later_version_are_read_without_what_is_not_known(tmp_path: Path) -> None:
    samples = grown_samples(40)
    writer = ShardWriter(tmp_path / "draft", run=1, producer=2, shard=3, configuration_hash="c", dtype=samples.dtype)
    writer.write_block(np.full((40, 5), 0.5), samples)
    name, _ = writer.finish()
    shard = read_shard((tmp_path / "draft").rename(tmp_path / str(name)))
    assert shard.samples.dtype == SAMPLE_DTYPE
    for field in SAMPLE_DTYPE.names or ():
        np.testing.assert_array_equal(shard.samples[field], samples[field])


def test_sets_of_a_later_version_keep_their_fields_when_converted(later: Later, tmp_path: Path) -> None:
    write = """
samples = fields.empty_samples(1500)
samples["space_group"], samples["eta"] = 1 + np.arange(1500) % 230, np.linspace(0, 1, 1500)
write_fixed_set(target, Grid(10.0, 20.0, 0.1), [np.full((1500, 101), 0.5)], samples, [str(i) for i in range(1500)], {})
"""
    later(write, tmp_path, tmp_path / "later.zarr")
    opened = FixedSet.open(tmp_path / "later.zarr")
    assert opened.samples.dtype == SAMPLE_DTYPE
    assert opened.samples["space_group"][:3].tolist() == [1, 2, 3]
    tars = convert(tmp_path / "later.zarr", tmp_path / "tars")
    back = convert(tmp_path / "tars", tmp_path / "back.zarr")
    assert tars.content_hash == back.content_hash == opened.content_hash
    read = "assert (FixedSet.open(source).samples['eta'] == np.linspace(0, 1, 1500).astype('f4')).all()"
    for path in (tmp_path / "tars", tmp_path / "back.zarr"):
        later(read, path, tmp_path)
    header = json.loads((tmp_path / "back.zarr" / "zarr.json").read_text())["attributes"]["xrdstream"]
    assert [name for name, *_ in header["fields"]] == ["eta", *(SAMPLE_DTYPE.names or ()), "hkl"]
    # a set with arrays that are not known here is still one that may be replaced
    samples = grown_samples(3)[list(SAMPLE_DTYPE.names or ())].astype(SAMPLE_DTYPE)
    write_fixed_set(tmp_path / "back.zarr", GRID, [np.zeros((3, 101))], samples, list("abc"), {}, overwrite=True)
    assert len(FixedSet.open(tmp_path / "back.zarr")) == 3


def test_a_spool_of_a_later_format_stops_the_reader_and_stays_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = Spool.open(old_spool(tmp_path))
    monkeypatch.setattr("xrdcommon.shards.reader.SHARD_FORMAT", 0)
    with start_consumer(spool, "now") as consumer:
        (name,) = consumer.claim(1)
        with pytest.raises(FormatError, match="shard of format 1, this version reads format 0; install"):
            consumer.load(name)
    assert (audit(spool).quarantined, audit(spool).claimed) == (0, 32)


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        (np.zeros(3, dtype=[("volume", "<f4")]), "without 'space_group'"),
        (np.zeros(3, dtype=[("space_group", "<i2", (2,))]), r"'space_group' of type .*this version reads int16"),
        (np.zeros(3, dtype=[("space_group", "S3")]), r"'space_group' of type \|S3"),
        (np.zeros(3), "named fields"),
    ],
)
def test_records_that_cannot_be_read_are_refused_by_name(stored: np.ndarray, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        known_fields(stored)


def test_a_shard_without_the_label_is_refused_and_not_called_corrupt(tmp_path: Path) -> None:
    samples = np.zeros(2, dtype=[("volume", "<f4")])
    writer = ShardWriter(tmp_path / "draft", run=1, producer=2, shard=3, configuration_hash="c", dtype=samples.dtype)
    writer.write_block(np.zeros((2, 5)), samples)
    name, _ = writer.finish()
    path = (tmp_path / "draft").rename(tmp_path / str(name))
    with pytest.raises(FormatError, match="records without 'space_group'; install the version") as caught:
        read_shard(path, ShardName.parse(path.name))
    assert type(caught.value) is FormatError


def test_a_writer_takes_the_records_it_was_opened_for(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="samples of type"):
        write_fixed_set(tmp_path / "set.zarr", GRID, [np.zeros((2, 101))], grown_samples(2), ["a", "b"], {})
    assert not (tmp_path / "set.zarr").exists()

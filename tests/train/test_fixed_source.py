"""A fixed set as a source of training data: every form and every cache give the same batches, and none changes it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from xrdcommon.errors import FormatError, InputError
from xrdcommon.fixed_sets.cache import cache_file
from xrdcommon.fixed_sets.convert import convert
from xrdcommon.fixed_sets.fixed_set import FixedSet
from xrdtrain.data import fixed_source
from xrdtrain.data.fixed_source import FixedSource
from xrdtrain.distributed import Ranks
from xrdtrain.fitting.fit import fit
from xrdtrain.fitting.request import FitRequest

ALONE = Ranks(0, 1, torch.device("cpu"))


def batches(path: Path, run: Path, n: int = 5, **options: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return patterns and rows of the first batches."""
    source = FixedSource(path, batch=40, seed=3, ranks=ALONE, run=run, **options)
    source.start(None)
    taken = [source.next(30.0) for _ in range(n)]
    source.close(done=True)
    assert all(batch is not None for batch in taken)
    patterns = np.concatenate([batch.patterns.numpy() for batch in taken if batch is not None])
    return patterns, np.concatenate([batch.samples["index"] for batch in taken if batch is not None])


def state(folder: Path) -> dict[str, tuple[int, int, int]]:
    found = {str(path): path.stat() for path in folder.rglob("*")}
    return {name: (stat.st_ino, stat.st_size, stat.st_mtime_ns) for name, stat in found.items()}


def test_all_forms_and_caches_give_the_same_batches(
    make_fixed_set: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    zarr_set = make_fixed_set(n=96)
    tars = convert(zarr_set, tmp_path / "tars").path
    before, run, cache = state(zarr_set) | state(tars), tmp_path / "run", tmp_path / "cache"
    patterns, rows = batches(zarr_set, run)
    np.testing.assert_array_equal(patterns, FixedSet.open(zarr_set).patterns()[rows])
    assert sorted(rows[:96]) == list(range(96))  # an epoch
    assert not run.exists()
    file = cache_file(FixedSet.open(zarr_set), cache)
    made = 0
    for source, options in ((tars, {}), (zarr_set, {"cache": str(cache)}), (tars, {"cache": str(cache)})):
        found = batches(source, run, **options)
        np.testing.assert_array_equal(found[0], patterns)
        np.testing.assert_array_equal(found[1], rows)
        made = made or (file.stat().st_mtime_ns if file.exists() else 0)
    assert file.stat().st_mtime_ns == made  # shared, made once, still there
    monkeypatch.setattr(fixed_source, "IN_MEMORY", 1)  # a large set
    np.testing.assert_array_equal(batches(zarr_set, run)[0], patterns)
    assert [path.name for path in (run / "cache").iterdir()] == [file.name]
    np.testing.assert_array_equal(batches(zarr_set, tmp_path / "other", cache="none")[0], patterns)
    assert not (tmp_path / "other").exists()
    monkeypatch.setattr(fixed_source, "SHARE_OF_MEMORY", 0.0)
    with pytest.raises(InputError, match="give a folder with --cache"):
        batches(zarr_set, run, cache="none")
    os.truncate(file, 1000)
    with pytest.raises(FormatError, match="damaged copy"):
        batches(zarr_set, run, cache=str(cache))
    assert state(zarr_set) | state(tars) == before


def test_fit_on_tar_shards(make_fixed_set: Any, make_spool: Any, tmp_path: Path) -> None:
    tars = convert(make_fixed_set(n=96), tmp_path / "tars").path
    before, cache = state(tars), tmp_path / "cache"
    request = FitRequest(
        source=tars, run=tmp_path / "run", model="resnet-10-small", tests=(f"same={tars}",), samples=96, batch=32,
        compile=False, cache=str(cache),
    )  # fmt: skip
    results = fit(request)
    assert results["same"]["n"] == 96
    assert state(tars) == before
    assert len(list(cache.iterdir())) == 1
    with pytest.raises(InputError, match="--cache: a spool"):
        fit(FitRequest(source=make_spool().path, run=tmp_path / "other", cache=str(cache)))

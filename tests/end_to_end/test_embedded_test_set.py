"""The test set that is shipped is what its recipe makes, and knows nothing of what is trained on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from xrdcommon.fields import SAMPLE_FIELDS
from xrdcommon.fixed_sets.fixed_set import FixedSet
from xrdgen.structures.table import read_table
from xrdtrain.evaluation.fixed_test_sets import embedded_path


@pytest.mark.slow
def test_the_recipe_makes_the_embedded_test_set(call: Any, tmp_path: Path) -> None:
    recipe = (embedded_path().parent / "README.md").read_text()
    split = "xrdgen structures split embedded:amcsd --by unseen --statistics embedded:statistics --out split"
    freeze = "xrdgen freeze split/test.parquet --out train/xrdtrain/embedded/amcsd-test.zarr"
    assert split in recipe
    assert freeze in recipe

    for command, out in ((split, tmp_path / "split"), (freeze, tmp_path / "made.zarr")):
        words = command.split()
        words = [str(tmp_path / "split/test.parquet") if word == "split/test.parquet" else word for word in words]
        done = call(*words[:-1], out)
        assert done.code == 0, done.err
    made, shipped = FixedSet.open(tmp_path / "made.zarr"), FixedSet.open(embedded_path())
    assert len(made) == len(shipped) == 402
    assert made.ids == shipped.ids
    assert shipped.samples["family"].all()
    for field in SAMPLE_FIELDS:
        np.testing.assert_allclose(made.samples[field.name], shipped.samples[field.name], rtol=1e-6, err_msg=field.name)
    # another kind of CPU may add in another order and round the last bit of a float16 the other way
    patterns = [data.patterns(0, 402).astype(np.float64) for data in (made, shipped)]
    np.testing.assert_allclose(patterns[0], patterns[1], rtol=2e-3, atol=1e-6)
    attributes = [json.loads((path / "zarr.json").read_text()) for path in (tmp_path / "made.zarr", embedded_path())]
    for found in attributes:
        described = found["attributes"]["xrdstream"]
        described["source"].pop("sha256")  # of a parquet file, which names its writer
        for name in ("patterns_sha256", "samples_sha256"):
            described.pop(name)
    assert attributes[0] == attributes[1]

    train = set(read_table(tmp_path / "split" / "train.parquet")["id"])
    assert len(train) + len(set(shipped.ids)) == len(read_table("embedded:amcsd"))
    assert not train & set(shipped.ids)

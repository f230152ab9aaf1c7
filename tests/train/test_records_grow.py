"""A run folder of version 0.1.0 (see `tests/data/version-0.1.0`) is loaded, read and gone on with."""

from __future__ import annotations

import json
import lzma
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from xrdcommon.fields import SAMPLE_DTYPE
from xrdtrain.fitting.training_log import Fresh
from xrdtrain.inference.load import load_run
from xrdtrain.labels import Classes
from xrdtrain.report.run_folder import read_run
from xrdtrain.runs import checkpoint

OLD = Path(__file__).parents[1] / "data" / "version-0.1.0"

GROWN = """
import sys
import xrdcommon.fields as fields
fields.SAMPLE_FIELDS = (fields.Field("eta", "<f4", (), "mixing parameter", 0.25, "9.0.0"), *fields.SAMPLE_FIELDS)
fields.SAMPLE_DTYPE = fields.record_dtype(fields.SAMPLE_FIELDS)
sys.argv = ["xrdtrain", *sys.argv[1:]]
from xrdtrain.cli import main
main()
"""


@pytest.fixture
def old_run(tmp_path: Path) -> Path:
    """A copy of the run, its checkpoint unpacked, beside the set that it was trained on."""
    shutil.copytree(OLD / "set.zarr", tmp_path / "set.zarr")
    run = shutil.copytree(OLD / "run", tmp_path / "run")
    (packed,) = (run / "checkpoints").iterdir()
    packed.with_suffix("").write_bytes(lzma.decompress(packed.read_bytes()))
    packed.unlink()
    return run


def test_load_and_read(old_run: Path) -> None:
    run = load_run(old_run)
    assert run.classes.numbers.tolist() == [2, 14, 62, 148, 167, 225]
    evaluations = read_run(old_run).evaluations
    assert set(evaluations) == {"real", "training"}
    assert all(item.samples.dtype == SAMPLE_DTYPE for item in evaluations.values())


def test_a_version_with_another_field_goes_on_with_it(old_run: Path) -> None:
    fit = ["fit", "set.zarr", "--run", "run", "--samples", "256", "--test", "real=set.zarr", "--batch", "32"]
    command = [sys.executable, "-c", GROWN, *fit, "--precision", "fp32", "--model", "resnet-10-small"]
    done = subprocess.run(command, cwd=old_run.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    records = [json.loads(line) for line in (old_run / "metrics.jsonl").read_text().splitlines()]
    assert [record["samples"] for record in records] == [192, 256]
    with np.load(old_run / "evaluation" / "training.npz") as archive:
        samples = archive["samples"]
    assert len(samples) == 256
    assert (samples["eta"] == 0.25).all()  # of the 192 in the old checkpoint, and of the old set
    assert set(samples["space_group"]) <= {2, 14, 62, 148, 167, 225}
    # and back: this version leaves the field out
    state = checkpoint.load(checkpoint.checkpoints(old_run / "checkpoints")[-1], torch.device("cpu"))
    fresh = Fresh(torch.device("cpu"))
    fresh.restore(state["fresh"])
    recent = fresh.recent(Classes([2, 14, 62, 148, 167, 225]))["samples"]
    assert recent.dtype == SAMPLE_DTYPE
    np.testing.assert_array_equal(recent["volume"], samples["volume"])
    assert read_run(old_run).evaluations["training"].samples.dtype == SAMPLE_DTYPE

"""How `run-0.1.0.tar.xz` was made, with the code of commit 17f5f5d (version 0.1.0): `python make_run_0_1_0.py`.

A run of resnet-10-small on a grid of 86 points, trained for two epochs on a fixed set. So that the archive stays
small, every weight of the last checkpoint was then set to plus or minus the mean magnitude of its tensor, and the
moments of the optimiser to zero; `expected.npz` has patterns and what that version predicted for them.
"""

from __future__ import annotations

import io
import lzma
import shutil
import sys
import tarfile
import tempfile
from pathlib import Path

import numpy as np
import torch
from xrdcommon.fixed_sets.fixed_set import FixedSet, write_fixed_set
from xrdcommon.grid import Grid
from xrdtrain.fitting.fit import fit
from xrdtrain.fitting.request import FitRequest
from xrdtrain.inference.load import load_run
from xrdtrain.runs import checkpoint

sys.path.insert(0, str(Path(__file__).parents[1]))
from conftest import CLASSES, patterns_of, samples_of

HERE = Path(__file__).parent
GRID = Grid(5.0, 90.0, 1.0)


def main() -> None:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        random = np.random.default_rng(3)
        labels = np.resize(np.array(CLASSES), 96)
        data = Path(folder) / "set.zarr"
        write_fixed_set(
            data,
            GRID,
            [patterns_of(labels, GRID, random)],
            samples_of(labels, random),
            [f"row{row}" for row in range(96)],
            {"simulation": {"wavelength": 1.5406}, "source": "test"},
        )
        run = Path(folder) / "run"
        fit(
            FitRequest(
                source=data, run=run, model="resnet-10-small", tests=("none",), samples=192, batch=32, eval_every=96
            )
        )
        shutil.rmtree(run / "tensorboard")
        shutil.rmtree(run / "evaluation")
        (run / "ballast").unlink()
        *older, last = checkpoint.checkpoints(run / "checkpoints")
        for path in older:
            path.unlink()
        state = checkpoint.load(last, torch.device("cpu"))
        for value in state["model"].values():
            value.copy_(torch.where(value < 0, -1.0, 1.0) * value.abs().mean())
        for moments in state["optimiser"]["state"].values():
            moments["exp_avg"].zero_()
            moments["exp_avg_sq"].zero_()
        state["fresh"]["recent"] = state["fresh"]["recent"][-1:]
        samples = state.pop("samples")
        del state["format"]
        checkpoint.save(run / "checkpoints", samples, state)
        patterns = FixedSet.open(data).patterns(0, 6).astype(np.float64)
        loaded = load_run(run, torch.device("cpu"))
        probability = np.zeros((6, 231))
        for row, pattern in enumerate(patterns):
            for candidate in loaded.predict(GRID.two_theta, pattern):
                probability[row, candidate.space_group] = candidate.probability
        np.savez(run / "expected.npz", patterns=patterns.astype(np.float32), probability=probability)
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w") as archive:
            archive.add(run, arcname="run-0.1.0")
        (HERE / "run-0.1.0.tar.xz").write_bytes(lzma.compress(stream.getvalue(), preset=9 | lzma.PRESET_EXTREME))


if __name__ == "__main__":
    main()

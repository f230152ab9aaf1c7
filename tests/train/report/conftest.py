"""Builds run folders as `xrdtrain fit` leaves them, with predictions that resemble those of a trained network."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from xrdcommon.fields import SAMPLE_DTYPE
from xrdcommon.fixed_sets.fixed_set import encode_ids, write_fixed_set
from xrdcommon.grid import Grid
from xrdcommon.space_groups import CRYSTAL_SYSTEMS, crystal_system

GRID = Grid(5.0, 90.0, 0.05)
CLASSES = np.array(
    [1, 2, 4, 5, 7, 9, 11, 12, 13, 14, 15, 18, 19, 33, 36, 43, 53, 55, 57, 58, 60, 61, 62, 63, 64, 70, 74, 76, 78, 82,
     86, 87, 88, 92, 96, 127, 129, 136, 139, 140, 141, 146, 147, 148, 152, 154, 155, 160, 161, 164, 166, 167, 173,
     176, 180, 186, 187, 191, 194, 198, 205, 206, 213, 216, 217, 220, 221, 225, 227, 229, 230]
)  # fmt: skip
OUTSIDE = np.array([3, 40, 99, 214])
_SYSTEM = np.array([-1, *(CRYSTAL_SYSTEMS.index(crystal_system(number)) for number in range(1, 231))])


def make_evaluation(n: int, skill: float, seed: int, outside: float = 0.04) -> dict[str, NDArray[Any]]:
    """Return the arrays of an evaluation: right with probability about `skill`, else mostly in the right system."""
    rng = np.random.default_rng(seed)
    weight = rng.permutation(1.0 / np.arange(1, len(CLASSES) + 1) ** 1.1)
    labels = rng.choice(CLASSES, n, p=weight / weight.sum())
    labels = np.where(rng.random(n) < outside, rng.choice(OUTSIDE, n), labels)
    samples = np.zeros(n, dtype=SAMPLE_DTYPE)
    samples["space_group"] = labels
    samples["crystallite_size"] = rng.uniform(20, 100, n)
    samples["volume"] = rng.lognormal(6.2, 0.9, n)
    samples["density_factor"] = rng.lognormal(-0.25, 0.18, n)
    samples["density_factor"][rng.random(n) < 0.01] = np.nan
    samples["n_sites"] = 1 + rng.poisson(samples["volume"] / 120)
    samples["index"] = np.arange(n)
    samples["family"] = 1 + labels * 8 + rng.integers(8, size=n)
    hardness = 0.25 * np.log(samples["volume"] / 500)
    scores = rng.gumbel(size=(n, len(CLASSES))) + 2.2 * (_SYSTEM[CLASSES][None] == _SYSTEM[labels][:, None])
    known = np.isin(labels, CLASSES)
    column = np.searchsorted(CLASSES, labels[known])
    scores[np.flatnonzero(known), column] += 4.5 + 9 * (skill - 0.5) - 3 * hardness[known]
    probability = np.exp(1.2 * scores)
    probability /= probability.sum(axis=1, keepdims=True)
    order = np.argsort(-probability, axis=1)[:, :20]
    return {
        "labels": labels.astype(np.int16),
        "classes": CLASSES.astype(np.int16),
        "top": CLASSES[order].astype(np.int16),
        "top_probability": np.take_along_axis(probability, order, axis=1).astype(np.float32),
        "samples": samples,
        "logits": np.log(probability).astype(np.float16),
    }


def make_metrics(epochs: int, tests: list[str]) -> list[dict[str, Any]]:
    """Return lines of a metrics file of a training that goes well."""
    rng = np.random.default_rng(5)
    rows = []
    for epoch in range(1, epochs + 1):
        samples = epoch * 13050
        top1 = 1 - 0.97 * (samples / 4000) ** -0.25
        noise = rng.normal(0, 0.006, 4)
        test = {"loss": 3.9 * (1 - top1) + 0.3, "top1": top1 - 0.1 + noise[0], "top5": top1 + 0.15 + noise[1]}
        rows.append(
            {
                "epoch": epoch,
                "samples": samples,
                "seconds": epoch * 47.0,
                "loss": 3.6 * (1 - top1),
                "top1": top1 + noise[2],
                "top5": min(1.0, top1 + 0.22),
                "tests": {name: {**test, "top1_all": test["top1"] * 0.96} for name in tests},
                "gap": 0.1 + noise[3],
                "learning_rate": 1e-3,
                "samples_per_second": 278 + 20 * float(rng.normal()),
                "wait_fraction": abs(float(rng.normal(0, 0.02))),
                "backlog_samples": 20000,
                "backlog_shards": 20,
            }
        )
    return rows


def make_run(folder: Path, *, epochs: int = 40, n: int = 1200) -> Path:
    """Write a whole run with a test set, whose diffractograms are there as well, and return its folder."""
    run = folder / "2026-01-31-resnet-10-small"
    (run / "evaluation").mkdir(parents=True)
    test = make_evaluation(n, 0.2, seed=11)
    ids = [f"amcsd:{number:07d}" for number in range(n)]
    test_set = folder / "amcsd.zarr"
    if not test_set.exists():
        write_fixed_set(test_set, GRID, [make_patterns(test["samples"])], test["samples"], ids, {})
    np.savez(run / "evaluation" / "amcsd.npz", **test, ids=encode_ids(ids))
    np.savez(run / "evaluation" / "synthetic.npz", **make_evaluation(2 * n, 0.35, seed=12, outside=0.0))
    with (run / "metrics.jsonl").open("w") as stream:
        stream.writelines(json.dumps(row) + "\n" for row in make_metrics(epochs, ["amcsd"]))
    config = {
        "format": 1,
        "model": "resnet-10-small",
        "source": str(folder / "spool"),
        "origin": {"kind": "spool", "uuid": "1234", "root_seed": 0, "configuration_hash": "abcd"},
        "grid": GRID.to_dict(),
        "classes": CLASSES.tolist(),
        "physics": {"wavelength": 1.5406},
        "batch": 128,
        "learning_rate": 1e-3,
        "seed": 0,
        "samples": None,
        "precision": "fp32",
        "tests": {"amcsd": str(test_set)},
        "init_from": None,
        "n_parameters": 1841234,
        "created": "2026-01-31T12:00:00+00:00",
        "version": "0.1.0",
    }
    (run / "config.json").write_text(json.dumps(config))
    return run


def make_patterns(samples: NDArray[Any]) -> NDArray[np.float32]:
    """Return diffractograms (n, P) with Gaussian lines, more of them for larger cells."""
    two_theta = GRID.two_theta
    patterns = np.zeros((len(samples), GRID.n_points), dtype=np.float32)
    for row, sample in enumerate(samples):
        rng = np.random.default_rng(row)
        n_lines = int(np.clip(sample["volume"] / 12, 12, 90))
        centres = 8 + 82 * rng.random(n_lines) ** 0.8
        heights = rng.exponential(size=n_lines) * np.exp(-centres / 45)
        width = 9.0 / sample["crystallite_size"]
        lines = heights[:, None] * np.exp(-0.5 * ((two_theta[None] - centres[:, None]) / (width / 2.355)) ** 2)
        pattern = lines.sum(axis=0)
        patterns[row] = pattern / pattern.max()
    return patterns


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder of 20 epochs with a test set of 300 diffractograms; not to be changed."""
    return make_run(tmp_path_factory.mktemp("run"), epochs=20, n=300)


@pytest.fixture
def run(finished_run: Path, tmp_path: Path) -> Path:
    """A copy of the finished run, with its test set, to change at will."""
    for folder in (finished_run, finished_run.parent / "amcsd.zarr"):
        shutil.copytree(folder, tmp_path / folder.name)
    path = tmp_path / finished_run.name / "config.json"
    path.write_text(path.read_text().replace(str(finished_run.parent), str(tmp_path)))
    return path.parent

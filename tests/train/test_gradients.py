"""The norm of each pattern's gradient: against autograd, in the files, refused where it cannot be."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional
from xrdcommon.errors import InputError
from xrdcommon.fixed_sets.fixed_set import FixedSet
from xrdtrain.api import load_run
from xrdtrain.evaluation.evaluate import evaluate_run
from xrdtrain.evaluation.gradients import Weights, parse_weights
from xrdtrain.inputs.transform import Preparation


def by_hand(run: Any, test: Path, *, last: bool) -> np.ndarray[Any, Any]:
    """Backward passes over single patterns."""
    data = FixedSet.open(test)
    x = Preparation(run.spec.input, data.grid)(torch.from_numpy(data.patterns(0, len(data))), run.device, data.samples)
    labels = run.classes.index(data.samples["space_group"].astype(np.int64))
    weights = list(run.model.logits.parameters() if last else run.model.parameters())
    found = []
    for row, label in enumerate(labels.tolist()):
        if label < 0:
            found.append(np.nan)
            continue
        loss = functional.cross_entropy(run.model(x[row : row + 1]), torch.tensor([label]))
        gradient = torch.autograd.grad(loss, weights)
        found.append(float(torch.cat([part.flatten() for part in gradient]).norm()))
    return np.array(found)


def test_gradient_norms(trained: tuple[Path, Path], make_fixed_set: Any, run_command: Any) -> None:
    path, _ = trained
    other = make_fixed_set("other.zarr", n=21, groups=(2, 14, 62, 152, 154, 225, 1))
    run = load_run(path)
    for weights in Weights:
        measures = evaluate_run(path, (f"other={other}",), gradients=weights)["other"]["gradient_norm"]
        with np.load(path / "evaluation" / "other.npz") as arrays:
            norms = arrays["gradient_norm"]
        expected = by_hand(run, other, last=weights is Weights.LAST)
        assert norms == pytest.approx(expected, rel=1e-3, abs=1e-6, nan_ok=True)
        assert int(np.isnan(norms).sum()) == 3
        with (path / "evaluation" / "other-gradients.csv").open(newline="") as stream:
            rows = list(csv.DictReader(stream))
        assert len(rows) == 18
        values = [float(row["gradient_norm"]) for row in rows]
        assert values == sorted(values, reverse=True)
        assert measures["largest"][0]["norm"] == pytest.approx(np.nanmax(norms))
        assert measures["largest"][0]["id"] == rows[0]["id"] == f"row{int(np.nanargmax(norms))}"
        assert measures["weights"] == weights
    assert "gradient_norm" not in evaluate_run(path, (f"other={other}",))["other"]
    with pytest.raises(InputError, match="last or all"):
        parse_weights("first")
    done = run_command("xrdtrain", "evaluate", path, "--test", f"other={other}", "--gradients", "last")
    assert done.returncode == 0, done.stderr
    assert "gradient norm of the last layer: mean" in done.stdout

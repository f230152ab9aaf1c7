"""Reading run folders: what is there is read, what is damaged is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from xrdcommon.errors import FormatError, InputError, MissingFileError
from xrdtrain.report.run_folder import read_evaluation, read_metrics, read_run


def test_a_whole_run(run: Path) -> None:
    content = read_run(run)
    assert list(content.tests) == ["amcsd"]
    assert content.trained_on is not None
    assert content.trained_on.name == "fresh synthetic"
    assert not content.is_fixed
    assert len(content.metrics) == 20
    test = content.tests["amcsd"]
    assert test.top.shape == test.probability.shape == (300, 20)
    assert test.ids is not None
    assert test.ids[12] == "amcsd:0000012"
    assert 0 < test.inside.sum() < 300


def test_a_training_on_a_fixed_set_is_known_by_its_evaluation(run: Path) -> None:
    (run / "evaluation" / "synthetic.npz").rename(run / "evaluation" / "training.npz")
    content = read_run(run)
    assert content.is_fixed
    assert content.trained_on is not None
    assert content.trained_on.name == "training set"


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="no such run folder"):
        read_run(tmp_path / "absent")
    with pytest.raises(InputError, match="not a run folder"):
        read_run(tmp_path)
    (tmp_path / "config.json").write_text("[1]")
    with pytest.raises(FormatError, match="not a JSON object"):
        read_run(tmp_path)


def line(samples: int, top1: float) -> str:
    return json.dumps({"samples": samples, "top1": top1})


def test_metrics_replayed_after_a_resume_replace_older_ones(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    lines = [line(100, 0.1), line(200, 0.2), line(300, 0.3), line(200, 0.25), line(300, 0.35), '{"samples": 40']
    path.write_text("\n".join(lines))
    assert [(row["samples"], row["top1"]) for row in read_metrics(path)] == [(100, 0.1), (200, 0.25), (300, 0.35)]
    assert read_metrics(tmp_path / "absent.jsonl") == []


@pytest.mark.parametrize(("bad", "message"), [("{", "line 2: not JSON"), ('{"step": 3}', "line 2: no 'samples'")])
def test_damaged_metrics_are_named_with_their_line(tmp_path: Path, bad: str, message: str) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text("\n".join([line(100, 0.1), bad, line(200, 0.2)]))
    with pytest.raises(FormatError, match=message):
        read_metrics(path)


def test_damaged_evaluations_are_named(run: Path) -> None:
    path = run / "evaluation" / "amcsd.npz"
    with np.load(path) as archive:
        arrays: dict[str, Any] = dict(archive)

    def rewrite(**changes: Any) -> None:
        content = {name: value for name, value in {**arrays, **changes}.items() if value is not None}
        np.savez(path, **content)

    rewrite(top=None)
    with pytest.raises(FormatError, match="no array 'top'"):
        read_evaluation(path)
    rewrite(top=arrays["top"][:-1])
    with pytest.raises(FormatError, match="do not fit"):
        read_evaluation(path)
    rewrite(samples=np.zeros(300))
    with pytest.raises(FormatError, match="another version"):
        read_evaluation(path)
    rewrite(labels=np.full(300, 231))
    with pytest.raises(FormatError, match="space groups"):
        read_evaluation(path)
    rewrite(top=np.full((300, 20), 3))
    with pytest.raises(FormatError, match="space groups"):
        read_evaluation(path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(FormatError, match="cannot be read"):
        read_evaluation(path)

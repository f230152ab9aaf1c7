"""`xrdtrain fit --model package.module:function`: a network of the user's own, trained, saved and loaded like ours."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from xrdcommon.errors import InputError
from xrdcommon.spool.audit import audit
from xrdtrain.models import get_preset
from xrdtrain.models.own import OwnSettings, make_own
from xrdtrain.models.spec import architecture_from_dict, architecture_to_dict

MODULE = """
import torch
from torch import nn

print("imported", flush=True)

class Small(nn.Module):
    def __init__(self, points, classes):
        super().__init__()
        first, last = nn.Linear(points // 5, 64), nn.Linear(64, classes)
        self.layers = nn.Sequential(nn.AvgPool1d(5), nn.Flatten(), first, nn.ReLU(), last)

    def forward(self, patterns):
        assert patterns.ndim == 2
        return self.layers(patterns[:, None])

def small(n_points, n_classes):
    return Small(n_points, n_classes)

def no_module(n_points, n_classes):
    return 7

def too_many(n_points, n_classes):
    return nn.Linear(n_points, n_classes + 1)

def confused(n_points, n_classes):
    return nn.Linear(n_points + 1, n_classes)

number = 7
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package in the folder where the user works."""
    (tmp_path / "mynets").mkdir()
    (tmp_path / "mynets" / "__init__.py").touch()
    (tmp_path / "mynets" / "nets.py").write_text(MODULE)
    (tmp_path / "broken.py").write_text("1 / 0")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("mynets", "mynets.nets", "broken"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return tmp_path


@pytest.mark.slow
def test_it_is_trained_saved_and_loaded(package: Path, make_spool: Any, make_fixed_set: Any, run_command: Any) -> None:
    spool, real = make_spool("spool", shards=8), make_fixed_set(n=60)
    arguments = ("--test", f"real={real}", "--batch", 32, "--precision", "fp32")
    first = run_command(
        "xrdtrain", "fit", spool.path, "--run", "run", "--model", "mynets.nets:small", "--samples", 640,
        "--learning-rate", 0.01, *arguments, cwd=package,
    )  # fmt: skip
    assert first.returncode == 0, first.stderr
    again = run_command("xrdtrain", "fit", "--run", "run", "--samples", 1280, "--test", "none", cwd=package)
    assert again.returncode == 0, again.stderr
    assert "going on after 640 samples" in again.stderr
    assert (audit(spool).used, audit(spool).used_twice) == (1280, 0)
    described = json.loads((package / "run" / "network.json").read_text())
    assert described["architecture"] == {"kind": "own", "function": "mynets.nets:small"}
    measured = run_command("xrdtrain", "evaluate", "run", "--test", f"again={real}", "--json", cwd=package)
    assert measured.returncode == 0, measured.stderr
    assert json.loads(measured.stdout[measured.stdout.index("{") :])["again"]["top1"] > 0.5
    # Nobody else's code runs because a run lies about: only a command that names this run imports it.
    listing = run_command("xrdtrain", "models", "--json", cwd=package)
    assert "imported" not in listing.stdout
    elsewhere = package / "elsewhere"
    elsewhere.mkdir()
    lost = run_command("xrdtrain", "evaluate", package / "run", "--test", f"again={real}", cwd=elsewhere)
    assert lost.returncode == 2
    assert "mynets.nets cannot be imported" in lost.stderr
    assert "Traceback" not in lost.stderr


def test_what_is_no_network(package: Path) -> None:
    for name, said in {
        "mynets.nets:no_module": "gave int, no torch.nn.Module",
        "mynets.nets:too_many": r"gives \(2, 7\) for patterns \(2, 100\), need \(2, 6\)",
        "mynets.nets:confused": r"does not take patterns \(2, 100\) \(RuntimeError: ",
    }.items():
        with pytest.raises(InputError, match=said) as caught:
            make_own(OwnSettings(name), 100, 6, 1)
        assert "\n" not in str(caught.value)
    for name, said in {
        "mynets.nets:none": "no function 'none' in",
        "mynets.nets:number": "no function 'number' in",
        "mynets.nothing:small": "mynets.nothing cannot be imported",
        "broken:small": "broken cannot be imported .ZeroDivisionError",
        "../nets:small": "name a function of your own as package.module:function",
        "nets": "or name a function of your own as package.module:function",
    }.items():
        with pytest.raises(InputError, match=said):
            get_preset(name)
    network = make_own(OwnSettings("mynets.nets:small"), 100, 6, 1)
    assert network.training
    assert sum(np.prod(weight.shape) for weight in network.parameters()) == 21 * 64 + 65 * 6


def test_a_description_imports_nothing(package: Path) -> None:
    settings = architecture_from_dict({"kind": "own", "function": "mynets.nets:small"})
    assert architecture_to_dict(settings) == {"kind": "own", "function": "mynets.nets:small"}
    assert "mynets" not in sys.modules
    with pytest.raises(InputError, match="name a function of your own"):
        architecture_from_dict({"kind": "own", "function": "os.path:../x"})

"""`xrdgen produce --submit` and `slurm/pipeline.sh`: what they print, and a scheduler that is not there."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Command = Callable[..., "subprocess.CompletedProcess[str]"]

SLURM = Path(__file__).parents[3] / "slurm"


@pytest.mark.parametrize(("workers", "array", "cores"), [(256, "0-3", 64), (100, "0-1", 50), (1, "0-0", 1)])
def test_dry_run_prints_the_array(tmp_path: Path, run_command: Command, workers: int, array: str, cores: int) -> None:
    options = ("--submit", "--dry-run", "--partition", "cpu", "--account", "me", "--time", "1:00:00")
    more = ("--seed", 3, "--space-groups", "2,14", "--sbatch-options", "--exclusive -C 'a b'")
    result = run_command("xrdgen", "produce", tmp_path / "my spool", "--workers", workers, *options, *more)
    assert result.returncode == 0, result.stderr
    words = shlex.split(result.stdout)
    assert words[:2] == [f"XRD_SPOOL={tmp_path / 'my spool'}", f"XRD_VENV={sys.prefix}"]
    assert words[2] == "sbatch"
    script = next(index for index, word in enumerate(words) if word.endswith("produce.sbatch"))
    asked = {f"--array={array}", f"--cpus-per-task={cores}", "--partition=cpu", "--account=me", "--time=1:00:00"}
    assert asked <= set(words[:script])
    assert words[script - 3 : script] == ["--exclusive", "-C", "a b"]
    assert {"--seed=3", "--space-groups=2,14"} <= set(words[script:])
    assert Path(words[script]).samefile(SLURM / "produce.sbatch")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--submit", "--workers", 4), "sbatch: not found"),
        (("--submit", "--dry-run", "--workers", 0), "workers 0: --submit needs at least 1"),
        (("--dry-run", "--cores-per-task", 0), "--cores-per-task 0"),
        (("--join", "--workers", 0), "--join needs workers of its own"),
    ],
)
def test_wrong_requests_make_no_spool(tmp_path: Path, options: tuple[object, ...], message: str) -> None:
    command = [str(Path(sys.executable).parent / "xrdgen"), "produce", str(tmp_path / "spool"), *map(str, options)]
    environment = os.environ | {"PATH": str(tmp_path)}
    result = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith("xrdgen: error: ")
    assert message in line
    assert not list(tmp_path.iterdir())


def test_pipeline_dry_run(tmp_path: Path) -> None:
    environment = os.environ | {"XRD_VENV": sys.prefix, "WORKERS": "100", "GPUS": "2", "FIT_PARTITION": "gpu"}
    command = [str(SLURM / "pipeline.sh"), "--dry-run", str(tmp_path / "my spool"), str(tmp_path / "run")]
    result = subprocess.run(
        [*command, "--model", "resnet-50"], capture_output=True, text=True, env=environment, check=False
    )
    assert result.returncode == 0, result.stderr
    produce, fit, drain = (shlex.split(line) for line in result.stderr.splitlines())
    assert {"--array=0-1", "--cpus-per-task=50"} <= set(produce)
    assert {"--partition=gpu", "--ntasks=2", "--dependency=after:<production>_0"} <= set(fit)
    assert fit[-2:] == ["--model", "resnet-50"]
    assert "--dependency=afterany:<training>" in drain
    assert shlex.split(drain[-1])[1:] == ["drain", str(tmp_path / "my spool")]
    assert [line.split()[0] for line in result.stdout.splitlines()] == ["production", "training", "drain"]
    result = subprocess.run(command[:2], capture_output=True, text=True, env=environment, check=False)
    assert (result.returncode, result.stderr[:6]) == (2, "usage:")

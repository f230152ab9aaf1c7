"""`xrdgen produce --submit` and `slurm/pipeline.sh`: what they print, and a scheduler that is not there."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from xrdcommon.errors import InputError
from xrdgen.production.cluster.slurm import hours

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
        (("--join", "--submit"), "--join with --submit or --dry-run"),
        (("--partition", "cpu"), "--partition: only with --submit or --dry-run"),
        (("--workers", 1, "--account", "me", "--time", "1:00:00"), "--account, --time: only with --submit"),
        (("--cores-per-task", 64, "--logs", "x"), "--cores-per-task, --logs: only with --submit"),
        (("--dry-run", "--time", "1h"), "--time 1h: sbatch reads minutes, minutes:seconds"),
        (("--dry-run", "--time", "0"), "--time 0: no time at all"),
        (("--dry-run", "--preset", "spicy"), "preset 'spicy'"),
        (("--dry-run", "--space-groups", "999"), "999"),
        (("--dry-run", "--high-watermark", "1kB"), "high watermark 1 kB: a shard of 4096 samples needs"),
        (("--high-watermark", "20"), "high watermark 20 B: a shard of 4096 samples needs"),
        (("--dry-run", "--sbatch-options", "'x"), "--sbatch-options ''x': No closing quotation"),
        (("--dry-run", "--setup", "nowhere.sh"), "--setup nowhere.sh: no such file"),
        (("--config", "nowhere.toml"), "nowhere.toml: no such options file"),
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


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        ("90", 1.5),
        ("90:30", 1.5 + 30 / 3600),
        ("1:30:00", 1.5),
        ("1-12", 36.0),
        ("1-0:30", 24.5),
        ("2-1:30:36", 49.51),
        ("UNLIMITED", float("inf")),
    ],
)
def test_time_limits_are_read_as_sbatch_reads_them(limit: str, expected: float) -> None:
    assert hours(limit) == pytest.approx(expected)


@pytest.mark.parametrize("limit", ["", "1d", "-5", "1:2:3:4", "1-2:3:4:5", "12h", "1.5"])
def test_other_time_limits_are_refused(limit: str) -> None:
    with pytest.raises(InputError, match="sbatch reads"):
        hours(limit)


def test_logs_setup_and_core_hours(tmp_path: Path, run_command: Command) -> None:
    setup = tmp_path / "setup.sh"
    setup.write_text("module load python\n")
    (tmp_path / "site.toml").write_text(f'time = "12:00:00"\nsetup = "{setup}"\nlogs = "{tmp_path / "logs"}"\n')
    options = ("--workers", 100, "--samples", 10**9, "--dry-run", "--config", tmp_path / "site.toml")
    result = run_command("xrdgen", "produce", tmp_path / "spool", *options)
    assert result.returncode == 0, result.stderr
    words = shlex.split(result.stdout)
    assert f"XRD_SETUP={setup}" in words
    assert {f"--output={tmp_path / 'logs'}/xrdgen-%A_%a.log", "--time=12:00:00", "--samples=1000000000"} <= set(words)
    assert "2 tasks of 50 workers: at most 1,200 core hours" in result.stderr
    assert "for 1,000,000,000 samples about 56 (assuming 5,000 samples per second and core)" in result.stderr
    assert not (tmp_path / "logs").exists()


def test_an_array_larger_than_the_cluster_allows_is_refused(tmp_path: Path) -> None:
    """`scontrol` and `sbatch` are stand-ins: a cluster with such a limit is not at hand."""
    for name, text in {"scontrol": "echo 'MaxArraySize            = 3'", "sbatch": "echo 17"}.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    command = [str(Path(sys.executable).parent / "xrdgen"), "produce", str(tmp_path / "spool"), "--submit"]
    command += ["--cores-per-task", "2", "--seed", "1", "--workers"]
    result = subprocess.run([*command, "7"], capture_output=True, text=True, env=environment, check=False)
    assert result.returncode == 2
    assert "4 tasks: an array of this cluster has at most 3 (MaxArraySize)" in result.stderr
    assert not (tmp_path / "spool").exists()
    logs = tmp_path / "some" / "logs"
    result = subprocess.run(
        [*command, "6", "--logs", str(logs)], capture_output=True, text=True, env=environment, check=False
    )
    assert (result.returncode, result.stdout) == (0, "17\n"), result.stderr
    assert logs.is_dir()
    assert (tmp_path / "spool" / "spool.json").exists()


@pytest.mark.parametrize("script", ["produce.sbatch", "fit.sbatch"])
def test_scripts_read_the_setup_and_launch_in_a_container(tmp_path: Path, script: str) -> None:
    """The setup uses unset variables, as modules do; the command runs behind the words of XRD_LAUNCH."""
    (tmp_path / "setup.sh").write_text(
        'echo "set up $NOWHERE_SET"\nXRD_LAUNCH="env INSIDE=yes"\nexport TMPDIR=/dev/shm\n'
    )
    (tmp_path / "venv" / "bin").mkdir(parents=True)
    for name in ("venv/bin/xrdgen", "venv/bin/xrdtrain"):
        (tmp_path / name).write_text('#!/bin/sh\necho "$INSIDE $TMPDIR $*"\n')
        (tmp_path / name).chmod(0o755)
    (tmp_path / "srun").write_text('#!/bin/sh\nshift 2\nexec "$@"\n')
    (tmp_path / "srun").chmod(0o755)
    environment = {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "XRD_SETUP": str(tmp_path / "setup.sh"),
        "XRD_VENV": str(tmp_path / "venv"),
        "SLURM_JOB_ID": "1",
    }
    command = ["bash", str(SLURM / script), "--seed", "3"]
    result = subprocess.run(
        command, capture_output=True, text=True, env=environment, cwd=tmp_path, check=False, timeout=60
    )
    assert result.returncode == 0, result.stderr
    said, command_line = result.stdout.splitlines()
    assert said == "set up "
    assert command_line.startswith("yes /dev/shm ")
    assert command_line.endswith("--seed 3")
    (tmp_path / "setup.sh").write_text("false\n")
    result = subprocess.run(
        command, capture_output=True, text=True, env=environment, cwd=tmp_path, check=False, timeout=60
    )
    assert (result.returncode, result.stdout) == (2, "")
    assert "setup.sh failed" in result.stderr


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
    assert {"--nodes=1", "--ntasks-per-node=2", "--gpus-per-node=2"} <= set(fit)
    assert fit[-2:] == ["--model", "resnet-50"]
    assert "--dependency=afterany:<training>" in drain
    assert shlex.split(drain[-1])[1:] == ["drain", str(tmp_path / "my spool")]
    assert [line.split()[0] for line in result.stdout.splitlines()] == ["production", "training", "drain"]
    assert "2 tasks of 50 workers: at most 2,400 core hours" in result.stdout
    more = environment | {"NODES": "3", "LOGS": str(tmp_path / "logs"), "XRD_SETUP": __file__}
    result = subprocess.run(command, capture_output=True, text=True, env=more, check=False)
    produce, fit, drain = (shlex.split(line) for line in result.stderr.splitlines())
    assert {"--nodes=3", "--ntasks=6", "--ntasks-per-node=2", f"--output={tmp_path}/logs/xrdtrain-%j.log"} <= set(fit)
    assert f"--output={tmp_path}/logs/xrdgen-%A_%a.log" in produce
    assert f"--output={tmp_path}/logs/xrddrain-%j.log" in drain
    assert all(f"XRD_SETUP={__file__}" in words for words in (produce, fit, drain))
    for wrong, message in (("--model=spicy", "--model spicy: no such model"), ("--bach=3", "--bach")):
        result = subprocess.run([*command, wrong], capture_output=True, text=True, env=environment, check=False)
        assert result.returncode == 2
        assert message in result.stderr.splitlines()[-1]
    result = subprocess.run(
        command, capture_output=True, text=True, env=environment | {"PRODUCE_OPTIONS": "--preset spicy"}, check=False
    )
    assert result.returncode == 2
    assert "preset 'spicy'" in result.stderr
    result = subprocess.run(command[:2], capture_output=True, text=True, env=environment, check=False)
    assert (result.returncode, result.stderr[:6]) == (2, "usage:")

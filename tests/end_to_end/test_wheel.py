"""The wheel, installed into an environment of its own without the checkout, does the main job."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

pytestmark = [pytest.mark.end_to_end, pytest.mark.slow]

REPOSITORY = Path(__file__).resolve().parents[2]
GRID = ("--two-theta-min", 10, "--two-theta-max", 60, "--step", 0.02)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel from a copy of the sources, so that nothing is written into them."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "README.md", "LICENSE", "common", "gen", "train"):
        source = REPOSITORY / name
        ignore = shutil.ignore_patterns("__pycache__", "*.egg-info")
        shutil.copytree(source, folder / name, ignore=ignore) if source.is_dir() else shutil.copy(source, folder / name)
    build = [sys.executable, "-m", "pip", "wheel", "-q", "--disable-pip-version-check", "--no-deps", "-w", "dist", "."]
    done = subprocess.run(build, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode and "setuptools" in done.stderr:  # there is no package index to get the build system from
        done = subprocess.run([*build, "--no-build-isolation"], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (path,) = (folder / "dist").glob("xrdstream-*.whl")
    return path


def test_all_files_of_the_packages_are_in_it(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        inside = set(archive.namelist())
    wanted = {
        str(path.relative_to(REPOSITORY / top))
        for top in ("common", "gen", "train")
        for path in (REPOSITORY / top).rglob("*")
        if path.is_file() and path.suffix not in (".md", ".pyc") and ".egg-info" not in str(path)
    }
    assert len(wanted) > 200
    assert wanted <= inside
    assert not [name for name in inside if name.startswith("tests/")]


def test_it_does_the_main_job(wheel: Path, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "env"], check=True)
    python = tmp_path / "env" / "bin" / "python"
    (packages,) = (tmp_path / "env" / "lib").glob("python*/site-packages")
    numpy = find_spec("numpy")
    assert numpy is not None
    assert numpy.origin is not None
    # the dependencies are large: those of this environment, but without the links of its editable installs
    (packages / "dependencies.pth").write_text(f"{Path(numpy.origin).parents[1]}\n")
    install = [sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-deps", "--no-index"]
    subprocess.run([*install, "--ignore-installed", wheel], check=True)
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "XRD_SPOOL")}

    def run(command: str, *arguments: object) -> str:
        done = subprocess.run(
            [python.with_name(command), *map(str, arguments)],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    where = run("python", "-c", "import xrdcommon, xrdgen, xrdtrain; print(xrdgen.__file__, xrdtrain.__file__)")
    assert all(Path(name).is_relative_to(packages) for name in where.split())
    made = ("--samples", 256, "--rows-per-shard", 64, "--workers", 0, "--seed", 1)
    run("xrdgen", "produce", "spool", *made, *GRID)
    run("xrdgen", "freeze", "embedded:amcsd", "--out", "test.zarr", "--max-sites", 1, *GRID)
    fit = ("--model", "resnet-10-small", "--batch", 64, "--samples", 256, "--precision", "fp32")
    run("xrdtrain", "fit", "spool", "--run", "run", "--test", "real=test.zarr", *fit)
    audit = json.loads(run("xrdgen", "audit", "spool", "--json"))
    assert (audit["ok"], audit["used"], audit["used_twice"], audit["lost"]) == (True, 256, 0, 0)
    run("xrdtrain", "report", "run")
    assert "<svg" in (tmp_path / "run" / "report.html").read_text()

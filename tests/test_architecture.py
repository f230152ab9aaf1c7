"""The house keeps its walls: who may import whom, how long a room may be, what is never used."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
MODULES = sorted(
    path for top in ("common", "gen", "train") for path in (REPOSITORY / top).rglob("*.py") if "build" not in path.parts
)
ALLOWED_TOP_LEVEL = {
    "pyproject.toml", "gen", "train", "common", "slurm", "tests", "README.md", "Makefile", "LICENSE", "CHANGELOG.md",
    "constraints.txt", "CITATION.cff",
}  # fmt: skip


def test_imports_keep_to_the_floors() -> None:
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]
    result = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_every_room_has_a_floor() -> None:
    contracts = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    floors = " ".join(floor for contract in contracts for floor in contract.get("layers", ()))
    placed = set(re.findall(r"[\w.]+", floors))
    rooms = {
        f"{package.name}.{room.name}"
        for package in (REPOSITORY / "common/xrdcommon", REPOSITORY / "gen/xrdgen", REPOSITORY / "train/xrdtrain")
        for room in package.iterdir()
        if (room / "__init__.py").exists()
    }
    assert len(rooms) > 15
    assert rooms <= placed, "name the room in a contract of pyproject.toml"


def test_every_room_is_on_the_map() -> None:
    tree = (REPOSITORY / ".github" / "ARCHITECTURE.md").read_text().split("```")[1]
    named = set(re.findall(r"^ +(\w+)/ ", tree, flags=re.MULTILINE))
    rooms = {path.parent.name for path in MODULES if path.name == "__init__.py"} - {"xrdcommon", "xrdgen", "xrdtrain"}
    assert rooms <= named, "write a line for the room into .github/ARCHITECTURE.md"


def test_a_lease_can_be_imported_without_the_command_line() -> None:
    script = "import sys; from xrdcommon.spool import lease; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert "xrdcommon.spool.lease" in loaded
    assert not {"typer", "click", "torch", "numba", "dask", "distributed", "matplotlib"} & set(loaded)


def test_a_training_loads_nothing_that_only_measured_patterns_or_calibration_need() -> None:
    """These are a third of the time that a command takes to start."""
    script = "import sys; from xrdtrain.fitting.fit import fit; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert "torch" in loaded
    slow = {"pybaselines", "numba", "scipy.signal", "scipy.optimize", "scipy.stats", "matplotlib", "dask", "pandas"}
    assert not slow & set(loaded)


def test_top_level_is_as_the_user_fixed_it() -> None:
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=REPOSITORY, capture_output=True, text=True, check=False
    ).stdout.split("\n")
    if tracked == [""]:
        pytest.skip("not a git checkout")
    top_level = {name.split("/")[0] for name in tracked if name}
    assert {name for name in top_level if not name.startswith(".")} <= ALLOWED_TOP_LEVEL


def test_there_are_modules() -> None:
    assert len(MODULES) > 40


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_module_is_of_one_concept(path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") <= 420, "split it: one concept a module"
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
            if names == ["UnpicklingError", "pickle"] or path.name == "kernel_cache.py":
                continue  # what torch raises when it refuses to unpickle; Numba's form of compiled code
            assert not any(name.split(".")[0] in {"pickle", "dill", "joblib"} for name in names), (
                "no pickle of user data"
            )
        if isinstance(node, ast.ExceptHandler):
            assert node.type is not None, "no bare except"
            caught = ast.unparse(node.type)
            swallowed = caught == "Exception" and not any(isinstance(inner, ast.Raise) for inner in ast.walk(node))
            assert not swallowed, f"line {node.lineno}: 'except {caught}' that does not raise swallows faults"
        if isinstance(node, ast.List | ast.Tuple | ast.Set | ast.Dict):
            assert len(ast.dump(node)) < 20_000, f"line {node.lineno}: a table belongs into a data file"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_kernels_live_in_modules_of_their_own_and_never_validate(path: Path) -> None:
    tree = ast.parse(path.read_text())
    is_kernel_module = path.stem.endswith("kernels")
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            decorators = {ast.unparse(decorator).split("(")[0] for decorator in node.decorator_list}
            compiled = decorators & {"kernel", "fast_kernel", "inline_kernel", "njit", "numba.njit"}
            assert not compiled or is_kernel_module, f"line {node.lineno}: kernel {node.name} outside a *kernels.py"
            if compiled:
                raises = [inner for inner in ast.walk(node) if isinstance(inner, ast.Raise | ast.Assert)]
                assert not raises, f"line {node.lineno}: kernel {node.name} validates; do it at the border"
    if path.name not in ("jit.py", "kernel_cache.py"):
        imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names} | {
            node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)
        }
        assert "numba" not in imported, "Numba's options live in xrdgen.jit and its cache alone"

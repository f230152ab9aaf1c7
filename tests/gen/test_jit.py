"""Compiled kernels on disk: never older than their sources, never for another CPU, never half written."""

from __future__ import annotations

import ast
import ctypes
import json
import os
import pickle
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from llvmlite import binding
from xrdgen import kernel_cache
from xrdgen.crystals import symmetry_test_kernels
from xrdgen.jit import kernel

PROBE = """
from __future__ import annotations
from math import sqrt
from xrdgen.jit import fast_kernel, kernel
from xrdprobe.inner_kernels import inner

@kernel
def outer(x):
    total = 0.0
    for i in range(len(x)):
        total += inner(x[i])
    return total

@fast_kernel
def root_sum(x):
    total = 0.0
    for i in range(len(x)):
        total += sqrt(x[i])
    return total
"""
INNER = """
from __future__ import annotations
from xrdgen.jit import kernel

@kernel
def inner(x):
    return x + FACTOR
"""
RUN = """
import json, os, sys, time
from pathlib import Path
{before}
from xrdgen import kernel_cache
kernel_cache._PACKAGES["xrdprobe"] = Path({package!r})
import numpy as np
from xrdprobe import probe_kernels as probe
print("ready", flush=True)
sys.stdin.readline()
results = [probe.outer(np.arange(4.0)), probe.root_sum(np.arange(5.0) ** 2), probe.outer(np.arange(4))]
stats = [f.stats for f in (probe.outer, probe.root_sum)]
print(json.dumps({{
    "results": results,
    "hits": sum(sum(s.cache_hits.values()) for s in stats),
    "misses": sum(sum(s.cache_misses.values()) for s in stats),
}}))
"""
PR_CAPBSET_DROP, CAP_DAC_OVERRIDE = 24, 1
RESULTS = [10.0, 10.0, 10.0]
N_COMPILED = 3
N_FILES = 5  # and `inner` for two kinds of arguments


class Probe:
    """A package of three small kernels, and processes that run them."""

    def __init__(self, root: Path) -> None:
        self.package = root / "xrdprobe"
        self.package.mkdir()
        (self.package / "__init__.py").touch()
        (self.package / "probe_kernels.py").write_text(PROBE)
        self.cache = root / "cache"
        self.environment = os.environ | {
            "PYTHONPATH": str(root),
            "PYTHONDONTWRITEBYTECODE": "1",
            "NUMBA_CACHE_DIR": str(self.cache),
            "XDG_CACHE_HOME": str(root / "home"),
            "TMPDIR": str(root),
        }
        self.set_factor(1.0)

    @property
    def folder(self) -> Path:
        return self.cache / "kernels"

    def set_factor(self, factor: float) -> None:
        """Change the source of the kernel that the others call."""
        (self.package / "inner_kernels.py").write_text(INNER.replace("FACTOR", str(factor)))

    def start(self, before: str = "", limit: Callable[[], None] | None = None, **environment: str) -> Any:
        """Start a process that has imported everything and waits for its line."""
        code = RUN.format(before=before, package=str(self.package))
        process = subprocess.Popen(
            [sys.executable, "-c", code],
            env=self.environment | environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=limit,
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n", process.communicate()
        return process

    def run(self, before: str = "", limit: Callable[[], None] | None = None, **environment: str) -> tuple[Any, str]:
        """Return what a process reports, and its standard error."""
        return report(self.start(before, limit, **environment))

    def files(self) -> list[Path]:
        """All cached kernels, each checked to be whole and under its own name."""
        found = sorted(self.folder.glob("*"))
        for file in found:
            content = file.read_bytes()
            start = len(kernel_cache.MAGIC) + 8
            n = int.from_bytes(content[start - 8 : start], "big")
            assert kernel_cache._read(file, content[start : start + n]), file
        return found


def report(process: Any) -> tuple[Any, str]:
    """Let a process go on to its end."""
    out, error = process.communicate("go\n", timeout=120)
    assert process.returncode == 0, error
    return json.loads(out), error


def compiled(n: int) -> dict[str, Any]:
    """Return the report of a process that compiled n of the kernels."""
    return {"results": RESULTS, "hits": N_COMPILED - n, "misses": n}


@pytest.fixture
def probe(tmp_path: Path) -> Probe:
    return Probe(tmp_path)


def test_a_second_process_compiles_nothing_until_a_callee_changes(probe: Probe) -> None:
    assert probe.run() == (compiled(N_COMPILED), "")
    assert len(probe.files()) == N_FILES
    assert probe.run() == (compiled(0), "")
    probe.set_factor(2.0)
    found, _ = probe.run()
    assert found == {"results": [14.0, 10.0, 14.0], "hits": 0, "misses": N_COMPILED}


def test_the_sources_of_a_kernel_are_its_module_and_all_that_it_imports() -> None:
    package = Path(kernel_cache.__file__).parent
    names = {file.relative_to(package.parent.parent).as_posix() for file in kernel_cache.sources(package / "jit.py")}
    assert names == {"gen/xrdgen/jit.py", "gen/xrdgen/kernel_cache.py"}
    found = kernel_cache.sources(Path(symmetry_test_kernels.__file__))
    assert {"cosets.py", "primitive_kernels.py", "lattice_kernels.py", "jit.py", "space_groups.py"} <= {
        file.name for file in found
    }


def test_every_kernel_module_is_imported_in_a_form_that_is_followed() -> None:
    """The search for imports is by text; Python's own parser must find no other one."""
    for file in Path(kernel_cache.__file__).parent.rglob("*kernels.py"):
        wanted = {
            node.module
            for node in ast.walk(ast.parse(file.read_text()))
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("xrd")
        }
        relative = [n for n in ast.walk(ast.parse(file.read_text())) if isinstance(n, ast.ImportFrom) and n.level]
        direct = {imported.stem for imported in kernel_cache._source(file)[1]}
        assert not relative
        assert {module.rsplit(".", 1)[1] for module in wanted if "." in module} - {"symmetry", "crystals"} <= direct


def test_two_kinds_of_cpu_share_a_folder_at_the_same_time(
    probe: Probe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds = {"generic": {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""}, "host": {}}
    started = [probe.start(**kinds[kind]) for kind in kinds]
    for process in started:
        process.stdin.write("go\n")
        process.stdin.flush()
    assert [report(process)[0] for process in started] == [compiled(N_COMPILED)] * 2
    files = probe.files()
    assert len(files) == 2 * N_FILES
    generic = [file for file in files if re.search(rb"\ncpu \S+ generic \n", file.read_bytes())]
    assert len(generic) == N_FILES
    for environment in kinds.values():
        assert probe.run(**environment)[0] == compiled(0)
    # each has the code of its own kind, as a process makes it alone
    monkeypatch.syspath_prepend(str(tmp_path))  # the files name the probe
    alone = Probe.__new__(Probe)
    alone.__dict__.update(probe.__dict__, cache=tmp_path / "alone")
    alone.environment = probe.environment | {"NUMBA_CACHE_DIR": str(alone.cache)}
    alone.run(**kinds["generic"])
    assert {file.name for file in alone.files()} == {file.name for file in generic}
    assert {machine_code(file) for file in alone.files()} == {machine_code(file) for file in generic}
    assert not {machine_code(file) for file in files if file not in generic} & {machine_code(file) for file in generic}


def machine_code(file: Path) -> bytes:
    """Return the machine code of a cached kernel."""
    content = file.read_bytes()
    start = len(kernel_cache.MAGIC) + 8
    payload = content[start + int.from_bytes(content[start - 8 : start], "big") + 32 :]
    _, _, (elf, _) = pickle.loads(payload)[0]
    code = b"".join(part.data() for part in binding.ObjectFileRef.from_data(elf).sections() if part.is_text())
    assert code
    return code


def test_many_processes_compile_the_same_at_once(probe: Probe) -> None:
    started = [probe.start() for _ in range(4)]
    for process in started:
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in started:
        found, error = report(process)
        assert (found["results"], error) == (RESULTS, "")
    assert len(probe.files()) == N_FILES
    assert probe.run() == (compiled(0), "")


def test_damaged_and_foreign_files_are_compiled_again(probe: Probe) -> None:
    probe.run()
    files = probe.files()
    outer, other = [file for file in files if file.name.startswith("outer")]
    (root,) = (file for file in files if file.name.startswith("root_sum"))
    whole = outer.read_bytes()
    outer.write_bytes(whole[:-100])
    foreign = other.read_bytes()
    other.write_bytes(whole)
    root.write_bytes(b"")
    assert probe.run() == (compiled(3), "")
    assert len(probe.files()) == N_FILES
    assert other.read_bytes()[:200] == foreign[:200]
    flipped = bytearray(root.read_bytes())
    flipped[-50] ^= 1
    root.write_bytes(flipped)
    assert probe.run() == (compiled(1), "")
    assert probe.run() == (compiled(0), "")


def obey_modes() -> None:
    """Give up the capability (CAP_DAC_OVERRIDE) that lets root write everywhere; users do not have it."""
    ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE)


def test_a_read_only_folder_is_read_and_the_next_one_written(probe: Probe, tmp_path: Path) -> None:
    probe.run()
    probe.cache.chmod(0o555)
    probe.folder.chmod(0o555)
    assert probe.run(limit=obey_modes) == (compiled(0), "")
    before = probe.files()
    probe.set_factor(3.0)
    found, error = probe.run(limit=obey_modes)
    assert (found["misses"], found["results"][0]) == (N_COMPILED, 18.0)
    (line,) = error.splitlines()
    assert "cannot be written (Permission denied); set NUMBA_CACHE_DIR" in line
    assert probe.files() == before
    assert len(list((tmp_path / "home" / "xrdstream" / "kernels").iterdir())) == N_FILES
    found, error = probe.run(limit=obey_modes)
    assert (found["misses"], error) == (0, "")


def no_space() -> None:
    """Let every write beyond a thousand bytes fail, as on a full disk."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))


def test_a_full_disk_leaves_kernels_in_memory(probe: Probe) -> None:
    found, error = probe.run(limit=no_space)
    assert found == compiled(N_COMPILED)
    lines = error.splitlines()
    assert len(lines) == len(set(lines)) == 3
    assert all("cannot be written (File too large)" in line for line in lines)
    assert probe.files() == []
    assert not list(probe.cache.parent.rglob("*.tmp"))


def test_killed_while_writing(probe: Probe) -> None:
    # the system itself ends the process in the middle of a write, unless Python ignores the signal
    process = probe.start("import signal; signal.signal(signal.SIGXFSZ, signal.SIG_DFL)", no_space)
    process.communicate("go\n", timeout=120)
    assert process.returncode == -signal.SIGXFSZ
    (left,) = probe.folder.iterdir()
    assert (left.suffix, left.stat().st_size) == (".tmp", 1000)
    assert probe.run() == (compiled(N_COMPILED), "")
    old = time.time() - 2 * 86400
    os.utime(left, (old, old))
    probe.set_factor(4.0)
    probe.run()
    assert not left.exists()
    assert len(probe.files()) == 2 * N_FILES


def test_killed_at_any_time(probe: Probe) -> None:
    rng = np.random.default_rng(1)
    for _ in range(4):
        process = probe.start()
        process.stdin.write("go\n")
        process.stdin.flush()
        time.sleep(rng.uniform(0.1, 1.5))
        process.kill()
        process.communicate()
    assert probe.run()[0]["results"] == RESULTS
    for file in probe.folder.glob("*.tmp"):
        file.unlink()
    assert len(probe.files()) == N_FILES


def test_nothing_is_loaded_from_a_temporary_folder_that_others_can_write(probe: Probe, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("no folder can be made below a file")
    elsewhere = {"NUMBA_CACHE_DIR": str(blocked), "XDG_CACHE_HOME": str(blocked)}
    found, error = probe.run(**elsewhere)
    kept = tmp_path / f"xrdstream-{os.getuid()}"
    assert (found, len(list((kept / "kernels").iterdir()))) == (compiled(N_COMPILED), N_FILES)
    assert kept.stat().st_mode & 0o777 == 0o700
    assert len(error.splitlines()) == 2
    assert probe.run(**elsewhere)[0] == compiled(0)
    kept.chmod(0o777)
    found, error = probe.run(**elsewhere)
    assert found == compiled(N_COMPILED)
    assert "others can write there" in error


def test_a_numba_that_works_otherwise_compiles_without_a_cache(probe: Probe) -> None:
    before = "import numba.core.compiler as compiler; del compiler.CompileResult._rebuild"
    found, error = probe.run(before)
    assert found == compiled(N_COMPILED)
    (line,) = error.splitlines()
    assert "lacks CompileResult._rebuild; every process compiles them again" in line
    assert not probe.folder.exists()


def test_kernels_without_a_lasting_name_are_not_kept() -> None:
    """A function as an argument is named by an address that the next process gives to another function."""

    @kernel
    def apply(function: Any, x: float) -> float:
        return float(function(x))

    inner = kernel(lambda x: x + 1.0)
    assert apply(inner, 2.0) == 3.0
    cache, codegen = apply._cache, apply.targetctx.codegen()  # type: ignore[attr-defined]
    assert cache.key(apply.signatures[0], codegen) == ""  # type: ignore[attr-defined]
    assert cache.key((), codegen) != ""

"""Compiled kernels on disk, safe on shared file systems and across kinds of CPU.

Numba's own cache keeps one index a kernel, which names data files by consecutive numbers. Two processes that save code
for two kinds of CPU (or two signatures) at the same time choose the same number; the index of one then names the code
of the other, which is run without a word. Here nothing is shared: the name of a file is a hash of all that its code
depends on (`KernelCache.key`), and the file repeats the key.

    file = MAGIC, length of the key (8 bytes), key, SHA-256 of the code (32 bytes), code

A file is written under a temporary name and renamed when it is whole. On reading, the key must be equal and the code
must have its hash; whatever else lies there is compiled again and replaced. Folders that cannot be written are read,
and the code is kept in the next of `folders`, else in memory only; standard error says so once.

What is used of Numba is checked by `missing_internals`: a version that lacks it compiles without a cache.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import inspect
import os
import pickle
import platform
import re
import stat
import sys
import tempfile
import time
import uuid
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numba
import numpy as np
import xrdcommon

if TYPE_CHECKING:
    from collections.abc import Callable


def _module(name: str) -> Any:
    """Import a module of Numba's that has no types, None where a version has none of that name."""
    try:
        return import_module(name)
    except ImportError:
        return None


_caching, _compiler, _serialize = (_module(f"numba.core.{name}") for name in ("caching", "compiler", "serialize"))
_llvmlite = _module("llvmlite")

MAGIC = b"xrdstream kernel 1\n"
SUFFIX = ".kernel"
_TEMPORARY = ".tmp"

_STALE_SECONDS = {SUFFIX: 90 * 86400.0, ".built": 60 * 86400.0, _TEMPORARY: 86400.0}
"""Files older than this are removed by whoever saves: code of sources long gone, what a killed process left."""

_SETTINGS = (
    "OPT",
    "LOOP_VECTORIZE",
    "SLP_VECTORIZE",
    "ENABLE_AVX",
    "USING_SVML",
    "BOUNDSCHECK",
    "DEBUGINFO_DEFAULT",
    "LLVM_REFPRUNE_PASS",
)
"""Settings of Numba that change the code it makes."""

_CACHE_METHODS = frozenset({"cache_path", "load_overload", "save_overload", "enable", "disable", "flush"})

_IMPORT = re.compile(r"^\s*from\s+(xrd[\w.]+)\s+import\s+(\([^)]*\)|[^\n]*)|^\s*import\s+(xrd[\w.]+)", re.MULTILINE)

_PACKAGES = {"xrdgen": Path(__file__).parent, "xrdcommon": Path(xrdcommon.__file__).parent}

_unwritable: set[Path] = set()


@cache
def _say_once(message: str) -> None:
    """Write a line to standard error, each only once a process."""
    sys.stderr.write(f"compiled kernels: {message}\n")
    sys.stderr.flush()


def folders() -> list[Path]:
    """Return where kernels are looked for and kept: $NUMBA_CACHE_DIR, the user's cache, the temporary folder."""
    roots = []
    if chosen := os.environ.get("NUMBA_CACHE_DIR"):
        roots.append(Path(chosen))
    if user_cache := os.environ.get("XDG_CACHE_HOME"):
        roots.append(Path(user_cache) / "xrdstream")
    else:
        with contextlib.suppress(RuntimeError):  # a user without a home
            roots.append(Path.home() / ".cache" / "xrdstream")
    roots.append(Path(tempfile.gettempdir()) / f"xrdstream-{os.getuid()}")
    return [root / "kernels" for root in roots]


def _is_trusted(folder: Path) -> bool:
    """Return whether nobody else can have put code there: in the temporary folder anybody may make one of our name."""
    if folder != folders()[-1]:
        return True
    with contextlib.suppress(OSError):
        status = folder.parent.lstat()
        others = stat.S_IWGRP | stat.S_IWOTH
        return stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid() and not status.st_mode & others
    return False


@cache
def _source(path: Path) -> tuple[str, tuple[Path, ...]]:
    """Return the hash of a module's source and the modules of this project that it imports."""
    text = path.read_text(encoding="utf-8")
    imported = []
    for origin, names, whole in _IMPORT.findall(text):
        module = origin or whole
        for name in [module, *(f"{module}.{part}" for part in re.findall(r"\w+", names))]:
            package, *inner = name.split(".")
            place = _PACKAGES[package].joinpath(*inner) if package in _PACKAGES else None
            for file in (place.with_suffix(".py"), place / "__init__.py") if place and inner else ():
                if file.is_file():
                    imported.append(file)
    return hashlib.sha256(text.encode()).hexdigest(), tuple(imported)


def sources(path: Path) -> dict[Path, str]:
    """Return the hashes of a module and of all that it imports from this project, directly or not."""
    found: dict[Path, str] = {}
    todo = [path, Path(__file__).with_name("jit.py")]
    while todo:
        file = todo.pop()
        if file not in found:
            found[file], imported = _source(file)
            todo.extend(imported)
    return found


@cache
def sources_hash(path: Path) -> str:
    """Hash the sources of a module's kernels: a kernel contains what it calls."""
    lines = sorted(f"{file.name} {digest}" for file, digest in sources(path).items())
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def missing_internals(dispatcher: Any) -> str:
    """Return what this version of Numba lacks for `KernelCache`, an empty string if nothing."""
    parts = {"_Cache": _caching, "NullCache": _caching, "CompileResult": _compiler, "dumps": _serialize}
    for name, module in parts.items():
        if not hasattr(module, name):
            return f"numba.core's {name}"
    if _caching._Cache.__abstractmethods__ != _CACHE_METHODS:
        return "the methods of numba.core.caching._Cache"
    if not isinstance(getattr(dispatcher, "_cache", None), _caching.NullCache):
        return "Dispatcher._cache"
    result = _compiler.CompileResult
    for name in ("_reduce", "_rebuild", "signature", "lifted", "library", "codegen"):
        if not hasattr(result, name) and name not in getattr(result, "_fields", ()):
            return f"CompileResult.{name}"
    if not hasattr(dispatcher.targetctx.codegen(), "magic_tuple"):
        return "codegen.magic_tuple"
    return ""


def attach_cache(dispatcher: Any, function: Callable[..., Any], options: dict[str, Any]) -> None:
    """Give a compiled function its cache; without one, and with a line that says so, where Numba has changed."""
    if numba.config.DISABLE_JIT:  # type: ignore[attr-defined]
        return
    if missing := missing_internals(dispatcher):
        _say_once(f"Numba {numba.__version__} lacks {missing}; every process compiles them again")
        return
    dispatcher._cache = KernelCache(function, options)


class KernelCache:
    """The compiled forms of one kernel, one file for each signature, kind of CPU and version of everything."""

    def __init__(self, function: Callable[..., Any], options: dict[str, Any]) -> None:
        code = function.__code__
        self._function = function
        self._name = f"{function.__module__}.{function.__qualname__}"
        self._options = {name: sorted(value) if isinstance(value, set) else value for name, value in options.items()}
        own = hashlib.sha256(repr((code.co_code, code.co_names, code.co_varnames)).encode()).hexdigest()
        self._source = f"{sources_hash(Path(inspect.getfile(function)))} {own}"
        self._enabled = True

    @property
    def cache_path(self) -> str:
        """The preferred folder."""
        return str(folders()[0])

    def enable(self) -> None:
        """Use the files."""
        self._enabled = True

    def disable(self) -> None:
        """Leave the files alone."""
        self._enabled = False

    def flush(self) -> None:
        """Do nothing: a file that is out of date is never read."""

    def key(self, signature: Any, codegen: Any) -> str:
        """Return all that the compiled code depends on, a line each; empty if it cannot be told for certain."""
        triple, cpu, features = codegen.magic_tuple()
        settings = [f"{name}={getattr(numba.config, name, None)!r}" for name in _SETTINGS]
        lines = [
            f"kernel {self._name}",
            f"signature {signature!r}",
            f"options {sorted(self._options.items())!r} {settings!r}",
            f"cpu {triple} {cpu} {features}",
            f"python {platform.python_implementation()} {sys.version} numpy {np.__version__}",
            f"numba {numba.__version__} llvmlite {_llvmlite.__version__}",
            f"source {self._source}",
        ]
        text = "\n".join(lines)
        # a function as an argument is named by its address, which the next process has for another one
        return "" if " at 0x" in text or self._function.__closure__ else text

    def _file_name(self, key: str) -> str:
        name = re.sub(r"\W", "", self._function.__name__)[:60]
        return f"{name}-{hashlib.sha256(key.encode()).hexdigest()[:32]}{SUFFIX}"

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Return the compiled form of a signature, None if there is no file with exactly its key."""
        target_context.refresh()
        key = self.key(sig, target_context.codegen()) if self._enabled else ""
        if not key:
            return None
        for folder in filter(_is_trusted, folders()):
            payload = _read(folder / self._file_name(key), key.encode())
            if payload is not None:
                parts = pickle.loads(payload)  # noqa: S301 -- its key and hash were checked
                found = _compiler.CompileResult._rebuild(target_context, *parts)
                return found if found.signature.args == tuple(getattr(sig, "args", sig)) else None
        return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep a compiled form in the first folder that takes it."""
        key = self.key(sig, data.codegen) if self._enabled else ""
        if not key or data.lifted or data.library.has_dynamic_globals:
            return
        payload = _serialize.dumps(data._reduce())
        content = b"".join(
            [MAGIC, len(key.encode()).to_bytes(8, "big"), key.encode(), hashlib.sha256(payload).digest(), payload]
        )
        for folder in folders():
            if folder in _unwritable:
                continue
            try:
                _prepare(folder)
                _write(folder / self._file_name(key), content)
            except OSError as error:
                _unwritable.add(folder)
                _say_once(f"{folder} cannot be written ({error.strerror}); set NUMBA_CACHE_DIR to a folder that can")
            else:
                return


def _build_note(module: Path) -> str:
    """Name the note that all kernels that a module uses are compiled, for this kind of CPU and these versions."""
    codegen = import_module("numba.core.registry").cpu_target.target_context.codegen()
    settings = [getattr(numba.config, name, None) for name in _SETTINGS]
    parts = (sources_hash(module), codegen.magic_tuple(), settings, sys.version, np.__version__, numba.__version__)
    return f"{module.stem}-{hashlib.sha256(repr((*parts, _llvmlite.__version__)).encode()).hexdigest()[:32]}.built"


def is_built(module: Path) -> bool:
    """Return whether somebody has noted that all kernels that a module uses are compiled and kept."""
    return any((folder / _build_note(module)).is_file() for folder in filter(_is_trusted, folders()))


def note_built(module: Path) -> None:
    """Note that all kernels that a module uses are compiled and kept; a wrong note costs time, nothing else."""
    for folder in filter(_is_trusted, folders()):
        with contextlib.suppress(OSError):
            (folder / _build_note(module)).touch()
            return


def _read(path: Path, key: bytes) -> bytes | None:
    """Return the code in a file, None if there is none, or not exactly that of the key."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    head = MAGIC + len(key).to_bytes(8, "big") + key
    digest, payload = content[len(head) : len(head) + 32], content[len(head) + 32 :]
    return payload if content.startswith(head) and hashlib.sha256(payload).digest() == digest else None


def _write(path: Path, content: bytes) -> None:
    """Write a file that appears when it is whole."""
    temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex}{_TEMPORARY}")
    try:
        with temporary.open("xb") as stream:
            stream.write(content)
        temporary.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


@cache
def _prepare(folder: Path) -> None:
    """Make a folder of kernels, and remove from it what nobody will read any more; once a process.

    Raises:
        OSError: it cannot be made, or it is not ours.

    """
    folder.parent.mkdir(mode=0o700 if folder == folders()[-1] else 0o777, parents=True, exist_ok=True)
    if not _is_trusted(folder):
        raise PermissionError(errno.EACCES, "others can write there")
    folder.mkdir(exist_ok=True)
    now = time.time()
    for file in folder.iterdir():
        limit = _STALE_SECONDS.get(file.suffix)
        with contextlib.suppress(OSError):
            if limit is not None and now - file.stat().st_mtime > limit:
                file.unlink()

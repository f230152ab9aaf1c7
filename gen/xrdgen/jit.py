"""The one place where Numba's options live.

`kernel` compiles without `fastmath`, so that sums keep their order and results do not depend on the machine's
whims; a kernel that may be reordered safely asks for `fast_kernel` and says why at its definition.

Compiled kernels are kept in $NUMBA_CACHE_DIR, else in the user's cache folder, in a subfolder named by a hash of all
kernel sources: Numba itself looks at a kernel's own file only and would run a stale one after a change in a callee.
Within it, Numba keeps the code of each kind of CPU apart.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., Any])


def _sources_hash() -> str:
    """Hash the names and bytes of all kernel modules of the package."""
    digest = hashlib.sha256()
    package = Path(__file__).parent
    for path in sorted([*package.rglob("*kernels.py"), Path(__file__)]):
        digest.update(str(path.relative_to(package)).encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def cache_folder() -> Path:
    """Return the folder of compiled kernels: the first writable one of the user's choice, cache, temporary folder."""
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    user_cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    temporary = Path(tempfile.gettempdir()) / f"xrdstream-{os.getuid()}"
    folder = f"kernels-{_sources_hash()}"
    for root in ([Path(chosen)] if chosen else []) + [user_cache / "xrdstream", temporary]:
        with contextlib.suppress(OSError):
            (root / folder).mkdir(parents=True, exist_ok=True)
            if os.access(root / folder, os.W_OK):
                return root / folder
    raise PermissionError(f"no writable folder for compiled kernels; set NUMBA_CACHE_DIR (tried {temporary} last)")


numba.config.CACHE_DIR = str(cache_folder())  # type: ignore[attr-defined]


def kernel(function: F) -> F:
    """Compile a function on arrays; cached on disk, NumPy's rules for division by zero."""
    compiled: Any = numba.njit(cache=True, error_model="numpy")(function)
    return cast(F, compiled)


def fast_kernel(function: F) -> F:
    """Compile like `kernel`, but let sums be reordered and vectorised (`fastmath`)."""
    compiled: Any = numba.njit(cache=True, error_model="numpy", fastmath=True)(function)
    return cast(F, compiled)


def inline_kernel(function: F) -> F:
    """Compile a small function that is always inlined into the kernels that call it."""
    compiled: Any = numba.njit(cache=True, error_model="numpy", inline="always")(function)
    return cast(F, compiled)

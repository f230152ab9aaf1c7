"""The one place where Numba's options live.

`kernel` compiles without `fastmath`, so that sums keep their order and results do not depend on the machine's
whims; a kernel that may be reordered safely asks for `fast_kernel` and says why at its definition.

Compiled kernels are kept in $NUMBA_CACHE_DIR, else in the user's cache folder; `kernel_cache` says how.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

from xrdgen.kernel_cache import attach_cache

F = TypeVar("F", bound=Callable[..., Any])


def _compile(function: F, **options: Any) -> F:
    options["error_model"] = "numpy"
    dispatcher: Any = numba.njit(**options)(function)
    attach_cache(dispatcher, function, options)
    return cast(F, dispatcher)


def kernel(function: F) -> F:
    """Compile a function on arrays; cached on disk, NumPy's rules for division by zero."""
    return _compile(function)


def fast_kernel(function: F) -> F:
    """Compile like `kernel`, but let sums be reordered and vectorised (`fastmath`)."""
    return _compile(function, fastmath=True)


def inline_kernel(function: F) -> F:
    """Compile a small function that is always inlined into the kernels that call it."""
    return _compile(function, inline="always")

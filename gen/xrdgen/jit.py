"""The one place where Numba's options live.

`kernel` compiles without `fastmath`, so that sums keep their order and results do not depend on the machine's
whims; a kernel that may be reordered safely asks for `fast_kernel` and says why at its definition.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., Any])


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

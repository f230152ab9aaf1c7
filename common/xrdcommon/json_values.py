"""Values that JSON can hold."""

from __future__ import annotations

import math
from typing import Any


def json_ready(value: Any) -> Any:
    """Replace NaN and infinities by None: JSON has neither."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): json_ready(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_ready(item) for item in value]
    return value

"""Preloaded by the worker processes of a production: signals are for the coordinator alone.

Workers end when the coordinator says so, or dies.
"""

from __future__ import annotations

import logging
from importlib import import_module
from typing import Any

from xrdcommon.signals import ignore_signals

CONFIGURATION = {
    "distributed.worker.profile.enabled": False,
    # Workers hold one block of rows; a machine's memory is not theirs to police.
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    # Nobody looks at what each worker measures of its machine twice a second, and at its last 100,000 messages.
    "distributed.admin.system-monitor.interval": "60s",
    "distributed.admin.low-level-log-length": 1000,
}
"""Of Dask, in schedulers and workers alike."""

_LOGGERS = ("nanny", "scheduler", "worker", "core", "batched")


def dask_setup(worker: Any) -> None:
    """Ignore the signals (Dask calls this in the worker's main thread)."""
    ignore_signals()


def silence() -> None:
    """Leave to our own messages what Dask would say about workers that come and go."""
    import_module("distributed")  # sets levels of its own when it is imported
    for name in ("distributed", *(f"distributed.{part}" for part in _LOGGERS)):
        logging.getLogger(name).setLevel(logging.CRITICAL)

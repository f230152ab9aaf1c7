"""Preloaded by the worker processes of a production: signals are for the coordinator alone.

A terminal's Ctrl-C and a queue system's signals reach every process at once; a worker that obeyed would throw away
the shard that the coordinator wants to see finished. Workers end when the coordinator says so, or dies.
"""

from __future__ import annotations

import signal
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


def dask_setup(worker: Any) -> None:
    """Ignore the signals (Dask calls this in the worker's main thread)."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)

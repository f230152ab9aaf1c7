"""How scheduler and workers of a production are set up: quiet, and closed to other users."""

from __future__ import annotations

import logging
import os
import stat
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any

CONFIGURATION: dict[str, Any] = {
    "distributed.worker.profile.enabled": False,
    # Workers hold one block of rows; a machine's memory is not theirs to police.
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    # Nobody looks at what each worker measures of its machine twice a second, and at its last 100,000 messages.
    "distributed.admin.system-monitor.interval": "60s",
    "distributed.admin.low-level-log-length": 1000,
    # Pages that show, to every user of the machine, what runs here; `xrdgen status` tells more.
    "distributed.scheduler.http.routes": [],
    "distributed.worker.http.routes": [],
}
"""Of Dask, in schedulers and workers alike."""

_LOGGERS = ("nanny", "scheduler", "worker", "core", "batched")


def scratch() -> Path:
    """Return a folder for temporary files that no other user can write to, nor put another one in its place.

    Dask puts its own (`/tmp/dask-scratch-space`) first in the path of modules: whoever makes it first, with a module
    in it, would run code as everybody who uses Dask on that machine.
    """
    folder = Path(tempfile.gettempdir()) / f"xrdgen-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        found = folder.lstat()
        ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077
        if not ours:
            return Path(tempfile.mkdtemp(prefix="xrdgen-"))
    return folder


def configure() -> Any:
    """Configure Dask in this process; used as a context, within a block alone."""
    dask_config: Any = import_module("dask.config")
    return dask_config.set(CONFIGURATION | {"temporary-directory": str(scratch())})


def silence() -> None:
    """Leave to our own messages what Dask would say about workers that come and go."""
    import_module("distributed")  # sets levels of its own when it is imported
    for name in ("distributed", *(f"distributed.{part}" for part in _LOGGERS)):
        logging.getLogger(name).setLevel(logging.CRITICAL)

"""Processes of this machine: does one still live, and how many cores are ours?"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import psutil


def start_of(pid: int) -> str | None:
    """Return when a process of this machine started, None where it is gone (or dead and not yet reaped).

    In clock ticks since the boot on Linux, which no change of the clock alters, and in seconds since 1970 elsewhere.
    """
    return _of_proc(pid) if sys.platform == "linux" else _of_psutil(pid)


def exists(pid: int) -> bool:
    """Return whether a process of this number is there, dead or alive."""
    return bool(psutil.pid_exists(pid))


def usable_cores() -> int:
    """Return the cores that this process may use; elsewhere than on Linux all cores of the machine."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _of_proc(pid: int) -> str | None:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else fields[19]


def _of_psutil(pid: int) -> str | None:
    try:
        process = psutil.Process(pid)
        gone = process.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
        return None if gone else f"{process.create_time():.2f}"
    except psutil.NoSuchProcess:
        return None

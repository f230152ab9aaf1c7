"""Leases: who owns a stream or a training, whether the owner lives, and how the next one takes over.

Incarnation e of an owner is the file `leases/<e>.json`, created once; the highest number owns. An owner on this
machine is dead when its process is gone; one elsewhere when its counter `<e>.beat` stood still for `PATIENCE`
seconds on the observer's own clock (clocks of other machines are never read).
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from enum import StrEnum
from pathlib import Path
from typing import Any

from xrdcommon import console
from xrdcommon.errors import FormatError, MissingFileError, SpoolError
from xrdcommon.files import read_json
from xrdcommon.processes import start_of
from xrdcommon.spool.journal import create_once
from xrdcommon.spool.layout import EDITED

PATIENCE = 60.0
"""Seconds without a beat after which an owner on another machine counts as dead."""

BEAT_INTERVAL = 5.0
"""Seconds between two beats."""


class State(StrEnum):
    """What an observer knows of the owner."""

    FREE = "stopped"
    DEAD = "dead"
    ALIVE = "running"
    ELSEWHERE = "on another machine"


class Lease:
    """A held lease; `verify` before anything that must not be done by a former owner."""

    def __init__(self, folder: Path, epoch: int) -> None:
        self._folder = folder
        self.epoch = epoch
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name=f"lease {folder.parent.name}", daemon=True)
        self._thread.start()

    @classmethod
    def acquire(
        cls, owner: Path, temporary: Path, *, patience: float = PATIENCE, silent_epoch: int | None = None
    ) -> Lease | None:
        """Become the owner of a folder, or return None where another owner lives.

        Args:
            owner: folder of the stream or training.
            temporary: the spool's folder for files being written.
            patience: seconds to watch an owner on another machine.
            silent_epoch: the owner of this epoch was watched already and showed no life.

        """
        folder = owner / "leases"
        folder.mkdir(exist_ok=True)
        while True:
            epoch = _highest(folder)
            if epoch != silent_epoch and is_alive(owner, patience):
                return None
            if create_once(folder / f"{epoch + 1:06d}.json", _myself(), temporary):
                for old in folder.glob("*"):
                    if old.name[:6].isdigit() and int(old.name[:6]) < epoch:
                        old.unlink(missing_ok=True)
                return cls(folder, epoch + 1)

    def verify(self) -> None:
        """Make sure that nobody has taken over.

        Raises:
            SpoolError: another process has, because this one was silent for too long.

        """
        if _highest(self._folder) != self.epoch:
            raise SpoolError(
                f"{self._folder.parent}: another process has taken over while this one stood still; "
                "nothing was damaged, this one must stop"
            )

    def release(self) -> None:
        """Let the next owner in at once."""
        self._stop.set()
        self._thread.join()
        with contextlib.suppress(FileNotFoundError):
            (self._folder / f"{self.epoch:06d}.released").touch()

    def _beat(self) -> None:
        path = self._folder / f"{self.epoch:06d}.beat"
        count = 0
        while True:
            count += 1
            # A failing beat (full disk, folder gone) only lets others take over, which verify() notices.
            with contextlib.suppress(OSError):
                descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o666)
                try:
                    os.pwrite(descriptor, b"%016d" % count, 0)
                finally:
                    os.close(descriptor)
            if self._stop.wait(BEAT_INTERVAL):
                return


def check_held(owner: Path, epoch: int) -> None:
    """Make sure, in a process that works for an owner, that its lease holds.

    Raises:
        SpoolError: another process has taken over, or the owner has let go.

    """
    folder = owner / "leases"
    if _highest(folder) != epoch or (folder / f"{epoch:06d}.released").exists():
        raise SpoolError(
            f"{owner}: another process has taken over while this one stood still, or its own has been closed; "
            "nothing was damaged, this one must stop"
        )


def observe(owner: Path) -> State:
    """Tell at a glance whether somebody owns a folder."""
    folder = owner / "leases"
    epoch = _highest(folder)
    if epoch == 0 or (folder / f"{epoch:06d}.released").exists():
        return State.FREE
    try:
        holder = read_json(folder / f"{epoch:06d}.json")
    except MissingFileError:  # overtaken while we looked: somebody is alive there
        return State.ALIVE
    try:
        if holder["machine"] != _machine():
            return State.ELSEWHERE
        return State.ALIVE if start_of(int(holder["pid"])) == holder["started"] else State.DEAD
    except (KeyError, TypeError, ValueError) as error:
        raise FormatError(f"{folder / f'{epoch:06d}.json'}: does not name an owner ({error!r}); {EDITED}") from error


def is_alive(owner: Path, patience: float = PATIENCE) -> bool:
    """Return whether a folder has a living owner, watching one on another machine for up to `patience` seconds."""
    folder = owner / "leases"
    while True:
        epoch = _highest(folder)
        state = observe(owner)
        if state is not State.ELSEWHERE:
            return state is State.ALIVE
        if _beats(folder, epoch, patience):
            return True
        if _highest(folder) == epoch:
            return False


def silent_epoch(owner: Path, patience: float = PATIENCE) -> int | None:
    """Watch the owner of a folder; return its epoch if it shows no life, None if it lives."""
    epoch = _highest(owner / "leases")
    return None if is_alive(owner, patience) or _highest(owner / "leases") != epoch else epoch


def outdated(owner: Path) -> list[Path]:
    """Return the files of leases before the latest."""
    folder = owner / "leases"
    latest = _highest(folder)
    return sorted(path for path in folder.glob("*") if path.name[:6].isdigit() and int(path.name[:6]) < latest)


def holder(owner: Path) -> dict[str, Any]:
    """Return what the latest owner said of itself (host, pid), empty where there was none."""
    folder = owner / "leases"
    with contextlib.suppress(MissingFileError):
        content: dict[str, Any] = read_json(folder / f"{_highest(folder):06d}.json")
        return content
    return {}


def latest(owner: Path) -> int:
    """Return the number of the latest lease, 0 where there was none."""
    return _highest(owner / "leases")


def same_process(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Return whether two owners (see `holder`) are one process: where one shows no life, the other does not live."""
    return bool(one) and all(one.get(key) == other.get(key) for key in ("machine", "pid", "started"))


def silence(owner: Path) -> float | None:
    """Return the seconds since the latest owner's counter moved; None where there was none.

    Of the file's time and this machine's clock, so for people alone: no lease is taken because of it.
    """
    folder = owner / "leases"
    try:
        return max(0.0, time.time() - (folder / f"{_highest(folder):06d}.beat").stat().st_mtime)
    except FileNotFoundError:
        return None


def beat(owner: Path) -> bytes:
    """Return the latest owner's counter; it moves while the owner lives."""
    folder = owner / "leases"
    return _read(folder / f"{_highest(folder):06d}.beat")


def _highest(folder: Path) -> int:
    """Return the number of the latest lease, 0 where there is none."""
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return 0
    return max((int(name[:6]) for name in names if name.endswith(".json") and name[:6].isdigit()), default=0)


def _beats(folder: Path, epoch: int, patience: float) -> bool:
    """Watch an owner on another machine: does its counter move, or is it let go?"""
    path = folder / f"{epoch:06d}.beat"
    first = _read(path)
    said = False
    start = time.monotonic()
    while time.monotonic() - start < patience:
        time.sleep(min(0.2, patience))
        if _highest(folder) != epoch or (folder / f"{epoch:06d}.released").exists():
            return False  # look again from the start
        if _read(path) != first:
            return True
        if not said and time.monotonic() - start > 2 * BEAT_INTERVAL:
            console.say(f"{folder.parent.name}: its owner is silent; waiting {patience:.0f} s before taking over")
            said = True
    return False


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


def _myself() -> dict[str, Any]:
    return {
        "host": socket.gethostname(),
        "machine": _machine(),
        "pid": os.getpid(),
        "started": start_of(os.getpid()),
        "unix_time": time.time(),
    }


def _machine() -> str:
    """Name this boot of this machine and its process table (containers may share a host name)."""
    parts = [socket.gethostname()]
    with contextlib.suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
        parts.append(os.readlink("/proc/self/ns/pid"))
    return " ".join(parts)

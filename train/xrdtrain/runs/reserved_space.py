"""Space kept for the next checkpoint: a file in the run folder that is given up when the disk is full.

It holds on file systems that set blocks aside when asked to (ext4, XFS, tmpfs, Lustre, GPFS); on those that write
every block anew (Btrfs, ZFS) and under quotas on NFS it still frees what it occupies.
"""

from __future__ import annotations

import os
from pathlib import Path

from xrdcommon import console
from xrdcommon.errors import DiskFullError
from xrdcommon.files import NO_SPACE

MARGIN = 1 << 20
"""Bytes beyond one checkpoint: for the line of metrics and the notes of what was used."""

_CHUNK = bytes(1 << 20)


class Ballast:
    """The file; rank 0 has one."""

    def __init__(self, run: Path) -> None:
        self._path = run / "ballast"
        self._told = False

    def make(self, checkpoint: int) -> None:
        """Set as many bytes aside as a checkpoint has; say once where there is no space for them."""
        size = checkpoint + MARGIN
        if self._size() >= size:
            return
        try:
            with self._path.open("ab") as stream:
                _allocate(stream.fileno(), size)
                os.fsync(stream.fileno())
        except OSError as error:
            self._path.unlink(missing_ok=True)
            if error.errno not in NO_SPACE:
                raise
            if not self._told:
                self._told = True
                console.say(f"{self._path}: no space to keep {size:,} bytes free for the next checkpoint; free some")
        else:
            self._told = False

    def give_up(self, error: DiskFullError) -> None:
        """Free the space.

        Raises:
            DiskFullError: the error given, where there is nothing to free.

        """
        if not self._size():
            raise error
        self._path.unlink()
        console.say(f"{error}; using the space that was kept for a checkpoint")

    def _size(self) -> int:
        return self._path.stat().st_size if self._path.exists() else 0


def _allocate(descriptor: int, size: int) -> None:
    """Give a file its blocks."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size)
        return
    while (missing := size - os.fstat(descriptor).st_size) > 0:
        os.write(descriptor, _CHUNK[:missing])

"""Compile the kernels of a production once a machine, before its workers need them.

Compiling takes about two minutes and three times the memory of a worker. Of the processes that find the cache cold, one
lets a child compile and ends it with its memory; the others wait and then load.

    python -m xrdgen.samples.compiling SPOOL         what the child does
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from xrdcommon import console
from xrdcommon.fields import empty_samples
from xrdcommon.identity import SampleIdentity
from xrdcommon.spool.spool import Spool


def compile_once(spool: Spool, *, aloud: bool = False) -> None:
    """Return when the kernels of a spool's production are compiled for this machine, or cannot be kept.

    Args:
        spool: its configuration decides on the types of the kernels' arguments.
        aloud: say so where it takes a while.

    """
    from xrdgen.kernel_cache import is_built, note_built
    from xrdgen.samples import row_kernels

    module = Path(row_kernels.__file__)
    if is_built(module):
        return
    with _alone_on_this_machine():
        if is_built(module):
            return
        if aloud:
            console.say("compiling the kernels for this kind of CPU: about two minutes, once")
        command = [sys.executable, "-m", "xrdgen.samples.compiling", str(spool.path)]
        if subprocess.run(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode == 0:
            note_built(module)
        # else whatever failed will fail again, and be said, where the first row is made


@contextlib.contextmanager
def _alone_on_this_machine() -> Iterator[None]:
    """Wait until no other process of this user compiles; where no lock can be had, do not wait."""
    path = Path(tempfile.gettempdir()) / f"xrdstream-{os.getuid()}.lock"
    try:
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError:
        yield
        return
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def main() -> None:
    """Make one row; what that takes is compiled and kept."""
    from xrdgen.samples.rows import CrystalRows

    spool = Spool.open(sys.argv[1])
    patterns = np.empty((1, spool.grid.n_points), dtype=np.float32)
    samples = empty_samples(1)
    CrystalRows(spool).fill(SampleIdentity(spool.root_seed, 0, 0, 0), patterns, samples)


if __name__ == "__main__":
    main()

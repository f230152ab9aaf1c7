"""What a stream has handed to a training: consumers/<run>/taken.<epoch>/ and given.<epoch>.<hand>.

Kept so that a process may be killed at any moment. A shard is in `taken` before the first of its rows is given; how
many rows each hand has given stands in a file that is overwritten in place (a microsecond, not flushed: a kill does it
no harm, lost power may leave an older number). The next incarnation knows by them what may have been used without
having been noted as used, and counts what it gives a second time.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from xrdcommon.errors import DiskFullError
from xrdcommon.files import NO_SPACE
from xrdcommon.spool.journal import explain_refusals

OWNER = "owner"
"""The hand that holds the lease; helpers have other names."""

TURN = "@"
"""Between a shard's name and the turn in which it was taken."""

_FILE = re.compile(r"(taken|given)\.(\d+)(?:\.([A-Za-z0-9-]+))?")


class Given:
    """Counts the samples that one hand has given."""

    def __init__(self, owner: Path, epoch: int, hand: str = OWNER, base: int = 0) -> None:
        """Begin to count, from 0.

        Args:
            owner: folder of the training, `consumers/<run>`.
            epoch: of its incarnation.
            hand: which.
            base: samples that were noted as used when the incarnation began.

        Raises:
            DiskFullError: no space.

        """
        self._path, self._base = owner / f"given.{epoch:06d}.{hand}", base
        with explain_refusals(owner):
            self._descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT, 0o666)
        self.samples = 0
        self.add(0)

    def add(self, samples: int) -> None:
        """Note samples that are given now.

        Raises:
            DiskFullError: no space.

        """
        self.samples += samples
        try:
            os.pwrite(self._descriptor, b"%020d %020d\n" % (self.samples, self._base), 0)
        except OSError as error:
            if error.errno in NO_SPACE:
                raise DiskFullError(f"{self._path}: no space left to count what was given; free some") from error
            raise

    def close(self) -> None:
        """Close the file; it stays."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def earlier(owner: Path, epoch: int) -> list[Path]:
    """Return what incarnations before this one have left."""
    found = ((path, _FILE.fullmatch(path.name)) for path in sorted(owner.iterdir()))
    return [path for path, match in found if match is not None and int(match[2]) < epoch]


def begun(owner: Path, epoch: int) -> set[str]:
    """Return the shards that earlier incarnations may have given rows of, without having settled it."""
    folders = [path for path in earlier(owner, epoch) if path.name.startswith("taken")]
    return {file.partition(TURN)[0] for folder in folders for file in os.listdir(folder)}


def given_by(owner: Path, epoch: int) -> tuple[int, int | None, str]:
    """Return how many samples earlier incarnations have given, what was noted as used before, and which they were."""
    samples, base, epochs = 0, None, set()
    for path in earlier(owner, epoch):
        match = _FILE.fullmatch(path.name)
        if match is None or match[1] != "given":
            continue
        numbers = path.read_bytes().split()
        if len(numbers) == 2 and all(number.isdigit() for number in numbers):
            samples += int(numbers[0])
            epochs.add(int(match[2]))
            if match[3] == OWNER:
                base = int(numbers[1]) if base is None else min(base, int(numbers[1]))
    return samples, base, " ".join(map(str, sorted(epochs)))


def has_helpers(owner: Path, epoch: int) -> bool:
    """Return whether hands other than the owner's have counted in this incarnation."""
    return any(not path.name.endswith(f".{OWNER}") for path in owner.glob(f"given.{epoch:06d}.*"))


def forget(owner: Path, epoch: int, *, own: bool = False) -> None:
    """Remove what earlier incarnations left, once it is settled, and this one's too when it ends properly."""
    for path in earlier(owner, epoch + own):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)

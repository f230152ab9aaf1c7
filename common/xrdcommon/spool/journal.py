"""Two ways to write down what must not be forgotten: lines that are appended, files that are made once."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from xrdcommon.errors import DiskFullError, FormatError, SpoolError, XrdError
from xrdcommon.files import NO_SPACE, fsync_dir
from xrdcommon.spool.layout import EDITED

_CANNOT_WRITE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST)


@contextlib.contextmanager
def explain_refusals(path: Path) -> Iterator[None]:
    """Turn a file system's refusal to write into an error that says what to do.

    Raises:
        SpoolError: no permission, a read-only file system, a file where a folder should be.
        DiskFullError: no space or quota left.

    """
    try:
        yield
    except XrdError:
        raise
    except OSError as error:
        if error.errno in NO_SPACE:
            raise DiskFullError(f"{path}: no space left on the device or quota reached; free some") from error
        if error.errno in _CANNOT_WRITE:
            raise SpoolError(f"{path}: cannot be written ({error.strerror}); name another folder") from error
        raise


def append_lines(path: Path, entries: Iterable[dict[str, Any]], *, shared: bool = False) -> None:
    """Append JSON lines in one write and make them durable; a line torn by an earlier crash is closed first.

    Args:
        path: the file.
        entries: one per line.
        shared: several processes append to it. Then a write that met a full disk is not taken back, because lines of
            others may stand behind it; the next line closes what is torn.

    Raises:
        DiskFullError: no space; a file of one's own is as it was before.

    """
    text = "".join(json.dumps(entry, allow_nan=False) + "\n" for entry in entries).encode()
    if not text:
        return
    is_new = not path.exists()
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            text = b"\n" + text
        try:
            written = os.write(descriptor, text)
            if written < len(text):
                raise OSError(errno.ENOSPC, "short write", str(path))
            os.fsync(descriptor)
        except OSError as error:
            if not shared:
                with contextlib.suppress(OSError):
                    os.ftruncate(descriptor, size)
            if error.errno in NO_SPACE:
                raise DiskFullError(f"{path}: no space left to note what was done; free some") from error
            raise
    finally:
        os.close(descriptor)
    if is_new:
        fsync_dir(path.parent)


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the entries of a file of JSON lines; a torn line counts as never written. No file: no entries.

    Raises:
        FormatError: a line of JSON that is no object.

    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return
    for line in content.split(b"\n"):
        if line:
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if not isinstance(entry, dict):
                raise FormatError(f"{path}: entry {line[:80].decode(errors='replace')} is no object; {EDITED}")
            yield entry


def create_once(path: Path, content: Any, temporary: Path) -> bool:
    """Create a whole, durable JSON file at a path that must be free; return False where it is taken.

    A hard link is exclusive everywhere, on NFS too, where the answer to a repeated request may be lost: then the
    number of links tells whether it was ours.

    Args:
        path: where the file appears.
        content: what it holds.
        temporary: folder on the same file system for the file before it appears.

    Raises:
        DiskFullError: no space.
        FileNotFoundError: a folder has gone, because somebody else has taken over.

    """
    draft = temporary / f".{path.name}.{os.getpid()}.{secrets.token_hex(6)}"
    try:
        with draft.open("xb") as stream:
            stream.write((json.dumps(content, allow_nan=False) + "\n").encode())
            stream.flush()
            os.fsync(stream.fileno())
        try:
            os.link(draft, path)
        except FileExistsError:
            return draft.stat().st_nlink == 2
        fsync_dir(path.parent)
        return True
    except OSError as error:
        if error.errno in NO_SPACE:
            raise DiskFullError(f"{path}: no space left on the device or quota reached") from error
        raise
    finally:
        with contextlib.suppress(FileNotFoundError):
            draft.unlink()


def move(source: Path, target: Path) -> bool:
    """Rename a file; return False where somebody else has moved it (a repeated NFS request is seen through)."""
    try:
        source.rename(target)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ESTALE):
            raise
        return target.exists()
    return True


def remove(path: Path) -> None:
    """Delete a shard that is noted as gone; a folder that somebody put in its place is only renamed."""
    if path.is_dir() and not path.is_symlink():
        path.rename(path.with_name(f"{path.name}.kept"))
    else:
        path.unlink(missing_ok=True)


def make_folder(path: Path) -> bool:
    """Create one folder durably; return False where it exists."""
    try:
        path.mkdir()
    except FileExistsError:
        return False
    fsync_dir(path.parent)
    return True

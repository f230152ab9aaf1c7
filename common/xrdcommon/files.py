"""Files that are whole or not there: write beside, fsync, rename, fsync the folder."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from xrdcommon.errors import DiskFullError, FormatError, InputError, MissingFileError

NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


def fsync_dir(folder: Path) -> None:
    """Make renames inside a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def atomic_writer(path: Path) -> Iterator[IO[bytes]]:
    """Open a binary file that appears under `path` only when the block ends without an error.

    Raises:
        DiskFullError: no space or quota; nothing is left behind and an older file stays as it was.

    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # the token: processes of two machines may have one number; the number: `xrdgen gc` asks whether its process lives
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
        fsync_dir(path.parent)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        if error.errno in NO_SPACE:
            raise DiskFullError(
                f"{path}: no space left on the device or quota reached; free some and try again"
            ) from error
        raise
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def check_output(out: Path, inputs: Iterable[Path]) -> None:
    """Refuse, before any work, to write a file over a folder or over one of its own inputs.

    Raises:
        InputError: `out` is a folder or one of the inputs.

    """
    if out.is_dir():
        raise InputError(f"{out}: a folder; name the file to write")
    if out.resolve() in {path.resolve() for path in inputs}:
        raise InputError(f"{out}: both input and output; write to another file")


def write_bytes(path: Path, content: bytes) -> None:
    """Write a whole file atomically (see `atomic_writer`)."""
    with atomic_writer(path) as stream:
        stream.write(content)


def write_json(path: Path, content: Any) -> None:
    """Write JSON atomically, keys in the order given, floats exact."""
    write_bytes(path, (json.dumps(content, indent=1, allow_nan=False) + "\n").encode())


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        MissingFileError: there is none.
        FormatError: it is not JSON.

    """
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise MissingFileError(f"{path}: no such file") from error
    except ValueError as error:
        raise FormatError(f"{path}: not valid JSON ({error})") from error


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes in hexadecimal."""
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except FileNotFoundError as error:
        raise MissingFileError(f"{path}: no such file") from error


def canonical_hash(content: Any) -> str:
    """Return the SHA-256 of a JSON value, independent of the order of its keys."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()

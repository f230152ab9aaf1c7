"""What only a coordinator knows, left beside its stream for `xrdgen status`: its target, watermarks, workers, pause.

The file is for people and monitoring. Nothing is decided by it, so it may be late or missing.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import asdict
from typing import Any

from xrdcommon.errors import FormatError, MissingFileError
from xrdcommon.files import read_json, write_json
from xrdcommon.spool.backlog import Watermarks
from xrdcommon.spool.layout import Layout
from xrdcommon.spool.producer import Stream

_FILE = "production.json"


class Announcement:
    """Writes the file of one stream whenever something in it changes."""

    def __init__(self, stream: Stream, samples: int | None, marks: Watermarks) -> None:
        """Prepare; nothing is written yet.

        Args:
            stream: owned by this process.
            samples: total of the spool at which production ends; None for never.
            marks: when it pauses.

        """
        self._path = stream.spool.layout.stream(stream.number) / _FILE
        self._fixed = {"pid": os.getpid(), "samples": samples, "marks": asdict(marks)}
        self._written: dict[str, Any] = {}

    def update(self, workers: int, paused: str | None) -> None:
        """Say how many workers there are (0: the process alone), and why production pauses if it does."""
        content = {**self._fixed, "workers": workers, "paused": paused}
        if content != self._written:
            with contextlib.suppress(OSError):  # a full disk: production has other worries
                write_json(self._path, content)
                self._written = content


def announced(layout: Layout, stream: int, pid: int | None) -> dict[str, Any]:
    """Return what the present owner of a stream has said (see `Announcement`), empty where it has said nothing."""
    try:
        content: dict[str, Any] = read_json(layout.stream(stream) / _FILE)
    except (MissingFileError, FormatError):
        return {}
    return content if content.get("pid") == pid else {}

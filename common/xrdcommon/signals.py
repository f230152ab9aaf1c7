"""Signals that ask a command to stop: the first finishes what is under way, a later one stops at once.

Queue systems, `timeout` and terminals often send the same wish twice, to a process and to its group; what comes within
`SAME` seconds of the first is the same request.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)

SAME = 1.0
"""Seconds after a signal in which others belong to it."""


class StopRequest:
    """Set when work under way should be finished and then stopped; handlers do nothing else.

    Attributes:
        reason: what asked for it, empty until then.

    """

    def __init__(self) -> None:
        self.reason = ""
        self._since = 0.0

    def __bool__(self) -> bool:
        """Return whether to stop."""
        return bool(self.reason)

    def request(self, reason: str) -> None:
        """Ask to stop; the first reason counts."""
        if not self.reason:
            self._since = time.monotonic()
            self.reason = reason

    @property
    def seconds(self) -> float:
        """Return how long ago it was asked for."""
        return time.monotonic() - self._since


def ignore_signals() -> None:
    """Leave signals to the process that started this one.

    A terminal's Ctrl-C and a queue system's signals reach every process at once; a worker that obeyed would throw away
    what its parent wants to see finished.
    """
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


@contextmanager
def stop_on_signals(at_once: Collection[int] = (signal.SIGINT, signal.SIGTERM)) -> Iterator[StopRequest]:
    """Turn SIGINT, SIGTERM and SIGUSR1 into a request, within the block and in the main thread.

    Args:
        at_once: those that raise KeyboardInterrupt when they come after the request, later than `SAME`.

    """
    stop = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def handle(number: int, _: FrameType | None) -> None:
        if stop and number in at_once and stop.seconds > SAME:
            raise KeyboardInterrupt
        stop.request(signal.Signals(number).name)

    before = {number: signal.signal(number, handle) for number in SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

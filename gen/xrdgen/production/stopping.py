"""Signals that stop a production: the first drains, the second stops at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from xrdcommon import console

from xrdgen.production.worker_setup import SIGNALS


class StopRequest:
    """Set when the production should finish its shards and stop; handlers do nothing else."""

    def __init__(self) -> None:
        self.reason = ""
        self._told = False

    def __bool__(self) -> bool:
        """Tell whether to stop."""
        return bool(self.reason)

    def request(self, reason: str) -> None:
        """Ask to stop."""
        self.reason = self.reason or reason

    def announce(self) -> None:
        """Say once what happens now."""
        if self.reason and not self._told:
            self._told = True
            console.say(f"{self.reason}: finishing the shards that are being made (again to stop at once)")


@contextmanager
def stop_on_signals() -> Iterator[StopRequest]:
    """Turn SIGINT, SIGTERM and SIGUSR1 into a request; a second SIGINT or SIGTERM raises KeyboardInterrupt."""
    stop = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def handle(number: int, _: FrameType | None) -> None:
        if stop and number != signal.SIGUSR1:
            raise KeyboardInterrupt
        stop.request(signal.Signals(number).name)

    before = {number: signal.signal(number, handle) for number in SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

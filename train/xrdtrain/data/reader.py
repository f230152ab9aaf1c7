"""One background thread that keeps a few batches ready.

One thread a process beats worker processes here: shards are large, decoding releases the interpreter lock, and the
state needed for an exact resume stays in one place.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator

from xrdtrain.data.batch import Batch

TICK = 0.2
"""Seconds after which a waiting thread looks whether it should end."""


class Reader:
    """Runs an iterator of batches in a thread, at most `ahead` batches in front of the training."""

    def __init__(self, produce: Callable[[threading.Event], Iterator[Batch]], ahead: int) -> None:
        self._queue: queue.Queue[Batch] = queue.Queue(maxsize=ahead)
        self._stop = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(produce,), name="xrdtrain-reader", daemon=True)
        self._thread.start()

    def _run(self, produce: Callable[[threading.Event], Iterator[Batch]]) -> None:
        try:
            for batch in produce(self._stop):
                while not self._stop.is_set():
                    try:
                        self._queue.put(batch, timeout=TICK)
                        break
                    except queue.Full:
                        continue
                if self._stop.is_set():
                    return
        except BaseException as error:  # noqa: BLE001 (raised again in the main thread by `next`)
            self._error = error

    def next(self, timeout: float) -> Batch | None:
        """Return the next batch, None when none came within the timeout; raise what the thread raised."""
        try:
            return self._queue.get(timeout=timeout)
        except queue.Empty:
            if self._error is not None:
                raise self._error from None
            return None

    def close(self, patience: float = 10.0) -> None:
        """End the thread."""
        self._stop.set()
        self._thread.join(patience)

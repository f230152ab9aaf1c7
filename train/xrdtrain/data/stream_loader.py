"""A DataLoader of a stream that tells it which batches the training was given.

Worker processes read ahead, so that what they have taken from the stream is not what the training has seen. Every batch
carries the identities of its samples as far as this loader, which notes them when it passes the batch on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch.utils.data import DataLoader, IterableDataset, default_collate, default_convert
from xrdcommon.errors import InputError, Interrupted, XrdError

REFUSED = ("dataset", "sampler", "batch_sampler", "shuffle")


class Stream(Protocol):
    """What the loader asks of a stream."""

    def tracked(self) -> IterableDataset[Any]:
        """Return the data set with identities as the last field."""

    def begin(self) -> None:
        """Begin an iteration."""

    def note(self, identities: torch.Tensor, *, count: bool) -> None:
        """Take note of what the training was given."""


class StreamLoader(DataLoader[Any]):
    """Batches of a stream; make it with `SpoolDataset.loader`."""

    def __init__(self, stream: Stream, batch_size: int | None, num_workers: int, options: dict[str, Any]) -> None:
        for name in REFUSED:
            if name in options:
                remedy = "open the stream with shuffle=N" if name == "shuffle" else "leave it out"
                raise InputError(f"{name}: not of a stream; {remedy}")
        collate = options.pop("collate_fn", None)
        if collate is None:
            collate = default_convert if batch_size is None else default_collate
        self._stream = stream
        self._current: Iterator[Any] | None = None
        super().__init__(
            stream.tracked(),
            batch_size=batch_size,
            num_workers=num_workers,
            collate_fn=_Apart(collate, single=batch_size is None),
            **options,
        )

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        """Give batches; an earlier iteration ends, and what it read ahead comes again."""
        if self._current is not None:
            self._current.close()  # type: ignore[attr-defined]
        self._stream.begin()
        self._current = self._batches()
        return self._current

    def _batches(self) -> Iterator[Any]:
        inner = super().__iter__()
        try:
            while True:
                with _in_one_line():
                    try:
                        identities, batch = next(inner)
                    except StopIteration:
                        return
                self._stream.note(identities, count=True)
                yield batch
        finally:
            # now, not when the last traceback that names it has gone: until then torch raises a worker's death anywhere
            if self.num_workers:
                inner._shutdown_workers()  # type: ignore[attr-defined]


@contextmanager
def _in_one_line() -> Iterator[None]:
    """Raise what a worker process raised as this one would have, without the worker's traceback in the message.

    Raises:
        XrdError: of the worker.
        Interrupted: a worker died.

    """
    try:
        yield
    except XrdError as error:
        last = str(error).strip().splitlines()[-1]
        raise type(error)(last.partition(f"{type(error).__name__}: ")[2] or last) from None
    except (RuntimeError, ConnectionError, EOFError) as error:  # torch has no narrower type than the first
        if isinstance(error, RuntimeError) and "DataLoader worker" not in str(error):
            raise
        what = (str(error) or "its pipe ended").splitlines()[0]
        raise Interrupted(
            f"a worker process of the stream died ({what}); open the stream again to go on: what was given and not "
            "committed is dealt with as after any crash"
        ) from error


class _Apart:
    """Puts the identities, each sample's last field, beside the batch of the rest."""

    def __init__(self, collate: Callable[[Any], Any], *, single: bool) -> None:
        self._collate, self._single = collate, single

    def __call__(self, samples: Any) -> tuple[torch.Tensor, Any]:
        if self._single:
            return samples[-1], self._collate(samples[:-1])
        return torch.stack([sample[-1] for sample in samples]), self._collate([sample[:-1] for sample in samples])

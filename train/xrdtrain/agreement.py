"""What the processes of a training agree on before every step."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Agreement:
    """What all ranks know before a step.

    Attributes:
        stop: a signal came to one of them.
        missing: one of them has no batch yet.
        over: the time is up.
        save: the last checkpoint is long ago.
        producer_ended: the local producer has ended properly.
        producer_died: the local producer died.
        elapsed: seconds spent on the run, by rank 0's clock.

    """

    stop: bool = False
    missing: bool = False
    over: bool = False
    save: bool = False
    producer_ended: bool = False
    producer_died: bool = False
    elapsed: float = 0.0

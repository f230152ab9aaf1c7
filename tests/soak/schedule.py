"""When what happens: drawn from the seed alone, so that it can be printed beforehand and repeated."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tests.soak.cast import FORMS

WEIGHTS = {
    "kill": 5.0,
    "kill-group": 2.0,
    "kill-worker": 4.0,
    "kill-coordinator": 2.0,
    "corrupt": 6.0,
    "fill": 1.0,
    "cut": 0.7,
    "cut-workers": 0.7,
    "freeze": 0.8,
    "pause": 2.0,
    "drain": 0.7,
    "usr1": 1.0,
    "term": 1.0,
}
"""Events and how often they come, relative to one another."""

LONG_LIVED = {"fill": 4.0, "cut": 8.0, "cut-workers": 8.0, "freeze": 12.0}
"""Seconds that an event needs before the end of its round."""


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happens.

    Attributes:
        at: seconds after the beginning of its round.
        kind: see `WEIGHTS`.
        pick: in [0, 1), chooses among what is there at that moment.
        size: in [0, 1), how long or how much.

    """

    at: float
    kind: str
    pick: float
    size: float

    def __str__(self) -> str:
        return f"{self.at:.1f} {self.kind}"


@dataclass(frozen=True, slots=True)
class Round:
    """Some seconds of production and training under fire, then a count.

    Attributes:
        number: from 1.
        seconds: until everything is stopped.
        end: "kill" (all processes at once) or "stop" (drain and SIGTERM, checkpoints are written).
        form: of production, see `cast.FORMS`.
        events: by time.

    """

    number: int
    seconds: float
    end: str
    form: str
    events: tuple[Event, ...]

    def __str__(self) -> str:
        events = ", ".join(map(str, self.events))
        return f"round {self.number} ({self.form} production, {self.seconds:.0f} s, ends by {self.end}): {events}"


def rounds(seed: int, seconds: float, per_second: float = 0.4) -> Iterator[Round]:
    """Yield rounds for ever.

    Args:
        seed: of all that is random.
        seconds: mean length of a round.
        per_second: events.

    """
    random = np.random.default_rng(seed)
    kinds, weights = list(WEIGHTS), np.array(list(WEIGHTS.values()))
    due = [str(kind) for kind in random.permutation(kinds)]  # each kind once before chance alone decides
    number = 0
    while True:
        number += 1
        length = float(seconds * random.uniform(0.7, 1.3))
        events = []
        for at in np.sort(random.uniform(1.5, length, max(1, round(per_second * length)))):
            kind = due.pop() if due and random.random() < 0.5 else str(random.choice(kinds, p=weights / weights.sum()))
            if length - at < LONG_LIVED.get(kind, 0.0):
                due.append(kind)
                kind = "kill"
            events.append(Event(float(at), kind, float(random.random()), float(random.random())))
        end = "stop" if random.random() < 0.35 else "kill"
        yield Round(number, length, end, FORMS[number % len(FORMS)], tuple(events))

"""Draw crystals until one has the space group it was drawn in, as one kernel that stops only to ask spglib.

    symbol      variable            meaning                                                     reference
    -           tables.exact        whether the exact test decides; else every crystal is asked -
    eps         tables.tolerance    distance within which the space group is verified, Å        `symmetry_test_kernels`
    -           tables.ordering     atoms too close together are moved apart, or not            `ordering_kernels`
    r           tables.recheck      share of what the exact test confirmed that spglib sees     `settings`
    u           -                   uniform deviate in [0, 1) of the crystal's own stream       `random_kernels`

For one crystal, with the rule of twenty failures (paper, S1) kept by `refuse` and `next_candidate`:

    next candidate, ordered  ->  exact test  ->  other group or undetermined: a failed attempt
                                             ->  lattice doubtful:            ASK, and go on with what spglib says
                                             ->  passed, u < r:               RECHECK; not confirmed: a failed attempt
                                             ->  passed, u >= r:              CONFIRMED

spglib is no kernel. So `draw_verified` returns the question; the caller writes the answer into `dialogue` and calls
again, and the draw goes on where it stopped. Whether a question is asked depends on the crystal and its stream alone,
so that a draw is the same however often it was interrupted.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from xrdgen.crystals.cosets import CosetTables
from xrdgen.crystals.ordering_kernels import OrderingTables, order_atoms
from xrdgen.crystals.primitive import PrimitiveTables
from xrdgen.crystals.sampler_kernels import GROUP, PASSED, CrystalArrays, draw_group, next_candidate, refuse
from xrdgen.crystals.sampler_kernels import RECHECK as REFUTED
from xrdgen.crystals.symmetry_test_kernels import DOUBTFUL, symmetry_verdict
from xrdgen.crystals.tables import SamplerTables
from xrdgen.jit import kernel
from xrdgen.random_kernels import start_stream, uniform

BEGIN, NOTHING, CONFIRMED, ASK, RECHECK, EXHAUSTED = range(6)
"""What a draw waits for: to begin, for nothing, or for the answer to `ASK` or `RECHECK`; and the outcomes."""

# what `dialogue` (2,) holds
QUESTION, ANSWER = range(2)


class DrawTables(NamedTuple):
    """All that crystals are drawn and verified by; a tuple so that kernels take it as one argument."""

    sampler: SamplerTables
    primitive: PrimitiveTables
    cosets: CosetTables
    ordering: OrderingTables
    exact: bool
    """Whether the exact test decides; if not, every candidate is asked about."""
    tolerance: float
    """Å."""
    recheck: float
    """Share of the confirmed crystals that spglib is asked about again."""


class Draw(NamedTuple):
    """A crystal being drawn.

    Attributes:
        key: (2,) of the random stream.
        counter: (4,) at which the stream begins.
        stream: (11,) the stream.
        progress: (5,) see `sampler_kernels`.
        dialogue: (2,) what the draw waits for, and the answer to a question: `PASSED` or a reason of `sampler_kernels`.
        crystal: the candidate; in the end the crystal.

    """

    key: NDArray[np.uint64]
    counter: NDArray[np.uint64]
    stream: NDArray[np.uint64]
    progress: NDArray[np.int64]
    dialogue: NDArray[np.int64]
    crystal: CrystalArrays


@kernel
def draw_verified(draw: Draw, tables: DrawTables, rejections: NDArray[np.int64]) -> int:
    """Draw a group, and crystals of it until one is confirmed.

    To refuse a confirmed crystal, call `refuse` and then this again: the group stays.

    Args:
        draw: with key, counter and the question `BEGIN`; after a question, with its answer.
        tables: see `DrawTables`.
        rejections: (230, 10) counts by group - 1 and reason, added to.

    Returns:
        `CONFIRMED`; `ASK` or `RECHECK` (write the answer and call again); `EXHAUSTED` after `MAX_ATTEMPTS` attempts.

    """
    question = draw.dialogue[QUESTION]
    draw.dialogue[QUESTION] = NOTHING
    if question == BEGIN:
        start_stream(draw.stream, draw.key, draw.counter)
        draw_group(draw.stream, tables.sampler, draw.progress)
    group = draw.progress[GROUP]
    counts = rejections[group - 1]
    if question == RECHECK:
        if draw.dialogue[ANSWER] == PASSED:
            return CONFIRMED
        refuse(draw.progress, counts, REFUTED)
    while True:
        if question == ASK:
            verdict = draw.dialogue[ANSWER]
            question = NOTHING
        else:
            if not next_candidate(draw.stream, tables.sampler, draw.progress, draw.crystal, counts):
                return EXHAUSTED
            order_atoms(tables.ordering, tables.sampler, tables.primitive, group, draw.crystal)
            verdict = DOUBTFUL
            if tables.exact:
                verdict = symmetry_verdict(tables.primitive, tables.cosets, group, draw.crystal, tables.tolerance)
            if verdict == DOUBTFUL:
                draw.dialogue[QUESTION] = ASK
                return ASK
        if verdict != PASSED:
            refuse(draw.progress, counts, verdict)
        elif tables.recheck > 0.0 and uniform(draw.stream) < tables.recheck:
            draw.dialogue[QUESTION] = RECHECK
            return RECHECK
        else:
            return CONFIRMED

"""Identity of every sample and the random numbers that follow from it.

A sample is named by (run, producer, shard, index). All that is random about it comes from the counter-based
generator Philox4x64-10 (Salmon et al., SC 2011) with

    key     = (run, producer)
    counter = (0, purpose, shard, index)        word 0 counts the blocks drawn

so that no two samples, and no two purposes of one sample, share a number, and every sample can be drawn again.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from xrdcommon.errors import InputError


class Purpose(IntEnum):
    """What a random stream of one sample is for; each has its own substream."""

    CRYSTAL = 0
    PATTERN = 1
    """The crystallite size, whatever its law."""
    IMPURITY = 2
    """The crystal of the first impurity; those of the others follow."""
    IMPURITY_2 = 3
    IMPURITY_3 = 4
    IMPURITY_FRACTIONS = 5
    CAGLIOTI = 6
    STRAIN = 7
    PEAK_SHAPE = 8
    ASYMMETRY = 9
    ZERO_SHIFT = 10
    DISPLACEMENT = 11
    K_ALPHA_2 = 12
    K_BETA = 13
    TUNGSTEN = 14
    THERMAL = 15
    TEXTURE = 16
    BACKGROUND = 17
    BACKGROUND_CURVE = 18
    HUMP = 19
    REMOVAL = 20
    RESIDUE_CURVE = 21
    NOISE = 22
    NOISE_POINTS = 23
    TRUNCATION = 24
    COORDINATES = 64
    """Coordinates that are drawn anew in a real crystal."""
    LATTICE = 65
    """The lattice that is drawn anew for a real crystal."""


_RUN_DIGITS = 16
"""Of a run, in hexadecimal, as it is printed."""


@dataclass(frozen=True, slots=True, order=True)
class SampleIdentity:
    """Names one sample for ever; all four are unsigned 64-bit integers."""

    run: int
    producer: int
    shard: int
    index: int

    def __str__(self) -> str:
        """Give the identity as it is printed and typed."""
        return f"{self.run:016x}:{self.producer}:{self.shard}:{self.index}"

    @classmethod
    def parse(cls, text: str) -> SampleIdentity:
        """Read an identity as it is printed, or as a record has it: RUN:PRODUCER:SHARD:INDEX.

        A run of 16 digits, or with letters, is hexadecimal, as identities are printed; any other is a decimal number,
        as in a record and as the seed of a spool.

        Raises:
            InputError: not four such numbers.

        """
        try:
            run, producer, shard, index = text.split(":")
            base = 10 if run.isdecimal() and len(run) != _RUN_DIGITS else 16
            numbers = int(run, base), int(producer), int(shard), int(index)
        except ValueError:
            numbers = (-1, -1, -1, -1)
        if not all(0 <= number < 2**64 for number in numbers):
            raise InputError(
                f"identity '{text}': must be RUN:PRODUCER:SHARD:INDEX, such as 000000000000002a:0:17:5 as it is "
                "printed, or 42:0:17:5 as a record has it"
            )
        return cls(*numbers)


def philox_key(run: int, producer: int) -> tuple[int, int]:
    """Return the Philox key of a producer's samples."""
    return run, producer


def philox_counter(shard: int, index: int, purpose: Purpose) -> tuple[int, int, int, int]:
    """Return the Philox counter at which a sample's stream begins (word 0 first)."""
    return 0, int(purpose), shard, index


def generator(identity: SampleIdentity, purpose: Purpose) -> np.random.Generator:
    """Return NumPy's generator at the start of one stream of one sample."""
    key = np.array(philox_key(identity.run, identity.producer), dtype=np.uint64)
    counter = np.array(philox_counter(identity.shard, identity.index, purpose), dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=counter))

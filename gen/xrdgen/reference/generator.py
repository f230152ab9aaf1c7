"""Draw verified crystals (paper, S1), slowly: the oracle of `xrdgen.crystals.generator`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

from xrdcommon.errors import InputError
from xrdcommon.identity import Purpose, SampleIdentity
from xrdcommon.space_groups import symbol

from xrdgen.crystals.settings import GeneratorSettings
from xrdgen.crystals.tables import sampler_tables
from xrdgen.reference.crystal import ReferenceCrystal
from xrdgen.reference.ordering import order_atoms
from xrdgen.reference.sampler import REDRAWS, Refused, Sampler
from xrdgen.reference.stream import RandomStream
from xrdgen.reference.verification import refusal

if TYPE_CHECKING:
    from xrdgen.statistics.model import Statistics

MAX_FAILURES = 20
"""Failures with one number of elements (paper, S1)."""

MAX_ATTEMPTS = 20_000
"""Attempts for one crystal."""

NO_REFLECTION = "no_reflection"

Accept = Callable[[ReferenceCrystal], bool]
"""A last check of a verified crystal."""


class ReferenceGenerator:
    """Draws crystals; each depends on its identity alone.

    Attributes:
        settings: what is drawn and what is kept.
        classes: the space groups that can be drawn, ascending.
        counts: space group -> outcome ("accepted", "rechecked" or the reason of a rejection) -> number of crystals.

    """

    def __init__(self, statistics: Statistics, settings: GeneratorSettings | None = None) -> None:
        """Prepare the statistics.

        Raises:
            InputError: the settings ask for groups that the statistics cannot answer.
            FormatError: the statistics contradict themselves.

        """
        self.settings = settings or GeneratorSettings()
        self._sampler = Sampler(sampler_tables(statistics, self.settings), self.settings)
        self.classes = [int(group) for group in self._sampler.tables.classes]
        self.counts: dict[int, Counter[str]] = {}

    @property
    def attempts(self) -> int:
        """How many attempts were made."""
        no_attempts = ("rechecked", *REDRAWS)
        return sum(n for counts in self.counts.values() for outcome, n in counts.items() if outcome not in no_attempts)

    def draw(
        self, identity: SampleIdentity, purpose: Purpose = Purpose.CRYSTAL, accept: Accept | None = None
    ) -> ReferenceCrystal:
        """Return the crystal of an identity.

        After a failure, the same number of elements; after twenty, a new number and the same space group, so that
        the frequencies of the groups stay true.

        Args:
            identity: all that is random follows from it.
            purpose: of the random stream.
            accept: asked about every verified crystal; what it refuses is one more failure (`no_reflection`).

        Raises:
            InputError: the group yields no crystal within `MAX_ATTEMPTS` attempts.

        """
        stream = RandomStream(identity, purpose)
        choice = self._sampler.draw_choice(stream)
        group = self._sampler.group_of(choice)
        counts = self.counts.setdefault(group, Counter())
        failures = MAX_FAILURES
        n_elements = 0
        for _ in range(MAX_ATTEMPTS):
            if failures == MAX_FAILURES:
                n_elements = self._sampler.draw_number_of_elements(stream, choice)
                failures = 0
            try:
                crystal = self._draw_verified(stream, choice, n_elements, counts)
                if accept is not None and not accept(crystal):
                    raise Refused(NO_REFLECTION)
            except Refused as refused:
                counts[refused.reason] += 1
                failures += 1
            else:
                counts["accepted"] += 1
                return crystal
            finally:
                counts.update(self._sampler.redraws)
                self._sampler.redraws.clear()
        reasons = ", ".join(f"{reason} {n}" for reason, n in sorted(counts.items()))
        raise InputError(
            f"space group {group} ({symbol(group)}): no crystal in {MAX_ATTEMPTS} attempts (so far: {reasons}); "
            "leave the group out or build its statistics from more structures"
        )

    def draw_unverified(self, identity: SampleIdentity, purpose: Purpose, accept: Accept, most: int) -> None:
        """Draw crystals of one group, whatever group they turn out to have, until one is accepted.

        Nothing is counted: such crystals are impurities, whose space group is not used.

        Args:
            identity: all that is random follows from it.
            purpose: of the random stream.
            accept: asked about every crystal; what it refuses is one more failure.
            most: crystals that it is asked about.

        """
        stream = RandomStream(identity, purpose)
        choice = self._sampler.draw_choice(stream)
        failures, n_elements, asked = MAX_FAILURES, 0, 0
        for _ in range(MAX_ATTEMPTS):
            if failures == MAX_FAILURES:
                n_elements = self._sampler.draw_number_of_elements(stream, choice)
                failures = 0
            try:
                crystal = self._draw_candidate(stream, choice, n_elements)
            except Refused:
                failures += 1
            else:
                asked += 1
                if accept(crystal) or asked == most:
                    break
                failures += 1
        self._sampler.redraws.clear()

    def _draw_candidate(self, stream: RandomStream, choice: int, n_elements: int) -> ReferenceCrystal:
        """Make one attempt, ordered as the settings say.

        Raises:
            Refused: it failed.

        """
        crystal = self._sampler.draw_candidate(stream, choice, n_elements)
        return order_atoms(crystal) if self.settings.ordering == "soft-spheres" else crystal

    def _draw_verified(
        self, stream: RandomStream, choice: int, n_elements: int, counts: Counter[str]
    ) -> ReferenceCrystal:
        """Make one attempt and verify its space group.

        Raises:
            Refused: it failed.

        """
        crystal = self._draw_candidate(stream, choice, n_elements)
        exact = self.settings.verification == "exact"
        reason = refusal(crystal, self.settings.tolerance, strict=exact)
        if reason is not None:
            raise Refused(reason)
        # the fast engine asks spglib about a random share of what its own test confirmed; here spglib was asked
        if exact and self.settings.recheck > 0.0 and stream.uniform() < self.settings.recheck:
            counts["rechecked"] += 1
        return crystal

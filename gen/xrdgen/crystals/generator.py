"""Draw random crystals from statistics (paper 2.1 and S1).

| step of S1 | what is drawn | where |
|---|---|---|
| 1 | space group: natural frequencies of the represented groups, or equal ones | `sampler_kernels.draw_group` |
| 2 | number of elements | `sampler_kernels.draw_number_of_elements` |
| 3, 4 | elements without replacement, atoms of each, Wyckoff position of each | `sampler_kernels.draw_occupation` |
| - | in place of 1 and 4, if the settings list them: a structure type, by its weight | `type_tables` |
| 5 | uniform coordinates in the free parameters of the position | `sampler_kernels.draw_coordinates` |
| 6 | unit-volume lattice from the KDE of the crystal system, or of the group | `kde_kernels.draw_unit_cell` |
| 7 | density factor given V_atomic from the conditional KDE of the group | `kde_kernels.draw_density_factor` |
| - | atoms too close together are moved apart, if the settings say so | `ordering_kernels` |
| 8 | verification of the space group, in `drawing_kernels.draw_verified` | `symmetry_test_kernels`, `verify` |

The presets `paper` and `improved` take the same steps and differ in their tables: `count_tables`, `kde_tables`.

Where the paper is silent or the authors' code departs from it: coordinates are uniform on oblique positions too;
lattices that are none are drawn again and the others renormalised to unit volume, so that the drawn volume is the
crystal's; bandwidths are each group's own. A crystal for whose atoms the free positions do not suffice is drawn again
as a whole (the authors' code goes on with fewer atoms, even none). V_atomic above the largest of the group's
structures is refused, as by the authors: below the smallest the estimate is well defined, above the largest it would
extrapolate to cells larger than any real one. Every refusal counts as one of the twenty failures of S1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from xrdcommon.errors import InputError
from xrdcommon.identity import Purpose, SampleIdentity, philox_counter, philox_key
from xrdcommon.space_groups import N_GROUPS, symbol

from xrdgen.crystal import Crystal
from xrdgen.crystals.cosets import coset_tables
from xrdgen.crystals.drawing_kernels import (
    ANSWER,
    BEGIN,
    CONFIRMED,
    EXHAUSTED,
    QUESTION,
    RECHECK,
    Draw,
    DrawTables,
    draw_verified,
)
from xrdgen.crystals.ordering import ordering_tables
from xrdgen.crystals.primitive import primitive_tables
from xrdgen.crystals.sampler_kernels import (
    CHOICE,
    GROUP,
    MAX_ATTEMPTS,
    N_PROGRESS,
    N_REASONS,
    NO_REFLECTION,
    CrystalArrays,
    refuse,
)
from xrdgen.crystals.settings import GeneratorSettings
from xrdgen.crystals.tables import sampler_tables
from xrdgen.crystals.verify import ExactVerifier, SpglibVerifier, Verifier
from xrdgen.random_kernels import STREAM_WORDS

if TYPE_CHECKING:
    from xrdgen.statistics.model import Statistics

__all__ = ["REASONS", "CrystalGenerator", "GeneratorSettings", "crystal_of", "empty_arrays", "make_verifier"]

REASONS = (
    "sites",
    "positions",
    "atomic_volume",
    "volume",
    "symmetry",
    "undetermined",
    "recheck",
    "no_reflection",
    "lattice_redraws",
    "density_factor_redraws",
)
"""Why draws were rejected, in the order of the columns of `CrystalGenerator.rejections`.

`sites`: too many atoms in the asymmetric unit. `positions`: no free Wyckoff position left. `atomic_volume`: V_atomic
above the largest of the group's structures. `volume`: the cell is too large. `symmetry`: another space group was found.
`undetermined`: none was found (atoms closer than the tolerance). `recheck`: spglib did not confirm what the exact test
had confirmed (never seen so far). `no_reflection`: the caller of `draw_into` did not accept the crystal, because it has
no diffractogram on the grid in use. Each of these ends an attempt. The last two count single values drawn again within
an attempt: a lattice that is none, a density factor that leaves no room for the atoms.
"""

N_ATTEMPT_REASONS = 8
"""The first of `REASONS` end an attempt: attempts = accepted + their sum."""

Accept = Callable[[int, CrystalArrays], bool]
"""A last check of a crystal whose symmetry is verified, by space group and arrays; a function of nothing else."""


class CrystalGenerator:
    """Draws crystals; each depends on its identity alone, not on what was drawn before.

    Not to be shared between threads: the kernels write into arrays of the generator.

    Attributes:
        settings: what is drawn and what is kept.
        tables: of the sampler.
        draw_tables: all that the kernels draw and verify by.
        classes: the space groups that can be drawn, ascending.
        verifier: asked about every candidate, an `ExactVerifier` only about those on doubtful lattices: its test is in
            the kernel.
        rejections: (230, len(REASONS)) int64, rejected draws by group (row number - 1) and reason since construction.
        accepted: (230,) int64, crystals drawn by group since construction.
        rechecked: (230,) int64, crystals that the exact test confirmed and spglib was asked about again; see `recheck`
            among the reasons for its disagreements.

    """

    def __init__(
        self, statistics: Statistics, settings: GeneratorSettings | None = None, verifier: Verifier | None = None
    ) -> None:
        """Prepare the arrays of the kernels, once.

        Args:
            statistics: of real structures.
            settings: defaults to the paper's.
            verifier: defaults to the one that the settings name.

        Raises:
            InputError: the settings ask for groups that the statistics cannot answer.
            FormatError: the statistics contradict themselves.

        """
        self.settings = settings or GeneratorSettings()
        self.verifier = verifier or make_verifier(self.settings)
        self.tables = sampler_tables(statistics, self.settings)
        self.draw_tables = DrawTables(
            sampler=self.tables,
            primitive=primitive_tables(),
            cosets=coset_tables(),
            ordering=ordering_tables(self.settings.ordering),
            exact=isinstance(self.verifier, ExactVerifier),
            tolerance=float(self.settings.tolerance),
            recheck=float(self.settings.recheck) if self.settings.verification == "exact" else 0.0,
        )
        self.classes = [int(group) for group in self.tables.classes]
        self.rejections: NDArray[np.int64] = np.zeros((N_GROUPS, N_REASONS), dtype=np.int64)
        self.accepted: NDArray[np.int64] = np.zeros(N_GROUPS, dtype=np.int64)
        self.rechecked: NDArray[np.int64] = np.zeros(N_GROUPS, dtype=np.int64)
        self._second = SpglibVerifier(self.settings.tolerance)
        self._arrays = empty_arrays(self.settings.max_sites)
        self._draw = empty_draw(self._arrays)

    def draw(self, identity: SampleIdentity, purpose: Purpose = Purpose.CRYSTAL) -> Crystal:
        """Return the crystal of an identity.

        Raises:
            InputError: its group yields no crystal within `MAX_ATTEMPTS` attempts.

        """
        group = self.draw_into(self._arrays, identity, purpose)
        return crystal_of(group, self._arrays)

    def draw_into(
        self,
        arrays: CrystalArrays,
        identity: SampleIdentity,
        purpose: Purpose = Purpose.CRYSTAL,
        accept: Accept | None = None,
    ) -> int:
        """Fill preallocated arrays (see `empty_arrays`) with the crystal of an identity; return its space group.

        Args:
            arrays: output.
            identity: all that is random follows from it.
            purpose: of the random stream.
            accept: asked about every crystal that passed all else. What it refuses is one more failed attempt in the
                same space group (`no_reflection`), so that the frequencies of the groups stay true.

        Raises:
            InputError: its group yields no crystal within `MAX_ATTEMPTS` attempts.

        """
        draw = self._draw._replace(crystal=arrays)
        draw.key[:] = philox_key(identity.run, identity.producer)
        draw.counter[:] = philox_counter(identity.shard, identity.index, purpose)
        draw.dialogue[QUESTION] = BEGIN
        while True:
            outcome = draw_verified(draw, self.draw_tables, self.rejections)
            group = int(draw.progress[GROUP])
            if outcome != CONFIRMED:
                self.answer(outcome, draw)
            elif accept is not None and not accept(group, arrays):
                refuse(draw.progress, self.rejections[group - 1], NO_REFLECTION)
            else:
                self.accepted[group - 1] += 1
                return group

    def answer(self, outcome: int, draw: Draw) -> None:
        """Write the answer that a draw waits for, so that it can go on.

        Args:
            outcome: of `draw_verified`, other than `CONFIRMED`.
            draw: in progress.

        Raises:
            InputError: there is no crystal to ask about (`EXHAUSTED`).

        """
        group = int(draw.progress[GROUP])
        if outcome == EXHAUSTED:
            rejected = zip(REASONS, self.rejections[group - 1], strict=True)
            counts = ", ".join(f"{name} {int(n)}" for name, n in rejected if n)
            types = self.settings.structure_types
            of_type = f"structure type {types[int(draw.progress[CHOICE])][0]}: " if types else ""
            raise InputError(
                f"{of_type}space group {group} ({symbol(group)}): no crystal in {MAX_ATTEMPTS} attempts "
                f"(rejected so far: {counts}); leave the {'type' if types else 'group'} out or build "
                "its statistics from more structures"
            )
        verifier = self.verifier
        if outcome == RECHECK:
            self.rechecked[group - 1] += 1
            verifier = self._second
        draw.dialogue[ANSWER] = int(verifier.verify(group, draw.crystal))


def make_verifier(settings: GeneratorSettings) -> Verifier:
    """Return the verifier that the settings name."""
    verifiers: dict[str, type[SpglibVerifier | ExactVerifier]] = {"spglib": SpglibVerifier, "exact": ExactVerifier}
    return verifiers[settings.verification](settings.tolerance)


def empty_arrays(max_sites: int) -> CrystalArrays:
    """Return arrays for one crystal of at most `max_sites` atoms in the asymmetric unit."""
    return CrystalArrays(
        cell=np.zeros(6),
        positions=np.zeros((max_sites, 3)),
        parameters=np.zeros((max_sites, 3)),
        atomic_numbers=np.zeros(max_sites, dtype=np.int64),
        letters=np.zeros(max_sites, dtype=np.int64),
        n_sites=np.zeros(1, dtype=np.int64),
    )


def empty_draw(arrays: CrystalArrays) -> Draw:
    """Return a draw into given arrays, not begun."""
    return Draw(
        key=np.zeros(2, dtype=np.uint64),
        counter=np.zeros(4, dtype=np.uint64),
        stream=np.zeros(STREAM_WORDS, dtype=np.uint64),
        progress=np.zeros(N_PROGRESS, dtype=np.int64),
        dialogue=np.zeros(2, dtype=np.int64),
        crystal=arrays,
    )


def crystal_of(group: int, arrays: CrystalArrays) -> Crystal:
    """Copy the sampler's arrays into a crystal."""
    n = int(arrays.n_sites[0])
    return Crystal(
        space_group=group,
        cell=arrays.cell.copy(),
        positions=arrays.positions[:n].copy(),
        atomic_numbers=arrays.atomic_numbers[:n].copy(),
        occupancies=np.ones(n),
        letters=arrays.letters[:n].copy(),
        sites=np.arange(n, dtype=np.int64),
    )

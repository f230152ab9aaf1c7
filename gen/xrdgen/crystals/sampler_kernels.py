"""Draw crystals into arrays: the steps of the paper's S1 up to the verification of the space group.

The presets of `GeneratorSettings` share these kernels and differ in the tables alone (see `tables`).

One call of `next_candidate` goes on until a crystal passes every bound but the symmetry. The caller verifies the
space group and either keeps the crystal or calls `refuse` and then `next_candidate` again. The rule of S1 is kept
in `Progress`: after a failure, of whatever kind, the same number of elements; after 20 failures a new number of
elements and the same space group, so that the frequencies of the groups stay those that were asked for.

Where structure types are given (the paper's outlook), the first draw is that of a type, which stays as the group does.
Its sites take the place of those that S1 draws; all else is as it was.

# A atoms in the asymmetric unit (at most the settings' max_sites)    E elements of the crystal
"""

from __future__ import annotations

from math import exp
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from xrdgen.crystals.kde_kernels import draw_density_factor, draw_unit_cell
from xrdgen.crystals.tables import SamplerTables
from xrdgen.jit import kernel
from xrdgen.random_kernels import below, categorical, uniform

# why an attempt ended (the order of `generator.REASONS`), and redraws of a single value
(
    SITES,
    POSITIONS,
    ATOMIC_VOLUME,
    VOLUME,
    SYMMETRY,
    UNDETERMINED,
    RECHECK,
    NO_REFLECTION,
    LATTICE,
    DENSITY_FACTOR,
) = range(10)
N_REASONS = 10
PASSED = -1

MAX_FAILURES = 20
"""Failures with one number of elements (paper, S1)."""

MAX_ATTEMPTS = 20_000
"""Attempts for one crystal; a group that needs more has no crystal to give."""

_MAX_COLLISIONS = 32
"""Rejected picks after which the free categories are summed: both give the same distribution."""

# what `progress` (5,) holds; CHOICE is that of the first draw, see `type_tables`
GROUP, N_ELEMENTS, FAILURES, ATTEMPTS, CHOICE = range(5)
N_PROGRESS = 5


class CrystalArrays(NamedTuple):
    """Preallocated output of the sampler; only the first `n_sites[0]` rows mean anything.

    Attributes:
        cell: (6,) a, b, c in Å, alpha, beta, gamma in degrees.
        positions: (A, 3) fractional, in [0, 1).
        parameters: (A, 3) u in [0, 1)^3 with x = rotation u + translation of the Wyckoff position.
        atomic_numbers: (A,) Z.
        letters: (A,) index of the Wyckoff letter.
        n_sites: (1,) atoms in the asymmetric unit.

    """

    cell: NDArray[np.float64]
    positions: NDArray[np.float64]
    parameters: NDArray[np.float64]
    atomic_numbers: NDArray[np.int64]
    letters: NDArray[np.int64]
    n_sites: NDArray[np.int64]


@kernel
def pick_element(
    stream: NDArray[np.uint64], cumulative: NDArray[np.int64], chosen: NDArray[np.int64], n_chosen: int
) -> int:
    """Draw an element not drawn before: again until it is new (paper: without replacement).

    Args:
        stream: random stream.
        cumulative: (103,) cumulative counts, index Z - 1.
        chosen: (E,) elements drawn so far in its first `n_chosen` places.
        n_chosen: how many.

    """
    for _ in range(_MAX_COLLISIONS):
        z = categorical(stream, cumulative) + 1
        new = True
        for i in range(n_chosen):
            new = new and chosen[i] != z
        if new:
            return z
    left = cumulative.copy()  # cumulative counts of what is left
    for i in range(n_chosen):
        z = chosen[i]
        weight = cumulative[z - 1] - (cumulative[z - 2] if z > 1 else 0)
        left[z - 1 :] -= weight
    return categorical(stream, left) + 1


@kernel
def pick_position(
    stream: NDArray[np.uint64], cumulative: NDArray[np.int64], dof: NDArray[np.int64], taken: NDArray[np.bool_]
) -> int:
    """Draw a Wyckoff position by the group's frequencies, again where it is fixed and taken; -1 if none is free.

    Args:
        stream: random stream.
        cumulative: (L,) cumulative counts by letter index.
        dof: (L,) degrees of freedom.
        taken: (L,) whether an atom is there.

    """
    for _ in range(_MAX_COLLISIONS):
        letter = categorical(stream, cumulative)
        if dof[letter] > 0 or not taken[letter]:
            return letter
    left = np.empty_like(cumulative)
    total = 0
    for letter in range(len(cumulative)):
        if dof[letter] > 0 or not taken[letter]:
            total += cumulative[letter] - (cumulative[letter - 1] if letter > 0 else 0)
        left[letter] = total
    if total == 0:
        return -1
    return categorical(stream, left)


@kernel
def draw_occupation(
    stream: NDArray[np.uint64], tables: SamplerTables, group: int, n_elements: int, crystal: CrystalArrays
) -> int:
    """Draw elements, their repetitions and a Wyckoff position for each atom (S1, steps 3 and 4).

    Returns `PASSED`, `SITES` (too many atoms) or `POSITIONS` (no free position left). An element therefore never
    ends with fewer atoms than were drawn for it: where the positions do not suffice, the whole crystal is drawn again.
    """
    chosen = np.empty(n_elements, dtype=np.int64)
    repetitions = np.empty(n_elements, dtype=np.int64)
    total = 0
    for i in range(n_elements):
        chosen[i] = pick_element(stream, tables.elements[group - 1], chosen, i)
        repetitions[i] = categorical(stream, tables.repetitions[tables.repetition_row[group - 1, chosen[i] - 1]])
        total += repetitions[i]
    if total > tables.limits[1]:
        return SITES
    first, last = tables.wyckoff_start[group - 1], tables.wyckoff_start[group]
    dof = tables.dof[first:last]
    cumulative = tables.wyckoff[tables.wyckoff_row[group - 1, total], : last - first]
    taken = np.zeros(last - first, dtype=np.bool_)
    atom = 0
    for i in range(n_elements):
        for _ in range(repetitions[i]):
            letter = pick_position(stream, cumulative, dof, taken)
            if letter < 0:
                return POSITIONS
            taken[letter] = True
            crystal.letters[atom] = letter
            crystal.atomic_numbers[atom] = chosen[i]
            atom += 1
    crystal.n_sites[0] = atom
    return PASSED


@kernel
def categorical_within(stream: NDArray[np.uint64], cumulative: NDArray[np.int64], low: int, high: int) -> int:
    """Draw a category of low ... high by its counts, as if no other had been counted; `low` where none of these was.

    Args:
        stream: random stream.
        cumulative: (R,) cumulative counts.
        low: first category, at least 1.
        high: last category; may be beyond those that were counted.

    """
    last = min(high, len(cumulative) - 1)
    if last < low or cumulative[last] == cumulative[low - 1]:
        return low
    return low + categorical(stream, cumulative[low : last + 1] - cumulative[low - 1])


@kernel
def draw_number_of_elements(stream: NDArray[np.uint64], tables: SamplerTables, group: int, choice: int) -> int:
    """Draw the number of elements (S1, step 2); a structure type has its own, or at most one a site."""
    choices = tables.choices
    sites = choices.site_start[choice + 1] - choices.site_start[choice]
    if sites == 0:
        return categorical(stream, tables.n_elements[group - 1])
    if choices.n_elements[choice] > 0:
        return int(choices.n_elements[choice])
    return categorical_within(stream, tables.n_elements[group - 1], 1, sites)


@kernel
def draw_elements_of_type(
    stream: NDArray[np.uint64], tables: SamplerTables, group: int, choice: int, n_elements: int, crystal: CrystalArrays
) -> None:
    """Draw the elements of a structure type (S1, step 3), whose sites are given.

    Where the type leaves open which sites share an element, the atoms of each are drawn by the counts of repetitions,
    among those that leave a site to every element that follows; the last one takes what is left. They are dealt out to
    the sites in random order.
    """
    choices = tables.choices
    first = choices.site_start[choice]
    n = choices.site_start[choice + 1] - first
    chosen = np.empty(n_elements, dtype=np.int64)
    for i in range(n_elements):
        chosen[i] = pick_element(stream, tables.elements[group - 1], chosen, i)
    for site in range(n):
        crystal.letters[site] = choices.letters[first + site]
    crystal.n_sites[0] = n
    if choices.n_elements[choice] > 0:
        for site in range(n):
            crystal.atomic_numbers[site] = chosen[choices.elements[first + site]]
        return
    site = 0
    for i in range(n_elements):
        repetitions = n - site
        if i < n_elements - 1:
            counts = tables.repetitions[tables.repetition_row[group - 1, chosen[i] - 1]]
            repetitions = categorical_within(stream, counts, 1, n - site - (n_elements - 1 - i))
        for _ in range(repetitions):
            crystal.atomic_numbers[site] = chosen[i]
            site += 1
    for site in range(n - 1, 0, -1):
        other = below(stream, site + 1)
        letter = crystal.letters[site]
        crystal.letters[site] = crystal.letters[other]
        crystal.letters[other] = letter


@kernel
def draw_volume(
    stream: NDArray[np.uint64],
    tables: SamplerTables,
    group: int,
    crystal: CrystalArrays,
    rejections: NDArray[np.int64],
) -> tuple[float, int]:
    """Draw the volume in Å^3 from the density factor given V_atomic (S1, step 7); the second value is the reason.

    V_atomic above the largest of the group's structures is refused, as the authors' code does: the conditional
    density there would be that of the one or two largest structures, and the cells would be larger than any real one.
    """
    first_position = tables.wyckoff_start[group - 1]
    atoms = 0
    v_atomic = 0.0
    for i in range(crystal.n_sites[0]):
        multiplicity = tables.multiplicity[first_position + crystal.letters[i]]
        atoms += multiplicity
        v_atomic += multiplicity * tables.atomic_volume[crystal.atomic_numbers[i]]
    first, last = tables.density_start[group - 1], tables.density_start[group]
    logarithmic = tables.logarithmic[0]
    largest = exp(tables.v_atomic[last - 1]) if logarithmic else tables.v_atomic[last - 1]
    if v_atomic > largest * (1.0 + 1e-9):
        return 0.0, ATOMIC_VOLUME
    factor, redrawn = draw_density_factor(
        stream,
        tables.v_atomic[first:last],
        tables.density_factor[first:last],
        tables.bandwidth_v[group - 1],
        tables.bandwidth_f[group - 1],
        v_atomic,
        tables.limits[2] * atoms / v_atomic,
        logarithmic,
    )
    rejections[DENSITY_FACTOR] += redrawn
    volume = factor * v_atomic
    if factor == 0.0 or volume >= tables.limits[0]:
        return 0.0, VOLUME
    return volume, PASSED


@kernel
def place_atom(tables: SamplerTables, position: int, parameters: NDArray[np.float64], out: NDArray[np.float64]) -> None:
    """Write the point x = rotation u + translation (3,) of a Wyckoff position, in [0, 1), for parameters u (3,)."""
    for j in range(3):
        x = tables.translation[position, j]
        for k in range(3):
            x += tables.rotation[position, j, k] * parameters[k]
        x -= np.floor(x)
        out[j] = x if x < 1.0 else 0.0


@kernel
def draw_coordinates(stream: NDArray[np.uint64], tables: SamplerTables, group: int, crystal: CrystalArrays) -> None:
    """Draw uniform coordinates in the free parameters of every atom's position (S1, step 5)."""
    first = tables.wyckoff_start[group - 1]
    for i in range(crystal.n_sites[0]):
        position = first + crystal.letters[i]
        for j in range(3):
            crystal.parameters[i, j] = uniform(stream) if tables.dof[position] > 0 else 0.0
        place_atom(tables, position, crystal.parameters[i], crystal.positions[i])


@kernel
def draw_cell(
    stream: NDArray[np.uint64],
    tables: SamplerTables,
    group: int,
    volume: float,
    crystal: CrystalArrays,
    rejections: NDArray[np.int64],
) -> None:
    """Draw a unit-volume cell from the group's density estimate and scale it to the volume (S1, step 6)."""
    row = tables.lattice_row[group - 1]
    d = tables.n_free[row]
    rejections[LATTICE] += draw_unit_cell(
        stream,
        tables.lattices[tables.lattice_start[row] : tables.lattice_start[row + 1], :d],
        tables.cholesky[row, :d, :d],
        tables.cell_source[row],
        tables.cell_fixed[row],
        tables.logarithmic[1],
        crystal.cell,
    )
    for column in range(3):
        crystal.cell[column] *= volume ** (1.0 / 3.0)


@kernel
def draw_group(stream: NDArray[np.uint64], tables: SamplerTables, progress: NDArray[np.int64]) -> None:
    """Draw the space group (S1, step 1), or the structure type, and begin its crystal."""
    progress[CHOICE] = categorical(stream, tables.choices.weights)
    progress[GROUP] = tables.choices.group[progress[CHOICE]]
    progress[N_ELEMENTS] = 0
    progress[FAILURES] = MAX_FAILURES
    progress[ATTEMPTS] = 0


@kernel
def refuse(progress: NDArray[np.int64], rejections: NDArray[np.int64], reason: int) -> None:
    """Count a failed attempt."""
    progress[FAILURES] += 1
    rejections[reason] += 1


@kernel
def next_candidate(
    stream: NDArray[np.uint64],
    tables: SamplerTables,
    progress: NDArray[np.int64],
    crystal: CrystalArrays,
    rejections: NDArray[np.int64],
) -> bool:
    """Draw until a crystal passes all bounds; its symmetry is not verified yet.

    Args:
        stream: random stream (11,).
        tables: statistics and Wyckoff positions.
        progress: (5,) group, number of elements, failures with it, attempts, choice; begun by `draw_group`.
        crystal: output.
        rejections: (10,) counts by reason, added to.

    Returns:
        False if `MAX_ATTEMPTS` did not suffice.

    """
    group, choice = progress[GROUP], progress[CHOICE]
    given = tables.choices.site_start[choice + 1] > tables.choices.site_start[choice]
    while progress[ATTEMPTS] < MAX_ATTEMPTS:
        progress[ATTEMPTS] += 1
        if progress[FAILURES] >= MAX_FAILURES:
            progress[N_ELEMENTS] = draw_number_of_elements(stream, tables, group, choice)
            progress[FAILURES] = 0
        reason = PASSED
        if given:
            draw_elements_of_type(stream, tables, group, choice, progress[N_ELEMENTS], crystal)
        else:
            reason = draw_occupation(stream, tables, group, progress[N_ELEMENTS], crystal)
        if reason == PASSED:
            volume, reason = draw_volume(stream, tables, group, crystal, rejections)
            if reason == PASSED:
                draw_coordinates(stream, tables, group, crystal)
                draw_cell(stream, tables, group, volume, crystal, rejections)
                return True
        refuse(progress, rejections, reason)
    return False

"""Statistics and Wyckoff positions turned once into the arrays that the sampler's kernels read.

The presets differ in these arrays and in nothing else: `count_tables` and `kde_tables` say how and why.

# G = 230 groups    K largest number of elements    R largest repetition    W Wyckoff positions    N, M support points
# T, U, L rows of the tables of repetitions, of positions and of lattices    S = largest number of sites + 1
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray
from xrdcommon.errors import FormatError, InputError
from xrdcommon.fields import N_ELEMENTS
from xrdcommon.space_groups import symbol

from xrdgen.crystals.count_tables import position_tables, repetition_tables
from xrdgen.crystals.kde_tables import density_tables, lattice_tables
from xrdgen.crystals.settings import GeneratorSettings
from xrdgen.crystals.type_tables import Choices, choices_of_groups, choices_of_types, parse_all
from xrdgen.elements import element_table
from xrdgen.symmetry import wyckoff

if TYPE_CHECKING:
    from xrdgen.statistics.model import Statistics


class SamplerTables(NamedTuple):
    """Everything the sampler's kernels need; rows of groups are number - 1.

    Attributes:
        classes: (C,) represented space groups, ascending.
        choices: of the first draw: the groups, or structure types.
        n_elements: (G, K) cumulative counts of structures with k elements, index k.
        elements: (G, 103) cumulative counts of structures that contain Z, index Z - 1.
        repetitions: (T, R) cumulative counts of (structure, element) pairs with r atoms, index r.
        repetition_row: (G, 103) row of `repetitions` for a group and an element, index Z - 1.
        wyckoff: (U, 27) cumulative counts of occupied positions by letter index.
        wyckoff_row: (G, S) row of `wyckoff` for a group and a number of sites in the asymmetric unit.
        wyckoff_start: (G + 1,) first Wyckoff position of a group.
        multiplicity, dof: (W,) of the positions.
        rotation, translation: (W, 3, 3), (W, 3) first representative, x = rotation u + translation.
        atomic_volume: (104,) Å^3, index Z.
        density_start: (G + 1,) first support point of a group.
        v_atomic, density_factor: (N,) support; V_atomic ascending in every group, Å^3; or their logarithms.
        bandwidth_v, bandwidth_f: (G,) of V_atomic (Å^3) and of the density factor; or of their logarithms.
        lattice_row: (G,) row of the tables of lattices.
        lattice_start: (L + 1,) first support lattice of a row.
        lattices: (M, 6) free parameters in the first columns; axes as ln(axis / a) where logarithmic.
        n_free: (L,) their number d.
        cholesky: (L, 6, 6) of the kernels' covariances, upper left (d, d).
        cell_source: (L, 6) free parameter behind every cell parameter, -1 where it is fixed.
        cell_fixed: (L, 6) values of the fixed ones.
        logarithmic: (2,) whether V_atomic and density factor, and whether free axes, are logarithms.
        limits: (3,) largest volume in Å^3, largest number of sites, least volume per atom in Å^3.

    """

    classes: NDArray[np.int64]
    choices: Choices
    n_elements: NDArray[np.int64]
    elements: NDArray[np.int64]
    repetitions: NDArray[np.int64]
    repetition_row: NDArray[np.int64]
    wyckoff: NDArray[np.int64]
    wyckoff_row: NDArray[np.int64]
    wyckoff_start: NDArray[np.int64]
    multiplicity: NDArray[np.int64]
    dof: NDArray[np.int64]
    rotation: NDArray[np.float64]
    translation: NDArray[np.float64]
    atomic_volume: NDArray[np.float64]
    density_start: NDArray[np.int64]
    v_atomic: NDArray[np.float64]
    density_factor: NDArray[np.float64]
    bandwidth_v: NDArray[np.float64]
    bandwidth_f: NDArray[np.float64]
    lattice_row: NDArray[np.int64]
    lattice_start: NDArray[np.int64]
    lattices: NDArray[np.float64]
    n_free: NDArray[np.int64]
    cholesky: NDArray[np.float64]
    cell_source: NDArray[np.int64]
    cell_fixed: NDArray[np.float64]
    logarithmic: NDArray[np.bool_]
    limits: NDArray[np.float64]


def represented_groups(statistics: Statistics, settings: GeneratorSettings) -> list[int]:
    """Return the groups that the settings ask for and the statistics can answer, ascending.

    Raises:
        InputError: a group of the list, or of a structure type, has too few structures, or none is left.

    """
    types: dict[int, str] = {}
    for kind in parse_all(settings.structure_types):
        types.setdefault(kind.space_group, kind.name)
    counts = np.asarray(statistics.n_structures)
    with_density = np.diff(statistics.volume_start) > 0
    enough = (counts >= settings.min_structures) & with_density
    available = [int(group) for group in np.flatnonzero(enough) + 1]
    if isinstance(settings.space_groups, str) and not types:
        if not available:
            raise InputError(
                f"no space group has {settings.min_structures} structures in the statistics (most: "
                f"{int(counts.max(initial=0))}); lower --min-structures or build statistics from more structures"
            )
        return available
    asked = sorted(types or map(int, settings.space_groups))
    for group in asked:
        if not enough[group - 1]:
            n = int(counts[group - 1])
            if n >= settings.min_structures:
                remedy = "none of them has a density factor; build the statistics with ordered structures of it"
            elif n:
                remedy = f"{settings.min_structures} are needed; lower it with --min-structures {n}"
            else:
                remedy = "build statistics with structures of it, or choose another group"
            of_type = f"structure type {types[group]}: " if types else ""
            if types:
                remedy += " (`xrdgen structures types --statistics FILE` leaves such types out)"
            raise InputError(
                f"{of_type}space group {group} ({symbol(group)}): {n} structures in the statistics; {remedy}"
            )
    return asked


def drawn_elements(statistics: Statistics) -> NDArray[np.int64]:
    """Return how many structures of a group contain an element (230, 103), 0 where its radius is not known."""
    with_radii = np.isfinite(element_table().atomic_volume[1 : N_ELEMENTS + 1])
    return np.asarray(statistics.elements, dtype=np.int64) * with_radii


def sampler_tables(statistics: Statistics, settings: GeneratorSettings) -> SamplerTables:
    """Prepare the arrays of a generator.

    Raises:
        InputError: the settings ask for groups that the statistics cannot answer.
        FormatError: the statistics contradict themselves.

    """
    classes = np.array(represented_groups(statistics, settings), dtype=np.int64)
    atomic_volume = element_table().atomic_volume
    elements = drawn_elements(statistics)
    positions = wyckoff.tables()
    _check_counts(statistics, elements, positions, classes)
    if settings.structure_types:
        choices = choices_of_types(settings.structure_types, elements)
    else:
        counts = np.asarray(statistics.n_structures, dtype=np.int64)[classes - 1]
        choices = choices_of_groups(classes, counts if settings.space_groups == "natural" else np.ones_like(classes))
    improved = settings.preset == "improved"
    repetitions, repetition_row = repetition_tables(statistics, classes, joint=improved)
    letters, wyckoff_row = position_tables(statistics, classes, settings.max_sites, joint=improved)
    v_atomic, factor, bandwidths = density_tables(statistics, logarithmic=improved)
    lattices = lattice_tables(statistics, classes, logarithmic=improved)
    return SamplerTables(
        classes=classes,
        choices=choices,
        n_elements=_cumulative(statistics.n_elements),
        elements=_cumulative(elements),
        repetitions=repetitions,
        repetition_row=repetition_row,
        wyckoff=letters,
        wyckoff_row=wyckoff_row,
        wyckoff_start=positions.start,
        multiplicity=positions.multiplicity,
        dof=positions.dof,
        rotation=positions.rotation,
        translation=positions.translation,
        atomic_volume=atomic_volume,
        density_start=np.asarray(statistics.volume_start, dtype=np.int64),
        v_atomic=v_atomic,
        density_factor=factor,
        bandwidth_v=bandwidths[:, 1].copy(),
        bandwidth_f=bandwidths[:, 0].copy(),
        lattice_row=lattices.row,
        lattice_start=lattices.start,
        lattices=lattices.support,
        n_free=lattices.n_free,
        cholesky=lattices.cholesky,
        cell_source=lattices.source,
        cell_fixed=lattices.fixed,
        logarithmic=np.array([improved, improved]),
        limits=np.array([settings.max_volume, settings.max_sites, settings.min_volume_per_atom], dtype=np.float64),
    )


def _cumulative(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return cumulative counts along the last axis."""
    return np.cumsum(np.asarray(counts, dtype=np.int64), axis=-1)


def _check_counts(
    statistics: Statistics,
    elements: NDArray[np.int64],
    positions: wyckoff.WyckoffTables,
    classes: NDArray[np.int64],
) -> None:
    """Make sure that every draw of every represented group has something to draw.

    Raises:
        FormatError: it has not; the message names the group and the table.

    """
    for group in classes:
        row = int(group) - 1
        most_elements = int(np.flatnonzero(statistics.n_elements[row]).max(initial=0))
        problem = ""
        if statistics.n_elements[row][0] or most_elements == 0:
            problem = "number of elements: none, or a structure without an element"
        elif np.count_nonzero(elements[row]) < most_elements:
            problem = f"{most_elements} elements to draw from {np.count_nonzero(elements[row])} with known radii"
        elif statistics.repetitions[row][0] or not statistics.repetitions[row].any():
            problem = "repetitions: none, or an element without an atom"
        elif not statistics.wyckoff[row].any():
            problem = "no Wyckoff position is occupied"
        elif statistics.wyckoff[row][positions.start[group] - positions.start[group - 1] :].any():
            problem = "a Wyckoff letter that the group does not have"
        if problem:
            raise FormatError(f"statistics of space group {group}: {problem}; build the statistics again")

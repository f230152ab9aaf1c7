"""Statistics and Wyckoff positions turned once into the arrays that the sampler's kernels read.

# G = 230 groups    K largest number of elements    R largest repetition    W Wyckoff positions    N KDE support points
# T, U rows of the tables of repetitions and positions    S = largest number of sites + 1
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray
from xrdcommon.errors import FormatError, InputError
from xrdcommon.fields import N_ELEMENTS
from xrdcommon.space_groups import CRYSTAL_SYSTEMS, N_GROUPS, crystal_system, symbol

from xrdgen.crystals.kde import ANGLE_FLOOR, LENGTH_FLOOR, normal_reference, scott_cholesky
from xrdgen.crystals.settings import GeneratorSettings
from xrdgen.elements import element_table
from xrdgen.symmetry import wyckoff
from xrdgen.symmetry.lattice import FREE_PARAMETERS

if TYPE_CHECKING:
    from xrdgen.statistics.model import Statistics


class SamplerTables(NamedTuple):
    """Everything the sampler's kernels need; rows of groups are number - 1.

    Attributes:
        classes: (C,) represented space groups, ascending.
        class_weights: (C,) cumulative weights of the draw of a group.
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
        v_atomic, density_factor: (N,) support; V_atomic ascending in every group, Å^3.
        bandwidth_v, bandwidth_f: (G,) of V_atomic (Å^3) and of the density factor.
        system: (G,) index of the crystal system.
        lattice_start: (8,) first support lattice of a system.
        lattices: (M, 6) free parameters in the first columns.
        n_free: (7,) their number d.
        cholesky: (7, 6, 6) of the kernels' covariances, upper left (d, d).
        cell_source: (7, 6) free parameter behind every cell parameter, -1 where it is fixed.
        cell_fixed: (7, 6) values of the fixed ones.
        limits: (3,) largest volume in Å^3, largest number of sites, least volume per atom in Å^3.

    """

    classes: NDArray[np.int64]
    class_weights: NDArray[np.int64]
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
    system: NDArray[np.int64]
    lattice_start: NDArray[np.int64]
    lattices: NDArray[np.float64]
    n_free: NDArray[np.int64]
    cholesky: NDArray[np.float64]
    cell_source: NDArray[np.int64]
    cell_fixed: NDArray[np.float64]
    limits: NDArray[np.float64]


def represented_groups(statistics: Statistics, settings: GeneratorSettings) -> list[int]:
    """Return the groups that the settings ask for and the statistics can answer, ascending.

    Raises:
        InputError: a group of the list has too few structures, or none is left.

    """
    counts = np.asarray(statistics.n_structures)
    with_density = np.diff(statistics.volume_start) > 0
    enough = (counts >= settings.min_structures) & with_density
    available = [int(group) for group in np.flatnonzero(enough) + 1]
    if isinstance(settings.space_groups, str):
        if not available:
            raise InputError(
                f"no space group has {settings.min_structures} structures in the statistics (most: "
                f"{int(counts.max(initial=0))}); lower --min-structures or build statistics from more structures"
            )
        return available
    for group in settings.space_groups:
        if not enough[group - 1]:
            n = int(counts[group - 1])
            if n >= settings.min_structures:
                remedy = "none of them has a density factor; build the statistics with ordered structures of it"
            elif n:
                remedy = f"{settings.min_structures} are needed; lower it with --min-structures {n}"
            else:
                remedy = "build statistics with structures of it, or choose another group"
            raise InputError(f"space group {group} ({symbol(group)}): {n} structures in the statistics; {remedy}")
    return list(settings.space_groups)


def sampler_tables(statistics: Statistics, settings: GeneratorSettings) -> SamplerTables:
    """Prepare the arrays of a generator.

    Raises:
        InputError: the settings ask for groups that the statistics cannot answer.
        FormatError: the statistics contradict themselves.

    """
    classes = np.array(represented_groups(statistics, settings), dtype=np.int64)
    weights = np.ones(len(classes), dtype=np.int64)
    if settings.space_groups == "natural":
        weights = np.asarray(statistics.n_structures, dtype=np.int64)[classes - 1]
    atomic_volume = element_table().atomic_volume
    with_radii = np.isfinite(atomic_volume[1 : N_ELEMENTS + 1])
    elements = np.asarray(statistics.elements, dtype=np.int64) * with_radii
    positions = wyckoff.tables()
    _check_counts(statistics, elements, positions, classes)
    v_atomic, factor, bandwidths = _density(statistics)
    lattices, n_free, cholesky = _lattices(statistics, classes)
    source, fixed = _cell_layout()
    return SamplerTables(
        classes=classes,
        class_weights=np.cumsum(weights),
        n_elements=_cumulative(statistics.n_elements),
        elements=_cumulative(elements),
        repetitions=_cumulative(statistics.repetitions),
        repetition_row=_own_row(N_ELEMENTS),
        wyckoff=_cumulative(statistics.wyckoff),
        wyckoff_row=_own_row(settings.max_sites + 1),
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
        system=np.array([CRYSTAL_SYSTEMS.index(crystal_system(g)) for g in range(1, N_GROUPS + 1)], dtype=np.int64),
        lattice_start=np.asarray(statistics.lattice_start, dtype=np.int64),
        lattices=lattices,
        n_free=n_free,
        cholesky=cholesky,
        cell_source=source,
        cell_fixed=fixed,
        limits=np.array([settings.max_volume, settings.max_sites, settings.min_volume_per_atom], dtype=np.float64),
    )


def _cumulative(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return cumulative counts along the last axis."""
    return np.cumsum(np.asarray(counts, dtype=np.int64), axis=-1)


def _own_row(columns: int) -> NDArray[np.int64]:
    """Return rows (G, columns) that are the group's own, whatever the column: counts pooled over a group."""
    return np.repeat(np.arange(N_GROUPS, dtype=np.int64)[:, None], columns, axis=1)


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


def _density(
    statistics: Statistics,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Sort the support pairs of every group by V_atomic; bandwidths (G, 2): density factor, V_atomic."""
    v_atomic = np.array(statistics.v_atomic, dtype=np.float64)
    factor = np.array(statistics.density_factor, dtype=np.float64)
    bandwidths = np.zeros((N_GROUPS, 2))
    for row in range(N_GROUPS):
        pairs = slice(int(statistics.volume_start[row]), int(statistics.volume_start[row + 1]))
        if pairs.start == pairs.stop:
            continue
        order = np.lexsort((factor[pairs], v_atomic[pairs]))
        v_atomic[pairs], factor[pairs] = v_atomic[pairs][order], factor[pairs][order]
        bandwidths[row] = normal_reference(factor[pairs], v_atomic[pairs])
    return v_atomic, factor, bandwidths


def _lattices(
    statistics: Statistics, classes: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]]:
    """Return free parameters (M, 6) of the support, their number (7,) and the kernels' Cholesky factors (7, 6, 6)."""
    free = np.zeros((len(statistics.lattice), 6))
    n_free = np.zeros(len(CRYSTAL_SYSTEMS), dtype=np.int64)
    cholesky = np.zeros((len(CRYSTAL_SYSTEMS), 6, 6))
    needed = {crystal_system(int(group)) for group in classes}
    for index, system in enumerate(CRYSTAL_SYSTEMS):
        columns = list(FREE_PARAMETERS[system])
        rows = slice(int(statistics.lattice_start[index]), int(statistics.lattice_start[index + 1]))
        n_free[index] = d = len(columns)
        if not d or rows.start == rows.stop:
            if d and system in needed:
                raise FormatError(f"statistics: no {system} lattice; build them from structures that have one")
            continue
        # rows sorted: the order of entries in the file must not decide which lattice a random number picks
        support = np.asarray(statistics.lattice[rows], dtype=np.float64)[:, columns]
        support = support[np.lexsort(support.T[::-1])]
        free[rows, :d] = support
        floors = np.where(np.array(columns) < 3, LENGTH_FLOOR, ANGLE_FLOOR)
        cholesky[index, :d, :d] = scott_cholesky(support, floors)
    return free, n_free, cholesky


def _cell_layout() -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return, per crystal system, which free parameter gives each cell parameter and the values of the fixed ones."""
    source = np.full((len(CRYSTAL_SYSTEMS), 6), -1, dtype=np.int64)
    fixed = np.tile(np.array([1.0, 1.0, 1.0, 90.0, 90.0, 90.0]), (len(CRYSTAL_SYSTEMS), 1))
    for index, system in enumerate(CRYSTAL_SYSTEMS):
        for parameter, column in enumerate(FREE_PARAMETERS[system]):
            source[index, column] = parameter
        if system in ("tetragonal", "trigonal", "hexagonal"):
            source[index, 1] = source[index, 0]  # b = a
        if system in ("trigonal", "hexagonal"):
            fixed[index, 5] = 120.0
    return source, fixed

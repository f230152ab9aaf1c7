"""Supports and bandwidths of the kernel density estimates of both presets, as the sampler's kernels read them.

| preset | density factor f given V_atomic, of each group | lattices |
|---|---|---|
| `paper` | of f and V_atomic, standard deviations | of unit-volume lengths and angles, of each crystal system |
| `improved` | of ln f and ln V_atomic, robust spread of ln f | of ln(b/a), ln(c/a), angles, robust, of each group |

Why: f has a long upper tail, and so has V_atomic. On their own scale the estimate blurs the many small crystals, and
puts weight at f <= 0, which is drawn again (a third of the draws in some groups). Lengths of unit volume depend on each
other; samples of them have other volumes and c/a down to 0.01, where ratios have neither. Lattices of one crystal
system differ from group to group: the KS distance of c/a to real structures of unseen families, group by group, is 0.34
on average with estimates of the groups and 0.42 with those of the systems. A group with fewer than `OWN_LATTICES`
takes the estimate of its system.

# G = 230 groups    N support points    M lattices    L rows of the tables of lattices
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray
from xrdcommon.errors import FormatError
from xrdcommon.space_groups import CRYSTAL_SYSTEMS, N_GROUPS, crystal_system

from xrdgen.crystals.kde import (
    ANGLE_FLOOR,
    LENGTH_FLOOR,
    log_reference,
    normal_reference,
    robust_cholesky,
    scott_cholesky,
)
from xrdgen.symmetry.lattice import FREE_PARAMETERS

if TYPE_CHECKING:
    from xrdgen.statistics.model import Statistics

OWN_LATTICES = 50
"""Lattices from which on a group has an estimate of its own (preset `improved`)."""


class LatticeTables(NamedTuple):
    """Density estimates of unit-volume lattices; rows are crystal systems, then groups with an estimate of their own.

    Attributes:
        row: (G,) row of a group.
        start: (L + 1,) first support point of a row.
        support: (M, 6) free parameters in the first columns.
        n_free: (L,) their number d.
        cholesky: (L, 6, 6) of the kernels' covariances, upper left (d, d).
        source: (L, 6) free parameter behind every cell parameter, -1 where it is fixed.
        fixed: (L, 6) values of the fixed ones.

    """

    row: NDArray[np.int64]
    start: NDArray[np.int64]
    support: NDArray[np.float64]
    n_free: NDArray[np.int64]
    cholesky: NDArray[np.float64]
    source: NDArray[np.int64]
    fixed: NDArray[np.float64]


def density_tables(
    statistics: Statistics, *, logarithmic: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Sort the support pairs of every group by V_atomic.

    Returns:
        V_atomic in Å^3 (N,), density factor (N,) and bandwidths (G, 2) of density factor and V_atomic, or all these
        of the logarithms.

    """
    v_atomic = np.array(statistics.v_atomic, dtype=np.float64)
    factor = np.array(statistics.density_factor, dtype=np.float64)
    bandwidths = np.zeros((N_GROUPS, 2))
    rule = log_reference if logarithmic else normal_reference
    for row in range(N_GROUPS):
        pairs = slice(int(statistics.volume_start[row]), int(statistics.volume_start[row + 1]))
        if pairs.start == pairs.stop:
            continue
        order = np.lexsort((factor[pairs], v_atomic[pairs]))
        v_atomic[pairs], factor[pairs] = v_atomic[pairs][order], factor[pairs][order]
        bandwidths[row] = rule(factor[pairs], v_atomic[pairs])
    if logarithmic:
        v_atomic, factor = np.log(v_atomic), np.log(factor)
    return v_atomic, factor, bandwidths


def lattice_tables(statistics: Statistics, classes: NDArray[np.int64], *, logarithmic: bool) -> LatticeTables:
    """Prepare the density estimates of the lattices, of systems or (logarithmic) of groups.

    Raises:
        FormatError: no lattice of a crystal system that is drawn.

    """
    systems = [crystal_system(group) for group in range(1, N_GROUPS + 1)]
    row = np.array([CRYSTAL_SYSTEMS.index(system) for system in systems], dtype=np.int64)
    kinds, supports = [*CRYSTAL_SYSTEMS], [statistics.lattices_of(system) for system in CRYSTAL_SYSTEMS]
    for system in sorted({systems[group - 1] for group in classes}):
        if FREE_PARAMETERS[system] and not len(supports[CRYSTAL_SYSTEMS.index(system)]):
            raise FormatError(f"statistics: no {system} lattice; build them from structures that have one")
    for group in classes if logarithmic else ():
        own = statistics.lattice[int(statistics.lattice_start[group - 1]) : int(statistics.lattice_start[group])]
        if len(own) >= OWN_LATTICES:
            row[group - 1] = len(kinds)
            kinds.append(systems[group - 1])
            supports.append(own)
    n_free = np.zeros(len(kinds), dtype=np.int64)
    cholesky = np.zeros((len(kinds), 6, 6))
    source = np.zeros((len(kinds), 6), dtype=np.int64)
    fixed = np.zeros((len(kinds), 6))
    padded = []
    for index, (system, cells) in enumerate(zip(kinds, supports, strict=True)):
        source[index], fixed[index] = _layout(system, logarithmic=logarithmic)
        columns = _free_columns(system, logarithmic=logarithmic)
        n_free[index] = d = len(columns)
        values = np.asarray(cells, dtype=np.float64)[:, columns]
        if logarithmic:
            axes = [i for i, column in enumerate(columns) if column < 3]
            values[:, axes] = np.log(values[:, axes] / np.asarray(cells)[:, :1])
        # rows sorted: the order of entries in the file must not decide which lattice a random number picks
        values = values[np.lexsort(values.T[::-1])] if d else values
        padded.append(np.pad(values, ((0, 0), (0, 6 - d))))
        if d and len(values):
            floors = np.where(np.array(columns) < 3, LENGTH_FLOOR, ANGLE_FLOOR)
            rule = robust_cholesky if logarithmic else scott_cholesky
            cholesky[index, :d, :d] = rule(values, floors)
    start = np.concatenate([[0], np.cumsum([len(values) for values in padded])]).astype(np.int64)
    return LatticeTables(row, start, np.concatenate(padded), n_free, cholesky, source, fixed)


def _free_columns(system: str, *, logarithmic: bool) -> list[int]:
    """Return the columns of the cell that are free: all of `FREE_PARAMETERS`, or those but a."""
    return [column for column in FREE_PARAMETERS[system] if column > 0 or not logarithmic]


def _layout(system: str, *, logarithmic: bool) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return which free parameter gives each cell parameter (6,), -1 for none, and the values (6,) of the fixed ones.

    With logarithms of ratios a is 1 and not free.
    """
    source = np.full(6, -1, dtype=np.int64)
    fixed = np.array([1.0, 1.0, 1.0, 90.0, 90.0, 90.0])
    for parameter, column in enumerate(_free_columns(system, logarithmic=logarithmic)):
        source[column] = parameter
    if system in ("tetragonal", "trigonal", "hexagonal"):
        source[1] = source[0]  # b = a
    if system in ("trigonal", "hexagonal"):
        fixed[5] = 120.0
    return source, fixed

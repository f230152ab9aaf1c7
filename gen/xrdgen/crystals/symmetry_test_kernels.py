"""Exact test whether a drawn crystal has more symmetry than the group it was drawn in.

The crystal has the symmetry of its group G by construction. It has more if and only if there is a further pure
translation, or an operation with a rotation of its lattice that is not in the point group of G. Products with
operations of G change nothing, so one rotation R of each coset of the point group in the lattice's point group
suffices, and the identity for the translations. Let p be an atom of the rarest kind S. An operation (R, t) carries p
to some q of S, so t = q - R p for one of the q: all candidates are tried, and each is dropped at the first atom that
has no image. This is exact for the lattice as drawn; a lattice that comes within the tolerance of a higher
system (`lattice_point_group_order`) is left to spglib.

A further translation that leaves the type of the group as it is (one element on positions a and b of R-3m) counts as
more symmetry here, not in spglib's number: the crystal was drawn with another cell than the smallest one.

# M atoms of the primitive cell, one kind after the other    K kinds of atoms
"""

from __future__ import annotations

from math import sqrt

import numpy as np
from numpy.typing import NDArray

from xrdgen.crystals.cosets import CosetTables
from xrdgen.crystals.primitive import PrimitiveTables
from xrdgen.crystals.primitive_kernels import primitive_atoms
from xrdgen.crystals.sampler_kernels import PASSED, SYMMETRY, UNDETERMINED, CrystalArrays
from xrdgen.jit import kernel
from xrdgen.symmetry.lattice_kernels import cosine_of_degrees

DOUBTFUL = -2
"""The lattice is within the tolerance of a higher system."""

SCANNED = 48
"""Atoms of a kind that are looked through one by one; more are searched by a sorted key."""

LATTICE_MARGIN = 4.0
"""The lattice guard's tolerance in units of the test's: it must flag all that spglib may see."""


@kernel
def primitive_metric(cell: NDArray[np.float64], basis: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the metric G_ij = a_i . a_j (3, 3) in Å^2 of primitive vectors given in conventional axes."""
    conventional = np.empty((3, 3))
    for i in range(3):
        conventional[i, i] = cell[i] * cell[i]
        j, k = (i + 1) % 3, (i + 2) % 3
        conventional[j, k] = conventional[k, j] = cell[j] * cell[k] * cosine_of_degrees(cell[3 + i])
    metric = np.zeros((3, 3))
    for i in range(3):
        for j in range(3):
            for k in range(3):
                for m in range(3):
                    metric[i, j] += basis[i, k] * conventional[k, m] * basis[j, m]
    return metric


@kernel
def _add_vector(metric: NDArray[np.float64], i: int, j: int, n: int) -> None:
    """Replace a_i by a_i + n a_j in a metric."""
    for k in range(3):
        metric[i, k] += n * metric[j, k]
    for k in range(3):
        metric[k, i] += n * metric[k, j]


@kernel
def reduce_metric(metric: NDArray[np.float64]) -> None:
    """Change a metric in place to that of shortest vectors (Minkowski): no other vector shortens one of them."""
    for _ in range(100):
        changed = False
        for i in range(3):
            for step in range(1, 3):
                j = (i + step) % 3
                n = -int(np.rint(metric[i, j] / metric[j, j] * (1.0 - 1e-12)))
                if n != 0:
                    _add_vector(metric, i, j, n)
                    changed = True
        for i in range(3):
            j, k = (i + 1) % 3, (i + 2) % 3
            for m in range(-1, 2, 2):
                for n in range(-1, 2, 2):
                    change = metric[j, j] + metric[k, k]
                    change += 2.0 * (m * metric[i, j] + n * metric[i, k] + m * n * metric[j, k])
                    if change < -1e-12 * metric[i, i]:
                        _add_vector(metric, i, j, m)
                        _add_vector(metric, i, k, n)
                        changed = True
        if not changed:
            return


@kernel
def _product(metric: NDArray[np.float64], one: NDArray[np.int64], other: NDArray[np.int64]) -> float:
    """Return the scalar product of two lattice vectors."""
    total = 0.0
    for i in range(3):
        for j in range(3):
            total += one[i] * metric[i, j] * other[j]
    return total


@kernel
def lattice_point_group_order(metric: NDArray[np.float64], tolerance: float) -> int:
    """Count the rotations and rotoinversions that map a lattice onto itself within a tolerance in Å.

    Args:
        metric: (3, 3) of shortest vectors, Å^2. Images of such vectors have coefficients -1, 0 and 1.
        tolerance: for lengths, and for displacements at the vectors' ends.

    """
    images = np.empty((3, 26, 3), dtype=np.int64)
    n_images = np.zeros(3, dtype=np.int64)
    lengths = np.empty(3)
    for axis in range(3):
        lengths[axis] = sqrt(metric[axis, axis])
    vector = np.empty(3, dtype=np.int64)
    for code in range(27):
        vector[0], vector[1], vector[2] = code // 9 - 1, code // 3 % 3 - 1, code % 3 - 1
        length = sqrt(max(0.0, _product(metric, vector, vector)))
        for axis in range(3):
            if abs(length - lengths[axis]) < tolerance and code != 13:
                images[axis, n_images[axis]] = vector
                n_images[axis] += 1
    order = 0
    for a in range(n_images[0]):
        for b in range(n_images[1]):
            slack = tolerance * (lengths[0] + lengths[1])
            if abs(_product(metric, images[0, a], images[1, b]) - metric[0, 1]) > slack:
                continue
            for c in range(n_images[2]):
                slack = tolerance * (lengths[0] + lengths[2])
                if abs(_product(metric, images[0, a], images[2, c]) - metric[0, 2]) > slack:
                    continue
                slack = tolerance * (lengths[1] + lengths[2])
                if abs(_product(metric, images[1, b], images[2, c]) - metric[1, 2]) <= slack:
                    order += 1
    return order


@kernel
def tolerance_box(metric: NDArray[np.float64], tolerance: float) -> NDArray[np.float64]:
    """Return the largest fractional displacements (3,) within a tolerance in Å: tolerance times reciprocal length."""
    box = np.empty(3)
    volume = (
        metric[0, 0] * (metric[1, 1] * metric[2, 2] - metric[1, 2] ** 2)
        - metric[0, 1] * (metric[0, 1] * metric[2, 2] - metric[1, 2] * metric[0, 2])
        + metric[0, 2] * (metric[0, 1] * metric[1, 2] - metric[1, 1] * metric[0, 2])
    )
    for i in range(3):
        j, k = (i + 1) % 3, (i + 2) % 3
        box[i] = tolerance * sqrt((metric[j, j] * metric[k, k] - metric[j, k] ** 2) / volume)
    return box


@kernel
def kinds_of(numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the first atom of each kind (K + 1,) from atomic numbers (M,), equal ones side by side."""
    kinds = np.empty(len(numbers) + 1, dtype=np.int64)
    n_kinds = 0
    for row in range(len(numbers)):
        if row == 0 or numbers[row] != numbers[row - 1]:
            kinds[n_kinds] = row
            n_kinds += 1
    kinds[n_kinds] = len(numbers)
    return kinds[: n_kinds + 1]


@kernel
def search_key(x: NDArray[np.float64]) -> float:
    """Return x + 2 y + 3 z modulo 1: the same for all images of an atom, and seldom equal for two atoms."""
    key = x[0] + 2.0 * x[1] + 3.0 * x[2]
    return float(key - np.floor(key))


@kernel
def sort_keys(
    positions: NDArray[np.float64], kinds: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return keys (M,), ascending within each kind, and their atoms (M,); both empty if no kind is large."""
    large = False
    for kind in range(len(kinds) - 1):
        large = large or kinds[kind + 1] - kinds[kind] > SCANNED
    if not large:
        return positions[0, :0], kinds[:0]
    keys = np.empty(len(positions))
    rows = np.empty(len(positions), dtype=np.int64)
    for kind in range(len(kinds) - 1):
        first, last = kinds[kind], kinds[kind + 1]
        unsorted = np.empty(last - first)
        for row in range(first, last):
            unsorted[row - first] = search_key(positions[row])
        order = np.argsort(unsorted)
        for i in range(last - first):
            keys[first + i] = unsorted[order[i]]
            rows[first + i] = first + order[i]
    return keys, rows


@kernel
def has_atom(
    positions: NDArray[np.float64],
    first: int,
    last: int,
    x: NDArray[np.float64],
    metric: NDArray[np.float64],
    box: NDArray[np.float64],
    tolerance: float,
    besides: int,
) -> bool:
    """Tell whether an atom among rows first to last, other than `besides`, lies within the tolerance (Å) of x (3,)."""
    for row in range(first, last):
        d0 = positions[row, 0] - x[0]
        d0 -= np.rint(d0)
        if abs(d0) > box[0] or row == besides:
            continue
        d1 = positions[row, 1] - x[1]
        d1 -= np.rint(d1)
        d2 = positions[row, 2] - x[2]
        d2 -= np.rint(d2)
        squared = (
            d0 * d0 * metric[0, 0]
            + d1 * d1 * metric[1, 1]
            + d2 * d2 * metric[2, 2]
            + 2.0 * (d0 * d1 * metric[0, 1] + d0 * d2 * metric[0, 2] + d1 * d2 * metric[1, 2])
        )
        if squared < tolerance * tolerance:
            return True
    return False


@kernel
def has_sorted_atom(
    positions: NDArray[np.float64],
    keys: NDArray[np.float64],
    rows: NDArray[np.int64],
    x: NDArray[np.float64],
    metric: NDArray[np.float64],
    box: NDArray[np.float64],
    tolerance: float,
    besides: int,
) -> bool:
    """Do what `has_atom` does for the atoms `rows`, looking only where the key is close enough to that of x.

    A displacement d changes the key by no more than |d0| + 2 |d1| + 3 |d2|; keys are periodic.
    """
    key = search_key(x)
    width = box[0] + 2.0 * box[1] + 3.0 * box[2] + 1e-9
    for turn in range(-1, 2):
        lowest, highest = key + turn - width, key + turn + width
        if highest < 0.0 or lowest >= 1.0:
            continue
        i = np.searchsorted(keys, lowest)
        while i < len(keys) and keys[i] <= highest:
            if has_atom(positions, rows[i], rows[i] + 1, x, metric, box, tolerance, besides):
                return True
            i += 1
    return False


@kernel
def rotated(rotation: NDArray[np.float64], x: NDArray[np.float64], out: NDArray[np.float64]) -> None:
    """Write R x."""
    for i in range(3):
        out[i] = rotation[i, 0] * x[0] + rotation[i, 1] * x[1] + rotation[i, 2] * x[2]


@kernel
def is_symmetry(
    rotation: NDArray[np.float64],
    translation: NDArray[np.float64],
    positions: NDArray[np.float64],
    keys: NDArray[np.float64],
    rows: NDArray[np.int64],
    kinds: NDArray[np.int64],
    rarest: int,
    metric: NDArray[np.float64],
    box: NDArray[np.float64],
    tolerance: float,
    image: NDArray[np.float64],
) -> bool:
    """Tell whether (R, t) maps every atom onto one of its kind; the rarest kind is tried first.

    Args:
        rotation: (3, 3) R, primitive axes.
        translation: (3,) t.
        positions: (M, 3).
        keys: (M,) or empty, see `sort_keys`.
        rows: (M,) or empty, the atoms of the keys.
        kinds: (K + 1,) first atom of each kind.
        rarest: number of the rarest kind.
        metric: (3, 3) Å^2.
        box: (3,) largest fractional displacements.
        tolerance: Å.
        image: (3,) to work in.

    """
    n_kinds = len(kinds) - 1
    for step in range(n_kinds):
        kind = (rarest + step) % n_kinds
        for row in range(kinds[kind], kinds[kind + 1]):
            rotated(rotation, positions[row], image)
            for i in range(3):
                image[i] += translation[i]
            first, last = kinds[kind], kinds[kind + 1]
            if last - first <= SCANNED:
                found = has_atom(positions, first, last, image, metric, box, tolerance, -1)
            else:
                some_keys, some_rows = keys[first:last], rows[first:last]
                found = has_sorted_atom(positions, some_keys, some_rows, image, metric, box, tolerance, -1)
            if not found:
                return False
    return True


@kernel
def has_more_symmetry(
    cosets: NDArray[np.float64],
    positions: NDArray[np.float64],
    keys: NDArray[np.float64],
    rows: NDArray[np.int64],
    kinds: NDArray[np.int64],
    metric: NDArray[np.float64],
    box: NDArray[np.float64],
    tolerance: float,
) -> bool:
    """Try every coset rotation (N, 3, 3), and the identity, with every candidate translation."""
    rarest = 0
    for kind in range(1, len(kinds) - 1):
        if kinds[kind + 1] - kinds[kind] < kinds[rarest + 1] - kinds[rarest]:
            rarest = kind
    start = positions[kinds[rarest]]
    image = np.empty(3)
    moved = np.empty(3)
    translation = np.empty(3)
    rotation = np.eye(3)
    for number in range(-1, len(cosets)):
        if number >= 0:
            rotation[:] = cosets[number]
        rotated(rotation, start, image)
        for q in range(kinds[rarest], kinds[rarest + 1]):
            if number < 0 and q == kinds[rarest]:
                continue
            for i in range(3):
                translation[i] = positions[q, i] - image[i]
            if is_symmetry(rotation, translation, positions, keys, rows, kinds, rarest, metric, box, tolerance, moved):
                return True
    return False


@kernel
def symmetry_verdict(
    primitive: PrimitiveTables, cosets: CosetTables, group: int, crystal: CrystalArrays, tolerance: float
) -> int:
    """Return `PASSED`, `SYMMETRY`, `UNDETERMINED` (equal atoms on top of each other) or `DOUBTFUL`.

    Args:
        primitive: orbits without centring.
        cosets: rotations to try.
        group: space group that the crystal was drawn in.
        crystal: of the sampler; atoms of one element follow each other.
        tolerance: Å.

    """
    positions, numbers = primitive_atoms(primitive, group, crystal)
    metric = primitive_metric(crystal.cell, primitive.basis[group - 1])
    box = tolerance_box(metric, tolerance)
    if max(box[0], box[1], box[2]) >= 0.5:
        return DOUBTFUL  # a cell thinner than the tolerance
    kinds = kinds_of(numbers)
    keys, rows = sort_keys(positions, kinds)

    # one atom of each orbit stands for all
    first = primitive.wyckoff_start[group - 1]
    row = 0
    kind = 0
    for site in range(crystal.n_sites[0]):
        while row >= kinds[kind + 1]:
            kind += 1
        last = kinds[kind + 1]
        if has_atom(positions, kinds[kind], last, positions[row], metric, box, tolerance, row):
            return UNDETERMINED
        position = first + crystal.letters[site]
        row += primitive.start[position + 1] - primitive.start[position]

    if cosets.guarded[group - 1]:
        reduced = metric.copy()
        reduce_metric(reduced)
        if lattice_point_group_order(reduced, LATTICE_MARGIN * tolerance) != cosets.lattice_order[group - 1]:
            return DOUBTFUL
    rotations = cosets.rotation[cosets.start[group - 1] : cosets.start[group]]
    if has_more_symmetry(rotations, positions, keys, rows, kinds, metric, box, tolerance):
        return SYMMETRY
    return PASSED

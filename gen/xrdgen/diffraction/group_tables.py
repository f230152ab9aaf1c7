"""What the diffraction kernels need to know of each space group, prepared once for all 230.

In every standard setting but the cubic ones, an operation x' = R x + t leaves z apart from x and y:

        | B  0     |
    R = |          |,  sigma = +1 or -1,        h . (R x + t) = (h, k) B . (x, y) + sigma l z + h . t
        | 0  sigma |

Cubic groups have such operations in a subgroup of index 3 (222 and its relatives), and the two other cosets are applied
to the atoms beforehand ("coset tripling": x, y, z -> z, x, y -> y, z, x). Pure centring translations only decide which
hkl exist; an inversion at the origin pairs every operation with its complex conjugate, so one of each pair is kept.
Operations whose B differ in sign alone need the phases of one (h, k) B only and stand together: B = epsilon B_plane.

    array                       meaning
    row_*                       operations with z apart, one of each class modulo centring; only those with
                                sigma = +1 where there is an inversion at the origin; sorted by plane
    plane_*                     the distinct B among them, up to sign; `plane_row_start` points into row_*
    laue_*                      operations with z apart of the Laue class, acting on hkl as a row vector: h' = h R
    centring                    all centring translations
    coset_*                     operations that triple the atoms of a cubic group; the identity alone for the others
    period                      m: smallest number such that h . t depends on l only through l mod m
    scale                       number of operations that each row operation stands for

Arrays of different groups are concatenated (CSR): the rows of group g are start[g - 1] : start[g].

# G = 230 groups    N row operations    P planes    M Laue operations    C centrings    K cosets
"""

from __future__ import annotations

import math
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from xrdcommon.space_groups import N_GROUPS

from xrdgen.symmetry.operations import TRANSLATION_DENOMINATOR, SpaceGroupOperations, operations

NOT_CUBIC = 0
LAUE_M3 = 1
"""Laue class m-3: cyclic permutations and all signs of hkl are equivalent."""
LAUE_M3M = 2
"""Laue class m-3m: all permutations and signs of hkl are equivalent."""

Integers = NDArray[np.int64]
Reals = NDArray[np.float64]


class GroupTables(NamedTuple):
    """Concatenated arrays of all groups; a tuple so that kernels take it as one argument (see the module)."""

    plane_start: Integers  # (G+1,)
    plane_row_start: Integers  # (P+1,)
    plane_in_plane: Integers  # (P, 2, 2) B_plane
    row_start: Integers  # (G+1,)
    row_epsilon: Integers  # (N,)
    row_sigma: Integers  # (N,)
    row_translation24: Integers  # (N, 3) 24 t
    laue_start: Integers  # (G+1,)
    laue_in_plane: Integers  # (M, 2, 2)
    laue_sigma: Integers  # (M,)
    centring_start: Integers  # (G+1,)
    centring24: Integers  # (C, 3)
    coset_start: Integers  # (G+1,)
    coset_rotation: Reals  # (K, 3, 3)
    coset_translation: Reals  # (K, 3) fractional
    period: Integers  # (G,) m
    laue_order: Integers  # (G,) operations in the Laue class: multiplicity of a general hkl
    cubic: Integers  # (G,) NOT_CUBIC, LAUE_M3 or LAUE_M3M
    wedge: Reals  # (G, 2) least and largest k / h of the (h, k) that have no larger equivalent; edges are in doubt
    mirror: Integers  # (G,) 1 where an operation of the Laue class reverses z alone, else 0
    centric: NDArray[np.bool_]  # (G,) inversion at the origin
    scale: Reals  # (G,)
    order: Integers  # (G,) operations in the group, centring included


class _Group(NamedTuple):
    """The tables of one group before they are concatenated."""

    plane_in_plane: Integers
    plane_size: Integers  # row operations of each plane
    row_epsilon: Integers
    row_sigma: Integers
    row_translation24: Integers
    laue_in_plane: Integers
    laue_sigma: Integers
    centring24: Integers
    coset_rotation: Reals
    coset_translation: Reals
    period: int
    laue_order: int
    cubic: int
    wedge: Reals
    mirror: int
    centric: bool
    scale: float
    order: int


def _keeps_z_apart(rotation: Integers) -> bool:
    """Whether R mixes neither x nor y with z."""
    return abs(int(rotation[2, 2])) == 1


def _laue_rotations(rotations: Integers) -> Integers:
    """Return the point group with inversion added (Friedel's law), (order, 3, 3)."""
    return np.unique(np.concatenate([rotations, -rotations]), axis=0)


def _planes(in_plane: Integers) -> tuple[Integers, Integers, Integers]:
    """Return the distinct B up to sign, (P, 2, 2), and for each operation its plane and epsilon, (O,) each."""
    planes: list[Integers] = []
    plane_of, epsilon = [], []
    for b in in_plane:
        for sign in (1, -1):
            same = [plane for plane, other in enumerate(planes) if (sign * b == other).all()]
            if same:
                break
        else:
            planes.append(b)
            same, sign = [len(planes) - 1], 1
        plane_of.append(same[0])
        epsilon.append(sign)
    return np.array(planes), np.array(plane_of), np.array(epsilon)


def _wedge(laue_in_plane: Integers) -> Reals:
    """Return the least and largest k / h (2,) of the (h, k) that are the largest of their equivalents.

    In lexical order; seen at one h: all limits are multiples of 1/2, and no limit is beyond 1 but infinity.
    """
    h = 12
    largest = [
        k / h
        for k in range(-2 * h, 2 * h + 1)
        if all((h, k) >= tuple(int(index) for index in np.array([h, k]) @ b) for b in laue_in_plane)
    ]
    limits = np.round(np.array([largest[0], largest[-1]]) * 2.0) / 2.0
    return np.where(np.abs(limits) > 1.0, np.copysign(np.inf, limits), limits)


def _period(translations24: Integers) -> int:
    """Return the smallest m such that m t_z is whole for all translations."""
    return math.lcm(
        *(TRANSLATION_DENOMINATOR // math.gcd(TRANSLATION_DENOMINATOR, int(t_z)) for t_z in translations24[:, 2])
    )


def _prepare(group: SpaceGroupOperations) -> _Group:
    """Derive the tables of one group from its operations."""
    _, first = np.unique(group.rotations, axis=0, return_index=True)
    rotations = group.rotations[np.sort(first)]
    translations24 = group.translations24[np.sort(first)]

    apart = np.array([_keeps_z_apart(rotation) for rotation in rotations])
    is_cubic = not apart.all()
    cosets = [(np.eye(3, dtype=np.int64), np.zeros(3, dtype=np.int64))]
    if is_cubic:  # one operation that turns x into z, one that turns y into z
        for axis in (0, 1):
            turning = next(i for i in range(len(rotations)) if abs(rotations[i][2, axis]) == 1)
            cosets.append((rotations[turning], translations24[turning]))

    inversion = (group.rotations == -np.eye(3, dtype=np.int64)).all(axis=(1, 2))
    centric = bool((group.translations24[inversion] == 0).all(axis=1).any())
    kept = apart & (rotations[:, 2, 2] == 1) if centric else apart
    planes, plane_of, epsilon = _planes(rotations[kept][:, :2, :2])
    by_plane = np.argsort(plane_of, kind="stable")
    row_sigma, row_translations24 = rotations[kept][by_plane, 2, 2], translations24[kept][by_plane]

    laue = _laue_rotations(group.rotations)
    laue_apart = laue[np.array([_keeps_z_apart(rotation) for rotation in laue])]
    mirror = (laue_apart == np.diag([1, 1, -1])).all(axis=(1, 2)).any()
    return _Group(
        plane_in_plane=planes,
        plane_size=np.bincount(plane_of),
        row_epsilon=epsilon[by_plane],
        row_sigma=row_sigma,
        row_translation24=row_translations24,
        laue_in_plane=laue_apart[:, :2, :2],
        laue_sigma=laue_apart[:, 2, 2],
        centring24=group.centrings24,
        coset_rotation=np.array([rotation for rotation, _ in cosets], dtype=np.float64),
        coset_translation=np.array([t24 for _, t24 in cosets], dtype=np.float64) / TRANSLATION_DENOMINATOR,
        period=_period(np.concatenate([row_translations24, group.centrings24])),
        laue_order=len(laue),
        cubic=NOT_CUBIC if not is_cubic else LAUE_M3M if len(laue) == 48 else LAUE_M3,
        wedge=np.array([0.0, 1.0]) if is_cubic else _wedge(laue_apart[:, :2, :2]),
        mirror=int(mirror),
        centric=centric,
        scale=float(len(group.centrings24) * (2 if centric else 1)),
        order=group.order,
    )


def _starts(parts: list[NDArray[np.generic]]) -> Integers:
    """Return the CSR offsets of concatenated parts."""
    return np.concatenate([[0], np.cumsum([len(part) for part in parts])]).astype(np.int64)


@cache
def group_tables() -> GroupTables:
    """Return the tables of all 230 groups (about 0.3 s, kept)."""
    groups = [_prepare(operations(number)) for number in range(1, N_GROUPS + 1)]

    def joined(field: str) -> NDArray[np.generic]:
        return np.ascontiguousarray(np.concatenate([getattr(group, field) for group in groups]))

    def column(field: str) -> NDArray[np.generic]:
        return np.array([getattr(group, field) for group in groups])

    fields: dict[str, NDArray[np.generic]] = {
        "plane_start": _starts([group.plane_size for group in groups]),
        "plane_row_start": np.concatenate([[0], np.cumsum(joined("plane_size"))]).astype(np.int64),
        "row_start": _starts([group.row_sigma for group in groups]),
        "laue_start": _starts([group.laue_sigma for group in groups]),
        "centring_start": _starts([group.centring24 for group in groups]),
        "coset_start": _starts([group.coset_translation for group in groups]),
    }
    for name in GroupTables._fields:
        if name not in fields:
            scalar = name in ("period", "laue_order", "cubic", "wedge", "mirror", "centric", "scale", "order")
            fields[name] = column(name) if scalar else joined(name)
    return GroupTables(**fields)  # type: ignore[arg-type]

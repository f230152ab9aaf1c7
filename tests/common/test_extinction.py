"""Extinction groups against what the International Tables say."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from xrdcommon.errors import InputError
from xrdcommon.extinction import absent, box, extinction_group, extinction_groups
from xrdcommon.space_groups import ENANTIOMORPHIC_PAIRS, crystal_system


def test_there_are_101() -> None:
    assert len(set(extinction_groups())) == 101
    per_system = Counter(crystal_system(group) for group in set(extinction_groups()))
    assert per_system == {
        "triclinic": 1,
        "monoclinic": 6,
        "orthorhombic": 33,
        "tetragonal": 31,
        "trigonal": 6,
        "hexagonal": 7,
        "cubic": 17,
    }


def is_absent(number: int, *hkl: int) -> bool:
    """Ask about one reflection."""
    return bool(absent(number, np.array([hkl]))[0])


@pytest.mark.parametrize(
    ("number", "allowed", "forbidden"),
    [
        (2, [(1, 0, 0), (0, 0, 1)], []),
        (14, [(0, 2, 0), (1, 0, 2), (1, 1, 1)], [(0, 1, 0), (1, 0, 1), (0, 0, 1)]),  # 2_1 along b, c glide
        (62, [(0, 1, 1), (2, 1, 0), (1, 0, 1)], [(0, 1, 0), (0, 2, 1), (1, 2, 0)]),  # Pnma: 0kl k+l, hk0 h
        (152, [(0, 0, 3), (1, 0, 1)], [(0, 0, 1), (0, 0, 2)]),  # 3_1
        (166, [(0, 1, 2), (1, 0, 1), (0, 0, 3)], [(1, 0, 2), (0, 0, 1)]),  # R obverse: -h+k+l = 3n
        (225, [(1, 1, 1), (2, 0, 0)], [(1, 0, 0), (2, 1, 1)]),  # F
        (227, [(1, 1, 1), (2, 2, 0), (4, 0, 0)], [(2, 0, 0), (4, 2, 0)]),  # d glide
        (229, [(1, 1, 0)], [(1, 0, 0), (1, 1, 1)]),  # I
    ],
)
def test_reflection_conditions(
    number: int, allowed: list[tuple[int, int, int]], forbidden: list[tuple[int, int, int]]
) -> None:
    assert not any(is_absent(number, *hkl) for hkl in allowed)
    assert all(is_absent(number, *hkl) for hkl in forbidden)


def test_groups_that_belong_together() -> None:
    assert extinction_group(2) == extinction_group(1) == 1
    assert extinction_group(225) == extinction_group(196) == 196  # F---
    assert extinction_group(227) == extinction_group(203)  # Fd--
    assert extinction_group(221) == extinction_group(195)
    assert extinction_group(225) != extinction_group(227)
    assert extinction_group(146) != extinction_group(168)  # R is not P
    assert extinction_group(143) != extinction_group(168)  # trigonal apart from hexagonal
    for one, other in ENANTIOMORPHIC_PAIRS:
        assert extinction_group(one) == extinction_group(other)


def test_larger_indices_tell_nothing_more() -> None:
    """Groups that |hkl| <= 6 puts together have the same absences up to 12 (axes as they are)."""
    random = np.random.default_rng(0)
    hkl = random.integers(-12, 13, (4000, 3))
    hkl = np.concatenate([hkl, np.eye(3, dtype=np.int64)[:, None, :].repeat(13, 1).reshape(-1, 3) * 12])
    members = [
        number
        for number in range(1, 231)
        if extinction_group(number) != number and crystal_system(number) not in ("orthorhombic", "cubic")
    ]
    assert len(members) > 60
    for number in members:
        assert (absent(number, hkl) == absent(extinction_group(number), hkl)).all(), number


def test_box_and_bad_number() -> None:
    assert len(box(2)) == 125
    with pytest.raises(InputError, match="must be 1 to 230"):
        extinction_group(231)

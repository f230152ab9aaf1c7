"""Extinction symbols derived from Hermann-Mauguin symbols, against the reflections themselves and printed tables."""

from __future__ import annotations

from collections import defaultdict

import pytest
from xrdcommon.extinction import absent, box, extinction_symbol
from xrdcommon.space_groups import crystal_system

# International Tables A (2016), table 1.6.4.2 ff., standard settings
PRINTED = {
    2: "P-", 4: "P12_11", 5: "C1-1", 14: "P12_1/c1", 15: "C1c1", 19: "P2_12_12_1", 20: "C--2_1", 33: "Pna-",
    62: "Pn-a", 63: "C-c-", 70: "Fddd", 88: "I4_1/a--", 92: "P4_12_1-", 114: "P-2_1c", 136: "P-n-", 137: "Pn-c",
    141: "Ia-d", 152: "P3_1--", 166: "R--", 167: "R-c", 176: "P6_3--", 186: "P--c", 194: "P--c", 205: "Pa--",
    225: "F---", 227: "Fd--", 230: "Ia-d",
}  # fmt: skip


@pytest.mark.parametrize("number", PRINTED)
def test_symbols_are_the_printed_ones(number: int) -> None:
    assert extinction_symbol(number) == PRINTED[number]


def test_groups_share_a_symbol_exactly_where_they_forbid_the_same_reflections() -> None:
    hkl = box()
    by_symbol, by_reflections = defaultdict(list), defaultdict(list)
    for number in range(1, 231):
        system = crystal_system(number)
        by_symbol[system, extinction_symbol(number)].append(number)
        by_reflections[system, absent(number, hkl).tobytes()].append(number)
    assert sorted(by_symbol.values()) == sorted(by_reflections.values())

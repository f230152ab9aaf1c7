"""The table of elements against pyxtal, its source."""

from __future__ import annotations

import math

import pytest
from xrdcommon.errors import InputError
from xrdgen.elements import atomic_number, element_table, symbol


def test_radii_are_those_of_pyxtal() -> None:
    from pyxtal.database.element import Element

    table = element_table()
    for z in range(1, 104):
        element = Element(z)
        assert table.symbols[z] == element.short_name
        if element.covalent_radius is None or element.vdw_radius is None:
            assert math.isnan(table.atomic_volume[z])
        else:
            radius = (element.covalent_radius + element.vdw_radius) / 2
            assert table.atomic_volume[z] == pytest.approx(4 / 3 * math.pi * radius**3, rel=1e-12)


def test_last_element_with_both_radii_is_curium() -> None:
    known = [z for z in range(1, 104) if not math.isnan(element_table().atomic_volume[z])]
    assert known == list(range(1, 97))


def test_symbols_and_numbers() -> None:
    assert all(atomic_number(symbol(z)) == z for z in range(1, 104))
    assert atomic_number("D") == atomic_number("T") == 1
    for unknown in ("Xx", "", "na"):
        with pytest.raises(InputError, match="element"):
            atomic_number(unknown)
    for z in (0, 104):
        with pytest.raises(InputError, match="atomic number"):
            symbol(z)

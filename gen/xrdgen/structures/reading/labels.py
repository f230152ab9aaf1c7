"""Which element a site is, from its type symbol or its label.

A type symbol decides: an element with any charge, an isotope, or a group that stands on the site of its heavy atom
(OH, OH2, H2O, O-H, NH4 ...: its hydrogen atoms are not located). Without one the letters that a label begins with
decide: an element written as elements are (Na1, CaM1, SiT2), water and hydroxyl (Wat, O-H, OW, Ow1), hydrogen named
after its neighbour (HO1, HW2, HN). Capitals alone (CL1, CA2, HO1) can mean two elements; the elements of the formula
sum decide, and without it a label of two capitals is an element where its first letter is none, or where it is one of
`_COMMON_CAPITALS` and the file names neither carbon nor hydrogen. T, M, A, X ... are names of sites, W is tungsten or
water: these are refused unless the formula sum decides.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache

from xrdcommon.errors import InputError

from xrdgen.elements import element_table

VACANCY = 0
"""Atomic number of a site that holds nothing."""

_GROUPS = {
    "oh": ("O", 1),
    "o-h": ("O", 1),
    "od": ("O", 1),
    "oh2": ("O", 2),
    "o-h2": ("O", 2),
    "h2o": ("O", 2),
    "hoh": ("O", 2),
    "d2o": ("O", 2),
    "od2": ("O", 2),
    "oh3": ("O", 3),
    "h3o": ("O", 3),
    "wat": ("O", 2),
    "water": ("O", 2),
    "nh": ("N", 1),
    "nh2": ("N", 2),
    "nh3": ("N", 3),
    "nh4": ("N", 4),
    "n-h4": ("N", 4),
    "nd4": ("N", 4),
    "ch": ("C", 1),
    "ch2": ("C", 2),
    "ch3": ("C", 3),
    "ch4": ("C", 4),
}
"""Groups on the site of their heavy atom, with the number of hydrogen atoms that are not located."""
_VACANT = ("vac", "va", "vc", "vacancy", "void", "box", "empty")
_COMMON_CAPITALS = (
    *("LI", "BE", "NA", "MG", "AL", "SI", "CL", "CA", "SC", "TI", "CR", "MN", "FE", "NI", "CU", "ZN", "GA"),
    *("GE", "AS", "SE", "BR", "RB", "SR", "ZR", "MO", "AG", "CD", "IN", "SN", "SB", "TE", "CS", "BA", "LA", "AU"),
    *("PB", "BI"),
)
_TYPE = re.compile(
    r"(?:\d{1,3})?\(?([A-Za-z]{1,2})\)?((?:\d*\.?\d*[+-]?|[+-]\d*\.?\d*|\^?\{?\d*[+-]\d*\}?)(?:\([\w+-]*\))?)"
)
_TWO_ATOMS = ("HO", "CO", "NO", "PO")
"""Capitals that are an element or two."""
_TYPE_WITH_VALENCE = {"cval": "C", "siva": "Si", "sival": "Si"}
_LEADING = re.compile(r"[A-Za-z]+")


@dataclass(frozen=True, slots=True)
class SiteElement:
    """What is on a site.

    Attributes:
        z: atomic number, `VACANCY` for none.
        hydrogens: hydrogen atoms of its group that the file does not locate.
        remark: what was decided, empty where it is plain.

    """

    z: int
    hydrogens: int = 0
    remark: str = ""


def _z(symbol: str) -> int | None:
    """Return the atomic number of a symbol in any case; D is hydrogen, T is none (a tetrahedral site as a rule)."""
    return _numbers().get(symbol.capitalize())


@lru_cache(maxsize=1)
def _numbers() -> dict[str, int]:
    """Return the atomic number of every symbol."""
    return {symbol: z for z, symbol in enumerate(element_table().symbols) if symbol} | {"D": 1}


@lru_cache(maxsize=1 << 14)
def element_of(type_symbol: str, label: str, formula: frozenset[int], named: frozenset[int]) -> SiteElement:
    """Return what is on a site.

    Args:
        type_symbol: as in the file, empty where not given.
        label: as in the file.
        formula: atomic numbers in the formula sum, empty where there is none.
        named: atomic numbers that other labels of the file name without doubt.

    Raises:
        InputError: neither names an element; the message says what they could mean.

    """
    if type_symbol:
        return _of_type(type_symbol, label, formula)
    if not label:
        raise InputError("an atom has neither type symbol nor label")
    return _of_label(label, formula, named)


def _group(text: str) -> SiteElement | None:
    """Return the group of atoms that a text names, if any."""
    if text in _VACANT:
        return SiteElement(VACANCY)
    found = _GROUPS.get(text)
    if found is None:
        return None
    symbol, hydrogens = found
    return SiteElement(_numbers()[symbol], hydrogens, f"{text.upper()} read as {symbol}, its H are not located")


def _of_type(text: str, label: str, formula: frozenset[int]) -> SiteElement:
    """Return what a type symbol names.

    Raises:
        InputError: no element.

    """
    if not (text[1:2].islower() and _z(text[:2]) is not None):  # Nd4+ is neodymium, ND4+ is not
        group = _group(text.lower()) or _group(text.lower().rstrip("+-"))
        if group is not None:
            return group
    if text.lower() in _TYPE_WITH_VALENCE:
        return SiteElement(_numbers()[_TYPE_WITH_VALENCE[text.lower()]])
    found = _TYPE.fullmatch(text)
    if found is not None and found.group(1) in _TWO_ATOMS:
        decided = _one_of(_z(found.group(1)), None, formula)
        if decided is None:
            raise InputError(
                f"atom {label or text}: type symbol '{text}' is an element or a group; write it as Co or C"
            )
        return decided
    if found is not None:
        z = _z(found.group(1))
        if z is not None:
            return SiteElement(z)
    raise InputError(f"atom {label or text}: its type symbol names no element '{text}'")


def _of_label(label: str, formula: frozenset[int], named: frozenset[int]) -> SiteElement:
    """Return what a label without type symbol names.

    Raises:
        InputError: no element, or one of two.

    """
    text = label.lstrip("0123456789_*'\"({[ ")
    lower = text.lower()
    for pattern in (r"(o-h2?|n-h4)(?![a-z])", r"(h2o|hoh|d2o|wat|water)(?![a-z])", r"(oh2|oh3|oh|od|nh4|nh3)(?![a-z])"):
        found = re.match(pattern, lower)
        if found is not None and not text.startswith("Oh"):
            group = _group(found.group(1))
            if group is not None:
                # OH1 and OH2 number hydroxyls where water is not meant: the oxygen is the same, its H are unknown
                return group if lower == found.group(1) or "-" in lower else SiteElement(group.z, 1, group.remark)
    found = _LEADING.match(text)
    if found is None:
        raise InputError(f"atom '{label}': its label names no element; give type symbols")
    letters = found.group()
    if letters.lower() in _VACANT:
        return SiteElement(VACANCY)
    if letters[:1].isupper() and letters[1:2].islower():
        return _of_written_symbol(letters, label)
    if len(letters) == 1 or (letters[0].isupper() and not letters[1].isalpha()):
        return _of_one_letter(letters.upper(), label, formula)
    return _of_capitals(letters, label, formula, named)


def _of_written_symbol(letters: str, label: str) -> SiteElement:
    """Return what a capital and small letters name: Na, CaM, Ow, but not Cat."""
    small = 1
    while small < len(letters) and letters[small].islower():
        small += 1
    word = letters[:small]
    if len(word) == 2:
        z = _z(word)
        if z is not None:
            return SiteElement(z)
        if word[0] in "OHCN" and word != "Cg":  # Ow, Ha, Nb is an element; Cg is the centre of a ring
            return SiteElement(_numbers()[word[0]])
    if len(word) == 3 and word[0] == "O" and word != "Oct" and _z(word[:2]) is None:  # Oap, Obr; Oct is a site
        return SiteElement(_numbers()["O"])
    raise InputError(f"atom '{label}': its label names no element; give type symbols")


def _of_one_letter(letter: str, label: str, formula: frozenset[int]) -> SiteElement:
    """Return what a single letter names."""
    z = _z(letter)
    if z is None:
        what = {"T": "tetrahedral site or tritium", "D": "deuterium"}.get(letter, "a site or a dummy")
        raise InputError(f"atom '{label}': '{letter}' is not an element ({what}); give type symbols")
    if letter == "W":
        if z in formula:
            return SiteElement(z)
        if formula:
            return SiteElement(8, 2, "W read as the O of water, as the formula sum has no tungsten")
        raise InputError(f"atom '{label}': tungsten or water; give type symbols or the formula sum")
    return SiteElement(z)


def _of_capitals(letters: str, label: str, formula: frozenset[int], named: frozenset[int]) -> SiteElement:
    """Return what two or more letters of one case name: CL1, HO1, na2, CAM1.

    Raises:
        InputError: two elements are possible.

    """
    pair, single = letters[:2].upper(), letters[0].upper()
    z_pair, z_single = _z(pair), _z(single)
    if z_pair is None and z_single is None:
        raise InputError(f"atom '{label}': its label names no element; give type symbols")
    if single in "TMXAQLZRGEJ" and z_pair is None:
        raise InputError(f"atom '{label}': '{single}' is not an element; give type symbols")
    if letters.islower() and z_pair is not None and len(letters) == 2 and pair != "HO":
        return _one_of(z_pair, z_single, formula) or SiteElement(z_pair)
    if z_pair is None or z_single is None:
        z = z_pair if z_single is None else z_single
        return SiteElement(int(z or 0)) if pair[0] != "W" else _of_one_letter("W", label, formula)
    decided = _one_of(z_pair, z_single, formula)
    if decided is not None:
        return decided
    if pair == "HO" and not formula:  # hydrogen of a hydroxyl; HG and HF are as often the element
        return SiteElement(1, 0, f"label {label} read as H, not Ho")
    if pair in _COMMON_CAPITALS and not formula and not named & {1, 6}:
        return SiteElement(z_pair, 0, f"label {label} read as {pair.capitalize()}")
    raise InputError(
        f"atom '{label}': {pair.capitalize()} or {single}; give type symbols, or a formula sum with one of them"
    )


def _one_of(z_pair: int | None, z_single: int | None, formula: Collection[int]) -> SiteElement | None:
    """Return the one of two elements that the formula sum has; hydrogen is allowed to be left out of it."""
    inside = [z for z in (z_pair, z_single) if z is not None and z in formula]
    if len(inside) == 1:
        return SiteElement(inside[0])
    if formula and not inside and z_single == 1:
        return SiteElement(1)
    return None

"""Space groups by name: Hermann-Mauguin symbols in all their forms, over gemmi's table of 564 settings.

Short, full and extended symbols, with and without blanks, old cubic ones (F d 3 m), `P 2_1/c`, `P2(1)/c`, double glides
(C m c e), marks of origin and axes (`:1 :2 :H :R` of the International Tables, `S`, `Z`, `H`, `HR`, `RS` of the ICSD).
A symbol may stand for several settings (both origins of F d -3 m, both axes of R -3 m, the unique axes of P 2): all of
them are returned, marks and the shape of the cell choose.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache, lru_cache

import gemmi
import spglib

from xrdgen.structures.reading.operations import Operation, SymmetryGroup, group_of_gemmi

_MARK = re.compile(r"(?::\s*|\s+|(?<=[a-z0-9/]))(?:(HR|RH|RS|[HRSZ])|:?\(?origin(?: choice)? ?([12])\)?)$")
_COLON = re.compile(r":\s*([12hrHRsSzZ]|[-abc0-9]+)$")
_OLD_CUBIC = re.compile(r"^([pfi] ?(?:[mnacd]|2/m|21/a) ?)3(?=$| ?[mncd]$)")


@dataclass(frozen=True)
class Setting:
    """A row of gemmi's table.

    Attributes:
        number: International Tables number.
        name: Hermann-Mauguin symbol with the mark of origin or axes.
        mark: '1', '2', 'H', 'R' or ''.
        qualifier: unique axis and cell choice, or order of axes: b1, -cab ...
        place: in gemmi's table.

    """

    number: int
    name: str
    mark: str
    qualifier: str
    place: int

    @property
    def group(self) -> SymmetryGroup:
        """The operations."""
        return _group(self.place)


@cache
def _rows() -> tuple[gemmi.SpaceGroup, ...]:
    return tuple(gemmi.spacegroup_table())


@cache
def settings() -> tuple[Setting, ...]:
    """Return all settings of gemmi's table, in its order."""
    return tuple(
        Setting(row.number, row.xhm(), row.ext.strip("\x00"), row.qualifier, place) for place, row in enumerate(_rows())
    )


@cache
def _group(place: int) -> SymmetryGroup:
    """Return the operations of a row of the table."""
    row = _rows()[place]
    return group_of_gemmi(row.operations(), row.number, row.xhm())


@cache
def _by_operations() -> dict[frozenset[Operation], tuple[int, str]]:
    """Return number and symbol of every tabulated group of operations."""
    found: dict[frozenset[Operation], tuple[int, str]] = {}
    for setting in settings():
        found.setdefault(setting.group.key, (setting.number, setting.name))
    return found


def setting_of(key: frozenset[Operation]) -> tuple[int, str] | None:
    """Return number and symbol of a group of operations, None where it is in no table."""
    return _by_operations().get(key)


def _plain(symbol: str) -> str:
    """Return a symbol in small letters with single blanks, screw axes as plain digits."""
    text = re.sub(r"\((\d)\)", r"\1", symbol.strip().strip("'\"").lower())
    return " ".join(re.sub(r"[_~{}$]", "", text).split())


@cache
def _by_name() -> dict[str, tuple[int, ...]]:
    """Return the places of the settings that a plain symbol, with blanks or without, can mean."""
    found: dict[str, dict[int, None]] = {}

    def add(name: str, place: int) -> None:
        for text in (_plain(name), _plain(name).replace(" ", "")):
            found.setdefault(text, {})[place] = None

    full = _full_symbols()
    for place, row in enumerate(_rows()):
        add(row.hm, place)
        short = row.short_name()
        if short not in ("H32",) and not (row.number >= 143 and short.startswith("H")):
            add(short, place)
        for name in full.get(_group(place).key, ()):
            add(name, place)
    return {name: tuple(places) for name, places in found.items()}


@cache
def _full_symbols() -> dict[frozenset[Operation], tuple[str, ...]]:
    """Return the full symbols that spglib has for its 530 settings."""
    by_hall = {_single_blanks(row.hall): place for place, row in reversed(list(enumerate(_rows())))}
    names: dict[frozenset[Operation], tuple[str, ...]] = {}
    for hall_number in range(1, 531):
        record = spglib.get_spacegroup_type(hall_number)
        place = by_hall.get(_single_blanks(record.hall_symbol)) if record is not None else None
        if record is not None and place is not None:
            names[_group(place).key] = tuple(record.international_full.split("="))
    return names


def _single_blanks(hall: str) -> str:
    """Return a Hall symbol with single blanks and in one case."""
    return " ".join(hall.lower().split())


@lru_cache(maxsize=4096)
def settings_of_symbol(symbol: str) -> tuple[tuple[Setting, ...], str]:
    """Return the settings that a Hermann-Mauguin symbol can mean, and the mark it carries.

    The mark is '1', '2' (origin), 'H', 'R' (axes), 'cell' (an ICSD mark of rhombohedral groups: the cell tells), a
    qualifier such as 'b1', or ''.
    """
    text, mark = _without_mark(symbol)
    places = _places(text)
    if not places and text != symbol:
        places = _places(symbol)  # letters that are no mark
        mark = "" if places else mark
    table = settings()
    return tuple(table[place] for place in places), mark


def _without_mark(symbol: str) -> tuple[str, str]:
    """Return a symbol and its mark."""
    text = " ".join(symbol.strip().strip("'\"").split())
    found = _COLON.search(text)
    if found is not None:
        mark = found.group(1)
        return text[: found.start()].strip(), _mark(mark.upper()) if mark.isalpha() or mark in "12" else mark
    found = _MARK.search(text)
    if found is not None:
        return text[: found.start()].strip(), found.group(2) or _mark(found.group(1))
    return text, ""


def _mark(letters: str) -> str:
    """Return what a mark means."""
    return {"S": "1", "Z": "2", "HR": "cell", "RH": "cell", "RS": "cell", "R": "R", "H": "H"}.get(letters, letters)


def _places(text: str) -> tuple[int, ...]:
    """Return the places of the settings that a symbol without mark can mean."""
    names = _by_name()
    plain = _plain(text)
    for form in _forms(plain):
        places = names.get(form)
        if places:
            return places + tuple(p for other in _other_axes(form) for p in names.get(other, ()) if p not in places)
    found = gemmi.find_spacegroup_by_name(text) if plain[:1] in "pabcfirh" and len(plain) > 1 else None
    if found is None:
        return ()
    return names.get(_plain(found.hm), ())


def _other_axes(plain: str) -> list[str]:
    """Return a short monoclinic symbol with each unique axis written out."""
    centring, rest = plain[:1], plain[1:].strip()
    return [f"{centring} 1 {rest} 1", f"{centring} 1 1 {rest}", f"{centring} {rest} 1 1"] if " " not in rest else []


def _forms(plain: str) -> list[str]:
    """Return the ways to look a symbol up, the likeliest first."""
    forms = [plain, plain.replace(" ", "")]
    old = _OLD_CUBIC.sub(r"\1-3", plain)
    if old != plain:
        forms += [old, old.replace(" ", "")]
    forms += _other_axes(plain)
    if plain.startswith("h"):  # hexagonal axes of a rhombohedral group, as in the PDB
        forms += ["r" + form[1:] for form in forms]
    return forms

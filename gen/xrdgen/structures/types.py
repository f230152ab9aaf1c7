"""Structure types to draw crystals of: what a list of them may say, and how it is read.

A type is named as in structure tables: by an AFLOW-style label (`prototype`, `prototype_iso`), which says what occupies
which Wyckoff positions, for example `AB2C4_cF56_227_a_d_e`, or by a Wyckoff key (`wyckoff_key`), which leaves the
elements open, for example `227:ade`. A list is a file with a type a line, with how often it is to be drawn behind it,

    type,count
    AB_cF8_225_a_b,265
    227:ade,139

(a first line of column names, further columns, empty lines and lines that begin with # are passed over), or types with
commas between them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from math import gcd
from pathlib import Path

from xrdcommon.errors import FormatError, InputError, MissingFileError
from xrdcommon.space_groups import check_group, symbol

from xrdgen.structures.prototypes import LabelledSite, Labels, labels, pearson_symbol
from xrdgen.symmetry import wyckoff

_KEY = re.compile(r"(\d+):((?:\d*[a-zA])+)")
_LABEL = re.compile(r"((?:[A-Z](?:\d+')?\d*)+)_([a-z][A-Z]\d+)_(\d+)((?:_(?:\d*[a-zA])+)+)")
_AMOUNT = re.compile(r"[A-Z](?:\d+')?(\d*)")
_LETTER = re.compile(r"(\d*)([a-zA])")

FORM = "write a label such as AB2C4_cF56_227_a_d_e or a Wyckoff key such as 227:ade"
HEADER = "type"
LARGEST_COUNT = 10**12

WeightedTypes = tuple[tuple[str, int], ...]
"""Names of types and how often each is drawn, relative to the others; ascending by name."""


@dataclass(frozen=True)
class StructureType:
    """A space group and which of its Wyckoff positions are occupied.

    Attributes:
        name: as it was written.
        space_group: International Tables number.
        letters: of every site of the asymmetric unit, index of the Wyckoff letter.
        elements: of every site, number of its element from 0 on; empty where the elements are open.

    """

    name: str
    space_group: int
    letters: tuple[int, ...]
    elements: tuple[int, ...]

    @property
    def n_elements(self) -> int:
        """Number of elements; 0 where they are open."""
        return max(self.elements, default=-1) + 1

    @cached_property
    def canonical(self) -> Labels:
        """Names with the letters that are canonical under the group's normaliser; without elements the key counts."""
        table = wyckoff.tables()
        kinds = self.elements or (0,) * len(self.letters)
        return labels(
            self.space_group,
            [
                LabelledSite(f"{kind:03d}", letter, int(table.multiplicity[table.row(self.space_group, letter)]))
                for kind, letter in zip(kinds, self.letters, strict=True)
            ],
        )


def parse_type(name: str) -> StructureType:
    """Read a label or a Wyckoff key.

    Raises:
        InputError: neither; a space group, a letter or a multiplicity that there is not; two sites on a position that
            takes one; a formula or Pearson symbol that contradicts the positions.

    """
    text = name.strip()
    if key := _KEY.fullmatch(text):
        group = _group(text, key[1])
        letters = _letters(text, group, key[2])
        _check_fixed(text, group, letters)
        return StructureType(text, group, tuple(letters), ())
    label = _LABEL.fullmatch(text)
    if label is None:
        raise InputError(f"structure type '{text}': {FORM}")
    group = _group(text, label[3])
    of_kinds = [_letters(text, group, part) for part in label[4].split("_")[1:]]
    letters = [letter for part in of_kinds for letter in part]
    _check_fixed(text, group, letters)
    _check_formula(text, group, of_kinds, label[1], label[2])
    elements = tuple(kind for kind, part in enumerate(of_kinds) for _ in part)
    return StructureType(text, group, tuple(letters), elements)


def read_types(given: str) -> WeightedTypes:
    """Read a list of structure types: a file, or types with commas between them.

    Without counts, all types are drawn equally often.

    Raises:
        MissingFileError: no such file.
        FormatError: a file that cannot be read.
        InputError: no type, or one that is none; the message names file, line and value.

    """
    path = Path(given)
    if path.is_dir():
        raise FormatError(f"{path}: a folder; expected a file of structure types")
    if not path.is_file():
        if "/" in given or path.suffix.lower() in (".csv", ".txt"):
            raise MissingFileError(f"{path}: no such file; `xrdgen structures types TABLE --out FILE` makes one")
        return weighted((f"'{given}'", part, "") for part in given.split(","))
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise FormatError(f"{path}: not a text file ({error}); expected a structure type a line") from error
    entries: list[tuple[str, str, str]] = []
    for number, line in enumerate(lines, start=1):
        name, _, rest = line.partition(",")
        if not line.strip() or line.lstrip().startswith("#") or (not entries and name.strip() == HEADER):
            continue
        entries.append((f"{path}, line {number}", name, rest.partition(",")[0].strip()))
    if not entries:
        raise InputError(f"{path}: no structure type in it; {FORM}, one a line")
    return weighted(entries)


def weighted(entries: Iterable[tuple[str, str, str]]) -> WeightedTypes:
    """Return types with their counts, those named twice added up.

    Args:
        entries: where each type stands, its name, and its count or nothing.

    Raises:
        InputError: no type, not a count, or counts for some types only.

    """
    counts: Counter[str] = Counter()
    with_count: bool | None = None
    for where, name, text in entries:
        try:
            kind = parse_type(name)
        except InputError as error:
            raise InputError(f"{where}: {error}") from error
        count = int(text) if text.isascii() and text.isdigit() else 0
        if text and not 1 <= count <= LARGEST_COUNT:
            raise InputError(f"{where}: count '{text}' of {kind.name}: must be a whole number, at least 1")
        if with_count is not None and with_count != bool(text):
            raise InputError(f"{where}: {kind.name} has {'a' if text else 'no'} count, the types before it have "
                             f"{'none' if text else 'one'}; give all of them one, or none")  # fmt: skip
        with_count = bool(text)
        counts[kind.name] += count or 1
    return tuple(sorted(counts.items()))


def _group(name: str, text: str) -> int:
    """Return the space group of a type."""
    try:
        return check_group(int(text))
    except InputError as error:
        raise InputError(f"structure type '{name}': {error}") from error


def _letters(name: str, group: int, text: str) -> list[int]:
    """Return the letter indices of '2ab' and the like, in ascending order."""
    table = wyckoff.tables()
    available = int(table.start[group] - table.start[group - 1])
    found: list[int] = []
    for times, letter in _LETTER.findall(text):
        index = wyckoff.letter_index(letter)
        if index >= available:
            raise InputError(
                f"structure type '{name}': space group {group} ({symbol(group)}) has no Wyckoff letter '{letter}', "
                f"its letters are {wyckoff.LETTERS[0]} to {wyckoff.LETTERS[available - 1]}"
            )
        if times and not 1 <= int(times) <= 999:
            raise InputError(f"structure type '{name}': {times} sites on {letter}: must be 1 to 999")
        found += [index] * int(times or 1)
    return sorted(found)


def _check_fixed(name: str, group: int, letters: list[int]) -> None:
    """Refuse two atoms on one point."""
    table = wyckoff.tables()
    for letter, n in Counter(letters).items():
        row = table.row(group, letter)
        if n > 1 and table.dof[row] == 0:
            raise InputError(
                f"structure type '{name}': {n} sites on {table.multiplicity[row]}{wyckoff.letter(letter)} of space "
                f"group {group} ({symbol(group)}), which is without a degree of freedom and takes one"
            )


def _check_formula(name: str, group: int, of_kinds: list[list[int]], formula: str, pearson: str) -> None:
    """Refuse a label whose formula or Pearson symbol is not that of its positions."""
    table = wyckoff.tables()
    atoms = [sum(int(table.multiplicity[table.row(group, letter)]) for letter in part) for part in of_kinds]
    divisor = gcd(*atoms)
    here, said = sorted(n // divisor for n in atoms), sorted(int(amount or 1) for amount in _AMOUNT.findall(formula))
    if here != said:
        raise InputError(
            f"structure type '{name}': its positions hold {' : '.join(map(str, here))} atoms of their elements, the "
            f"formula {formula} says {' : '.join(map(str, said))}"
        )
    expected = pearson_symbol(group, sum(atoms))
    if pearson != expected:
        raise InputError(f"structure type '{name}': its positions make the Pearson symbol {expected}, not {pearson}")

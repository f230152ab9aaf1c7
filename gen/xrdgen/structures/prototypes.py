"""Names of structure types that symmetry alone gives: AFLOW-style labels and Wyckoff keys.

A label is formula, Pearson symbol, group and Wyckoff letters of each kind of site, for example
`A2B3C3D12_cI160_230_a_c_h_d` (Mehl et al., Comput. Mater. Sci. 136 (2017) S1). Kinds are told apart by their species
and occupancies. Letters are made canonical under the group's Euclidean normaliser (International Tables A, 3.5).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import gcd
from string import ascii_uppercase

from xrdcommon.space_groups import crystal_system, symbol

from xrdgen.structures.permutations_recipe import PERMUTATIONS_PATH
from xrdgen.symmetry.wyckoff import LETTERS

_FAMILY_LETTER = {
    "triclinic": "a",
    "monoclinic": "m",
    "orthorhombic": "o",
    "tetragonal": "t",
    "trigonal": "h",
    "hexagonal": "h",
    "cubic": "c",
}


@dataclass(frozen=True, slots=True)
class LabelledSite:
    """What a label needs to know of a site: its kind (species with occupancies), letter index and multiplicity."""

    kind: str
    letter: int
    multiplicity: int


@dataclass(frozen=True, slots=True)
class Labels:
    """The three names of a structure type (see the structure table)."""

    prototype: str
    prototype_iso: str
    wyckoff_key: str


def kind_of(species: dict[str, float]) -> str:
    """Return the kind of a site: species in alphabetical order with their occupancies."""
    return "".join(f"{element}{occupancy:g}" for element, occupancy in sorted(species.items()))


def pearson_symbol(group: int, n_atoms: int) -> str:
    """Return the Pearson symbol; rhombohedral cells count the atoms of the primitive cell."""
    centring = symbol(group)[0]
    n = n_atoms // 3 if centring == "R" else n_atoms
    return f"{_FAMILY_LETTER[crystal_system(group)]}{'C' if centring == 'A' else centring}{n}"


def labels(group: int, sites: Sequence[LabelledSite]) -> Labels:
    """Return the names of a structure type.

    Args:
        group: space-group number.
        sites: sites of the asymmetric unit, letters in the standard setting.

    """
    amounts: Counter[str] = Counter()
    letters: dict[str, Counter[int]] = {}
    everything: Counter[int] = Counter()
    for site in sites:
        amounts[site.kind] += site.multiplicity
        letters.setdefault(site.kind, Counter())[site.letter] += 1
        everything[site.letter] += 1
    kinds = [letters[kind] for kind in sorted(letters)]
    best: tuple[int, str] | None = None
    best_iso: str | None = None
    best_key: str | None = None
    for permutation in _permutations(group):
        pieces = [_letters_text(kind, permutation) for kind in kinds]
        # the score and then the text decide: lowest letters first
        score = sum(permutation[letter] + 1 for kind in kinds for letter in kind if permutation[letter] < 26)
        candidate = (score, "_".join(pieces))
        best = candidate if best is None else min(best, candidate)
        iso = "_".join(sorted(pieces))
        best_iso = iso if best_iso is None else min(best_iso, iso)
        key = _letters_text(everything, permutation)
        best_key = key if best_key is None else min(best_key, key)
    if best is None or best_iso is None or best_key is None:
        raise ArithmeticError(f"space group {group}: no permutation, not even the identity")
    head = f"{_formula(list(amounts.values()))}_{pearson_symbol(group, sum(amounts.values()))}_{group}_"
    return Labels(head + best[1], head + best_iso, f"{group}:{best_key}")


def _letters_text(counts: Counter[int], permutation: tuple[int, ...]) -> str:
    """Return letters with their numbers, for example 'a2h', after a permutation."""
    moved = sorted((LETTERS[permutation[letter]], n) for letter, n in counts.items())
    return "".join(f"{n if n > 1 else ''}{letter}" for letter, n in moved)


def _formula(amounts: list[int]) -> str:
    """Return the anonymous formula, smallest amount first."""
    divisor = gcd(*amounts)
    parts = []
    for number, amount in enumerate(sorted(amounts)):
        name = ascii_uppercase[number % 26] + (str(number // 26) + "'" if number >= 26 else "")
        parts.append(name + (str(amount // divisor) if amount > divisor else ""))
    return "".join(parts)


@cache
def _all_permutations() -> dict[str, list[str]]:
    """Return the shipped table."""
    table: dict[str, list[str]] = json.loads(PERMUTATIONS_PATH.read_text())
    return table


@cache
def _permutations(group: int) -> tuple[tuple[int, ...], ...]:
    """Return, per element of the normaliser, the index that every letter index becomes."""
    return tuple(tuple(LETTERS.index(letter) for letter in text) for text in _all_permutations()[str(group)])

"""Which space group, in which setting: what a file says of its symmetry, weighed in a fixed order.

Listed operations come first, then the Hall symbol, then the Hermann-Mauguin symbol, then the number with the shape of
the cell. Where two of them contradict each other, or one leaves the origin open, all groups that they can mean are
returned, and the atoms decide (`reader`): the formula sum, or distances that cannot be.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from xrdcommon.errors import InputError
from xrdcommon.space_groups import N_GROUPS

from xrdgen.structures.reading.document import Block
from xrdgen.structures.reading.groups import group_of, group_of_hall
from xrdgen.structures.reading.names import Setting, settings, settings_of_symbol
from xrdgen.structures.reading.operations import UNIT, SymmetryGroup, parse_operation
from xrdgen.structures.reading.remarks import Remark
from xrdgen.structures.reading.values import MISSING
from xrdgen.symmetry.lattice import vectors

OPERATIONS = ("_space_group_symop_operation_xyz", "_symmetry_equiv_pos_as_xyz", "_symmetry_equiv_pos_xyz")
MAGNETIC = (
    "_space_group_symop_magn_operation_xyz",
    "_space_group_symop_magn_operation_mxmymz",
    "_space_group_magn_symop_operation_xyz",
)
MAGNETIC_CENTRINGS = ("_space_group_symop_magn_centering_xyz", "_space_group_magn_symop_centering_xyz")
HALL = ("_space_group_name_hall", "_symmetry_space_group_name_hall")
SYMBOLS = (
    "_space_group_name_h-m_alt",
    "_symmetry_space_group_name_h-m",
    "_space_group_name_h-m",
    "_symmetry_space_group_name_h-m_alt",
    "_space_group_name_h-m_full",
    "_symmetry_space_group_name_h-m_full",
    "_space_group_name_h-m_ref",
)
NUMBERS = ("_space_group_it_number", "_symmetry_int_tables_number")
CODE = "_space_group_it_coordinate_system_code"
SUPERSPACE = ("_space_group_symop_ssg_operation_algebraic", "_space_group_ssg_name", "_space_group_ssg_name_it")

MAX_STRAIN = 0.01
"""Relative difference of lengths, and radians of angles, by which a cell may miss the symmetry of its group."""
STRAIN_TO_TELL = 5e-4
"""Above this the cell is said to have been made symmetric."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A group that the file can mean, with what there is to say where it is taken."""

    group: SymmetryGroup
    remarks: tuple[Remark, ...] = ()


@dataclass(frozen=True, slots=True)
class Decision:
    """The groups that a file can mean; where there are several, the question that the atoms must answer.

    Attributes:
        choices: the first is the likeliest.
        question: what the file leaves open or contradicts, empty where it is plain.
        open: whether the question is open (the origin), not a contradiction.
        published: number that the file gives, None where it gives none.
        remarks: whatever is chosen.

    """

    choices: tuple[Choice, ...]
    question: str
    open: bool
    published: int | None
    remarks: tuple[Remark, ...]


def strain(cell: NDArray[np.float64], group: SymmetryGroup) -> float:
    """Return how far a cell (6,) is from the symmetry of a group: relative lengths, radians of angles."""
    lattice = vectors(cell)
    metric = lattice @ lattice.T
    average = (group.metric_average @ metric.ravel()).reshape(3, 3)
    lengths = np.sqrt(np.diag(metric))
    difference = np.abs(average - metric) / np.outer(lengths, lengths)
    np.fill_diagonal(difference, np.diag(difference) / 2.0)
    return float(difference.max())


def decide(block: Block, cell: NDArray[np.float64]) -> Decision:
    """Return the groups that a block can mean.

    Args:
        block: of a CIF.
        cell: (6,) Å, degrees.

    Raises:
        InputError: operations that are no group or do not fit the cell, an unknown symbol, only superspace operations.

    """
    remarks: list[Remark] = []
    texts = _rejoined([text for text in block.column(*OPERATIONS) if text.strip() not in MISSING])
    if not texts:
        texts = _nuclear(block, remarks)
    hall, symbol = block.value(*HALL), _symbol(block)
    number = _number(block)
    if any(block.column(name) for name in SUPERSPACE):
        if not (texts or hall or symbol or number):
            raise InputError("a modulated structure: only superspace operations are given, which are not read")
        remarks.append(Remark("a modulated structure: only its average is read", doubtful=True))
    named = _named(block, hall, symbol, number, cell)
    published = number or (next(iter({c.group.number for c in named.choices}), None) if named.choices else None)
    if texts and (len(texts) > 1 or not named.choices or named.choices[0].group.order == 1):
        listed = _fitting(group_of(tuple(texts)), cell, "the listed operations")
        return _with_listed(listed, named, published, remarks)
    if texts:
        listed = group_of(tuple(texts))
        if listed.order > 1:
            return _with_listed(_fitting(listed, cell, "the listed operations"), named, published, remarks)
        question = f"only x,y,z is listed, but the space group is {named.choices[0].group.name}"
        choices = (*named.choices, Choice(listed))
        return Decision(choices, question, False, published, tuple(remarks))
    if not named.choices:
        remarks.append(Remark("no symmetry is given: read as P 1", doubtful=True))
        return Decision((Choice(group_of(("x,y,z",))),), "", False, None, tuple(remarks))
    return Decision(named.choices, named.question, named.open, published, (*remarks, *named.remarks))


def _rejoined(texts: list[str]) -> list[str]:
    """Return operations that were written with blanks and without quotation marks ('x, y, z') in one piece each."""
    if all("," not in text or text.count(",") >= 2 for text in texts):
        return texts
    whole: list[str] = []
    for text in texts:
        if whole and (whole[-1].count(",") < 2 or whole[-1].endswith(",")):
            whole[-1] += text
        else:
            whole.append(text)
    return whole


def _nuclear(block: Block, remarks: list[Remark]) -> list[str]:
    """Return the operations of a magnetic CIF without time reversal: those of the nuclear structure's cell."""
    operations = [text for text in block.column(*MAGNETIC) if text.strip() not in MISSING]
    if not operations:
        return []
    remarks.append(Remark("a magnetic structure: its nuclear cell is read"))
    spatial = [",".join(text.split(",")[:3]) for text in operations]
    centrings = [",".join(text.split(",")[:3]) for text in block.column(*MAGNETIC_CENTRINGS)]
    return _products(spatial, centrings)


def _products(operations: list[str], centrings: list[str]) -> list[str]:
    """Return every operation followed by every centring translation, as text."""
    if not centrings:
        return operations
    result = []
    for centring in centrings:
        _, shift = parse_operation(centring)
        for text in operations:
            parts = text.split(",")
            result.append(",".join(f"{part}+{t}/{UNIT}" for part, t in zip(parts, shift, strict=True)))
    return result


def _symbol(block: Block) -> str | None:
    """Return the Hermann-Mauguin symbol; of several the first that is known."""
    texts = [text for name in SYMBOLS if (text := block.value(name))]
    known = [text for text in texts if settings_of_symbol(text)[0]]
    return next(iter(known or texts), None)


def _number(block: Block) -> int | None:
    """Return the number that the file gives.

    Raises:
        InputError: not 1 to 230.

    """
    text = block.value(*NUMBERS)
    if text is None or text == "0":
        return None
    if not (text.isdigit() and 1 <= int(text) <= N_GROUPS):
        raise InputError(f"space-group number '{text[:20]}': must be 1 to {N_GROUPS}")
    return int(text)


def _fitting(group: SymmetryGroup, cell: NDArray[np.float64], what: str) -> SymmetryGroup:
    """Return a group whose symmetry the cell has.

    Raises:
        InputError: it has not.

    """
    if strain(cell, group) > MAX_STRAIN:
        shape = " ".join(f"{value:g}" for value in cell)
        raise InputError(f"the cell {shape} does not have the symmetry of {what} ({group.name})")
    return group


def _with_listed(listed: SymmetryGroup, named: Decision, published: int | None, remarks: list[Remark]) -> Decision:
    """Weigh listed operations against what the file calls the group."""
    claims = named.remarks  # of `_named`: one remark a name that is against the others
    same = [choice for choice in named.choices if choice.group.number == listed.number]
    if not named.choices:
        return Decision((Choice(listed),), "", False, published, tuple(remarks))
    if same:
        if all(choice.group.key != listed.key for choice in named.choices) and not claims:
            remarks.append(
                Remark(f"the listed operations are those of another setting than {named.choices[0].group.name}")
            )
        if published is not None and published != listed.number:
            remarks.append(
                Remark(f"number {published} is against the listed operations ({listed.number})", doubtful=True)
            )
        others = sorted({c.group.number for c in named.choices} - {listed.number, published})
        if others:
            remarks.append(Remark(f"the file also names space group {others[0]}", doubtful=True))
        return Decision((Choice(listed),), "", False, published, tuple(remarks))
    for choice in named.choices:
        completed = _with_centring(listed, choice.group)
        if completed:
            said = Remark(f"the centring translations of {choice.group.name} are not listed: added")
            return Decision((Choice(choice.group, (said,)),), "", False, published, tuple(remarks))
    name = named.choices[0].group.name
    question = f"{listed.name} (space group {listed.number}) listed, but the space group is {name}"
    return Decision((Choice(listed), *named.choices), question, False, published, tuple(remarks))


def _with_centring(listed: SymmetryGroup, whole: SymmetryGroup) -> bool:
    """Return whether listed operations lack nothing but the centring translations of a group."""
    if listed.order * len(whole.centrings) != whole.order or len(whole.centrings) == 1:
        return False
    translations = (listed.translations[None] + whole.centrings[:, None]).reshape(-1, 3) % 1.0
    rotations = np.tile(listed.rotations, (len(whole.centrings), 1, 1))
    return SymmetryGroup(0, "", rotations, translations).key == whole.key


def _named(
    block: Block, hall: str | None, symbol: str | None, number: int | None, cell: NDArray[np.float64]
) -> Decision:
    """Return the groups that Hall symbol, Hermann-Mauguin symbol and number mean together."""
    remarks: list[Remark] = []
    of_hall = group_of_hall(hall) if hall else None
    if hall and of_hall is None:
        remarks.append(Remark(f"Hall symbol '{hall}' cannot be read"))
    of_symbol = _of_symbol(block, symbol, cell) if symbol else ()
    if symbol and not of_symbol and of_hall is None and not block.column(*OPERATIONS, *MAGNETIC):
        raise InputError(f"space group '{symbol}' is unknown and no symmetry operations are given; list them")
    if of_hall is not None and block.column(*OPERATIONS, *MAGNETIC) and strain(cell, of_hall) > MAX_STRAIN:
        of_hall = None  # the listed operations count
    if of_hall is not None:
        _fitting(of_hall, cell, f"Hall symbol {hall}")
        against = [s for s in of_symbol if s.number != of_hall.number]
        others = tuple(Choice(s.group) for s in of_symbol)
        if of_symbol and all(choice.group.key != of_hall.key for choice in others):
            what = of_symbol[0].name
            return Decision(
                (Choice(of_hall), *others), f"Hall symbol {hall} against {what}", False, number, tuple(remarks)
            )
        if number is not None and number != of_hall.number and not against:
            choices = (Choice(of_hall), *(Choice(s.group) for s in _of_number(number, cell)))
            if of_symbol:  # two against one
                remarks.append(Remark(f"number {number} is against {of_hall.name}", doubtful=True))
                choices = choices[:1]
            question = f"Hall symbol {hall} against number {number}" if len(choices) > 1 else ""
            return Decision(choices, question, False, number, tuple(remarks))
        return Decision((Choice(of_hall),), "", False, number, tuple(remarks))
    if of_symbol:
        chosen = of_symbol
        if number is not None and all(s.number != number for s in of_symbol):
            choices = tuple(Choice(s.group) for s in (*of_symbol, *_of_number(number, cell)))
            return Decision(choices, f"symbol {symbol} against number {number}", False, number, tuple(remarks))
        return _origins(chosen, f"the origin of {symbol} is not told", number, remarks)
    if number is None:
        return Decision((), "", False, None, tuple(remarks))
    candidates = _of_number(number, cell)
    if not candidates:
        if block.column(*OPERATIONS, *MAGNETIC):
            return Decision((), "", False, number, tuple(remarks))
        raise InputError(f"space group {number}: the cell has not its symmetry")
    different = [s for s in settings() if s.number == number and s not in candidates]
    if any(strain(cell, s.group) <= MAX_STRAIN for s in different):
        remarks.append(Remark(f"only the number {number} is given: read as {candidates[0].name}", doubtful=True))
    return _origins(candidates, f"the origin of space group {number} is not told", number, remarks)


def _origins(chosen: tuple[Setting, ...], question: str, number: int | None, remarks: list[Remark]) -> Decision:
    """Return settings that differ in their origin as choices."""
    if len(chosen) == 1:
        return Decision((Choice(chosen[0].group),), "", False, number, tuple(remarks))
    return Decision(tuple(Choice(s.group) for s in chosen), question, True, number, tuple(remarks))


def _of_symbol(block: Block, symbol: str, cell: NDArray[np.float64]) -> tuple[Setting, ...]:
    """Return the settings that a symbol means, given its mark and the shape of the cell.

    Raises:
        InputError: the cell fits none of them.

    """
    found, mark = settings_of_symbol(symbol)
    if not found:
        return ()
    code = (block.value(CODE) or "").lower()
    for wanted in (mark, code):
        marked = [s for s in found if wanted and wanted.lower() in (s.mark.lower(), s.qualifier.lower())]
        found = tuple(marked) or found
    strains = [strain(cell, s.group) for s in found]
    fitting = [s for s, value in zip(found, strains, strict=True) if value <= MAX_STRAIN]
    if not fitting:  # a mark of other axes than those of the cell
        found = settings_of_symbol(symbol)[0]
        strains = [strain(cell, s.group) for s in found]
        fitting = [s for s, value in zip(found, strains, strict=True) if value <= MAX_STRAIN]
    if not fitting:
        if block.column(*OPERATIONS, *MAGNETIC):
            return ()
        shape = " ".join(f"{value:g}" for value in cell)
        raise InputError(f"the cell {shape} does not have the symmetry of {symbol}")
    return _one_axis(fitting, cell)


def _one_axis(fitting: list[Setting], cell: NDArray[np.float64]) -> tuple[Setting, ...]:
    """Of settings that differ in their axes return those with the axes that fit the cell best, b before c and a."""
    best = min(strain(cell, s.group) for s in fitting)
    close = [s for s in fitting if strain(cell, s.group) <= best + 1e-6]
    first = min(close, key=lambda s: "bca".find(s.qualifier.strip("-")[:1]) if s.qualifier else 0)
    return tuple(s for s in close if s.qualifier == first.qualifier and _axes(s) == _axes(first))


def _axes(setting: Setting) -> str:
    """Return what tells axes, not origins, apart."""
    return setting.mark if setting.mark in ("H", "R") else ""


def _of_number(number: int, cell: NDArray[np.float64]) -> tuple[Setting, ...]:
    """Return the first settings of a group that fit the cell: both origins where there are two."""
    found = [s for s in settings() if s.number == number and strain(cell, s.group) <= MAX_STRAIN]
    if not found:
        return ()
    first = _one_axis(found, cell)
    name = first[0].name.partition(":")[0]
    return tuple(s for s in first if s.name.partition(":")[0] == name)

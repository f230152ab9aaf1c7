"""Numbers in text: separators, decimal commas, headers, footers, missing values, several blocks.

# L lines, R rows of a block, C columns
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from xrdcommon.errors import FormatError

COMMENTS = ("#", "!", "'", ";", "*", "//", "@", "%", "_")
SAMPLE = 400
"""Lines by which separators are recognised."""

LEAST_ROWS = 2
LEAST_SCAN = 10
"""Rows that make a block a scan of its own."""

_NUMBERLIKE = re.compile(r'^\s*"?[+-]?(\d|[.,]\d)')


@dataclass(frozen=True, slots=True)
class Dialect:
    """How numbers stand in lines: separator (None for blanks) and decimal mark."""

    separator: str | None
    decimal: str

    def words(self, line: str) -> list[str]:
        """Return the cells of a line, empty ones at its end dropped."""
        if self.separator is not None and '"' in line and len(line) <= LONGEST_QUOTED:
            cells = re.split(self.separator + r'(?=(?:[^"]*"[^"]*")*[^"]*$)', line)  # not inside quotes
        else:
            cells = line.split(self.separator)
        cells = [cell.strip().strip('"').strip() for cell in cells]
        while cells and not cells[-1]:
            cells.pop()
        return cells

    def number(self, cell: str) -> float | None:
        """Return a cell's number, None where it is none."""
        if self.separator is not None and len(cell) > 4 and not cell.isdigit():
            cell = self._ungrouped(cell)
        if "_" in cell or (self.decimal == "," and "." in cell):
            return None
        text = cell.replace(",", ".") if self.decimal == "," else cell
        try:
            return float(text)
        except ValueError:
            pass  # perhaps Fortran's exponent
        try:
            return float(text.upper().replace("D", "E", 1)) if re.fullmatch(r"[-+\d.]+[dD][-+]?\d+", text) else None
        except ValueError:
            return None

    def _ungrouped(self, cell: str) -> str:
        """Return a cell without the marks between its thousands, where it has any: 57 300, 57'300, 57.300,5."""
        marks, tail = (r"[. \u00a0\u202f'\u2019]", r"(,\d+)?") if self.decimal == "," else (
            r"[ \u00a0\u202f'\u2019]", r"(\.\d+)?")  # fmt: skip
        return re.sub(marks, "", cell) if re.fullmatch(rf"[+-]?\d{{1,3}}({marks}\d{{3}})+{tail}", cell) else cell

    def row(self, line: str) -> list[float] | None:
        """Return the numbers of a line, None where a cell is not a number or none is there.

        What follows a comment mark behind the numbers is left out.
        """
        cells = self.words(line.split("#")[0].split("!")[0] if "#" in line or "!" in line else line)
        values = [self.number(cell) for cell in cells]
        numbers = [value for value in values if value is not None]
        return numbers if numbers and len(numbers) == len(values) else None


DIALECTS = (
    Dialect(None, "."),
    Dialect(",", "."),
    Dialect(";", "."),
    Dialect(";", ","),
    Dialect("\t", ","),
    Dialect(None, ","),
    Dialect(",", ","),
)
"""Of two that read as many rows the first is taken; the last needs quotes around its numbers."""

LONGEST_QUOTED = 4096
"""Characters of a line in which quotes are looked at."""


@dataclass(frozen=True, slots=True)
class Block:
    """Rows of numbers that belong together.

    Attributes:
        rows: (R) rows of C numbers.
        lines: line number of each row, counted from 1.
        before: the lines of text above it.
        short_end: what stood on a last line that was cut short, '' where none was.

    """

    rows: list[list[float]]
    lines: list[int]
    before: list[str]
    short_end: str = ""


def recognise_dialect(lines: list[str]) -> Dialect:
    """Return the dialect in which most lines that begin with a number are rows, rows of two columns or more first."""
    begun = [line for line in lines if _NUMBERLIKE.match(line)]
    sample = begun[:: max(1, len(begun) // SAMPLE)]

    def fit(dialect: Dialect) -> tuple[int, int]:
        lengths = [len(row) for row in map(dialect.row, sample) if row is not None]
        return sum(length > 1 for length in lengths), len(lengths)

    return max(DIALECTS, key=lambda dialect: (fit(dialect), -DIALECTS.index(dialect)))


SIDEWAYS = 50
"""Numbers in a line that make it a column on its side."""

MOST_SIDEWAYS = 12
"""Lines of a table that may lie on its side."""


def upright(lines: list[str]) -> tuple[list[str], bool]:
    """Return a table that lies on its side (a row of angles, rows of intensities) with a line for each angle.

    Returns:
        the lines, and whether they were turned.

    """
    full = [line for line in lines if line.strip()]
    if not 2 <= len(full) <= MOST_SIDEWAYS:
        return lines, False
    separator = max(("\t", ";", ",", None), key=lambda mark: len(full[-1].split(mark)) if mark else SIDEWAYS // 2)
    rows = [[cell.strip() for cell in line.split(separator)] for line in full]
    wide = [row for row in rows if len(row) > SIDEWAYS]
    if len(wide) < 2 or len({len(row) for row in wide}) > 1:
        return lines, False
    above = [line for line, row in zip(full, rows, strict=True) if len(row) <= SIDEWAYS]
    return above + [(separator or " ").join(cells) for cells in zip(*wide, strict=True)], True


def blocks(lines: list[str], dialect: Dialect, path: Path) -> tuple[list[Block], list[str]]:
    """Part lines into blocks of rows with the text above each, and the text below the last.

    Raises:
        FormatError: a row inside a block lacks a value (names the line).

    """
    found: list[Block] = []
    text: list[str] = []
    rows: list[list[float]] = []
    numbers: list[int] = []
    before: list[str] = []
    broken: tuple[int, str] | None = None

    def close() -> None:
        nonlocal rows, numbers, before, broken
        if rows:
            found.append(Block(rows, numbers, before, "" if broken is None else broken[1]))
        rows, numbers, before, broken = [], [], [], None

    for number, line in enumerate(lines, 1):
        stripped = line.strip("\x1a\f ")
        if not stripped.strip():
            continue
        row = None if stripped.lstrip().startswith(COMMENTS) else dialect.row(stripped)
        if row is not None and broken is not None:
            _refuse(path, *broken)
        if row is not None:
            if not rows:
                before, text = text, []
            rows.append(row)
            numbers.append(number)
        elif rows and not stripped.lstrip().startswith(COMMENTS) and _NUMBERLIKE.match(stripped):
            if broken is not None:
                _refuse(path, *broken)
            broken = (number, line.strip())
        else:
            close()
            text.append(line)
    close()
    return found, text


def _refuse(path: Path, number: int, line: str) -> None:
    """Refuse a line that is no row.

    Raises:
        FormatError: always.

    """
    raise FormatError(
        f"{path}: line {number}: '{line[:40]}' is no row of numbers, a value is missing or damaged; "
        "write the value or delete the line"
    )


SAME_STEP = 1.5
"""Steps between the last angle of a block and the first of the next that are still one step on."""


def _goes_on(first: Block, second: Block) -> bool:
    """Return whether a block is the next piece of a scan that a comment interrupts."""
    if len(first.rows) < LEAST_ROWS or len(first.rows[-1]) != len(second.rows[0]) or len(first.rows[-1]) < 2:
        return False
    for column in range(2):  # the first may count the points
        before, last, following = first.rows[-2][column], first.rows[-1][column], second.rows[0][column]
        if not 0.0 < following - last <= SAME_STEP * (last - before):
            return False
        if last - before != 1.0:
            return True
    return True


def _restarts(block: Block) -> list[int]:
    """Return the rows of a block at which its first column begins again where it began, as scans do."""
    x = [row[0] for row in block.rows]
    if len(x) < 2 * LEAST_ROWS or x[1] <= x[0]:
        return []
    near = 10.0 * (x[1] - x[0])
    return [i for i in range(1, len(x)) if x[i] < x[i - 1] and abs(x[i] - x[0]) <= near]


def scans_of(found: list[Block]) -> list[Block]:
    """Return blocks as scans: pieces that comments part are joined, scans that nothing parts are parted.

    Args:
        found: blocks as they stand in the file.

    """
    joined: list[Block] = []
    for block in found:
        only_comments = all(line.lstrip().startswith(COMMENTS) for line in block.before)
        if joined and only_comments and _goes_on(joined[-1], block):
            last = joined[-1]
            joined[-1] = Block(last.rows + block.rows, last.lines + block.lines, last.before, block.short_end)
        else:
            joined.append(block)
    parted: list[Block] = []
    for block in joined:
        starts = [0, *_restarts(block), len(block.rows)]
        pieces = [slice(first, last) for first, last in pairwise(starts)]
        if len(pieces) > 1 and min(piece.stop - piece.start for piece in pieces) < LEAST_SCAN:
            pieces = [slice(0, len(block.rows))]  # a few angles out of order are no scans
        parted += [
            Block(block.rows[piece], block.lines[piece], block.before,
                  block.short_end if piece is pieces[-1] else "")
            for piece in pieces
        ]  # fmt: skip
    return parted


def even(block: Block, path: Path, lines_of_file: list[str]) -> tuple[Block, int]:
    """Return a block whose rows have the same number of columns, and that number.

    Rows of one number above rows of more (a count of points) are dropped; a last row that is cut short, too.

    Raises:
        FormatError: a row inside has fewer columns (names the line).

    """
    rows, lines, end = block.rows, block.lines, block.short_end
    columns = Counter(map(len, rows)).most_common(1)[0][0]
    first = 0
    while first < min(3, len(rows) - 1) and len(rows[first]) < min(columns, 2):
        first += 1
    rows, lines = rows[first:], lines[first:]
    if len(rows) > LEAST_ROWS and len(rows[-1]) < columns:
        end = " ".join(f"{value:g}" for value in rows[-1])
        rows, lines = rows[:-1], lines[:-1]
    for row, line in zip(rows, lines, strict=True):
        if len(row) < columns:
            _refuse(path, line, lines_of_file[line - 1].strip())
    return Block([row[:columns] for row in rows], lines, block.before, end), columns

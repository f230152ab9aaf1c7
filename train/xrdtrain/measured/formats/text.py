"""Columns of text: .xy, .xye, .csv, .txt, .dat, .prn, .asc and whatever else holds numbers in lines.

# M points
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from xrdcommon.errors import FormatError

from xrdtrain.measured.formats import words
from xrdtrain.measured.formats.guard import decode
from xrdtrain.measured.formats.stepped import read_stepped
from xrdtrain.measured.formats.table import (
    LEAST_SCAN,
    Block,
    Dialect,
    blocks,
    even,
    recognise_dialect,
    scans_of,
    upright,
)
from xrdtrain.measured.pattern import Axis, ReadOptions, Scan

LONGEST_NAME = 32
"""Characters; longer cells are sentences, not names of columns."""

MOST_POINTS = 2_000_000

ON_ITS_SIDE = "the table lies on its side: its rows were taken as columns"


def read_text(content: bytes, path: Path, options: ReadOptions) -> Scan:
    """Read columns of text.

    Raises:
        FormatError: no rows of numbers, a missing value, an axis that must be asked for, neutrons.

    """
    lines = decode(content).splitlines()
    if len(lines) > MOST_POINTS:
        raise FormatError(f"{path}: {len(lines):,} lines, more than any powder scan; export the one scan alone")
    if not any(line.strip() for line in lines):
        raise FormatError(f"{path}: shape (0, 1): an empty file; give two columns, 2theta and intensity")
    stepped = read_stepped(lines, path, options)
    if stepped is not None:
        return stepped
    lines, turned = upright(lines)
    dialect = recognise_dialect(lines)
    found, below = blocks(lines, dialect, path)
    if not found:
        raise FormatError(
            f"{path}: not a pattern (no line of numbers); give two columns, 2theta in degrees and intensity"
        )
    header = [line for block in found for line in block.before] + below
    text = "\n".join(header)
    words.refuse_neutrons(text, path)
    found = scans_of(found)
    scans = [block for block in found if len(block.rows) >= LEAST_SCAN] or [max(found, key=lambda b: len(b.rows))]
    chosen = _choose(scans, options, path)
    above = [line for block in found[: found.index(chosen) + 1] for line in block.before]
    scan = _columns(chosen, lines, above, text, path, options, dialect, len(scans))
    return replace(scan, remarks=(ON_ITS_SIDE, *scan.remarks)) if turned else scan


def _choose(scans: list[Block], options: ReadOptions, path: Path) -> Block:
    """Return the scan asked for, the first by default.

    Raises:
        FormatError: no such scan.

    """
    number = options.scan or 1
    if not 1 <= number <= len(scans):
        raise FormatError(f"{path}: holds {len(scans)} scans, --scan {number} is none of them")
    return scans[number - 1]


def _names(before: list[str], columns: int, dialect: Dialect) -> list[str]:
    """Return the names of the columns, [] where the line above them does not name each."""
    for line in reversed(before[-3:]):
        text = line.strip().lstrip("#!'%;*@ ").strip()
        for cells in (
            [cell.strip().strip('"') for cell in line.split(dialect.separator)] if dialect.separator else [],
            [cell.strip() for cell in re.split(r"\t|\s{2,}|[,;]", text)],
            text.split(),
        ):
            named = len(cells) == columns and columns > 1 and max(map(len, cells)) <= LONGEST_NAME
            if named and not re.search(r"\bnot\b", text) and any(words.axis_of_name(cell)[0] for cell in cells):
                return cells
    return []


def _columns(
    block: Block,
    lines: list[str],
    before: list[str],
    text: str,
    path: Path,
    options: ReadOptions,
    dialect: Dialect,
    n_scans: int,
) -> Scan:
    """Choose the columns of a block and say what they are."""
    short = block.short_end
    block, columns = even(block, path, lines)
    remarks: list[str] = []
    if short or block.short_end:
        remarks.append("the last line is cut short and was left out")
    values = np.array(block.rows, dtype=np.float64)
    bad = np.flatnonzero(~np.isfinite(values[:, :2]).all(axis=1))
    if len(bad):
        raise FormatError(f"{path}: values that are not finite (line {block.lines[bad[0]]}); remove them")
    radiation = words.radiation_in(text)
    if columns == 1:
        return Scan(np.empty(0), values[:, 0], radiation=radiation, scans=n_scans, remarks=tuple(remarks))
    if dialect.separator == "," and columns > 2 and (np.diff(values[:, 0]) == 0).any():
        cells = [lines[line - 1].strip() for line in block.lines]
        if all(re.fullmatch(r"\d+(,\d+){2,3}", cell) for cell in cells):
            raise FormatError(
                f"{path}: '{cells[0][:40]}': decimal commas and commas between the columns; export it with points, or "
                "with semicolons between the columns"
            )
    names = _names(before, columns, dialect)
    axis: Axis | None = None
    certain, said = False, ""
    at, intensity_at = 0, 1
    if options.columns is not None:
        at, intensity_at = (place - 1 for place in options.columns)
        if max(at, intensity_at) >= columns:
            raise FormatError(f"{path}: {columns} columns; --columns {at + 1},{intensity_at + 1} is not among them")
        if names:
            axis, certain = words.axis_of_name(names[at])
            said = names[at]
    elif names:
        known = [(place, *words.axis_of_name(name)) for place, name in enumerate(names)]
        named = [item for item in known if item[1] is not None]
        at, axis, certain = next((item for item in named if item[1] is Axis.TWO_THETA), named[0])
        said = names[at]
        named_intensity = [
            place for place, name in enumerate(names)
            if place != at and words.INTENSITY.search(name) and not words.ESD.search(name)
        ]  # fmt: skip
        intensity_at = named_intensity[0] if named_intensity else next(c for c in range(columns) if c != at)
    elif columns >= 3 and _counts_points(values[:, 0]) and (np.diff(values[:, 1]) > 0).all():
        at, intensity_at = 1, 2
        remarks.append("the first column counts the points; the second was taken as 2theta, the third as intensity")
    if axis is None:
        hint = words.doubtful_axis(before)
        if hint is not None:
            axis, said = hint
    if axis is None and options.axis is None and not names:
        _refuse_other(before, columns, path, dialect)
    if axis is not None and not certain and axis is not Axis.TWO_THETA and options.axis is None:
        raise FormatError(
            f"{path}: '{said[:60]}' hints that the axis is {axis.value}, not 2theta in degrees; "
            f"say what it is with --axis {axis.value} or --axis 2theta"
        )
    esd = None
    esd_at = next((place for place, name in enumerate(names) if words.ESD.search(name)), None)
    if esd_at is None and not names and columns == 3 and path.suffix.lower() == ".xye":
        esd_at = 2
    if esd_at is not None and esd_at not in (at, intensity_at) and (values[:, esd_at] > 0).all():
        esd = values[:, esd_at]
    if options.columns is None:
        remarks += _further(names, columns, {at, intensity_at, esd_at})
    if n_scans > 1 and options.scan is None:
        remarks.append(f"holds {n_scans} scans, the first was read; choose with --scan")
    return Scan(
        values[:, at], values[:, intensity_at], esd, axis, said, radiation, n_scans, tuple(remarks)
    )  # fmt: skip


def _further(names: list[str], columns: int, taken: set[int | None]) -> list[str]:
    """Return a remark where there are more columns that may be intensities than the one that was taken."""
    if not names:
        return [f"{columns} columns: the first two were taken; choose others with --columns"] if columns > 3 else []
    left = [name for place, name in enumerate(names) if place not in taken and words.may_be_intensity(name)]
    if not left:
        return []
    chosen = ", ".join(f"'{names[place]}'" for place in sorted(place for place in taken if place is not None))
    others = ", ".join(f"'{name}'" for name in left[:4]) + (", ..." if len(left) > 4 else "")
    return [f"columns {chosen} were taken; there are also {others}: choose with --columns"]


def _refuse_other(before: list[str], columns: int, path: Path, dialect: Dialect) -> None:
    """Refuse columns whose names say that they are something else: spectra, times, other motors.

    Raises:
        FormatError: they do.

    """
    for line in before[-2:]:
        cells = dialect.words(line) if dialect.separator else re.split(r"\t|\s{2,}|[,;]|\s(?![(\[])", line.strip())
        cells = [cell for cell in cells if cell.strip("#!'%;*@ ")]
        named = len(cells) == columns and not any(dialect.number(cell) is not None for cell in cells)
        other = words.other_axis(cells[0]) if named else None
        if other is not None:
            raise FormatError(
                f"{path}: its first column is named '{other}', which is no scattering angle; give 2theta and "
                "intensity, or say what the column is with --axis"
            )


def _counts_points(column: NDArray[np.float64]) -> bool:
    """Return whether a column is 0, 1, 2, ... or 1, 2, 3, ..."""
    return bool(len(column) > 2 and column[0] in (0.0, 1.0) and (np.diff(column) == 1.0).all())

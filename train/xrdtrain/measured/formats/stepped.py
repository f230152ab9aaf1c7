"""Intensities alone below a first angle, a step and a last angle: FullProf, DBWS, Rigaku's text, UDF, CPI, MDI.

The three numbers stand in a title line, in a row or in lines of their own, or behind keys; whatever the form, they are
believed only where as many intensities follow as they say.

# M points, R runs of numbers
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from xrdtrain.measured.formats import words
from xrdtrain.measured.formats.scans import check_axis, choose, stopped
from xrdtrain.measured.pattern import Axis, ReadOptions, Scan

LEAST_VALUES = 20
"""Numbers that make a run one of intensities; shorter ones belong to a header."""

HEADER_LINES = 12
"""Lines above intensities in which the three numbers stand."""

SAMPLE = 64
"""Lines in the middle of a file by which most files are told."""

FILL = 9
"""Values by which a last row may go beyond the last angle."""

_ROW = re.compile(r"[-+\d.,\seEdD]+/?$")
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_LEADING = re.compile(rf"\s*({_NUMBER.pattern})[\s,]+({_NUMBER.pattern})[\s,]+({_NUMBER.pattern})")
_KEY = re.compile(r"^\s*[*#;]?\s*\*?(START|STEP|STOP|SCAN_AXIS)\s*[=:,\s]\s*\"?([^\"\n]*)", re.IGNORECASE)
_UDF = {
    "RANGE": re.compile(r"^DataAngleRange\s*,\s*([\d.]+)\s*,\s*([\d.]+)"),
    "STEP": re.compile(r"^ScanStepSize\s*,\s*([\d.]+)"),
}


@dataclass(frozen=True, slots=True)
class _Run:
    """Rows of numbers that nothing interrupts, with the lines between them and the run before."""

    rows: list[list[float]]
    before: list[str]

    def values(self, first: int = 0) -> list[float]:
        """Return the numbers from a row on."""
        return [value for row in self.rows[first:] for value in row]

    @property
    def in_columns(self) -> bool:
        """Whether these are rows of an axis and its intensities: a first column that rises, or falls."""
        inner = self.rows[1:-1]
        if len(inner) < 3 or len({len(row) for row in inner}) > 1 or len(inner[0]) == 1:
            return False
        steps = [after[0] - before[0] for before, after in pairwise(inner)]
        return min(steps) > 0.0 or max(steps) < 0.0


@dataclass(frozen=True, slots=True)
class _Limits:
    """First angle, step and last angle in degrees."""

    start: float
    step: float
    stop: float

    @property
    def possible(self) -> bool:
        """Whether a goniometer can drive so."""
        return 0.0 < self.step < 5.0 and -180.0 <= self.start < self.stop <= 180.0

    @property
    def points(self) -> int:
        """Points from the first angle to the last."""
        return round((self.stop - self.start) / self.step) + 1

    def block(self, n: int) -> int:
        """Return how many of n values are intensities: all, half where deviations follow, 0 where none can be."""
        for parts in (1, 2):
            if parts * (self.points - 1) <= n <= parts * (self.points + FILL):
                return n // parts if n % parts == 0 else self.points
        return 0


def read_stepped(lines: list[str], path: Path, options: ReadOptions) -> Scan | None:
    """Read intensities that stand without their angles; None where a file is of another form.

    Raises:
        FormatError: neutrons, a scan along another axis, or not the scan asked for.

    """
    middle = [_row(line.strip()) for line in lines[len(lines) // 2 :][:SAMPLE]]
    if None not in middle and _Run([row for row in middle if row], []).in_columns:
        return None  # told without a look at every line
    shared: dict[str, str] = {}
    scans: list[tuple[_Limits, list[float], dict[str, str]]] = []
    header: list[str] = []
    for run in _runs(lines):
        header += run.before
        shared = shared | _keys(run.before)
        found = _limits(run, shared)
        if found is not None:
            scans.append((*found, shared))
    if not scans:
        return None
    text = "\n".join(header)
    words.refuse_neutrons(text, path)
    index, remarks = choose(len(scans), options, path)
    limits, values, keys = scans[index]
    if "SCAN_AXIS" in keys:
        remarks += check_axis(keys["SCAN_AXIS"].strip(), path)
    block = limits.block(len(values)) or len(values)
    points = min(limits.points, block)
    deviations = np.array(values[block : block + points])
    return Scan(
        limits.start + limits.step * np.arange(points, dtype=np.float64),
        np.array(values[:points]),
        deviations if len(deviations) == points and (deviations > 0.0).all() else None,
        axis=Axis.TWO_THETA, axis_from="start and step", radiation=words.radiation_in(text),
        scans=len(scans), remarks=remarks + stopped(points, limits.points),
    )  # fmt: skip


def _runs(lines: list[str]) -> Iterator[_Run]:
    """Part lines into runs of intensities; what is shorter goes to the header of the next."""
    before: list[str] = []
    rows: list[list[float]] = []
    texts: list[str] = []
    for line in [*lines, "end"]:
        text = line.strip("\x1a\f \t")
        if not text:
            continue
        row = _row(text)
        if row is not None:
            rows.append(row)
            texts.append(text)
            continue
        if sum(map(len, rows)) >= LEAST_VALUES:
            yield _Run(rows, before)
            before = []
        else:
            before += texts
        before.append(text)
        rows, texts = [], []


def _row(text: str) -> list[float] | None:
    """Return the numbers of a line of nothing else."""
    if not _ROW.match(text):
        return None
    try:
        return [float(word) for word in re.split(r"[\s,]+", text.rstrip("/").strip(", \t"))]
    except ValueError:
        return None


def _keys(header: list[str]) -> dict[str, str]:
    """Return what a header says behind the keys of Rigaku's text and of UDF, by Rigaku's names."""
    found: dict[str, str] = {}
    for line in header:
        match = _KEY.match(line)
        if match is not None:
            found[match[1].upper()] = match[2]
        limits, step = _UDF["RANGE"].match(line), _UDF["STEP"].match(line)
        if limits is not None:
            found |= {"START": limits[1], "STOP": limits[2]}
        if step is not None:
            found["STEP"] = step[1]
    return found


def _limits(run: _Run, keys: dict[str, str]) -> tuple[_Limits, list[float]] | None:
    """Return the limits of a run and its intensities, None where nothing tells them."""
    if run.in_columns:
        return None
    if {"START", "STEP", "STOP"} <= keys.keys():
        start, step, stop = (_NUMBER.match(keys[name].strip()) for name in ("START", "STEP", "STOP"))
        if start and step and stop:
            limits, values = _Limits(float(start[0]), float(step[0]), float(stop[0])), run.values()
            if limits.possible and len(values) <= 2 * (limits.points + FILL):
                return limits, values
    everything = sum(map(len, run.rows))
    for limits, first in _candidates(run):
        n = everything - sum(map(len, run.rows[:first]))
        if limits.possible and n >= LEAST_VALUES and limits.block(n):
            return limits, run.values(first)
    return None


def _candidates(run: _Run) -> Iterator[tuple[_Limits, int]]:
    """Yield limits that may be meant, with the row at which the intensities would begin."""
    for first, row in enumerate(run.rows[:4], 1):
        if len(row) >= 3:
            yield from ((limits, first) for limits in _orders(row))
    header = run.before[-HEADER_LINES:]
    for line in reversed(header):
        numbers = [float(word) for word in _NUMBER.findall(line)]
        if _LEADING.match(line):
            yield from ((limits, 0) for limits in _orders(numbers))
    alone = [float(line) for line in header if _NUMBER.fullmatch(line)]
    yield from ((limits, 0) for limits in _orders(alone[:3]))


def _orders(numbers: list[float]) -> Iterator[_Limits]:
    """Yield the limits that numbers may be: start, step, ..., stop, or start, stop, step."""
    if len(numbers) < 3:
        return
    for stop in numbers[2:8]:
        yield _Limits(numbers[0], numbers[1], stop)
    yield _Limits(numbers[0], numbers[2], numbers[1])

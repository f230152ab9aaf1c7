"""`xrdtrain predict`: ranked space groups of patterns in files and folders, of any instrument.

# M measured points, P points of a network's axis, C classes
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xrdcommon.errors import InputError, XrdError
from xrdcommon.fixed_sets.fixed_set import FixedSet, is_fixed_set
from xrdcommon.measurement import Measurement

from xrdtrain.inference.answer import Answerer
from xrdtrain.inference.candidates import Candidate
from xrdtrain.inference.refusal import doubts
from xrdtrain.measured.background import NONE
from xrdtrain.measured.emission import Radiation
from xrdtrain.measured.formats.recognise import SUFFIXES
from xrdtrain.measured.pattern import MeasuredPattern, ReadOptions
from xrdtrain.measured.positions import s_of
from xrdtrain.measured.prepare import PreparedPattern, PrepareOptions, prepare
from xrdtrain.measured.reading import check_intensity, read_measured

BATCH = 256
"""Patterns that go through a network at once."""

Ask = Callable[[Path, float], Radiation | None]
"""Asks the user for the radiation of a file, given the network's wavelength; None: nobody answers."""


@dataclass(frozen=True, slots=True)
class PredictOptions:
    """What the user says about the files and how they are to be answered.

    Attributes:
        reading: axis, radiation, scan, columns.
        preparing: background, range, zero shift.
        prior: `trained`, `uniform`, `minerals` or a file.
        keep_patterns: whether predictions keep the patterns, to be drawn.

    """

    reading: ReadOptions = field(default_factory=ReadOptions)
    preparing: PrepareOptions = field(default_factory=PrepareOptions)
    prior: str = "trained"
    keep_patterns: bool = False


@dataclass(frozen=True, slots=True)
class Prediction:
    """The answer for one pattern, or why there is none.

    Attributes:
        name: file, or set and row.
        candidates: the likeliest first; empty with an error.
        radiation: of the pattern, and who said it.
        remarks: what a person should know about how it was read and prepared.
        doubts: why the answer is not to be trusted; empty where nothing speaks against it.
        error: the one line that refuses the file, None for an answer.
        measured: points used, degrees 2theta on the network's axis, kept only to be drawn.
        prepared: what the first network saw, kept only to be drawn.

    """

    name: str
    candidates: list[Candidate] = field(default_factory=list)
    radiation: Radiation | None = None
    remarks: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    error: XrdError | None = None
    measured: MeasuredPattern | None = None
    prepared: PreparedPattern | None = None

    def to_dict(self, top: int) -> dict[str, Any]:
        """Return the fields for JSON, with the first `top` candidates."""
        answer: dict[str, Any] = {
            "file": self.name,
            "candidates": [candidate.to_dict() for candidate in self.candidates[:top]],
            "unlike_training": bool(self.doubts),
            "doubts": list(self.doubts),
            "remarks": list(self.remarks),
        }
        if self.radiation is not None:
            answer["wavelength"] = self.radiation.wavelength
            answer["wavelength_from"] = self.radiation.source
            answer["wavelength_assumed"] = self.radiation.assumed
        if self.error is not None:
            answer["error"] = " ".join(str(self.error).split())
        return answer


@dataclass(frozen=True, slots=True)
class _Ready:
    """A pattern made ready for every network."""

    name: str
    pattern: MeasuredPattern
    prepared: tuple[PreparedPattern, ...]


def find_patterns(paths: Sequence[Path]) -> list[Path]:
    """Return the files that paths name; of a folder, those in it and below that have the name of a pattern.

    A folder without any is returned itself, to be refused in its turn.
    """
    found: list[Path] = []
    for path in paths:
        if not path.is_dir() or is_fixed_set(path):
            found.append(path)
            continue
        inside = sorted(
            file
            for file in path.rglob("*")
            if file.suffix.lower() in SUFFIXES
            and file.is_file()
            and not any(part.startswith(".") or part.endswith(".zarr") for part in file.relative_to(path).parts)
        )
        found += inside or [path]
    return found


def predict(
    answerer: Answerer,
    paths: Sequence[Path],
    options: PredictOptions,
    ask: Ask | None = None,
    advance: Callable[[int], None] = lambda n: None,
) -> Iterator[Prediction]:
    """Yield an answer for every pattern, in the order of the files; a bad file does not stop the others.

    Args:
        answerer: one network or several.
        paths: files, folders, fixed sets.
        options: how they are read, prepared and answered.
        ask: asks for a radiation that a file does not say; without it the network's own is taken, and said.
        advance: told the files done.

    Raises:
        InputError, MissingFileError, FormatError: no such prior.

    """
    waiting: list[_Ready | Prediction] = []
    for path in find_patterns(paths):
        waiting.extend(_make_ready(answerer, path, options, ask))
        advance(1)
        if len(waiting) >= BATCH:
            yield from _answer(answerer, waiting, options)
            waiting = []
    yield from _answer(answerer, waiting, options)


def _make_ready(
    answerer: Answerer, path: Path, options: PredictOptions, ask: Ask | None
) -> Iterator[_Ready | Prediction]:
    """Yield the patterns of a file, or the refusal."""
    try:
        if is_fixed_set(path):
            for name, pattern in _rows(path):
                untouched = PrepareOptions(NONE, options.preparing.two_theta_range, options.preparing.zero_shift)
                yield _Ready(name, pattern, _prepared(answerer, pattern, untouched))
            return
        if path.is_dir():
            raise InputError(f"{path}: a folder without a pattern ({', '.join(SUFFIXES)}), and no run folder")
        pattern = read_measured(path, options.reading)
        pattern = _with_radiation(pattern, answerer.measurements[0], ask)
        yield _Ready(str(path), pattern, _prepared(answerer, pattern, options.preparing))
    except XrdError as error:
        yield Prediction(str(path), error=error)


def _rows(path: Path) -> Iterator[tuple[str, MeasuredPattern]]:
    """Yield the patterns of a fixed set.

    Raises:
        FormatError: damaged.

    """
    data = FixedSet.open(path)
    measurement = Measurement.of_simulation(data.grid, data.attributes.get("simulation"))
    radiation = Radiation((measurement.wavelength,), "the fixed set")
    angles = data.grid.two_theta
    s = s_of(angles, measurement.wavelength)
    for row, label in enumerate(data.ids):
        intensity = data.patterns(row, row + 1)[0].astype(np.float64)
        yield f"{path}:{label}", MeasuredPattern(path, angles, s, intensity, radiation=radiation)


def _prepared(answerer: Answerer, pattern: MeasuredPattern, options: PrepareOptions) -> tuple[PreparedPattern, ...]:
    """Return what each network sees of a pattern; networks on the same axis share it.

    Raises:
        InputError: the pattern does not fit one of them.

    """
    done: dict[tuple[Measurement, bool], PreparedPattern] = {}
    result = []
    for measurement, has_mask in zip(answerer.measurements, answerer.masks, strict=True):
        key = measurement, has_mask
        if key not in done:
            done[key] = prepare(pattern, measurement.grid, measurement.wavelength, options, has_mask=has_mask)
        result.append(done[key])
    return tuple(result)


def _with_radiation(pattern: MeasuredPattern, measurement: Measurement, ask: Ask | None) -> MeasuredPattern:
    """Return a pattern with its positions: a radiation that the file does not say is asked for, or assumed aloud.

    Raises:
        InputError: one column of another length than the network's axis.

    """
    radiation, remarks = pattern.radiation, pattern.remarks
    two_theta = pattern.two_theta
    if pattern.on_grid:
        if len(pattern) != measurement.grid.n_points:
            raise InputError(
                f"{pattern.file}: one column of {len(pattern)} intensities, the network's grid has "
                f"{measurement.grid.n_points} points ({measurement.grid}); add a first column with 2theta"
            )
        check_intensity(pattern.intensity, pattern.file)
        two_theta = measurement.grid.two_theta
        radiation = Radiation((measurement.wavelength,), "the network, whose points the file has")
    elif len(pattern.two_theta) == 0:
        return pattern  # Q, d and s need no wavelength
    if radiation is None and ask is not None:
        radiation = ask(pattern.file, measurement.wavelength)
    if radiation is None:
        radiation = Radiation((measurement.wavelength,), "assumed, the network's own", assumed=True)
        remarks += (
            f"the file does not say its wavelength: taken as {measurement.wavelength:g} Å, the network's own; "
            "if it is another, say so with --wavelength",
        )
    return replace(pattern, two_theta=two_theta, remarks=remarks).at(radiation)


def _answer(
    answerer: Answerer, waiting: Sequence[_Ready | Prediction], options: PredictOptions
) -> Iterator[Prediction]:
    """Yield the predictions of patterns that are ready, and the refusals, in order."""
    ready = [item for item in waiting if isinstance(item, _Ready)]
    answers: Iterator[tuple[list[Candidate], tuple[str, ...]]] = iter(())
    if ready:
        inputs: list[tuple[NDArray[np.float32], NDArray[np.bool_]]] = []
        for number in range(len(answerer.measurements)):
            inputs.append(
                (
                    np.stack([item.prepared[number].values for item in ready]),
                    np.stack([item.prepared[number].mask for item in ready]),
                )
            )
        answers = iter(answerer.answer(inputs, options.prior))
    for item in waiting:
        if isinstance(item, Prediction):
            yield item
            continue
        candidates, unlike = next(answers)
        first = item.prepared[0]
        yield Prediction(
            item.name,
            candidates,
            item.pattern.radiation,
            item.pattern.remarks + first.remarks,
            doubts(first) + unlike,
            measured=item.pattern if options.keep_patterns else None,
            prepared=first if options.keep_patterns else None,
        )

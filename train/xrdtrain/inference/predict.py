"""`xrdtrain predict`: ranked space groups of patterns in files.

# M measured points, P grid points
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xrdcommon import console
from xrdcommon.errors import InputError
from xrdcommon.fixed_sets.fixed_set import FixedSet, is_fixed_set
from xrdcommon.measurement import Measurement

from xrdtrain.inference.candidates import Candidate
from xrdtrain.inference.load import Run, load_run
from xrdtrain.measured.patterns import describe_change, read_pattern

PLOT_SUFFIXES = (".png", ".svg", ".pdf")
MOST_PANELS = 20


@dataclass(frozen=True, slots=True)
class Prediction:
    """Ranked candidates of one pattern.

    Attributes:
        name: file, or set and row.
        two_theta: (M,) degrees.
        intensity: (M,) as measured.
        candidates: the likeliest first.

    """

    name: str
    two_theta: NDArray[np.float64]
    intensity: NDArray[np.float64]
    candidates: list[Candidate]


def predict_files(path: Path, files: Sequence[Path]) -> list[Prediction]:
    """Rank the space groups of every pattern.

    Raises:
        InputError, MissingFileError, FormatError: a run or pattern that cannot be used.

    """
    run = load_run(path)
    predictions = []
    for file in files:
        for name, two_theta, intensity in _patterns(run, file):
            predictions.append(Prediction(name, two_theta, intensity, run.predict(two_theta, intensity, name)))
    return predictions


def _patterns(run: Run, file: Path) -> Iterator[tuple[str, NDArray[np.float64], NDArray[np.float64]]]:
    """Yield name, angles and intensities of the pattern in a file, or of all in a fixed set."""
    if is_fixed_set(file):
        data = FixedSet.open(file)
        theirs = Measurement.of_simulation(data.grid, data.attributes.get("simulation"))
        theirs.require_radiation(str(file), run.measurement, f"the run {run.path}")
        angles = data.grid.two_theta
        for row, label in enumerate(data.ids):
            yield f"{file}:{label}", angles, data.patterns(row, row + 1)[0].astype(np.float64)
        return
    values = read_pattern(file)
    if values.shape[1] == 1:
        if len(values) != run.grid.n_points:
            raise InputError(
                f"{file}: one column of {len(values)} intensities, the network's grid has {run.grid.n_points} points "
                f"({run.grid}); add a first column with 2theta"
            )
        yield str(file), run.grid.two_theta, values[:, 0]
        return
    yield str(file), values[:, 0], values[:, 1]
    change = describe_change(values[:, 0], run.grid)  # once it is known that the pattern can be used
    if change is not None:
        console.say(f"{file}: {change}")


def table(prediction: Prediction, top: int) -> list[str]:
    """Return the lines printed for one pattern."""
    lines = [prediction.name, f"  {'':>2}  {'group':<9} {'symbol':<20} probability"]
    for rank, candidate in enumerate(prediction.candidates[:top], 1):
        share = f"{candidate.probability:.1%}"
        lines.append(f"  {rank:>2}  {candidate.label:<9} {candidate.symbol:<20} {share:>11}")
    return lines


def draw(predictions: Sequence[Prediction], path: Path, top: int) -> None:
    """Draw each pattern beside its candidates.

    Raises:
        InputError: a suffix that cannot be drawn, or too many patterns.

    """
    if path.suffix.lower() not in PLOT_SUFFIXES:
        raise InputError(f"{path}: cannot draw '{path.suffix}'; give one of {', '.join(PLOT_SUFFIXES)}")
    if len(predictions) > MOST_PANELS:
        raise InputError(f"--plot: {len(predictions)} patterns; at most {MOST_PANELS} fit into one figure")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 2.8 * len(predictions)), layout="constrained")
    axes: Any = figure.subplots(len(predictions), 2, squeeze=False, width_ratios=(3, 1))
    for row, item in zip(axes, predictions, strict=True):
        row[0].plot(item.two_theta, item.intensity, linewidth=0.7, color="#1f4e79")
        row[0].set(xlabel="2θ / °", ylabel="intensity", title=Path(item.name).name)
        best = item.candidates[:top][::-1]
        row[1].barh([f"{c.label}  {c.symbol}" for c in best], [c.probability for c in best], color="#c55a11")
        row[1].set(xlim=(0, 1), xlabel="probability")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)

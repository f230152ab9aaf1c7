"""Several runs side by side: the paper's tables 1 and S2 and figure 5 for one's own runs."""

# R runs, E lines of a metrics file.

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from xrdcommon.errors import InputError
from xrdcommon.files import write_bytes

from xrdtrain.report import analysis
from xrdtrain.report.figure import Figure, Key
from xrdtrain.report.gap_figure import gap_figures
from xrdtrain.report.page import LAST_EPOCHS, page_environment, page_parts
from xrdtrain.report.run_folder import RunFolder, read_run
from xrdtrain.report.svg import Chart, extent
from xrdtrain.report.training_figures import column, test_names

MOST: Final = 8
"""Runs that can be told apart in one figure."""


@dataclass(frozen=True, slots=True)
class RunRow:
    """A run as a line of the table.

    Attributes:
        name: of the run.
        model: of the network.
        source: what it was trained on.
        parameters: trained numbers, None where the run does not say.
        samples: diffractograms trained on.
        seconds: of training.
        training: accuracy on the data trained on, mean of the last ten lines.
        tests: by name (n among the classes, top-1, top-5), NaN where it was not measured.

    """

    name: str
    model: str
    source: str
    parameters: int | None
    samples: int | None
    seconds: float | None
    training: float | None
    tests: dict[str, tuple[int, float, float]]


def run_row(run: RunFolder, name: str) -> RunRow:
    """Return what the table says of a run."""
    last = run.metrics[-1] if run.metrics else {}
    recent = column(run.metrics, "top1")[-LAST_EPOCHS:]
    recent = recent[np.isfinite(recent)]
    tests = {}
    for test, evaluation in run.tests.items():
        measures = analysis.measures(evaluation)
        tests[test] = (measures["n"] - measures["n_outside_classes"], measures["top1"], measures["top5"])
    parameters = run.config.get("n_parameters")
    return RunRow(
        name,
        str(run.config.get("model", "network")),
        "fixed set" if run.is_fixed else "synthetic stream",
        parameters if isinstance(parameters, int) else None,
        int(last["samples"]) if "samples" in last else None,
        float(last["seconds"]) if "seconds" in last else None,
        float(recent.mean()) if recent.size else None,
        tests,
    )


def write_comparison(paths: Sequence[Path], out: Path) -> Path:
    """Write one page that compares runs and return where it is.

    Raises:
        MissingFileError, InputError, FormatError: one of them is no run, or a file of it is damaged; too many runs.
        DiskFullError: no space left.

    """
    if len(paths) > MOST:
        raise InputError(f"{len(paths)} runs: at most {MOST} can be told apart in one figure; name fewer")
    runs = [read_run(path) for path in paths]
    names = _names(paths)
    if out.is_dir():
        raise InputError(f"{out}: is a folder; name the HTML file to write")
    environment = page_environment()
    rows = [run_row(run, name) for run, name in zip(runs, names, strict=True)]
    tests = list(dict.fromkeys(test for row in rows for test in row.tests))
    content = environment.get_template("comparison.html").render(
        **page_parts(),
        version=version("xrdstream"),
        title=f"{len(runs)} runs",
        rows=rows,
        tests=tests,
        figures=comparison_figures(runs, names),
        class_lists=len({tuple(run.config.get("classes") or ()) for run in runs}),
    )
    write_bytes(out, content.encode())
    return out


def _names(paths: Sequence[Path]) -> list[str]:
    """Return the shortest ends of the paths that tell the runs apart."""
    parts = [path.resolve().parts for path in paths]
    if len(set(parts)) < len(parts):
        raise InputError("a run is named twice; name every run once")
    depth = 1
    while len({item[-depth:] for item in parts}) < len(parts):
        depth += 1
    return ["/".join(item[-depth:]) for item in parts]


def comparison_figures(runs: Sequence[RunFolder], names: Sequence[str]) -> list[Figure]:
    """Return figure 5 for every test set, the training accuracy, and the top-k curves."""
    figures = []
    tests = list(dict.fromkeys(test for run in runs for test in test_names(run.metrics)))
    quantities: list[tuple[str, tuple[str, ...]]] = [(f"top-1, {test}", ("tests", test, "top1")) for test in tests]
    quantities += [(f"top-5, {test}", ("tests", test, "top5")) for test in tests]
    quantities.append(("top-1 on the data trained on", ("top1",)))
    for number, (label, keys) in enumerate(quantities):
        curves = [(run, column(run.metrics, *keys)) for run in runs]
        if any(np.isfinite(values).any() for _, values in curves):
            figures.append(_curves(f"curve-{number}", label, curves, names))
    shared = [test for test in tests if any(test in run.tests for run in runs)]
    figures += [_top_k(test, runs, names) for test in shared]
    for number, (run, name) in enumerate(zip(runs, names, strict=True)):
        fresh = None if run.is_fixed else run.trained_on
        figures += gap_figures(run.tests, fresh, run=name, anchor=f"-{number}")[0]
    return figures


def _curves(
    name: str, label: str, curves: Sequence[tuple[RunFolder, NDArray[np.float64]]], names: Sequence[str]
) -> Figure:
    """Draw one accuracy of all runs against the diffractograms trained on."""
    samples = [column(run.metrics, "samples") for run, _ in curves]
    chart = Chart(
        extent(samples, log=True),
        (0.0, min(1.0, max(0.1, 1.08 * max(float(np.nanmax(values, initial=0.0)) for _, values in curves)))),
        x_label="diffractograms trained on",
        x_format="short",
        y_format="percent",
        x_log=True,
    )
    keys = []
    for number, (x, (_, values), run_name) in enumerate(zip(samples, curves, names, strict=True)):
        if np.isfinite(values).any():
            chart.line(x, values, f"run-{number}")
            keys.append(Key(f"run-{number}", run_name))
    return Figure(name, label, "(Paper, figure 5.)", chart.svg(f"{label} of all runs"), tuple(keys))


def _top_k(test: str, runs: Sequence[RunFolder], names: Sequence[str]) -> Figure:
    """Draw the accuracy when any of the first k candidates counts."""
    curves = [
        (f"run-{number}", run_name, analysis.top_k_curve(run.tests[test]))
        for number, (run, run_name) in enumerate(zip(runs, names, strict=True))
        if test in run.tests
    ]
    longest = max(len(curve) for _, _, curve in curves)
    chart = Chart((0.5, longest + 0.5), (0.0, 1.0), x_label="k", y_format="percent")
    for style, _, curve in curves:
        chart.line(np.arange(1, len(curve) + 1), curve, style)
    keys = tuple(Key(style, run_name) for style, run_name, _ in curves)
    return Figure(
        f"top-k-{test}",
        f"One of the first k candidates is right, {test}",
        "Over the diffractograms whose space group is a class of the run. (Paper, figure S4.)",
        chart.svg(f"Top-k accuracy of all runs on {test}"),
        keys,
    )

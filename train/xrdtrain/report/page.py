"""Puts the report together: numbers, figures and tables into the template."""

from __future__ import annotations

import csv
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup
from xrdcommon.errors import FormatError, InputError, MissingFileError
from xrdcommon.files import write_bytes
from xrdcommon.fixed_sets.fixed_set import FixedSet
from xrdcommon.grid import Grid
from xrdcommon.unit_cells import UnitCell, read_unit_cells

from xrdtrain.report import analysis, evaluation_figures, measure_figures, tables
from xrdtrain.report.descriptor_figures import descriptor_figures
from xrdtrain.report.examples import Example, choose, examples, skyline
from xrdtrain.report.figure import Figure
from xrdtrain.report.gap_figure import gap_figures
from xrdtrain.report.hardest import LISTED, SHOWN, HardRow, hard_rows, hardest_csv, loss_figure
from xrdtrain.report.run_folder import Evaluation, RunFolder, read_run
from xrdtrain.report.symbols import printed_symbol, typeset
from xrdtrain.report.training_figures import column, training_figures

CELLS_FILE = "cells.json"
"""In a run folder: unit cells of its hardest crystals, by `xrdgen cells`."""

HARDEST_FILE = "hardest.csv"
"""In a run folder: their names."""

LAST_EPOCHS = 10
"""The training accuracy is the mean over this many last epochs (paper, Table 1)."""


@dataclass(slots=True)
class Examples:
    """Example diffractograms, or why there are none."""

    items: list[Example] = field(default_factory=list)
    skyline: Markup | None = None
    note: str = ""
    hard: list[HardRow] = field(default_factory=list)
    hard_synthetic: list[HardRow] = field(default_factory=list)


def duration(seconds: float) -> str:
    """Return a time for people: 40 s, 12 min, 3 h 05 min, 2.5 days."""
    minutes = seconds / 60
    if seconds < 90:
        return f"{seconds:.0f} s"
    if minutes < 90:
        return f"{minutes:.0f} min"
    if minutes < 48 * 60:
        return f"{int(minutes // 60)} h {int(minutes % 60):02d} min"
    return f"{minutes / 1440:.1f} days"


def flatten(settings: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Return nested settings as (dotted name, text) pairs; long lists are counted."""
    rows: list[tuple[str, str]] = []
    for key, value in settings.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict) and value:
            rows += flatten(value, f"{name}.")
        elif isinstance(value, list) and len(value) > 12:
            rows.append((name, f"{len(value)} values: {value[0]} … {value[-1]}"))
        elif isinstance(value, list):
            rows.append((name, " ".join(map(str, value))))
        else:
            rows.append((name, "–" if value is None else str(value)))
    return rows


def _facts(run: RunFolder) -> list[tuple[str, str]]:
    """Return what the run is, as far as its folder tells."""
    config, last = run.config, run.metrics[-1] if run.metrics else {}
    facts: list[tuple[str, str]] = []
    if "model" in config:
        facts.append(("Model", str(config["model"])))
    if isinstance(config.get("n_parameters"), int):
        facts.append(("Parameters", f"{config['n_parameters']:,}"))
    if "samples" in last:
        unique = "" if run.is_fixed else "unique "
        facts.append(("Trained on", f"{int(last['samples']):,} {unique}diffractograms"))
    if "seconds" in last:
        facts.append(("Training time", duration(float(last["seconds"]))))
    if isinstance(config.get("classes"), list):
        facts.append(("Classes", f"{len(config['classes'])} space groups"))
    if isinstance(config.get("grid"), dict):
        try:
            grid = Grid.from_dict(config["grid"])
        except (KeyError, TypeError, ValueError) as error:
            raise FormatError(f"{run.path / 'config.json'}: unreadable grid ({error})") from error
        facts.append(("Grid", f"{grid}, {grid.n_points} points"))
    if "source" in config:
        facts.append(("Fixed set" if run.is_fixed else "Spool", str(config["source"])))
    names = {"batch": "Batch", "learning_rate": "Learning rate", "precision": "Precision", "seed": "Seed"}
    names |= {"init_from": "Weights from", "created": "Started", "version": "Version of xrdstream"}
    facts += [(name, str(config[key])) for key, name in names.items() if config.get(key) not in (None, "")]
    return facts


def _evaluated_set(run: RunFolder, test: Evaluation) -> FixedSet | str:
    """Return the evaluated set, if it is still there and still the same, else why not."""
    tests = run.config.get("tests")
    place = tests.get(test.name) if isinstance(tests, dict) else None
    path = place.get("path") if isinstance(place, dict) else place
    if not isinstance(path, str):
        return f"The run does not record where the set {test.name} is."
    try:
        fixed_set = FixedSet.open(Path(path))
    except (MissingFileError, FormatError) as error:
        return f"No examples: {error}"
    if len(fixed_set) != len(test.labels) or (test.ids is not None and fixed_set.ids != test.ids):
        return f"{path} has changed since the evaluation: evaluate again to see examples."
    return fixed_set


def unit_cells_of(run: RunFolder) -> dict[str, UnitCell]:
    """Return the unit cells that `xrdgen cells` has written for a run; none where there is no such file.

    Raises:
        FormatError: it cannot be read.

    """
    place = run.path / CELLS_FILE
    return read_unit_cells(place) if place.exists() else {}


def _examples(run: RunFolder, test: Evaluation, trained_on: Evaluation | None) -> Examples:
    """Read example diffractograms and the hardest ones from the evaluated set."""
    fixed_set = _evaluated_set(run, test)
    cells = unit_cells_of(run)
    synthetic = [] if trained_on is None or run.is_fixed else hard_rows(trained_on, LISTED, drawn=SHOWN, cells=cells)
    if isinstance(fixed_set, str):
        hard = hard_rows(test, LISTED, drawn=SHOWN, cells=cells)
        return Examples(note=fixed_set, hard=hard, hard_synthetic=synthetic)
    if "randomised" in fixed_set.attributes:  # the table has the crystals as they were before
        cells = {}
    try:
        shown = examples(test, fixed_set, choose(test))
        patterns = fixed_set.take([int(np.argmax(test.samples["volume"]))])
        hard = hard_rows(test, LISTED, fixed_set, drawn=SHOWN, cells=cells)
    except FormatError as error:
        hard = hard_rows(test, LISTED, drawn=SHOWN, cells=cells)
        return Examples(note=f"No examples: {error}", hard=hard, hard_synthetic=synthetic)
    return Examples(shown, skyline(patterns[0].astype(np.float64)), hard=hard, hard_synthetic=synthetic)


def _primary(run: RunFolder, name: str | None) -> Evaluation | None:
    """Return the test set shown in detail: the one asked for, else the first of the run."""
    if name is not None:
        if name not in run.tests:
            known = ", ".join(run.tests) or "none"
            raise InputError(f"{run.path}: no evaluation of a test set {name!r}; there are: {known}")
        return run.tests[name]
    tests = run.config.get("tests")
    order = list(tests) if isinstance(tests, dict) else []
    names = sorted(run.tests, key=lambda item: (order.index(item) if item in order else len(order), item))
    return run.tests[names[0]] if names else None


def _standard_error(value: float | None, n: int) -> str:
    """Return the standard error of a fraction in percentage points."""
    return "" if value is None or not np.isfinite(value) or n < 1 else f"± {100 * (value * (1 - value) / n) ** 0.5:.1f}"


def page_environment() -> jinja2.Environment:
    """Return the templates with their filters."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("xrdtrain", "report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(percent=evaluation_figures.percent, symbol=printed_symbol, hm=typeset, duration=duration)
    return environment


def page_parts() -> dict[str, Any]:
    """Return what every page holds: style, script, and the rows of the paper's tables 1 and S2."""
    folder = Path(__file__).parent
    with (folder / "paper_rows.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    # part of the package, so no text from outside
    css, script = (Markup((folder / name).read_text(encoding="utf-8")) for name in ("report.css", "report.js"))
    return {"css": css, "script": script, "paper_rows": rows}


def render(run: RunFolder, test_name: str | None = None) -> str:
    """Return the report of a run as one HTML page.

    Args:
        run: as read by `run_folder.read_run`.
        test_name: test set to show in detail, the first one by default.

    Raises:
        InputError: there is no evaluation of that test set.
        FormatError: the configuration cannot be read.

    """
    test, trained_on = _primary(run, test_name), run.trained_on
    tests = list(run.tests.values())
    if test is not None:
        tests.sort(key=lambda item: item is not test)
    recent = column(run.metrics, "top1")[-LAST_EPOCHS:]
    recent = recent[np.isfinite(recent)]
    detail: dict[str, Any] = {}
    if test is not None:
        distributions, errors = descriptor_figures(test, trained_on)
        kinds = tables.error_kinds(test)
        gaps, gap_notes = gap_figures(run.tests, None if run.is_fixed else trained_on)
        detail = {
            "gaps": gaps,
            "gap_notes": gap_notes,
            "figures": _evaluation_figures(test, tests, trained_on),
            "distributions": distributions,
            "errors": errors,
            "confusions": tables.confusion_rows(test),
            "kinds": [(kind, times, times / max(1, sum(n for _, n in kinds))) for kind, times in kinds],
            "groups": tables.group_rows(test, trained_on),
            "guesses": analysis.guesses_of_five(test),
            "systems": tables.system_rows(test, trained_on),
            "examples": _examples(run, test, trained_on),
            "shown": SHOWN,
            "loss_figure": loss_figure(test, trained_on),
            "hardest_file": run.path / HARDEST_FILE,
            "cells_file": run.path / CELLS_FILE,
        }
    return (
        page_environment()
        .get_template("report.html")
        .render(
            **page_parts(),
            name=run.path.resolve().name,
            folder=str(run.path),
            version=version("xrdstream"),
            model=str(run.config.get("model", "network")),
            parameters=run.config.get("n_parameters"),
            facts=_facts(run),
            settings=flatten(run.config),
            last=run.metrics[-1] if run.metrics else {},
            training=training_figures(run.metrics, fixed=run.is_fixed) if run.metrics else [],
            training_accuracy=float(recent.mean()) if recent.size else None,
            test=test,
            sets=[
                (item.name, analysis.measures(item)) for item in [*tests, *([] if trained_on is None else [trained_on])]
            ],
            trained_on=trained_on,
            fixed=run.is_fixed,
            standard_error=_standard_error,
            detail=detail,
        )
    )


def _evaluation_figures(test: Evaluation, tests: list[Evaluation], synthetic: Evaluation | None) -> dict[str, Figure]:
    """Return the figures of the evaluation by name."""
    measures = analysis.measures(test)
    other = None if synthetic is None else (synthetic.name, analysis.measures(synthetic))
    figures = [
        evaluation_figures.top_k(tests, synthetic),
        evaluation_figures.calibration(test, measures["calibration"]),
        measure_figures.families(test.name, measures),
        measure_figures.extinction(test.name, measures),
        measure_figures.subgroup_distance(test.name, measures, other),
        measure_figures.system_accuracy(test, synthetic),
        measure_figures.recall_by_frequency(test, synthetic),
        evaluation_figures.recall(test, synthetic),
        evaluation_figures.confusion_matrix(test),
        evaluation_figures.system_matrix(test),
        evaluation_figures.distribution(test),
    ]
    return {figure.name: figure for figure in figures if figure is not None}


def write_report(run_path: Path, out: Path | None = None, test_name: str | None = None) -> Path:
    """Write the report of a run and return where it is (`RUN/report.html` by default).

    RUN/hardest.csv names the crystals that are hardest; RUN/cells.json, where it is there, is drawn. With `out` nothing
    is written into the run, which may be somebody else's.

    Raises:
        MissingFileError: there is no such folder.
        InputError: the folder is no run, or has no evaluation of the test set asked for; `out` is not a name for HTML.
        FormatError: one of its files is damaged.
        DiskFullError: no space left.

    """
    path = out if out is not None else run_path / "report.html"
    if path.is_dir():
        raise InputError(f"{path}: is a folder; name the HTML file to write")
    if path.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"{path}: a report is written as HTML; choose a name that ends in .html")
    run = read_run(run_path)
    content = render(run, test_name)
    sets = [item for item in (_primary(run, test_name), None if run.is_fixed else run.trained_on) if item is not None]
    if sets and out is None:
        write_bytes(run_path / HARDEST_FILE, hardest_csv(sets, SHOWN).encode())
    write_bytes(path, content.encode())
    return path

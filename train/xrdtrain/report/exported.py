"""A report on a network that is one file: it is measured first, in a folder that lasts as long as the report."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path

from xrdcommon.files import write_json

from xrdtrain.evaluation.evaluate import evaluate_run
from xrdtrain.evaluation.fixed_test_sets import EMBEDDED_NAME, embedded_path
from xrdtrain.inference.bundle import EMBEDDED, is_bundle, read_bundle


@contextmanager
def run_folders(places: Sequence[str]) -> Iterator[list[Path]]:
    """Give the run folders of networks; exported ones are measured on the embedded real structures.

    Raises:
        MissingFileError, FormatError: no such network.
        InputError: the network cannot read the embedded structures.

    """
    with ExitStack() as stack:
        yield [_measured(place, stack) if is_bundle(place) else Path(place) for place in places]


def report_name(place: str) -> str:
    """Return what the report of an exported network is called: pure.html for embedded:pure."""
    return f"{Path(place.removeprefix(EMBEDDED)).stem}.html"


def _measured(place: str, stack: ExitStack) -> Path:
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="xrdtrain-"))) / Path(report_name(place)).stem
    (folder / "evaluation").mkdir(parents=True)
    tests = {EMBEDDED_NAME: str(embedded_path())}
    write_json(folder / "config.json", {**asdict(read_bundle(place).config), "tests": tests})
    evaluate_run(Path(place), [f"{name}={path}" for name, path in tests.items()], write_to=folder)
    return folder

"""Networks by name: run folders, and those that come with the package."""

from __future__ import annotations

from pathlib import Path

from xrdcommon.errors import InputError

from xrdtrain.inference.bundle import is_bundle
from xrdtrain.inference.load import Run, load_run
from xrdtrain.runs.config import FILE as CONFIG

DEFAULT = "embedded:measured"
"""The network for measured patterns, taken where no run is named."""


def names_network(text: str) -> bool:
    """Return whether an argument names a network rather than a pattern."""
    return is_bundle(text) or (Path(text) / CONFIG).is_file()


def open_network(text: str) -> Run:
    """Load a network.

    Raises:
        MissingFileError: no such run, or no such network in the package.
        InputError, FormatError: not a network, or a damaged one.

    """
    return load_run(text)


def caveats(name: str, run: Run) -> list[str]:
    """Return what a person should know who takes a network without having chosen it.

    Args:
        name: by which it was opened.
        run: the network.

    Returns:
        Lines: what it learned from, then what its card says it cannot do (`limits`, a list of texts), if it has one.

    """
    known = len(run.classes)
    lines = [
        f"answers are those of {name}: trained on synthetic patterns, {run.grid}, {run.measurement.wavelength:g} Å, "
        f"and {known} of the 230 space groups; patterns of any instrument are brought onto that axis",
    ]
    limits = (run.card or {}).get("limits")
    if isinstance(limits, list) and limits and all(isinstance(text, str) for text in limits):
        return lines + [" ".join(text.split()) for text in limits]
    return [
        *lines,
        "it takes every pattern for one crystalline phase of a known group, and cannot tell groups of one extinction "
        "symbol apart by absences: look at several candidates, and check them by indexing or refinement",
    ]


def split_arguments(arguments: list[str]) -> tuple[list[str], list[Path]]:
    """Part arguments into networks, which come first, and patterns; without a network the default one.

    Raises:
        InputError: no pattern.

    """
    networks = []
    for text in arguments:
        if not names_network(text):
            break
        networks.append(text)
    patterns = [Path(text) for text in arguments[len(networks) :]]
    if not patterns:
        raise InputError("no pattern given; name files or folders: xrdtrain predict [RUN...] FILE|FOLDER...")
    return networks or [DEFAULT], patterns

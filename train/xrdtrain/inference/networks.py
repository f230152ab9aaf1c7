"""Networks by name: run folders, and those that come with the package."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from xrdcommon.errors import InputError, MissingFileError

from xrdtrain.inference.load import Run, load_run
from xrdtrain.runs.config import FILE as CONFIG

EMBEDDED = "embedded:"
DEFAULT = "embedded:measured"
"""The network for measured patterns, taken where no run is named."""


def names_network(text: str) -> bool:
    """Return whether an argument names a network rather than a pattern."""
    return text.startswith(EMBEDDED) or (Path(text) / CONFIG).is_file()


def open_network(text: str) -> Run:
    """Load a network.

    Raises:
        MissingFileError: no such run, or no such network in the package.
        InputError, FormatError: not a network, or a damaged one.

    """
    if not text.startswith(EMBEDDED):
        return load_run(Path(text))
    name = text.removeprefix(EMBEDDED)
    place = Path(str(files("xrdtrain") / "embedded" / name))
    if "/" in name or not (place / CONFIG).is_file():
        raise MissingFileError(
            f"{text}: this package comes without that network; name a run folder of `xrdtrain fit` instead: "
            "xrdtrain predict RUN FILE..."
        )
    return load_run(place)


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

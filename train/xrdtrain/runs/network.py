"""network.json of a run folder: the network as it was when the training began; written once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from xrdcommon.errors import FormatError
from xrdcommon.files import read_json, write_json
from xrdcommon.grid import Grid
from xrdcommon.measurement import Measurement

from xrdtrain.inputs.spec import InputSpec, Transform
from xrdtrain.models.spec import FILE, NetworkSpec, architecture_from_dict
from xrdtrain.runs.config import FILE as CONFIG


def save_network(run: Path, spec: NetworkSpec, *, begins: bool) -> None:
    """Write RUN/network.json when a run begins, or where there is none; one that goes on keeps what it began with."""
    if begins or not (run / FILE).exists():
        write_json(run / FILE, spec.to_dict())


def read_network(run: Path) -> NetworkSpec:
    """Return the network of a run; that of version 0.1.0, which had no network.json, from its configuration.

    Raises:
        FormatError: damaged, or of another version.

    """
    if (run / FILE).is_file():
        return NetworkSpec.from_dict(read_json(run / FILE), str(run / FILE))
    return _of_earlier_version(read_json(run / CONFIG), run)


def _of_earlier_version(config: dict[str, Any], run: Path) -> NetworkSpec:
    """Read the network out of the preset that version 0.1.0 kept in config.json; its axis was the source's grid."""
    try:
        preset = config["preset"]
        measurement = Measurement.of_simulation(Grid.from_dict(config["grid"]), config["physics"])
        transform = Transform.SQUARE_ROOT if preset["square_root"] else Transform.NONE
        return NetworkSpec(
            architecture_from_dict(preset["network"]),
            InputSpec(measurement, transform=transform),
            tuple(int(number) for number in config["classes"]),
            bool(config["dropout"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise FormatError(f"{run}: no {FILE}, and {CONFIG} does not describe the network either ({error})") from error

"""What a run was asked to do: config.json, written once, compared when the run goes on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Final

from xrdcommon.errors import FormatError, InputError, MissingFileError
from xrdcommon.files import read_json, write_json
from xrdcommon.grid import Grid
from xrdcommon.measurement import Measurement

from xrdtrain.models.presets import Recipe

FORMAT: Final = 1
FILE: Final = "config.json"


@dataclass(frozen=True, slots=True)
class RunConfig:
    """Settings of a run, all resolved.

    Attributes:
        model: name of the preset.
        source: folder of the spool or fixed set, absolute.
        origin: what identifies its contents.
        grid: 2theta grid of the source.
        classes: space groups, rising.
        wavelength: of the source, Å.
        batch: samples of one step over all processes.
        learning_rate: initial or largest learning rate.
        seed: of the weights, and of the order in a fixed set.
        samples: target, None where only the time is limited.
        max_time: limit of the time spent training, seconds, over all starts; None without one.
        eval_every: samples between two records of metrics.
        checkpoint_every: samples between two checkpoints.
        precision: bf16 or fp32.
        tests: name to absolute path of the test sets.
        init_from: run whose weights came first, None for fresh ones.
        dropout: park networks on fixed real data.
        n_parameters: trained numbers of the network.
        run_id: name of this training in the spool.
        recipe: how the network is trained (see `models.presets.Recipe`), but for what the settings above say.
        created: time of the first start, ISO 8601.
        version: of xrdstream.
        on_crash: what becomes of rows used behind the last checkpoint (see `data.progress`).

    """

    model: str
    source: str
    origin: dict[str, Any]
    grid: dict[str, float]
    classes: list[int]
    wavelength: float
    batch: int
    learning_rate: float
    seed: int
    samples: int | None
    max_time: float | None
    eval_every: int
    checkpoint_every: int
    precision: str
    tests: dict[str, str]
    init_from: str | None
    dropout: bool
    n_parameters: int
    run_id: str
    recipe: dict[str, Any] = field(default_factory=dict)
    created: str = ""
    version: str = ""
    on_crash: str = "replay"

    def save(self, run: Path) -> None:
        """Write RUN/config.json."""
        write_json(run / FILE, {"format": FORMAT, **asdict(self)})

    @property
    def measurement(self) -> Measurement:
        """Grid and wavelength of the source."""
        return Measurement(Grid.from_dict(self.grid), self.wavelength)


FIXED_AT_START = ("model", "origin", "grid", "wavelength", "classes", "batch", "learning_rate", "seed", "init_from")
"""What cannot change when a run goes on; limits, test sets and precision may, and the learning rate may be lowered."""

_ADDED = {"on_crash"}
"""Settings with a default that earlier versions did not write."""


def check_same(run: Path, before: RunConfig, now: RunConfig) -> None:
    """Refuse to go on with another configuration.

    Raises:
        InputError: names what differs.

    """
    differing = [
        name
        for name in FIXED_AT_START
        if getattr(before, name) != getattr(now, name)
        and not (name == "learning_rate" and now.learning_rate < before.learning_rate)
    ]
    if differing:
        details = "; ".join(
            text for name in differing for text in _differences(name, getattr(before, name), getattr(now, name))
        )
        raise InputError(f"{run}: the run was started otherwise ({details}); take another --run or the same options")


def _of_this_version(content: dict[str, Any], path: Path) -> dict[str, Any]:
    """Name the settings of version 0.1.0, which kept the simulation's settings and the whole preset, as they are now.

    Raises:
        FormatError: they are not what that version wrote.

    """
    content = dict(content)
    try:
        if "physics" in content:
            simulation, grid = content.pop("physics"), Grid.from_dict(content["grid"])
            content.setdefault("wavelength", Measurement.of_simulation(grid, simulation).wavelength)
        if "preset" in content:
            content.setdefault("recipe", Recipe.from_dict(content.pop("preset"), str(path)).to_dict())
    except (KeyError, TypeError, AttributeError) as error:
        raise FormatError(f"{path}: {error} is missing or not what it should be; the file was changed") from error
    return content


def _differences(name: str, before: Any, now: Any) -> list[str]:
    """Say how a setting differs; of one with parts, which."""
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        return [
            f"{name.replace('_', ' ')} {key} was {_brief(before.get(key))}, now {_brief(now.get(key))}"
            for key in {**before, **now}
            if before.get(key) != now.get(key)
        ]
    return [f"{name} was {_brief(before)}, now {_brief(now)}"]


def _brief(value: Any) -> str:
    """Shorten a value for a message."""
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= 60 else text[:57] + "..."


def read_config(run: Path) -> RunConfig:
    """Read RUN/config.json.

    Raises:
        MissingFileError: no such run.
        InputError: a folder, but not a run.
        FormatError: written by another version.

    """
    if not run.exists():
        raise MissingFileError(f"{run}: no such run; `xrdtrain fit --run {run}` makes one")
    if not (run / FILE).is_file():
        raise InputError(f"{run}: not a run folder (no {FILE}); name one that `xrdtrain fit` made")
    content = read_json(run / FILE)
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        found = content.get("format") if isinstance(content, dict) else None
        raise FormatError(f"{run / FILE}: run of format {found}, this version reads {FORMAT}")
    content = _of_this_version(content, run / FILE)
    names = {item.name for item in fields(RunConfig)}
    missing = sorted(names - content.keys() - _ADDED)
    if missing:
        raise FormatError(f"{run / FILE}: '{missing[0]}' is missing; the file was changed")
    return RunConfig(**{name: content[name] for name in names & content.keys()})

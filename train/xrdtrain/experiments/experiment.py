"""An experiment file: values, steps that prepare, arms that train, and the table it ends with.

    title = "..."                       one line
    about = "..."                       what it shows, and what in the paper it repeats
    paper = "table 1"                   where, optional

    [values]                            used as {name} below ({name?}: may be empty); --set NAME=VALUE changes them
    structures = "embedded:amcsd"
    [scaled]                            numbers that --scale multiplies, and the least they may become
    samples = { value = 600_000, least = 2_560 }

    [[step]]                            a command with a file as its target, run in the folder of the study
    name = "split"
    run = "xrdgen structures split table.parquet --by structure-type --out split"
    makes = "split/test.parquet"
    when = "structures"                 optional: only if this value is not empty

    [[arm]]                             trainings, one a seed
    name = "synthetic"
    label = "synthetic crystals"        optional, for tables
    source = "train.zarr"               a fixed set; without it, a spool of its own ...
    produce = "--statistics s.npz"      ... that `xrdgen produce` fills with these options
    fit = "--model {model} --samples {samples}"
    tests = ["amcsd=test.zarr"]         "more? NAME=PATH": only if the value `more` is not empty
    measured = ["rruff? rruff={rruff}"] optional: sets of measured patterns, for `xrdtrain evaluate` after the training
    evaluate = "--background none"      optional: options of that command
    seeds = [0, 1, 2]                   optional, default [0]
    when = "structures"                 optional

    [published]                         optional: figures of the paper beside those of the arms, top-1 in percent: of
    synthetic = { amcsd = 79.9, fresh = 92.2 }    test sets by name, and on the data trained on (fresh)

An unknown key is refused with the nearest known one, a value that no one gave is named.
"""

from __future__ import annotations

import difflib
import re
import shlex
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from importlib import resources
from pathlib import Path
from typing import Any

from xrdcommon.errors import FormatError, InputError, MissingFileError

SUFFIX = ".toml"
FRESH = "fresh"
"""What `published` calls the accuracy on the data trained on."""
_NAME = re.compile(r"[a-z0-9][a-z0-9-]*")
_PLACE = re.compile(r"\{([a-z0-9_]+)(\??)\}")


@dataclass(frozen=True, slots=True)
class Step:
    """A command that makes one file.

    Attributes:
        name: of the step.
        run: the command, with places for values.
        makes: its target, below the folder of the study.
        when: value that must not be empty for it to run; None: it always runs.

    """

    name: str
    run: str
    makes: str
    when: str | None = None


@dataclass(frozen=True, slots=True)
class Arm:
    """Trainings that differ in their seed alone.

    Attributes:
        name: of the arm.
        fit: options of `xrdtrain fit`.
        tests: NAME=PATH of the test sets.
        measured: NAME=PATH of sets of measured patterns.
        evaluate: options of `xrdtrain evaluate` on these.
        label: for tables.
        source: a fixed set; None: a spool of the arm's own.
        produce: options of `xrdgen produce` for that spool.
        seeds: of the trainings.
        when: value that must not be empty for it to run.

    """

    name: str
    fit: str
    tests: tuple[str, ...]
    measured: tuple[str, ...] = ()
    evaluate: str = ""
    label: str = ""
    source: str | None = None
    produce: str | None = None
    seeds: tuple[int, ...] = (0,)
    when: str | None = None

    @property
    def test_names(self) -> list[str]:
        """Names of all its test sets, also of those whose condition may not hold."""
        return [test.rpartition("?")[2].partition("=")[0].strip() for test in (*self.tests, *self.measured)]


@dataclass(frozen=True, slots=True)
class Scaled:
    """A number that --scale multiplies."""

    value: int
    least: int = 1


@dataclass(frozen=True, slots=True)
class Experiment:
    """A whole experiment; the fields are those of the file (see the module)."""

    name: str
    title: str
    about: str
    paper: str = ""
    values: Mapping[str, str] = field(default_factory=dict)
    scaled: Mapping[str, Scaled] = field(default_factory=dict)
    step: tuple[Step, ...] = ()
    arm: tuple[Arm, ...] = ()
    published: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def with_seeds(self, n: int | None) -> Experiment:
        """Return the experiment with the first n seeds of every arm; None: all."""
        return self if n is None else replace(self, arm=tuple(replace(arm, seeds=arm.seeds[:n]) for arm in self.arm))

    def resolve(self, changes: Mapping[str, str], scale: float) -> dict[str, str]:
        """Return all values as text, with the user's changes and scaled numbers.

        Raises:
            InputError: a value that the experiment does not have, or a scale that is not positive.

        """
        if not 0.0 < scale < float("inf"):
            raise InputError(f"--scale {scale}: must be positive and finite")
        known = [*self.values, *self.scaled]
        for name in changes:
            if name not in known:
                raise InputError(f"--set {name}: {self.name} has no such value{_nearest(name, known)}")
        numbers = {name: str(max(item.least, round(item.value * scale))) for name, item in self.scaled.items()}
        return {**self.values, **numbers, **changes}


def fill(text: str, values: Mapping[str, str], where: str) -> str:
    """Put values into the places of a text: {name}, or {name?} where the value may be empty.

    Raises:
        FormatError: a place without a value, or with an empty one.

    """

    def value(match: re.Match[str]) -> str:
        name = match[1]
        if name not in values:
            raise FormatError(f"{where}: {{{name}}} is no value of the experiment{_nearest(name, values)}")
        if not values[name] and not match[2]:
            raise InputError(f"{where}: needs {name}; give it with --set {name}=...")
        return shlex.quote(values[name]) if Path(values[name]).is_absolute() else values[name]

    return _PLACE.sub(value, text)


def shipped() -> dict[str, Path]:
    """Return the experiments that come with the package, by name."""
    folder = Path(str(resources.files(__package__)))
    return {path.stem: path for path in sorted(folder.glob(f"*{SUFFIX}"), key=lambda path: path.stem)}


def load(name: str) -> Experiment:
    """Read an experiment by its name or from a file.

    Raises:
        MissingFileError: no such file.
        InputError: no shipped experiment of this name.
        FormatError: the file is no experiment.

    """
    if name.endswith(SUFFIX) or "/" in name:
        path = Path(name)
        if not path.is_file():
            raise MissingFileError(f"{path}: no such experiment file; `xrdtrain study --list` names those shipped")
    else:
        known = shipped()
        if name not in known:
            raise InputError(
                f"study '{name}': not known{_nearest(name, known)}; there are {', '.join(known)} (or a {SUFFIX} file)"
            )
        path = known[name]
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise FormatError(f"{path}: not TOML ({error})") from error
    return parse(path.stem, content, str(path))


def parse(name: str, content: Mapping[str, Any], where: str) -> Experiment:
    """Check what a file says.

    Raises:
        FormatError: unknown or missing keys, wrong types, names that are used twice.

    """
    _check_keys(content, Experiment, where, also_missing=("name",))
    for key in ("title", "about", "paper"):
        if not isinstance(content.get(key, ""), str):
            raise FormatError(f"{where}: {key} must be text")
    for key in ("values", "scaled", "published"):
        if not isinstance(content.get(key, {}), dict):
            raise FormatError(f"{where}: [{key}] must be a table")
    values = {key: _text(value, f"{where}: [values] {key}") for key, value in content.get("values", {}).items()}
    scaled = {key: _scaled(value, f"{where}: [scaled] {key}") for key, value in content.get("scaled", {}).items()}
    steps = tuple(_item(Step, item, f"{where}: [[step]] {number}") for number, item in _tables(content, "step", where))
    arms = tuple(_item(Arm, item, f"{where}: [[arm]] {number}") for number, item in _tables(content, "arm", where))
    if not arms:
        raise FormatError(f"{where}: no [[arm]]; an experiment trains at least one network")
    _unique([step.name for step in steps] + [arm.name for arm in arms], where)
    for item in (*steps, *arms):
        if item.when is not None and item.when not in values:
            raise FormatError(f"{where}: {item.name}: when = '{item.when}' is no value{_nearest(item.when, values)}")
    for arm in arms:
        if (arm.source is None) == (arm.produce is None):
            raise FormatError(f"{where}: arm {arm.name} needs either source (a fixed set) or produce (a spool)")
    published = _published(content.get("published", {}), arms, f"{where}: [published]")
    return Experiment(
        name, content["title"], content["about"], content.get("paper", ""), values, scaled, steps, arms, published
    )


def _published(content: Mapping[str, Any], arms: Sequence[Arm], where: str) -> dict[str, dict[str, float]]:
    """Return the figures of the paper by arm and test set; a number alone is that of every test set.

    Raises:
        FormatError: an arm or test set that there is not, or no number.

    """
    by_name = {arm.name: arm for arm in arms}
    found: dict[str, dict[str, float]] = {}
    for name, figures in content.items():
        if name not in by_name:
            raise FormatError(f"{where} {name} is no arm{_nearest(name, by_name)}")
        tests = by_name[name].test_names
        given = figures if isinstance(figures, dict) else dict.fromkeys(tests, figures)
        for test in given:
            if test not in (*tests, FRESH):
                raise FormatError(f"{where} {name}: {test} is no test set of the arm{_nearest(test, (*tests, FRESH))}")
        found[name] = {test: _number(value, f"{where} {name} {test}") for test, value in given.items()}
    return found


def _nearest(name: str, known: Iterable[str]) -> str:
    """Return '; did you mean ...?' where something known is near."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {close[0]}?" if close else ""


def _check_keys(content: Mapping[str, Any], kind: type[Any], where: str, also_missing: tuple[str, ...] = ()) -> None:
    """Refuse unknown keys and name missing ones."""
    known = {item.name: item for item in fields(kind) if item.name not in also_missing}
    for key in content:
        if key not in known:
            raise FormatError(f"{where}: unknown key '{key}'{_nearest(key, known)}; known: {', '.join(known)}")
    required = [name for name, item in known.items() if item.default is _MISSING and item.default_factory is _MISSING]
    for name in required:
        if name not in content:
            raise FormatError(f"{where}: '{name}' is missing")


_MISSING = fields(Scaled)[0].default


def _tables(content: Mapping[str, Any], key: str, where: str) -> list[tuple[int, Mapping[str, Any]]]:
    """Return the tables of an array of tables, numbered from 1."""
    items = content.get(key, [])
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise FormatError(f"{where}: {key} must be written as [[{key}]]")
    return list(enumerate(items, 1))


def _item(kind: type[Any], content: Mapping[str, Any], where: str) -> Any:
    """Make a step or an arm."""
    _check_keys(content, kind, where)
    made: dict[str, Any] = {}
    for key, value in content.items():
        if key in ("tests", "measured"):
            if not isinstance(value, list):
                raise FormatError(f"{where}: {key} must be a list of NAME=PATH")
            made[key] = tuple(_text(item, f"{where}: {key}") for item in value)
        elif key == "seeds":
            if not isinstance(value, list) or not value or not all(type(seed) is int and seed >= 0 for seed in value):
                raise FormatError(f"{where}: seeds must be a list of whole numbers from 0")
            made[key] = tuple(value)
        elif not isinstance(value, str):
            raise FormatError(f"{where}: {key} must be text")
        else:
            made[key] = value
    if not _NAME.fullmatch(made["name"]):
        raise FormatError(f"{where}: name '{made['name']}' must be small letters, digits and hyphens")
    return kind(**made)


def _scaled(value: Any, where: str) -> Scaled:
    """Make a number that is scaled."""
    if type(value) is int:
        return Scaled(value)
    if not isinstance(value, dict):
        raise FormatError(f"{where}: must be a whole number or {{ value = N, least = M }}")
    _check_keys(value, Scaled, where)
    if not all(type(item) is int and item > 0 for item in value.values()):
        raise FormatError(f"{where}: value and least must be positive whole numbers")
    return Scaled(**value)


def _text(value: Any, where: str) -> str:
    """Return text; numbers are written out."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise FormatError(f"{where}: must be text or a number")
    return str(value)


def _number(value: Any, where: str) -> float:
    """Return a number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise FormatError(f"{where}: must be a number")
    return float(value)


def _unique(names: list[str], where: str) -> None:
    """Refuse names that are used twice."""
    for name in names:
        if names.count(name) > 1:
            raise FormatError(f"{where}: the name {name} is used twice")

"""Options of a command in one place: a dataclass beside its owner, which the command line, a file and Python all fill.

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Options:
        samples: int | None = option("Stop when there are so many.")

`xrdcommon.commands.filled_by(Options)` makes a command of it, `from_file` reads it from TOML, and Python calls it.
"""

from __future__ import annotations

import dataclasses
import difflib
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from xrdcommon.errors import FormatError, InputError, MissingFileError

T = TypeVar("T")


@dataclasses.dataclass(frozen=True, slots=True)
class Option:
    """What a field of options says of itself.

    Attributes:
        name: of the option, without hyphens in front.
        type: of what is given: a tuple for an option that may be repeated, text for one with a reader of its own; None
            stands for an option that was not given.
        default: of the field.
        help: for the person at the terminal.
        names: of the option on a command line; `--name` unless others were given.
        values: what it may be, as help shows it, for example "fast|reference"; None shows the type.
        read: makes the field's value of the text that is given; None: what is given is the value.

    """

    name: str
    type: type
    default: Any
    help: str
    names: tuple[str, ...]
    values: str | None = None
    read: Callable[[str], Any] | None = None

    def value(self, given: Any) -> Any:
        """Return the field's value of what was given on a command line or in a file.

        Raises:
            InputError: the option's own reader refuses it.

        """
        if self.read is not None:
            return self.read(given)
        return tuple(given) if self.type is tuple else given


def option(
    help: str,
    *names: str,
    default: Any = None,
    values: str | None = None,
    read: Callable[[str], Any] | None = None,
) -> Any:
    """Return a field of a dataclass of options.

    Args:
        help: for the person at the terminal.
        names: of the option on a command line, such as `--time`, where they are not the field's.
        default: of the field; None where a later stage decides.
        values: what the option may be, as help shows it.
        read: makes the value of a text, for types other than int, float, bool, str, Path and tuple[str, ...].

    """
    return dataclasses.field(default=default, metadata={"help": help, "names": names, "values": values, "read": read})


def options_of(kind: type[Any]) -> list[Option]:
    """Return the options of a dataclass, in its order."""
    hints = get_type_hints(kind)
    return [
        Option(
            _name(field),
            str if field.metadata["read"] else _plain(hints[field.name]),
            field.default,
            field.metadata["help"],
            field.metadata["names"] or ("--" + _name(field),),
            field.metadata["values"],
            field.metadata["read"],
        )
        for field in dataclasses.fields(kind)
        if "help" in field.metadata
    ]


def arguments(options: Any) -> list[str]:
    """Return what a command line must say to give the same options: those that differ from their defaults.

    Only for options without a reader of their own, which cannot be written back.
    """
    found = []
    for one, field in zip(options_of(type(options)), _fields(type(options)), strict=True):
        value = getattr(options, field.name)
        if value != one.default:
            found.append(one.names[0] if value is True else f"{one.names[0]}={value}")
    return found


def from_file(kind: type[T], path: Path, given: Mapping[str, Any]) -> T:
    """Return options from a TOML file, with those that were given otherwise in place of its own.

    Args:
        kind: dataclass of options.
        path: file of lines such as `samples = 100000`; its names are those of the command line without the hyphens
            in front, `_` or `-` between words.
        given: fields that count more than the file; None is not given.

    Raises:
        MissingFileError: no such file.
        FormatError: no TOML, an option that there is not, or a value of the wrong type.

    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise MissingFileError(f"{path}: no such options file") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise FormatError(f"{path}: not a TOML file ({error})") from error
    known: dict[str, tuple[str, Option]] = {}
    for one, field in zip(options_of(kind), _fields(kind), strict=True):
        for name in (field.name, *one.names):
            known[name.lstrip("-").replace("-", "_")] = field.name, one
    values: dict[str, Any] = {}
    for key, value in content.items():
        name = key.replace("-", "_")
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"; did you mean {near[0].replace('_', '-')}?" if near else ""
            raise FormatError(f"{path}: no option '{key}'{hint}")
        field_name, one = known[name]
        values[field_name] = one.value(_read(path, key, value, one.type))
    return kind(**values | {name: value for name, value in given.items() if value is not None})


def _read(path: Path, key: str, value: Any, wanted: type) -> Any:
    """Return a value of TOML as the type of its option."""
    if wanted is str and isinstance(value, list) and all(isinstance(item, int | str) for item in value):
        return ",".join(map(str, value))
    if wanted is str and isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    if wanted is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if wanted is Path and isinstance(value, str):
        return Path(value)
    if wanted is tuple:
        items = [value] if isinstance(value, str) else value
        if isinstance(items, list) and all(isinstance(item, str) for item in items):
            return tuple(items)
    if type(value) is not wanted:
        raise FormatError(f"{path}: {key} = {value!r}: must be {_CALLED.get(wanted, wanted.__name__)}")
    return value


_CALLED = {
    int: "a whole number",
    float: "a number",
    str: "a text",
    bool: "true or false",
    Path: "a path",
    tuple: "a text or a list",
}


def _fields(kind: type[Any]) -> list[dataclasses.Field[Any]]:
    return [field for field in dataclasses.fields(kind) if "help" in field.metadata]


def _name(field: dataclasses.Field[Any]) -> str:
    return field.name.replace("_", "-")


def _plain(hint: Any) -> type:
    """Return the type of a value that is given."""
    if get_origin(hint) is UnionType:
        (hint,) = [part for part in get_args(hint) if part is not NoneType]
    if get_origin(hint) is tuple:
        return tuple
    assert isinstance(hint, type)
    return hint

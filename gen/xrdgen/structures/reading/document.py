"""From the bytes of a CIF to its data blocks: encodings, line ends, damaged blocks, limits.

gemmi parses; what it is too strict about is mended before: byte order marks, line ends of old Macs, typographic
minus signs and blanks, text before the first block, blanks in the name of a block. Where a file does not parse, its
blocks are parsed one by one, so that a damaged one does not take the others with it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import gemmi
import numpy as np
from xrdcommon.errors import InputError

from xrdgen.structures.reading.values import MISSING

MAX_BYTES = 64 * 2**20
"""A larger file is refused."""
MAX_VALUES = 3_000_000
"""A file with more values is refused: each takes about 100 bytes of memory."""
MAX_ROWS = 20_000
"""Atoms that a block may list."""
MAX_BLOCKS = 50_000
_BIG = 2 * 2**20
"""Bytes from which on text fields (embedded reflection lists) are cut out before parsing."""

_HEADER = re.compile(r"^[ \t]*data_", re.MULTILINE | re.IGNORECASE)
_NAME_WITH_BLANKS = re.compile(r"^([ \t]*data_[^\s#]*)[ \t]+([^\s#][^\n]*)$", re.MULTILINE | re.IGNORECASE)
_TEXT_FIELD = re.compile(r"^;.*?\n;", re.MULTILINE | re.DOTALL)
_GEMMI_PLACE = re.compile(r"^string(?::(\d+))?(?::\d+\(\d+\))?(?: in \S*)?:\s*", re.DOTALL)
_ESCAPED = re.compile(r"\\u([0-9a-f]{4})")
_TYPOGRAPHY = str.maketrans(
    {
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2212\ufe63\uff0d", "-"),
        **dict.fromkeys("\u00a0\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u3000", " "),
        **dict.fromkeys("\u200b\u200c\u200d\ufeff\u00ad", ""),
        **dict.fromkeys("\u2018\u2019\u201a\u2032", "'"),
        **dict.fromkeys("\u201c\u201d\u201e", '"'),
        **dict.fromkeys("\x0b\x0c\x1a\x1c\x1d\x1e\x1f\x85", " "),
    }
)
_WANTED = (
    "_cell_",
    "_atom_site_",
    "_atom_sites_",
    "_space_group",
    "_symmetry_",
    "_chemical_formula_sum",
    "_chemical_name_mineral",
    "_journal_",
    "_audit_creation_method",
    "_modulation",
    "_magnetic_",
)
_ONCE = ("_cell_length_", "_cell_angle_", "_atom_site_", "_space_group", "_symmetry_", "_chemical_formula_sum")
"""Items that must not be given twice with different values."""
_UNQUOTED = re.compile(
    r"^([ \t]*_\S*(?:name_h-m|name_hall|formula_sum|name.h-m|name.hall|formula.sum|name_mineral)\S*)[ \t]+"
    r"([^\s'\"#;?][^\n'\"#]*[ \t][^\n'\"#]*)$",
    re.MULTILINE | re.IGNORECASE,
)
_APART = re.compile(r"^([ \t]*_cell_\S+[ \t]+[\d.]+)[ \t]+(\(\d+\))[ \t]*$", re.MULTILINE | re.IGNORECASE)
_CONTROLS = re.compile("[\x0b\x0c\x1a\x1c-\x1f]")
_GZIP = b"\x1f\x8b"


@dataclass(slots=True)
class Block:
    """Items of a data block that structures need; names in lower case with '_' for '.'.

    Attributes:
        name: of the block.
        items: single values.
        loops: columns of each loop by name.
        kinds: first words of the names of all items, `_atom_site` ...: tells what a block without atoms is about.
        fault: why it could not be read; then the rest is empty.

    """

    name: str
    items: dict[str, str] = field(default_factory=dict)
    loops: list[dict[str, list[str]]] = field(default_factory=list)
    kinds: set[str] = field(default_factory=set)
    fault: str = ""

    def value(self, *names: str) -> str | None:
        """Return the first of the items that is given, in its only or first row."""
        for name in names:
            text = self.items.get(name)
            if text is None:
                text = next((loop[name][0] for loop in self.loops if loop.get(name)), None)
            if text is not None and text.strip() not in MISSING:
                return " ".join(text.split())
        return None

    def column(self, *names: str) -> list[str]:
        """Return the values of the first of the items that is there, looped or not."""
        for name in names:
            for loop in self.loops:
                if name in loop:
                    return loop[name]
            if name in self.items:
                return [self.items[name]]
        return []

    def rows(self, name: str) -> dict[str, list[str]]:
        """Return the loop that holds a column; of single items those that begin like it, as one row."""
        for loop in self.loops:
            if name in loop:
                return loop
        if name not in self.items:
            return {}
        head = name[: name.index("_", len("_atom_"))] if name.startswith("_atom_") else name
        return {other: [text] for other, text in self.items.items() if other.startswith(head)}

    @property
    def has_atoms(self) -> bool:
        """Whether the block lists atoms or says that it would."""
        return "_atom_site" in self.kinds

    def unescaped(self, text: str) -> str:
        """Return a text with its characters beyond ASCII."""
        return _ESCAPED.sub(lambda found: chr(int(found.group(1), 16)), text)


def content_of(path: Path) -> bytes:
    """Return the bytes of a file, no more than the limit and one: larger ones are refused by `text_of`."""
    with path.open("rb") as stream:
        return stream.read(MAX_BYTES + 1)


def text_of(content: bytes) -> str:
    """Return the text of a CIF in ASCII; other characters become `\\uXXXX`, typographic signs the plain ones.

    Raises:
        InputError: too large, compressed, or no text.

    """
    if len(content) > MAX_BYTES:
        raise InputError(
            f"more than {MAX_BYTES // 2**20} MB: too large for a structure; take the reflections out or split it"
        )
    if content.startswith(_GZIP):
        raise InputError("compressed with gzip: unpack it first")
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = content.decode("utf-16", errors="replace")
    else:
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = content.decode("latin-1")
    if "\x00" in text:
        raise InputError("not a CIF: it holds null bytes, as no text does")
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if not text.isascii() or _CONTROLS.search(text):
        text = text.translate(_TYPOGRAPHY)
    return text if text.isascii() else text.encode("ascii", "backslashreplace").decode("ascii")


def read_blocks(content: bytes) -> list[Block]:
    """Return the data blocks of a CIF that list atoms, damaged ones with their fault.

    Raises:
        InputError: not a CIF, no block with atoms, or beyond the limits; the message says which.

    """
    text = text_of(content)
    first = _HEADER.search(text)
    if first is None:
        raise InputError("not a CIF: no line begins with data_")
    is_cif2 = text.lstrip().startswith("#\\#CIF_2")
    text = _NAME_WITH_BLANKS.sub(lambda m: m.group(1) + "_" + "_".join(m.group(2).split()), text)
    head = text[: first.start()]
    if any(line.strip() and not line.lstrip().startswith("#") for line in head.split("\n")):
        text = "\n" * head.count("\n") + text[first.start() :]
    if len(text) > _BIG:
        text = _TEXT_FIELD.sub(lambda found: "?" + "\n" * found.group().count("\n"), text)
    _check_values(text)
    n_blocks = sum(1 for _ in _HEADER.finditer(text))
    if n_blocks > MAX_BLOCKS:
        raise InputError(f"{n_blocks:,} data blocks, more than {MAX_BLOCKS:,}: split the file")
    blocks = _parse(text)
    if is_cif2:
        for block in blocks:
            if block.fault:
                block.fault = f"written in the syntax of CIF 2.0, which is not read ({block.fault}); save it as CIF 1.1"
    chosen = [block for block in blocks if block.has_atoms or block.fault]
    if not chosen:
        raise InputError(_without_atoms(blocks))
    return chosen


def _check_values(text: str) -> None:
    """Refuse a file with more values than memory should hold.

    Raises:
        InputError: more than `MAX_VALUES`.

    """
    if len(text) <= 2 * MAX_VALUES:  # each value takes two characters
        return
    blank = np.frombuffer(text.encode("ascii"), dtype=np.uint8) <= ord(" ")
    n_values = int(np.count_nonzero(blank[:-1] & ~blank[1:]))
    if n_values > MAX_VALUES:
        raise InputError(
            f"{n_values:,} values, more than {MAX_VALUES:,}: too many for a structure; take the reflections out"
        )


def _without_atoms(blocks: list[Block]) -> str:
    """Say what a file without atoms is about."""
    kinds = set().union(*(block.kinds for block in blocks)) if blocks else set()
    if any(kind.startswith("_pd") for kind in kinds):
        return "no atoms: a powder CIF with data only"
    if "_refln" in kinds:
        return "no atoms: reflections only"
    return "no atoms: no data block has an _atom_site_ loop"


def _parse(text: str) -> list[Block]:
    """Return all blocks; where the text does not parse as a whole, each for itself, with the commonest slips mended."""
    try:
        return [_block(parsed) for parsed in gemmi.cif.read_string(text, check_level=0)]
    except (ValueError, RuntimeError):
        places = _starts(text)
    blocks = []
    for start, end in zip(places, [*places[1:], len(text)], strict=True):
        part = "\n" * text.count("\n", 0, start) + _mended(text[start:end])
        try:
            blocks += [_block(parsed) for parsed in gemmi.cif.read_string(part, check_level=0)]
        except (ValueError, RuntimeError) as error:
            blocks.append(_damaged(text, start, error))
    return blocks


def _mended(text: str) -> str:
    """Return a block with quotes around symbols and formulae with blanks, and no blank before an uncertainty."""
    text = _UNQUOTED.sub(lambda found: f'{found.group(1)} "{found.group(2).strip()}"', text)
    return _APART.sub(r"\1\2", text)


def _starts(text: str) -> list[int]:
    """Return where the blocks begin; `data_` within text fields begins none."""
    fields = [(found.start(), found.end()) for found in _TEXT_FIELD.finditer(text)]
    return [
        found.start()
        for found in _HEADER.finditer(text)
        if not any(start < found.start() < end for start, end in fields)
    ]


def _damaged(text: str, start: int, error: Exception) -> Block:
    """Return the block that begins at a place and does not parse."""
    found = _GEMMI_PLACE.match(str(error))
    reason = str(error)[found.end() :] if found else str(error)
    line = f"line {found.group(1)}: " if found and found.group(1) else ""
    reason = "wrong number of values in a loop" if reason.startswith("Wrong number of values") else reason
    name = text[start:].split(maxsplit=1)[0][len("data_") :]
    return Block(name, fault=f"{line}{reason[:120]}", kinds={"_atom_site"})


def _block(parsed: gemmi.cif.Block) -> Block:
    """Return what structures need of a block.

    Faults are kept, not raised: an item given twice with two values, more atoms than `MAX_ROWS`.
    """
    block = Block(parsed.name.strip())
    for item in parsed:
        pair: list[str] | None = item.pair  # type: ignore[assignment]  # gemmi's stub says object
        if pair is not None:
            name = pair[0].lower().replace(".", "_")
            block.kinds.add(_kind(name))
            if name.startswith(_WANTED):
                text = _unquoted(pair[1])
                older = block.items.setdefault(name, text)
                if older.strip() in MISSING:
                    block.items[name] = text
                elif older != text and text.strip() not in MISSING and name.startswith(_ONCE):
                    block.fault = block.fault or f"{name} is given twice, as {older[:30]} and {text[:30]}"
        elif item.loop is not None:
            names = [tag.lower().replace(".", "_") for tag in item.loop.tags]
            block.kinds.update(map(_kind, names))
            wanted = [number for number, name in enumerate(names) if name.startswith(_WANTED)]
            if not wanted:
                continue
            if item.loop.length() > MAX_ROWS:
                if any(names[number].startswith("_atom_site_") for number in wanted):
                    block.fault = f"{item.loop.length():,} atoms listed, more than {MAX_ROWS:,}"
                continue
            values, width = item.loop.values, len(names)
            loop = {names[number]: [_unquoted(text) for text in values[number::width]] for number in wanted}
            block.loops.append(loop)
    return block


def _kind(name: str) -> str:
    """Return the category of an item as far as it is told."""
    if name.startswith("_atom_site_"):
        return "_atom_site" if not name.startswith("_atom_site_aniso") else "_atom_site_aniso"
    return name[: name.find("_", 1)] if "_" in name[1:] else name


def _unquoted(text: str) -> str:
    """Return a value without quotation marks."""
    return gemmi.cif.as_string(text) if text[:1] in ("'", '"', ";") else text

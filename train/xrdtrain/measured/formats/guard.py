"""Reading foreign bytes safely: sizes are bounded, archives cannot burst, XML cannot expand."""

from __future__ import annotations

import io
import zipfile
import zlib
from pathlib import Path
from xml.etree import ElementTree
from xml.parsers import expat

from xrdcommon.errors import FormatError, MissingFileError

LARGEST_FILE = 128 << 20
"""Bytes; a measurement of many scans takes some 60 MB."""

LARGEST_UNPACKED = 256 << 20
"""Bytes of all members of an archive together."""

MOST_MEMBERS = 10_000
DEEPEST = 100
"""Levels of XML; instruments write about 20."""


def read_bytes(path: Path) -> bytes:
    """Return the bytes of a file.

    Raises:
        MissingFileError: no such file.
        FormatError: a folder or device, empty, or larger than any measurement.

    """
    if not path.exists():
        raise MissingFileError(f"{path}: no such pattern; give a file with two columns, 2theta and intensity")
    if not path.is_file():
        raise FormatError(f"{path}: not a file; name the file of one measurement")
    size = path.stat().st_size
    if size > LARGEST_FILE:
        raise FormatError(
            f"{path}: {size / 1e6:,.0f} MB, more than the {LARGEST_FILE / 1e6:,.0f} MB of any powder measurement; "
            "export the one scan alone"
        )
    return path.read_bytes()


def open_archive(content: bytes, path: Path) -> zipfile.ZipFile:
    """Open a zip archive whose members together stay below `LARGEST_UNPACKED`.

    Raises:
        FormatError: damaged, encrypted or larger than any measurement once unpacked.

    """
    try:
        archive = zipfile.ZipFile(io.BytesIO(content))
        members = archive.infolist()
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError) as error:
        raise FormatError(f"{path}: damaged archive ({error}); export it again") from error
    total = sum(member.file_size for member in members)
    if len(members) > MOST_MEMBERS or total > LARGEST_UNPACKED:
        raise FormatError(
            f"{path}: would unpack to {total / 1e6:,.0f} MB in {len(members)} files, more than any powder "
            f"measurement ({LARGEST_UNPACKED / 1e6:,.0f} MB); not opened"
        )
    if any(member.flag_bits & 1 for member in members):
        raise FormatError(f"{path}: an encrypted archive; export it without a password")
    return archive


def member(archive: zipfile.ZipFile, name: str, path: Path) -> bytes:
    """Return the bytes of one member.

    Raises:
        FormatError: not there, damaged, or longer than it says.

    """
    try:
        with archive.open(name) as stream:
            content = stream.read(LARGEST_UNPACKED + 1)
    except KeyError as error:
        raise FormatError(f"{path}: {name} is missing in it; export it again") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, NotImplementedError) as error:
        raise FormatError(f"{path}: {name} in it is damaged ({error}); export it again") from error
    if len(content) > LARGEST_UNPACKED:
        raise FormatError(f"{path}: {name} in it is longer than any powder measurement; not read")
    return content


class _Refused(Exception):  # noqa: N818 (leaves a parser's callback, never this module)
    """XML that no instrument writes."""


def parse_xml(content: bytes, path: Path) -> ElementTree.Element:
    """Return the root of an XML document, its names without namespaces.

    Documents with a DTD are refused before anything in it is read, so that no entity is ever expanded or fetched.

    Raises:
        FormatError: not well formed, with a DTD, or nested deeper than `DEEPEST`.

    """
    builder = ElementTree.TreeBuilder()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    depth = 0

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > DEEPEST:
            raise _Refused(f"nested deeper than {DEEPEST} levels")
        builder.start(name.rpartition(":")[2], {key.rpartition(":")[2]: value for key, value in attributes.items()})

    def end(name: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(name.rpartition(":")[2])

    def doctype(*_: object) -> None:
        raise _Refused("a document type definition, which can hide an XML bomb")

    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = doctype
    try:
        parser.Parse(content, True)
        return builder.close()
    except _Refused as refused:
        raise FormatError(f"{path}: {refused}; instruments write none") from refused
    except (expat.ExpatError, AssertionError, LookupError, ValueError) as error:  # the last two: unknown encodings
        raise FormatError(f"{path}: not well-formed XML ({error}); the file is damaged or cut short") from error


def decode(content: bytes) -> str:
    """Return text of unknown encoding: a byte order mark decides, then UTF-8, then Latin-1 (which takes any byte)."""
    for mark, encoding in ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16")):
        if content.startswith(mark):
            return content.decode(encoding, errors="replace")
    unmarked = _unmarked_utf16(content)
    if unmarked is not None:
        return content.decode(unmarked, errors="replace")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return content.decode("latin-1")


def _unmarked_utf16(content: bytes) -> str | None:
    """Return the encoding of UTF-16 without a byte order mark: plain characters, each beside a NUL; None for others."""
    head = content[: 512 - len(content[:512]) % 2]
    for plain, nul, encoding in ((head[::2], head[1::2], "utf-16-le"), (head[1::2], head[::2], "utf-16-be")):
        if len(head) >= 8 and not any(nul) and all(byte in b"\t\n\r" or 32 <= byte < 127 for byte in plain):
            return encoding
    return None


def looks_binary(content: bytes) -> bool:
    """Return whether bytes are not text: NUL bytes that are not those of UTF-16, or many control characters."""
    head = content[:4096]
    if head.startswith((b"\xff\xfe", b"\xfe\xff")) or _unmarked_utf16(content) is not None:
        return False
    control = sum(byte < 32 and byte not in b"\t\n\r\f\v\x1a" for byte in head)
    return b"\x00" in head or control > len(head) // 50

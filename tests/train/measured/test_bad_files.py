"""Hostile and damaged files: one clear line that names the file, in little time and memory."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from xrdcommon.errors import XrdError
from xrdtrain.measured.formats import guard
from xrdtrain.measured.reading import read_measured

Write = Callable[[str, str | bytes], Path]
ENTITIES = (
    '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">'
    + "".join(f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefghi", "bcdefghij", strict=True))
    + "]><xrdMeasurements>&j;</xrdMeasurements>"
)
FOREIGN_ENTITY = (
    '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><xrdMeasurements>&a;</xrdMeasurements>'
)


def archive(name: str, size: int) -> bytes:
    stream = io.BytesIO()
    with (
        zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file,
        file.open(name, "w", force_zip64=True) as member,
    ):
        for _ in range(size >> 20):
            member.write(bytes(1 << 20))
    return stream.getvalue()


def npz_of_objects() -> bytes:
    stream = io.BytesIO()
    np.savez(stream, two_theta=np.array([{}], dtype=object), intensity=np.array([1.0]))
    return stream.getvalue()


X = np.arange(5.0, 90.0, 0.02)
BAD: dict[str, tuple[str | bytes, str]] = {
    "empty.xy": ("", "empty"),
    "blank.csv": ("\n \n", "empty"),
    "noise.raw": (np.random.default_rng(1).bytes(50_000), "binary"),
    "noise.xy": (np.random.default_rng(2).bytes(50_000), "binary"),
    "noise.brml": (np.random.default_rng(3).bytes(50_000), "binary"),
    "picture.xy": (b"\x89PNG\r\n\x1a\n" + bytes(100), "picture"),
    "photo.raw": (b"\xff\xd8\xff\xe0" + bytes(100), "picture"),
    "paper.txt": (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "PDF"),
    "entities.xrdml": (ENTITIES, "document type definition"),
    "outside.xrdml": (FOREIGN_ENTITY, "document type definition"),
    "deep.xrdml": ("<a>" * 5000 + "</a>" * 5000, "nested deeper"),
    "cut.xrdml": ("<?xml version='1.0'?><xrdMeasurements><xrdMeasurement>", "not well-formed"),
    "other.xrdml": ("<?xml version='1.0'?><svg></svg>", "XML of another kind"),
    "none.xrdml": ("<?xml version='1.0'?><xrdMeasurements></xrdMeasurements>", "no scan"),
    "bomb.brml": (archive("Experiment0/RawData0.xml", 300 << 20), "would unpack to 315 MB"),
    "bomb.rasx": (archive("Data0/Profile0.txt", 300 << 20), "would unpack to"),
    "bomb.npz": (archive("two_theta.npy", 300 << 20), "would unpack to"),
    "cut.brml": (archive("Experiment0/RawData0.xml", 2 << 20)[:-200], "damaged archive"),
    "letters.zip": (archive("a.txt", 1 << 20), "archive without a scan"),
    "objects.npz": (npz_of_objects(), "not a pattern"),
    "header.raw": (b"RAW1.01".ljust(12, b"\0") + bytes([1, 0, 0, 0]) + bytes(9), "cut short"),
    "zero.raw": (b"RAW1.01" + bytes(2000), "no scan"),
    "short.raw": (b"RAW4.00" + bytes(10), "short.raw"),
    "old.raw": (b"RAW ", "cut short"),
    "prose.txt": ("The quick brown fox\njumps over the dog\n", "no line of numbers"),
    "negative.xy": ("".join(f"{x:.2f} -5\n" for x in X), "no intensity above zero"),
    "difference.xy": ("".join(f"{x:.2f} {np.sin(x):.3f}\n" for x in X), "difference curve"),
    "constant.xy": ("".join(f"{x:.2f} 7\n" for x in X), "7 at every point"),
    "nan.xy": ("".join(f"{x:.2f} {'nan' if i == 50 else i}\n" for i, x in enumerate(X)), "line 51"),
    "inf.xy": ("".join(f"{x:.2f} {'inf' if i == 50 else i}\n" for i, x in enumerate(X)), "line 51"),
    "broken.cif": ("data_x\nloop_\n_pd_meas_2theta_scan\n_pd_meas_counts_total\n1 2 3\n", "cannot read"),
    "settings.prm": ("INS  1 ICONS 1.54\n", "parameter file"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files_are_refused_in_one_line(name: str, write: Write) -> None:
    content, said = BAD[name]
    with pytest.raises(XrdError, match=said) as caught:
        read_measured(write(name, content))
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_and_nothing(tmp_path: Path) -> None:
    (tmp_path / "folder.xy").mkdir()
    with pytest.raises(XrdError, match=r"folder.xy: not a file"):
        read_measured(tmp_path / "folder.xy")
    with pytest.raises(XrdError, match=r"gone.xy: no such pattern"):
        read_measured(tmp_path / "gone.xy")


def test_huge_files_are_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "huge.xy"
    with path.open("wb") as stream:
        stream.truncate(guard.LARGEST_FILE + 1)  # sparse: takes no disk
    with pytest.raises(XrdError, match=r"huge.xy: 134 MB, more than"):
        read_measured(path)


@pytest.mark.parametrize("name", ["datalab_TiO2.raw", "matterviz_YBCO.brml", "rigaku_a.rasx", "panalytical_a.xrdml",
                                  "rietx_rigaku_nims.ras", "xylib_BT86.raw", "pyxrd_brk_raw2.raw"])  # fmt: skip
def test_damaged_instrument_files_give_a_pattern_or_one_line(name: str, instrument_files: Path, write: Write) -> None:
    whole = (instrument_files / name).read_bytes()
    random = np.random.default_rng(5)
    for trial in range(12):
        content = bytearray(whole[: int(len(whole) * (1.0 if trial % 2 else random.uniform(0.05, 0.95)))])
        for place in random.integers(0, len(content), 20 if trial % 2 else 0):
            content[place] = random.integers(0, 256)
        try:
            pattern = read_measured(write(name, bytes(content)))
        except XrdError as error:
            assert name in str(error)  # noqa: PT017 (a pattern or a refusal, never a traceback)
        else:
            assert len(pattern) > 1
            assert (np.diff(pattern.two_theta) > 0).all()

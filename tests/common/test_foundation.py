"""Grid, identity, files, space groups: what everything else stands on."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from xrdcommon import console, files, space_groups
from xrdcommon.errors import FormatError, InputError, MissingFileError
from xrdcommon.fields import PATTERN_DTYPE, SAMPLE_DTYPE, SAMPLE_FIELDS
from xrdcommon.grid import Grid
from xrdcommon.identity import Purpose, SampleIdentity, generator


def test_grid_of_the_paper() -> None:
    grid = Grid()
    assert grid.n_points == 8501
    assert grid.two_theta[0] == 5.0
    assert grid.two_theta[-1] == 90.0
    assert np.allclose(np.diff(grid.two_theta), 0.01, atol=1e-12)
    assert Grid.from_dict(json.loads(json.dumps(grid.to_dict()))) == grid


@pytest.mark.parametrize(
    "limits",
    [
        (90, 5, 0.01),
        (0, 90, 0.01),
        (5, 180, 0.01),
        (5, 90, 0.0),
        (5, 90, -1),
        (5, 90, 0.03),
        (5, 90, 1e-6),
        (5, 90, np.nan),
    ],
)
def test_impossible_grid_is_refused(limits: tuple[float, float, float]) -> None:
    with pytest.raises(InputError, match="grid"):
        Grid(*limits)


def test_precision_of_stored_patterns() -> None:
    values = np.geomspace(1e-4, 1.0, 100_000)
    assert (np.abs(values.astype(PATTERN_DTYPE) - values) / values).max() <= 4.9e-4


def test_registry_and_record_agree() -> None:
    assert SAMPLE_DTYPE.names == tuple(field.name for field in SAMPLE_FIELDS)
    assert all(field.meaning for field in SAMPLE_FIELDS)


@given(st.tuples(*[st.integers(0, 2**64 - 1)] * 4), st.sampled_from(Purpose))
def test_streams_can_be_drawn_again_and_differ(numbers: tuple[int, int, int, int], purpose: Purpose) -> None:
    identity = SampleIdentity(*numbers)
    first = generator(identity, purpose).random(4)
    assert np.array_equal(first, generator(identity, purpose).random(4))
    for other in Purpose:
        if other != purpose:
            assert not np.array_equal(first, generator(identity, other).random(4))
    neighbour = SampleIdentity(*numbers[:3], (numbers[3] + 1) % 2**64)
    assert not np.array_equal(first, generator(neighbour, purpose).random(4))


@pytest.mark.parametrize(
    ("text", "run"),
    [
        ("000000000000002a:1:2:3", 42),
        ("42:1:2:3", 42),  # as in a record
        ("2a:1:2:3", 42),
        ("18446744073709551615:1:2:3", 2**64 - 1),
        ("ffffffffffffffff:1:2:3", 2**64 - 1),
        ("0000000000000042:1:2:3", 66),
    ],
)
def test_identities_are_read_as_printed_and_as_recorded(text: str, run: int) -> None:
    assert SampleIdentity.parse(text) == SampleIdentity(run, 1, 2, 3)
    assert SampleIdentity.parse(str(SampleIdentity(run, 1, 2, 3))) == SampleIdentity(run, 1, 2, 3)


@pytest.mark.parametrize("text", ["1:2:3", "x:1:2:3", "-1:1:2:3", "18446744073709551616:1:2:3", ":1:2:3"])
def test_other_identities_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="such as 000000000000002a:0:17:5 as it is printed"):
        SampleIdentity.parse(text)


class Terminal(io.StringIO):
    """What is printed on a terminal."""

    def isatty(self) -> bool:
        """Tell that it is one."""
        return True


@pytest.mark.parametrize(("total", "shown"), [(None, "samples 1500 "), (2000, "1500/2000")])
def test_endless_work_shows_no_share_of_a_whole(monkeypatch: pytest.MonkeyPatch, total: int | None, shown: str) -> None:
    screen = Terminal()
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    with console.progress("samples", total) as advance:
        advance(1500, "9 shards")
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", screen.getvalue())
    assert shown in text
    assert "9 shards" in text
    assert "/?" not in text
    assert ("\u2501" in text) == (total is not None)  # the bar


def test_atomic_file_is_whole_or_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file.json"
    files.write_json(path, {"a": 1})

    def write_half() -> None:
        with files.atomic_writer(path) as stream:
            stream.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert files.read_json(path) == {"a": 1}
    assert [entry.name for entry in path.parent.iterdir()] == ["file.json"]


def test_reading_json_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"nothing\.json"):
        files.read_json(tmp_path / "nothing.json")
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(FormatError, match=r"bad\.json"):
        files.read_json(tmp_path / "bad.json")


def test_crystal_systems_have_their_numbers_of_groups() -> None:
    counts = dict.fromkeys(space_groups.CRYSTAL_SYSTEMS, 0)
    for number in range(1, 231):
        counts[space_groups.crystal_system(number)] += 1
    assert list(counts.values()) == [2, 13, 59, 68, 25, 27, 36]


def test_eleven_enantiomorphic_pairs() -> None:
    assert len(space_groups.ENANTIOMORPHIC_PAIRS) == 11
    for a, b in space_groups.ENANTIOMORPHIC_PAIRS:
        assert space_groups.enantiomorph(a) == b
        assert space_groups.enantiomorph(b) == a
        assert space_groups.merged_group(b) == a
        assert space_groups.merged_symbol(b) == f"{a}/{b}"
        # mirror images: the symbols differ in the sense of a screw axis alone
        assert space_groups.crystal_system(a) == space_groups.crystal_system(b)
    assert len({space_groups.merged_group(number) for number in range(1, 231)}) == 219


def test_symbols() -> None:
    assert [space_groups.symbol(number) for number in (1, 14, 62, 166, 225, 230)] == [
        "P1", "P2_1/c", "Pnma", "R-3m", "Fm-3m", "Ia-3d",
    ]  # fmt: skip


def test_lists_of_groups() -> None:
    assert space_groups.parse_groups("2, 225,14-16") == [2, 14, 15, 16, 225]
    for text in ("0", "231", "x", "1,,2", "5-"):
        with pytest.raises(InputError):
            space_groups.parse_groups(text)

"""Grid, identity, files, space groups: what everything else stands on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from xrdcommon import files, space_groups
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

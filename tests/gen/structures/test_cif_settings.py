"""All 564 settings of gemmi's table, named in every way, with one general atom: the right positions or a refusal."""

from __future__ import annotations

from collections import Counter

import gemmi
import numpy as np
import pytest
from xrdcommon.errors import InputError
from xrdgen.structures.reading.document import read_blocks
from xrdgen.structures.reading.groups import group_of, group_of_hall
from xrdgen.structures.reading.names import settings, settings_of_symbol
from xrdgen.structures.reading.reader import read_structure
from xrdgen.structures.standardise import cell_parameters
from xrdgen.symmetry.lattice import vectors

TABLE = list(gemmi.spacegroup_table())
OPERATIONS = {
    place: [(np.array(op.rot) // op.DEN, np.array(op.tran) / op.DEN) for op in row.operations()]
    for place, row in enumerate(TABLE)
}
"""Operations as gemmi has them, independently of the reader."""


def cell_of(place: int) -> np.ndarray:
    """A large cell with the symmetry of a setting and no more: distances are no reason to refuse."""
    rng = np.random.default_rng(place)
    edges = np.diag([27.0, 33.0, 39.0]) + rng.uniform(-4.0, 4.0, (3, 3))
    metric = edges @ edges.T
    average = np.mean([rotation.T @ metric @ rotation for rotation, _ in OPERATIONS[place]], axis=0)
    return cell_parameters(np.linalg.cholesky(average))


def point_of(place: int, cell: np.ndarray) -> np.ndarray:
    """A general point with five decimals whose images are further apart than atoms must be."""
    for seed in range(100):
        point = np.round(np.random.default_rng((place, seed)).random(3), 5)
        shifts = np.array([rotation @ point + translation - point for rotation, translation in OPERATIONS[place]])
        distances = np.linalg.norm((shifts - np.rint(shifts)) @ vectors(cell), axis=1)
        if (distances > 2.0).sum() == len(shifts) - 1:
            return point
    raise AssertionError(place)


def quoted(text: str) -> str:
    return f'"{text}"' if '"' not in text else f"'{text}'"


def symmetry(place: int, way: str) -> str:
    """The lines that name a setting in a way."""
    row = TABLE[place]
    if way == "operations":
        return "loop_\n_space_group_symop_operation_xyz\n" + "".join(f"'{op.triplet()}'\n" for op in row.operations())
    lines = {
        "Hall": f"_space_group_name_Hall {quoted(row.hall)}\n",
        "H-M": f"_symmetry_space_group_name_H-M {quoted(row.xhm())}\n",
        "H-M without mark": f"_space_group_name_H-M_alt {quoted(row.hm)}\n",
        "short H-M": f"_space_group_name_H-M_alt {quoted(row.short_name())}\n",
        "number": f"_space_group_IT_number {row.number}\n",
    }
    return "".join(lines[part] for part in way.split(" + "))


def outcome(place: int, way: str) -> str:
    """Read an atom at a general place under a setting that is named in a way."""
    names = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
    cell = cell_of(place)
    point = point_of(place, cell)
    text = "data_x\n" + "".join(f"_cell_{n} {v:.6f}\n" for n, v in zip(names, cell, strict=True))
    text += (
        symmetry(place, way) + "loop_\n_atom_site_label\n_atom_site_fract_x\n_atom_site_fract_y\n_atom_site_fract_z\n"
    )
    text += "C1 {:.5f} {:.5f} {:.5f}\n".format(*point)
    try:
        structure = read_structure(read_blocks(text.encode())[0])
    except InputError:
        return "refused"
    expected = np.array([rotation @ point + translation for rotation, translation in OPERATIONS[place]]) % 1.0
    if len(structure.positions) != len(expected) or structure.group.number != TABLE[place].number:
        return "wrong"
    shift = structure.positions[:, None] - expected[None]
    apart = np.abs(shift - np.rint(shift)).max(axis=2)
    return "right" if apart.min(axis=0).max() < 1e-6 and apart.min(axis=1).max() < 1e-6 else "wrong"


# 66 settings are pairs that differ in their origin: without mark a general atom does not tell which
EXPECTED = {
    "operations": {"right": 564},
    "Hall": {"right": 564},
    "H-M": {"right": 564},
    "H-M + number": {"right": 564},
    "Hall + number": {"right": 564},
    "Hall + H-M + number": {"right": 564},
    "H-M without mark": {"right": 498, "refused": 66},
    "H-M without mark + number": {"right": 498, "refused": 66},
    "short H-M": {"right": 498, "refused": 66},
    "short H-M + number": {"right": 498, "refused": 66},
}


@pytest.mark.parametrize("way", EXPECTED)
def test_every_setting_is_read_right_or_refused(way: str) -> None:
    counts = Counter(outcome(place, way) for place in range(len(TABLE)))
    print(f"{way:28} " + ", ".join(f"{n} {what}" for what, n in sorted(counts.items())))
    assert counts["wrong"] == 0
    assert dict(counts) == EXPECTED[way]


def test_full_symbols_of_spglib_name_its_settings() -> None:
    spglib = pytest.importorskip("spglib")
    known = 0
    for hall_number in range(1, 531):
        record = spglib.get_spacegroup_type(hall_number)
        for name in record.international_full.split("="):
            found, _ = settings_of_symbol(name.strip())
            assert {setting.number for setting in found} == {record.number}, (hall_number, name)
            group = group_of_hall(record.hall_symbol)
            known += any(setting.group.key == group.key for setting in found) if group else 0
    assert known >= 530


@pytest.mark.parametrize(
    ("symbol", "names", "mark"),
    [
        ("P 21/c", ["P 1 21/c 1", "P 21/c 1 1"], ""),
        ("P2(1)/c", ["P 1 21/c 1", "P 21/c 1 1"], ""),
        ("P 2_1/c", ["P 1 21/c 1", "P 21/c 1 1"], ""),
        ("C12/m1", ["C 1 2/m 1"], ""),
        ("F d 3 m", ["F d -3 m:1", "F d -3 m:2"], ""),
        ("Fd3m S", ["F d -3 m:1", "F d -3 m:2"], "1"),
        ("F d -3 m Z", ["F d -3 m:1", "F d -3 m:2"], "2"),
        ("F 41/d -3 2/m :2", ["F d -3 m:1", "F d -3 m:2"], "2"),
        ("F d -3 m (origin choice 2)", ["F d -3 m:1", "F d -3 m:2"], "2"),
        ("R -3 m H", ["R -3 m:H", "R -3 m:R"], "H"),
        ("R -3 m HR", ["R -3 m:H", "R -3 m:R"], "cell"),
        ("R -3 m RS", ["R -3 m:H", "R -3 m:R"], "cell"),
        ("H -3 m", ["R -3 m:H", "R -3 m:R"], ""),
        ("C m c e", ["C m c a"], ""),
        ("I a 3", ["I a -3"], ""),
        ("P m 3 n", ["P m -3 n"], ""),
        ("P 31 1 2", ["P 31 1 2"], ""),
        ("P312", ["P 3 1 2"], ""),
        ("P N M A", ["P n m a"], ""),
        ("P 21/n 21/m 21/a", ["P n m a"], ""),
        ("F 4/m m m", ["F 4/m m m"], ""),
        ("P x y z", [], ""),
    ],
)
def test_forms_of_symbols(symbol: str, names: list[str], mark: str) -> None:
    found, carried = settings_of_symbol(symbol)
    assert [setting.name for setting in found] == names
    assert carried == mark


def test_operations_in_all_spellings_are_one_group() -> None:
    texts = ("x,y,z", " -X , 1/2+Y, .5-Z", "4 -x,-y,-z", "+x,0.5-y,z+1/2")
    group = group_of(texts)
    assert (group.number, group.name, group.order) == (14, "P 1 21/c 1", 4)
    assert group_of(("-x,-y,-z",)).order == 2  # the identity is understood
    doubled = group_of(("x,y,z", "x+1/2,y,z", "-x,-y,-z", "-x+1/2,-y,-z"))
    np.testing.assert_allclose(np.linalg.det(doubled.primitive), 0.5)
    assert doubled.number == 2
    fifths = group_of(tuple(f"x,y,z+{k}/5" for k in range(5)))
    np.testing.assert_allclose(np.linalg.det(fifths.primitive), 0.2)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (("x,y",), "not three coordinates"),
        (("x,y,z", "h,k,l"), "is not in x, y and z"),
        (("x,y,z", "x/2,y,z"), "is not in x, y and z"),
        (("x,y,z", "2x,y,z"), "does not keep the volume"),
        (("x,y,z", "x+0.4711,y,z"), "not a simple fraction"),
        (("x,y,z", "x-y,x,z"), "form no group"),
        (("x,y,z", "x,x+y,z"), "form no group"),
        (("x,y,z", "1/2,y,z"), "is not a coordinate"),
    ],
)
def test_operations_that_are_none(texts: tuple[str, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        group_of(texts)


def test_every_setting_has_its_own_operations() -> None:
    assert len(settings()) == 564
    for place, setting in enumerate(settings()):
        assert setting.group.order == len(OPERATIONS[place])

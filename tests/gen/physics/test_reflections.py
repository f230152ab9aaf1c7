"""Absences, multiplicities and extinction groups of all 230 groups against gemmi."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations

import gemmi
import numpy as np
import pytest
import truth
from numpy.typing import NDArray
from xrdcommon.extinction import absent, extinction_groups
from xrdcommon.grid import Grid
from xrdcommon.space_groups import N_GROUPS, crystal_system
from xrdgen.crystal import Crystal
from xrdgen.diffraction.settings import SimulationSettings
from xrdgen.diffraction.simulator import Peaks, Simulator
from xrdgen.symmetry.operations import operations

GROUPS = range(1, N_GROUPS + 1)
SETTINGS = SimulationSettings(grid=Grid(2.0, 72.0, 0.02), wavelength=0.7)
BOX = 4
"""Within |h|, |k|, |l| <= 4 all of the box is in reach, and conditions with 2, 3, 4 and 6 tell all 101 apart."""

HEAVY = (26, 47, 57, 82, 92)
"""Atoms that still scatter at the highest angles, so that no line is too weak to be listed but by accident."""


@dataclass(frozen=True)
class Simulated:
    """A crystal with its lines, and every lattice point of the shell that the range of angles spans.

    Attributes:
        crystal: random atoms on general positions.
        peaks: its lines.
        listed: (R,) which orbit each line is.
        hkl: (H, 3) lattice points.
        orbit: (H,) which orbit each lattice point belongs to.
        forbidden: (H,) whether gemmi calls it systematically absent.

    """

    crystal: Crystal
    peaks: Peaks
    listed: NDArray[np.int64]
    hkl: NDArray[np.int64]
    orbit: NDArray[np.int64]
    forbidden: NDArray[np.bool_]


def forbidden(number: int, hkl: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Ask gemmi which reflections are systematically absent."""
    mask: NDArray[np.bool_] = truth.group_operations(number).systematic_absences(hkl.astype(np.int32))
    return mask


@pytest.fixture(scope="module")
def simulated() -> dict[int, list[Simulated]]:
    """Two crystals of each group: all that is absent from both is so by symmetry."""
    simulator = Simulator(SETTINGS)
    ends = (SETTINGS.grid.two_theta_min, SETTINGS.grid.two_theta_max)
    least, most = (2.0 * np.sin(np.radians(angle / 2.0)) / SETTINGS.wavelength for angle in ends)
    result: dict[int, list[Simulated]] = {number: [] for number in GROUPS}
    for number in GROUPS:
        general = truth.n_letters(number) - 1
        for seed in (1, 2):
            rng = np.random.default_rng((number, seed))
            crystal = truth.random_crystal(number, [general] * 2, rng, elements=HEAVY, smallest=6.0, largest=7.0)
            peaks = simulator.peaks(crystal)
            hkl, _ = truth.shell(truth.metric_of(crystal.cell), least, most)
            points = (hkl, truth.orbits(number, hkl)[0], forbidden(number, hkl))
            result[number].append(Simulated(crystal, peaks, truth.orbits(number, peaks.hkl)[0], *points))
    return result


def test_operations_are_those_of_gemmi() -> None:
    """In the setting that the rules name: unique axis b, origin choice 2, hexagonal axes."""
    for number in GROUPS:
        group = operations(number)
        ours = np.concatenate([group.rotations.reshape(-1, 9), group.translations24], axis=1)
        rotations, shifts = truth.matrices(number)
        theirs = np.concatenate([rotations.reshape(-1, 9), shifts], axis=1)
        assert len(ours) == len(theirs)
        assert set(map(tuple, ours.tolist())) == set(map(tuple, theirs.tolist()))
        assert truth.setting(number).is_reference_setting() or truth.setting(number).ext in ("2", "H")
        assert truth.setting(number).crystal_system_str() == crystal_system(number)


def test_absent_is_what_gemmi_forbids_and_nothing_else(simulated: dict[int, list[Simulated]]) -> None:
    """A line may be missing from one crystal by accident, too weak to be listed, but not from both."""
    for number in GROUPS:
        missing: list[set[int]] = []
        for one in simulated[number]:
            assert not forbidden(number, one.peaks.hkl).any()
            listed, expected = set(one.listed.tolist()), set(one.orbit[~one.forbidden].tolist())
            assert len(listed) == len(one.listed), "a reflection is listed twice"
            assert listed <= expected
            missing.append(expected - listed)
            assert len(missing[-1]) <= 2
            if missing[-1]:  # the exact sum must find it invisible
                truth.assert_peaks_are_exact(one.peaks, one.crystal, SETTINGS)
        assert not missing[0] & missing[1]


def test_multiplicities_are_orbits_and_add_up_to_the_lattice_points(simulated: dict[int, list[Simulated]]) -> None:
    for number in GROUPS:
        group = truth.group_operations(number)
        for one in simulated[number]:
            peaks = one.peaks
            np.testing.assert_array_equal(peaks.multiplicity, truth.orbits(number, peaks.hkl)[1])
            # orbit and stabiliser: of 2 |P| proper and inverted operations, epsilon keep hkl; where the reflection is
            # centric as many invert it
            indices = peaks.hkl.astype(np.int32)
            epsilon = group.epsilon_factor_without_centering_array(indices).astype(int)
            centric = group.centric_flag_array(indices).astype(int)
            np.testing.assert_array_equal(peaks.multiplicity * epsilon * (1 + centric), 2 * len(group.sym_ops))
            # each lattice point of the shell is counted once, but for the forbidden and those of invisible lines
            invisible = ~one.forbidden & ~np.isin(one.orbit, one.listed)
            assert peaks.multiplicity.sum() == len(one.hkl) - one.forbidden.sum() - invisible.sum()
            assert invisible.sum() <= 2 * 48


def box() -> NDArray[np.int64]:
    """Return all hkl with indices up to BOX."""
    index = np.arange(-BOX, BOX + 1)
    return np.stack(np.meshgrid(index, index, index, indexing="ij"), axis=-1).reshape(-1, 3)


@pytest.fixture(scope="module")
def observed(simulated: dict[int, list[Simulated]]) -> dict[int, NDArray[np.bool_]]:
    """Which hkl of the box are absent from both simulated crystals of a group; hkl = 0 counts as present."""
    hkl = box()
    result = {}
    for number in GROUPS:
        for one in simulated[number]:
            assert (np.abs(one.hkl) <= BOX).all(axis=1).sum() == len(hkl) - 1, "the box is not in reach"
        listed = np.concatenate([one.listed for one in simulated[number]])
        result[number] = ~np.isin(truth.orbits(number, hkl)[0], listed) & hkl.any(axis=1)
    return result


def test_observed_absences_are_those_of_the_reflection_conditions(observed: dict[int, NDArray[np.bool_]]) -> None:
    hkl = box()
    for number in GROUPS:
        np.testing.assert_array_equal(observed[number], absent(number, hkl))
        np.testing.assert_array_equal(observed[number], forbidden(number, hkl) & hkl.any(axis=1))


def test_simulated_crystals_fall_into_the_101_extinction_groups(observed: dict[int, NDArray[np.bool_]]) -> None:
    """By what the diffractograms lack alone, up to the choice of axes in orthorhombic and cubic groups."""
    side = 2 * BOX + 1
    first: dict[tuple[str, bytes], int] = {}
    lowest = []
    for number in GROUPS:
        system = truth.setting(number).crystal_system_str()
        mask = observed[number].reshape(side, side, side)
        orders = permutations(range(3)) if system in ("orthorhombic", "cubic") else [(0, 1, 2)]
        signature = min(np.packbits(mask.transpose(order)).tobytes() for order in orders)
        lowest.append(first.setdefault((system, signature), number))
    assert len(first) == 101
    assert tuple(lowest) == extinction_groups()


# Extinction symbol -> conditions (International Tables A, table 1.6.4.2 and followings): reflections of a kind that are
# present only where a whole-number condition holds. One group of each kind of condition, in its standard setting.
TABLES = {
    4: [("0k0", "k % 2 == 0")],
    7: [("h0l", "l % 2 == 0")],
    15: [("hkl", "(h + k) % 2 == 0"), ("h0l", "h % 2 == 0 and l % 2 == 0")],
    19: [("h00", "h % 2 == 0"), ("0k0", "k % 2 == 0"), ("00l", "l % 2 == 0")],
    43: [("0kl", "(k + l) % 4 == 0 and k % 2 == 0"), ("h0l", "(h + l) % 4 == 0 and h % 2 == 0")],
    60: [("0kl", "k % 2 == 0"), ("h0l", "l % 2 == 0"), ("hk0", "(h + k) % 2 == 0")],
    70: [("hk0", "(h + k) % 4 == 0 and h % 2 == 0"), ("h00", "h % 4 == 0")],
    76: [("00l", "l % 4 == 0")],
    88: [("hkl", "(h + k + l) % 2 == 0"), ("hk0", "h % 2 == 0 and k % 2 == 0"), ("00l", "l % 4 == 0")],
    110: [("0kl", "k % 2 == 0 and l % 2 == 0"), ("hhl", "(2 * h + l) % 4 == 0")],
    130: [("hk0", "(h + k) % 2 == 0"), ("0kl", "l % 2 == 0"), ("hhl", "l % 2 == 0")],
    144: [("00l", "l % 3 == 0")],
    159: [("hhl", "l % 2 == 0")],
    161: [("hkl", "(-h + k + l) % 3 == 0"), ("h-hl", "(h + l) % 3 == 0 and l % 2 == 0")],
    169: [("00l", "l % 6 == 0")],
    193: [("h-hl", "l % 2 == 0")],
    205: [("0kl", "k % 2 == 0"), ("h0l", "l % 2 == 0"), ("hk0", "h % 2 == 0")],
    212: [("h00", "h % 4 == 0")],
    220: [("hkl", "(h + k + l) % 2 == 0"), ("hhl", "(2 * h + l) % 4 == 0")],
    227: [("hkl", "h % 2 == k % 2 == l % 2"), ("0kl", "(k + l) % 4 == 0 and k % 2 == 0")],
    230: [("0kl", "k % 2 == 0 and l % 2 == 0"), ("hhl", "l % 2 == 0 and (2 * h + l) % 4 == 0")],
}
KINDS = {
    "hkl": "True",
    "0kl": "h == 0",
    "h0l": "k == 0",
    "hk0": "l == 0",
    "h00": "k == l == 0",
    "0k0": "h == l == 0",
    "00l": "h == k == 0",
    "hhl": "h == k",
    "h-hl": "k == -h",
}


def holds(condition: str, index: list[int]) -> bool:
    """Evaluate a condition on h, k, l."""
    return bool(eval(condition, dict(zip("hkl", index, strict=True))))


@pytest.mark.parametrize("number", TABLES, ids=lambda number: gemmi.find_spacegroup_by_number(number).short_name())
def test_conditions_as_the_international_tables_print_them(number: int, observed: dict[int, NDArray[np.bool_]]) -> None:
    hkl = box()
    for kind, condition in TABLES[number]:
        rows = [row for row, index in enumerate(hkl.tolist()) if any(index) and holds(KINDS[kind], index)]
        allowed = [holds(condition, hkl[row].tolist()) for row in rows]
        absent_there = observed[number][rows]
        assert absent_there[~np.array(allowed)].all(), kind
        assert not absent_there.all() or not any(allowed), kind
